"""The registry as consent and exchange know it: a verified snapshot of bounded age, kept fresh in the background.

Guarantees that `current` hands out only a snapshot whose lease one of TRUST's lease keys signed for our trust domain, whose
records are those the lease names, and whose age, counted on the monotonic clock from before the request that brought it, is
below the lease's maximum; otherwise it refuses. A lease older than one seen before is never taken: neither an older
sequence, nor other records under the same sequence, nor one issued so long ago that only a replay explains it. Leaves to
the caller what the records allow, and, across restarts, the memory of the highest sequence (`floor`).
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import grpc
from accord.registry.v1 import lease_service_pb2 as pb
from accord.registry.v1 import lease_service_pb2_grpc as pb_grpc

from services.chassis.clock import Clock
from services.errors import AccordError, Reason
from services.formats.canonical import FormatError
from services.formats.entry import Pin
from services.formats.lease import Lease, ServiceRecord, open_lease, parse_snapshot
from services.formats.trust import KeyRole, Trust
from services.tlog.proof import inclusion_proof
from services.tlog.tree import Coordinate, Frontier, leaf_hash

POLL_S = 2
"""How long the registry may hold a request; added to the age of what it brings, so well below a lease's maximum."""
ANSWER_S = 5.0
RETRY_AFTER_S = 1.0
_EXPECTED = (grpc.aio.AioRpcError, FormatError, AccordError)
_log = logging.getLogger(__name__)


class Records:
    """The exact records of one snapshot and, once somebody asks, the tree over them."""

    def __init__(self, raw: tuple[bytes, ...], services: Mapping[str, ServiceRecord]) -> None:
        self.raw = raw
        self._index = {name: index for index, name in enumerate(services)}
        self.hashes = {name: leaf_hash(record) for name, record in zip(services, raw, strict=True)}

    def of(self, name: str) -> bytes:
        """The exact record of a service; empty for one that the snapshot does not hold."""
        return self.raw[self._index[name]] if name in self._index else b""

    def proof(self, name: str) -> tuple[int, bytes, list[bytes]]:
        """Index, exact bytes and inclusion proof (RFC 9162 §2.1.3.1) of a service's record. Raises: KeyError."""
        index = self._index[name]
        return index, self.raw[index], inclusion_proof(index, len(self.raw), self._read)

    @cached_property
    def _nodes(self) -> dict[Coordinate, bytes]:
        _, nodes = Frontier.empty().extend(list(self.hashes.values()))
        return {(node.level, node.index): node.hash for node in nodes}

    def _read(self, coordinates: list[Coordinate]) -> list[bytes]:
        return [self._nodes[coordinate] for coordinate in coordinates]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Who may exchange what, under one lease; services by name and by transport identity (SPIFFE ID)."""

    lease: Lease
    services: Mapping[str, ServiceRecord]
    by_spiffe: Mapping[str, ServiceRecord]
    _records: Records

    @staticmethod
    def of(lease: Lease, records: tuple[bytes, ...]) -> "Snapshot":
        """The snapshot that these records are. Raises: FormatError when they are not those the lease names."""
        services = parse_snapshot(lease, records)
        by_spiffe = {record.spiffe_id: record for record in services.values()}
        if len(by_spiffe) != len(services):
            raise FormatError("two services of the snapshot share a transport identity")
        return Snapshot(lease, services, by_spiffe, Records(records, services))

    @property
    def pin(self) -> Pin:
        """Its sequence and hash: what a ledger entry pins."""
        return self.lease.pin

    @property
    def records(self) -> tuple[bytes, ...]:
        """The exact records, in order of name."""
        return self._records.raw

    @property
    def hashes(self) -> Mapping[str, bytes]:
        """The RFC 9162 leaf hash of each service's record."""
        return self._records.hashes

    def raw(self, name: str) -> bytes:
        """The exact record of a service; empty for one that the snapshot does not hold."""
        return self._records.of(name)

    def record_proof(self, name: str) -> tuple[int, bytes, list[bytes]]:
        """Index, exact bytes and inclusion proof of a service's record, against the lease's hash and size.

        Specification: RFC 9162 §2.1.3.1. Raises: KeyError for a service that the snapshot does not hold.
        """
        return self._records.proof(name)


