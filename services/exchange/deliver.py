"""Sending one bundle to its recipient: header, chunks read from the spool, commit, and the recipient's answer.

Guarantees that no frame leaves while the gate is shut, that a transfer waiting for its recipient is cut too, that `commit`
is sent only after a Check that was sent after the last chunk, and that however it ends there is a `Sent` for the ledger.
The recipient's words go nowhere. Leaves to the caller whether the acknowledgement holds.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import grpc

from services.chassis.clock import Clock
from services.errors import AccordError, Reason
from services.exchange import convert
from services.exchange.clients import DeliveryCall, open_delivery
from services.exchange.domain.exchange import Authorization, Sent
from services.exchange.gate import Gate
from services.exchange.spool import SpooledBundle
from services.formats.entry import OutcomeResult

STALL_S = 10.0
"""How long one frame may wait for the recipient."""
ACKNOWLEDGE_S = 30.0
LONGEST_S = 600.0
# What a process, or the network before it, says when nobody decided anything.
_GONE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent: the ledger's leave, the broker's manifest over the same documents, and their bytes."""

    authorization: Authorization
    manifest: str
    bundle: SpooledBundle


async def deliver(channel: grpc.aio.Channel, parcel: Parcel, gate: Gate, clock: Clock, executor: Executor) -> Sent:
    """Sends the parcel; how it ended is a value. DELIVERED means: the recipient answered with an acknowledgement."""
    call = open_delivery(channel, LONGEST_S)
    transfer = _Transfer(call, parcel, gate, clock, executor)
    try:
        acknowledgement = await transfer.run()
    except AccordError as cut:
        return transfer.ended(cut.reason)
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
        return transfer.ended(await _why(call))
    finally:
        call.cancel()
    return replace(transfer.ended(None), acknowledgement=acknowledgement)


async def _why(call: DeliveryCall) -> Reason:
    code = await call.code() if call.done() else grpc.StatusCode.UNAVAILABLE
    _log.info("a delivery failed", extra={"fields": {"code": code.name}})
    return Reason.RECIPIENT_UNREACHABLE if code in _GONE else Reason.RECIPIENT_REFUSED


class _Transfer:
    """One bundle on its way."""

    def __init__(self, call: DeliveryCall, parcel: Parcel, gate: Gate, clock: Clock, executor: Executor) -> None:
        self._call, self._parcel, self._gate = call, parcel, gate
        self._clock, self._executor = clock, executor
        self._committed = False
        self._sent = Sent(OutcomeResult.FAILED, manifest=parcel.manifest)

    async def run(self) -> str:
        """Sends everything and returns the acknowledgement's token."""
        await _beside(self._send(), self._gate.watch(), self._gate.renew())
        async with asyncio.timeout(ACKNOWLEDGE_S):
            return (await self._call).acknowledgement

    def ended(self, reason: Reason | None) -> Sent:
        """How it stands now: FAILED is certain only while no commit was sent."""
        if reason is None:
            return replace(self._sent, result=OutcomeResult.DELIVERED)
        result = OutcomeResult.UNKNOWN if self._committed else OutcomeResult.FAILED
        return replace(self._sent, result=result, reason=reason)

    async def _send(self) -> None:
        await self._write(convert.header_frame(self._parcel.authorization, self._parcel.manifest))
        pieces = self._parcel.bundle.read()
        while (piece := await self._next(pieces)) is not None:
            await self._send_chunk(*piece)
        await self._gate.recheck()
        self._gate.require()
        self._committed = True
        await self._write(convert.commit_frame())
        await self._call.done_writing()

    async def _next(self, pieces: Iterator[tuple[int, bytes]]) -> tuple[int, bytes] | None:
        return await asyncio.get_running_loop().run_in_executor(self._executor, next, pieces, None)

    async def _send_chunk(self, position: int, data: bytes) -> None:
        self._gate.require()
        # Counted before it leaves: of a chunk that is cut, some bytes may have left.
        sent, now = self._sent, self._clock.wall_ms()
        first = now if sent.first_ms is None else sent.first_ms
        self._sent = replace(sent, bytes_sent=sent.bytes_sent + len(data), first_ms=first, last_ms=now)
        await self._write(convert.chunk_frame(position, data))
        self._sent = replace(self._sent, last_ms=self._clock.wall_ms())

    async def _write(self, frame: convert.DeliveryFrame) -> None:
        self._gate.require()
        async with asyncio.timeout(STALL_S):
            await self._call.write(frame)


async def _beside(work: Coroutine[Any, Any, None], *guards: Coroutine[Any, Any, NoReturn]) -> None:
    """Runs `work` until it ends or a guard raises, and ends the others. Raises: what the first to end raised."""
    task = asyncio.create_task(work)
    watching = [asyncio.create_task(guard) for guard in guards]
    try:
        await asyncio.wait([task, *watching], return_when=asyncio.FIRST_COMPLETED)
        ended = task if task.done() else next(guard for guard in watching if guard.done())
        ended.result()
    finally:
        for each in (task, *watching):
            each.cancel()
        await asyncio.gather(task, *watching, return_exceptions=True)
