"""What the portal asks of a bench's accesses."""

from typing import Any

from accord.consent.v1 import consent_reader_service_pb2 as reader
from accord.errors.v1 import error_reason_pb2 as reasons

from services.consent.accesses import Accesses
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.indexing import Indexer
from services.consent.servicer.accesses import AccessReader
from services.errors import Reason
from services.formats.entry import OutcomeResult
from tests.support.ledgers import DAY_MS, NOW_MS, RECIPIENT, SENDER, Bench, ins, outcome

HELD = c.Actor("holder", "eidas2")


class Desk:
    """A portal's reads of one bench; nothing indexes it in the background."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.names = bench, Names(bench.identifiers, allow_test_ins=True)
        self._indexer = Indexer(bench.database)
        accesses = Accesses(
            bench.database, bench.ledger, self._indexer, bench.vault, bench.clock, self.names.consent_name
        )
        self.reader = AccessReader(accesses, self.names, bench.clock, "accord.example")

    async def close(self) -> None:
        """Ends its thread."""
        await self._indexer.close()

    async def page(self, patient: c.Address, **fields: Any) -> reader.ListAccessesResponse:
        """One page."""
        request = reader.ListAccessesRequest(profile=self.names.profile_name(patient), **fields)
        return await self.reader.list_accesses(request)

    async def pages(self, patient: c.Address, **fields: Any) -> list[reader.ListAccessesResponse]:
        """All pages."""
        found = [await self.page(patient, **fields)]
        while found[-1].next_page_token:
            found.append(await self.page(patient, page_token=found[-1].next_page_token, **fields))
        return found

    async def listed(self, patient: c.Address, **fields: Any) -> list[reader.Access]:
        """All accesses."""
        return [access for page in await self.pages(patient, **fields) for access in page.accesses]

    async def export(
        self, patient: c.Address, kind: reader.FhirKind.ValueType = reader.FHIR_KIND_CONSENT, **fields: Any
    ) -> bytes:
        """An export."""
        request = reader.ExportFhirRequest(profile=self.names.profile_name(patient), kind=kind, **fields)
        return (await self.reader.export_fhir(request)).bundle

    async def authorize(self, asked: c.Query, exchange: str = "") -> tuple[str, c.Decision]:
        """(exchange, decision) of an attempt."""
        exchange = exchange or self.bench.exchange()
        return exchange, await self.bench.ledger.authorize(c.Authorize(asked, exchange, (), "t" * 43))

    async def refuse(self, service: str, patient: c.Address | None, reason: Reason, exchange: str = "") -> str:
        """The exchange of a refusal."""
        exchange = exchange or self.bench.exchange()
        await self.bench.ledger.do(c.RecordRefusal(service, patient, exchange, reason))
        return exchange


async def minor(bench: Bench, days: int = 300) -> c.Address:
    """A minor, of age in some days, paired with sender and recipient."""
    address = await bench.open_profile(c.OpenProfile(ins(1), majority_ms=NOW_MS + days * DAY_MS))
    for service in (SENDER, RECIPIENT):
        await bench.ledger.do(c.Pair(address, service))
    return address


async def deliver(desk: Desk, asked: c.Query, result: OutcomeResult = OutcomeResult.DELIVERED) -> str:
    """An authorised exchange with its outcome."""
    exchange, decided = await desk.authorize(asked)
    assert decided.permit is not None
    await desk.bench.ledger.record_outcome(outcome(decided, exchange, result=result))
    return exchange


def reason_of(access: reader.Access) -> str:
    """Why an access was not authorised."""
    return reasons.ErrorReason.Name(access.reason).removeprefix("ERROR_REASON_")
