"""The stream of changes, to each caller what it may know."""

import asyncio
from collections.abc import AsyncIterator

import grpc
from accord.consent.v1 import watch_service_pb2 as pb
from accord.consent.v1 import watch_service_pb2_grpc as pb_grpc

from services.chassis.identity import current_caller
from services.consent.convert.form import timestamp
from services.consent.domain.vector import Vector
from services.consent.ledger import Ledger
from services.consent.watching import Change, Place, Tail
from services.errors import AccordError, Reason, Violation, invalid
from services.formats.canonical import MAX_INTEGER

Context = grpc.ServicerContext
HEARTBEAT_S = 10.0
MAX_AGE_S = 240.0
"""After this a stream ends, before its connection does; its last cursor goes on."""


class WatchServicer(pb_grpc.WatchServiceServicer):
    """Changes of consents, and answers to pings."""

    def __init__(self, ledger: Ledger, tail: Tail, *, heartbeat_s: float = HEARTBEAT_S, max_age_s: float = MAX_AGE_S):
        self._ledger, self._tail = ledger, tail
        self._heartbeat_s, self._max_age_s = heartbeat_s, max_age_s

    async def Watch(self, requests: AsyncIterator[pb.WatchRequest], _: Context) -> AsyncIterator[pb.WatchResponse]:
        """Streams until the maximum age."""
        caller = current_caller()
        own = f"services/{caller.service}" if caller.service is not None else ""
        first = await anext(requests, pb.WatchRequest())
        now = await self._tail.now()
        place = self._resume(first.cursor, now) if first.cursor else now
        watcher = _Watcher(self._tail, own, first.ping)
        ear = asyncio.create_task(watcher.hear(requests))
        try:
            async with asyncio.timeout(self._max_age_s) as age:
                async for changes, place, pong in watcher.follow(place, self._heartbeat_s):  # noqa: B020
                    yield self._response(changes, place, pong)
        except TimeoutError:
            if not age.expired():
                raise
        finally:
            watcher.leave()
            ear.cancel()
        watcher.check()

    def _resume(self, cursor: str, now: Place) -> Place:
        vector = Vector.parse(cursor)
        if vector is None or vector.epoch != self._ledger.epoch or len(vector.sizes) != len(now.sizes):
            raise invalid([Violation("cursor", "is not one that was given out")])
        if any(map(int.__gt__, vector.sizes, now.sizes)):
            raise AccordError(Reason.NOT_YET_CONSISTENT, "the cursor is ahead of the log", retry_after=1.0)
        return Place(vector.sizes)

    def _response(self, changes: list[Change], place: Place, pong: int) -> pb.WatchResponse:
        cursor = Vector(self._ledger.epoch, place.sizes).text
        return pb.WatchResponse(changes=map(self._change, changes), cursor=cursor, pong=pong)

    def _change(self, change: Change) -> pb.WatchResponse.Change:
        entry = change.entry
        return pb.WatchResponse.Change(
            type=entry.type.value,
            origin=self._ledger.proofs.origin(change.shard),
            index=change.index,
            time=timestamp(entry.time_ms),
            service=entry.service,
            resource=next(iter(entry.resources), ""),
        )


class _Watcher:
    """One stream: what it was asked, how far it was answered; of what is not its `own` (empty: all is) it hears nothing."""

    def __init__(self, tail: Tail, own: str, ping: int) -> None:
        self._tail, self._own, self._bell = tail, own, tail.enter()
        self._ping = self._pong = 0
        self._fault: AccordError | None = None
        self._note(ping, first=True)

    def leave(self) -> None:
        """Watches no more."""
        self._tail.leave(self._bell)

    def check(self) -> None:
        """Raises: AccordError for a message that broke the stream's rules."""
        if self._fault is not None:
            raise self._fault

    async def hear(self, requests: AsyncIterator[pb.WatchRequest]) -> None:
        """Takes note of pings until the caller sends no more."""
        async for request in requests:
            if request.cursor:
                self._fault = invalid([Violation("cursor", "belongs in the first message")])
            self._note(request.ping, first=False)
            self._bell.set()

    def _note(self, ping: int, *, first: bool) -> None:
        if not (first and ping == 0) and not self._ping < ping <= MAX_INTEGER:
            self._fault = invalid([Violation("ping", "must grow, and stay below 2^53")])
        self._ping = max(self._ping, ping)

    async def follow(self, place: Place, heartbeat_s: float) -> AsyncIterator[tuple[list[Change], Place, int]]:
        """Changes, the place after them, and the ping that is answered by then; an empty turn is a heartbeat."""
        loop = asyncio.get_running_loop()
        spoken = 0.0  # the first turn speaks at once: its cursor says where the stream begins
        while self._fault is None:
            asked = self._ping
            if asked > self._pong:
                await self._tail.refresh()
            reached = False
            while not reached:
                found, following = await self._tail.after(place)
                changes = [item for item in found if not self._own or item.entry.service == self._own]
                reached = following.serial is not None
                answered = reached and asked > self._pong
                if changes or answered or loop.time() - spoken >= heartbeat_s:
                    self._pong = asked if reached else self._pong
                    yield changes, following, self._pong
                    spoken = loop.time()
                place = following
            if self._ping == asked and self._fault is None:
                await self._tail.moved(place, self._bell, max(0.0, heartbeat_s - (loop.time() - spoken)))
