"""The log and its proofs."""

from collections.abc import AsyncIterator

import grpc
from accord.consent.v1 import audit_service_pb2 as audit
from accord.consent.v1 import audit_service_pb2_grpc as audit_grpc

from services.consent.audit import Audit
from services.consent.convert import audit as convert
from services.consent.convert.names import Names
from services.consent.ledger import Ledger

Context = grpc.ServicerContext


class AuditServicer(audit_grpc.AuditServiceServicer):
    """The log and its proofs, read only; all but checkpoints and consistency proofs on the record."""

    def __init__(self, ledger: Ledger, audit: Audit, names: Names) -> None:
        self._ledger, self._proofs, self._audit, self._names = ledger, ledger.proofs, audit, names

    async def GetCheckpoints(self, _: audit.GetCheckpointsRequest, __: Context) -> audit.GetCheckpointsResponse:
        """The latest checkpoint of each shard."""
        return audit.GetCheckpointsResponse(checkpoints=await self._ledger.read(self._proofs.checkpoints))

    async def GetConsistencyProof(
        self, request: audit.GetConsistencyProofRequest, _: Context
    ) -> audit.GetConsistencyProofResponse:
        """Proves one size a prefix of another."""
        hashes = await self._ledger.read(
            lambda: self._proofs.consistency(request.origin, request.old_size, request.new_size)
        )
        return audit.GetConsistencyProofResponse(hashes=hashes)

    async def GetEntry(self, request: audit.GetEntryRequest, _: Context) -> audit.GetEntryResponse:
        """One entry, proven, and opened where that was asked for."""
        return convert.entry(*await self._audit.entry(request.origin, request.index, opened=request.open))

    async def ListEntries(self, request: audit.ListEntriesRequest, _: Context) -> audit.ListEntriesResponse:
        """A page of entries in log order."""
        return convert.listed(request, *await self._audit.entries(*convert.listing(request)))

    async def SearchEntries(self, request: audit.SearchEntriesRequest, _: Context) -> audit.SearchEntriesResponse:
        """A page of what a filter finds."""
        return convert.found(request, await self._audit.search(convert.search(request, self._names)))

    async def GetStatistics(self, request: audit.GetStatisticsRequest, _: Context) -> audit.GetStatisticsResponse:
        """Counts of what a filter finds."""
        return convert.counts(await self._audit.statistics(convert.statistics(request, self._names)))

    async def ExportEntries(
        self, request: audit.ExportEntriesRequest, _: Context
    ) -> AsyncIterator[audit.ExportEntriesResponse]:
        """The log, a part at a time; the caller's reading sets the pace."""
        async for part in self._audit.export(request.origin, request.start_index, opened=request.open):
            yield convert.part(part)
