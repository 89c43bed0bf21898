"""The auditors' RPCs, called in this process on a real ledger."""

from dataclasses import dataclass, field
from typing import Any

from accord.consent.v1 import audit_service_pb2 as pb

from services.consent.audit import Audit
from services.consent.convert.names import Names
from services.consent.indexing import Indexer
from services.consent.searching import Searcher
from services.consent.servicer.audit import AuditServicer
from services.formats.entry import Entry, parse_entry
from tests.support.ledgers import Bench

CONTEXT: Any = None  # no handler looks at it: identity, deadline and errors are the interceptor's


@dataclass
class Auditing:
    """A bench's AuditService, and short ways to call it."""

    bench: Bench
    names: Names = field(init=False)
    indexer: Indexer = field(init=False)
    rpcs: AuditServicer = field(init=False)

    def __post_init__(self) -> None:
        bench = self.bench
        self.names = Names(bench.identifiers, allow_test_ins=True)
        self.indexer = Indexer(bench.database)
        audit = Audit(bench.ledger, Searcher(bench.database, bench.vault), self.indexer)
        self.rpcs = AuditServicer(bench.ledger, audit, self.names)

    @property
    def origin(self) -> str:
        """The first shard's log."""
        return self.bench.logs[0].origin

    async def pages(self, size: int = 100, **asked: Any) -> list[list[tuple[str, int, Entry]]]:
        """Every page of a search; `origin`, `start_index`, `end_index` as they are, the rest is the filter's."""
        bounds = {name: asked.pop(name) for name in ("origin", "start_index", "end_index") if name in asked}
        pages: list[list[tuple[str, int, Entry]]] = []
        token = ""
        while token or not pages:
            request = pb.SearchEntriesRequest(
                filter=pb.EntryFilter(**asked), page_size=size, page_token=token, **bounds
            )
            page = await self.rpcs.SearchEntries(request, CONTEXT)
            pages.append([(item.origin, item.index, parse_entry(item.entry)) for item in page.items])
            token = page.next_page_token
        return pages

    async def found(self, size: int = 100, **asked: Any) -> list[tuple[str, int]]:
        """Where the entries of a search stand, in the order found."""
        return [(origin, index) for page in await self.pages(size, **asked) for origin, index, _ in page]

    async def counted(self, **asked: Any) -> dict[tuple[str, str, str, int], int]:
        """Statistics: how many of each month, service, type and reason."""
        answer = await self.rpcs.GetStatistics(pb.GetStatisticsRequest(filter=pb.EntryFilter(**asked)), CONTEXT)
        return {(item.month, item.service, item.type, item.reason): item.count for item in answer.counts}

    async def exported(
        self, start: int = 0, *, opened: bool = False, origin: str = ""
    ) -> list[pb.ExportEntriesResponse]:
        """All parts of an export."""
        request = pb.ExportEntriesRequest(origin=origin or self.origin, start_index=start, open=opened)
        return [part async for part in self.rpcs.ExportEntries(request, CONTEXT)]

    def every(self) -> list[tuple[str, int, Entry]]:
        """What there is to find now, all logs one after the other."""
        return [
            (log.origin, index, entry)
            for log in self.bench.logs
            for index, entry in enumerate(self.bench.entries(log.shard))
        ]

    async def close(self) -> None:
        """Ends the indexer; the bench is its owner's."""
        await self.indexer.close()


class LocalStub:
    """The stub of an AuditService that is called in this process."""

    def __init__(self, rpcs: AuditServicer) -> None:
        self._rpcs = rpcs

    async def GetCheckpoints(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109, N802
        return await self._rpcs.GetCheckpoints(request, CONTEXT)

    async def GetConsistencyProof(self, request: Any, timeout: float) -> Any:  # noqa: ASYNC109, N802
        return await self._rpcs.GetConsistencyProof(request, CONTEXT)

    def ExportEntries(self, request: Any) -> Any:  # noqa: N802
        return self._rpcs.ExportEntries(request, CONTEXT)