@dataclass(frozen=True, slots=True)
class _Held:
    snapshot: Snapshot
    until: float


class RegistryView:
    """Follows the registry's lease; `channel` gives the channel to it, asked anew for each request (certificates change).

    `floor` is the highest snapshot seen in an earlier life of the process; `backoff_s` bounds the pause after a failure.
    """

    def __init__(
        self,
        channel: Callable[[], grpc.aio.Channel],
        trust: Trust,
        clock: Clock,
        *,
        floor: Pin | None = None,
        backoff_s: tuple[float, float] = (0.1, 2.0),
    ) -> None:
        self._channel = channel
        self._trust, self._clock, self._floor, self._backoff_s = trust, clock, floor, backoff_s
        self._held: _Held | None = None
        self._first = asyncio.Event()

    def current(self) -> Snapshot:
        """The snapshot, while its lease is young enough. Raises: AccordError REGISTRY_STALE."""
        held = self._held
        if held is None or self._clock.monotonic() >= held.until:
            raise AccordError(Reason.REGISTRY_STALE, retry_after=RETRY_AFTER_S)
        return held.snapshot

    def fresh(self) -> bool:
        """Whether `current` would answer."""
        held = self._held
        return held is not None and self._clock.monotonic() < held.until

    async def wait_ready(self, timeout_s: float) -> None:
        """Returns once a first lease was taken. Raises: AccordError REGISTRY_STALE after `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._first.wait()
        except TimeoutError:
            raise AccordError(Reason.REGISTRY_STALE, retry_after=RETRY_AFTER_S) from None

    async def follow(self) -> None:
        """Keeps the snapshot fresh until cancelled; what it cannot verify it reports, leaves, and asks for again."""
        pause = self._backoff_s[0]
        while True:
            try:
                await self.poll()
            except Exception as error:  # whatever broke: a view that nobody renews stays stale for good
                unexpected = not isinstance(error, _EXPECTED)
                fields = {"problem": type(error).__name__ if unexpected else _problem(error)}
                _log.warning("registry lease not renewed", exc_info=unexpected, extra={"fields": fields})
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._backoff_s[1])
            else:
                pause = self._backoff_s[0]

    async def poll(self) -> None:
        """One request, which the registry answers at the next change or after POLL_S.

        Raises: AioRpcError when it fails, AccordError of kind UNAVAILABLE when there is no channel; FormatError for an
        answer that is not to be trusted, which changes nothing.
        """
        held, asked_at = self._held, self._clock.monotonic()
        known = held.snapshot.pin.sequence if held else 0
        request = pb.GetLeaseRequest(known_sequence=known, wait_seconds=POLL_S if held else 0)
        answer = await pb_grpc.LeaseServiceStub(self._channel()).GetLease(request, timeout=POLL_S + ANSWER_S)
        lease = open_lease(answer.lease, self._trust.trust_domain, self._trust.key_of(KeyRole.LEASE, self._now_ms()))
        self._check_progress(lease)
        if held is not None and _renews(lease, held.snapshot.lease) and not answer.records:
            snapshot = replace(held.snapshot, lease=lease)
        else:
            snapshot = await asyncio.to_thread(Snapshot.of, lease, tuple(answer.records))
        self._held = _Held(snapshot, asked_at + lease.max_age_s)
        self._floor = lease.pin
        self._first.set()

    def _check_progress(self, lease: Lease) -> None:
        floor = self._floor
        if floor is not None and lease.pin.sequence < floor.sequence:
            raise FormatError("the lease is older than one seen before")
        if floor is not None and lease.pin.sequence == floor.sequence and lease.pin.hash != floor.hash:
            raise FormatError("two snapshots have one sequence")
        if abs(self._now_ms() // 1000 - lease.issued_s) > lease.max_age_s:
            raise FormatError("the lease was not issued now: a replay, or a clock that is wrong")

    def _now_ms(self) -> int:
        return self._clock.wall_ms()


def _renews(lease: Lease, held: Lease) -> bool:
    return lease.pin == held.pin and lease.size == held.size


def _problem(error: Exception) -> str:
    return error.code().name if isinstance(error, grpc.aio.AioRpcError) else str(error)
