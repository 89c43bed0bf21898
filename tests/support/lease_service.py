"""A registry for tests of those who follow it: signs what it is told to, truth or forgery, over a real gRPC server."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from accord.registry.v1 import lease_service_pb2 as pb
from accord.registry.v1 import lease_service_pb2_grpc as pb_grpc

from services.chassis.clock import Clock
from services.formats.entry import Pin
from services.formats.jwk import LocalSigner
from services.formats.lease import ServiceRecord, sign_lease, snapshot_hash
from services.formats.trust import DatedKey, KeyRole, Trust
from tests.support.register import TRUST_DOMAIN, signer


@dataclass
class LeaseSimulator(pb_grpc.LeaseServiceServicer):
    """Hands out `records` under `sequence`. What is set to something else than the truth is the forgery under test.

    `asked` holds every request. With `holds` a request that knows the sequence waits until `change`, as a registry does.
    """

    clock: Clock
    key: LocalSigner = field(default_factory=signer)
    trust_domain: str = TRUST_DOMAIN
    sequence: int = 1
    records: list[bytes] = field(default_factory=list)
    snapshot: str | None = None
    size: int | None = None
    issued_ms: int | None = None
    token: str | None = None
    failure: grpc.StatusCode | None = None
    always_records: bool = False
    holds: bool = False
    asked: list[pb.GetLeaseRequest] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _called: asyncio.Condition = field(default_factory=asyncio.Condition)

    def trust(self) -> Trust:
        """What a follower trusts: this key, and no log."""
        return Trust(TRUST_DOMAIN, (), (DatedKey(KeyRole.LEASE, self.key.verify_key, 0),))

    def change(self, *records: ServiceRecord) -> None:
        """The next snapshot."""
        self.sequence += 1
        self.records = [record.to_bytes() for record in sorted(records, key=lambda record: record.name)]
        self._changed.set()

    def lease(self) -> str:
        """A lease signed now, as true as it was told to be."""
        pin = Pin(self.sequence, self.snapshot or snapshot_hash(self.records))
        size = len(self.records) if self.size is None else self.size
        return sign_lease(self.key, self.trust_domain, pin, size, self.issued_ms or self.clock.wall_ms())

    async def until(self, seen: Callable[[list[pb.GetLeaseRequest]], bool]) -> None:
        """Returns once the requests so far are as `seen` says."""
        async with self._called:
            await self._called.wait_for(lambda: seen(self.asked))

    async def GetLease(self, request: pb.GetLeaseRequest, context: Any) -> pb.GetLeaseResponse:  # noqa: N802
        async with self._called:
            self.asked.append(request)
            self._called.notify_all()
        if self.failure is not None:
            await context.abort(self.failure, "simulated")
        if self.holds and request.known_sequence == self.sequence:
            self._changed.clear()
            await self._changed.wait()
        known = request.known_sequence == self.sequence and not self.always_records
        return pb.GetLeaseResponse(lease=self.token or self.lease(), records=() if known else self.records)
