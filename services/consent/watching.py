"""What watchers follow: one tail of all logs for the whole process, and each watcher's own place in it.

Guarantees that a watcher hears of every change after its place, each shard's in log order, and none twice; and that a
refresh, when it returns, has in the tail whatever the primary's log held when it began: so a ping is answered after every
change that preceded it. Leaves to the servicer who may hear what.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.chassis.batch import Batcher
from services.consent.ledger import Ledger
from services.consent.proofs import Proofs
from services.formats.entry import Entry, EntryType, parse_entry

KEPT = 4096
"""Changes that the tail keeps: a watcher further behind reads the log itself."""
PAGE = 500
POLL_S = 0.05
"""How often the heads are read while anybody watches: a withdrawal by another replica is heard of no later."""
WATCHED = frozenset(item for item in EntryType if item.value.startswith("consent."))


@dataclass(frozen=True, slots=True)
class Change:
    """An entry that watchers may hear of, and where it stands."""

    shard: int
    index: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the tail holds: `changes` after `since`, up to `sizes`; `serial` counts all changes ever held."""

    since: tuple[int, ...]
    sizes: tuple[int, ...]
    changes: tuple[Change, ...]
    serial: int


@dataclass(frozen=True, slots=True)
class Place:
    """How far a watcher has heard: so many entries of each shard; `serial` once it follows the tail."""

    sizes: tuple[int, ...]
    serial: int | None = None


class Tail:
    """The newest changes of all shards, refreshed for everybody at once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._refreshes = Batcher[None, None](self._refresh, ledger.reader)
        self._seen: _Seen | None = None
        self._bells: set[asyncio.Event] = set()
        self._poller: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Reads every head, and what is new; shared by all who wait for it."""
        before = self._seen
        await self._refreshes.submit(None)
        if self._seen is not before:
            for bell in self._bells:
                bell.set()

    async def now(self) -> Place:
        """The place of one who has heard everything up to now."""
        await self.refresh()
        seen = self._held()
        return Place(seen.sizes, seen.serial)

    async def after(self, place: Place) -> tuple[list[Change], Place]:
        """What comes after a place as far as the tail has seen, at most a page of it, and the place after that."""
        seen = self._held()
        if place.serial is not None and place.serial >= seen.serial - len(seen.changes):
            fresh = seen.changes[len(seen.changes) - (seen.serial - place.serial) :]
            return list(fresh), Place(seen.sizes, seen.serial)
        behind = next((s for s, size in enumerate(place.sizes) if size < seen.since[s]), None)
        if behind is None:
            fresh = tuple(item for item in seen.changes if item.index >= place.sizes[item.shard])
            return list(fresh), Place(tuple(map(max, seen.sizes, place.sizes)), seen.serial)
        first = place.sizes[behind]
        count = min(PAGE, seen.since[behind] - first)
        found = await self._ledger.read(lambda: _read(self._ledger.proofs, behind, first, count))
        sizes = (*place.sizes[:behind], first + count, *place.sizes[behind + 1 :])
        return found, Place(sizes)

    async def moved(self, place: Place, bell: asyncio.Event, timeout_s: float) -> None:
        """Returns when the tail has moved on from a place, when the watcher's bell rings, or after a while."""
        seen = self._held()
        if (seen.serial, seen.sizes) != (place.serial, place.sizes):
            return
        bell.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await bell.wait()
        except TimeoutError:
            pass

    def enter(self) -> asyncio.Event:
        """Somebody watches: the heads are polled. Answers the watcher's own bell, which rings for every change."""
        bell = asyncio.Event()
        self._bells.add(bell)
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll())
        return bell

    def leave(self, bell: asyncio.Event) -> None:
        """Somebody watches no more."""
        self._bells.discard(bell)
        if not self._bells and self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def close(self) -> None:
        """Finishes what was submitted."""
        if self._poller is not None:
            self._poller.cancel()
        await self._refreshes.close()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.refresh()
            except Exception:  # noqa: S112 (whatever failed: watchers get no pong, and the next turn tries again)
                continue

    def _held(self) -> _Seen:
        if self._seen is None:
            raise RuntimeError("the tail was never refreshed")
        return self._seen

    def _refresh(self, waiting: Sequence[None]) -> list[None]:
        proofs = self._ledger.proofs
        sizes = tuple(proofs.sizes())
        seen = self._seen or _Seen(sizes, sizes, (), 0)
        fresh: list[Change] = []
        for shard, size in enumerate(sizes):
            for first in range(seen.sizes[shard], size, PAGE):
                fresh += _read(proofs, shard, first, min(PAGE, size - first))
        if fresh or sizes != seen.sizes:
            seen = replace(seen, sizes=sizes, changes=seen.changes + tuple(fresh), serial=seen.serial + len(fresh))
        self._seen = _bounded(seen)
        return [None] * len(waiting)


def _bounded(seen: _Seen) -> _Seen:
    """The newest KEPT changes; `since` moves up to the last one dropped of each shard."""
    dropped = seen.changes[:-KEPT] if len(seen.changes) > KEPT else ()
    since = list(seen.since)
    for change in dropped:
        since[change.shard] = change.index + 1
    return replace(seen, since=tuple(since), changes=seen.changes[len(dropped) :]) if dropped else seen


def _read(proofs: Proofs, shard: int, first: int, count: int) -> list[Change]:
    entries = proofs.entries(proofs.origin(shard), first, count)
    parsed = (Change(shard, first + offset, parse_entry(data)) for offset, data in enumerate(entries))
    return [change for change in parsed if change.entry.type in WATCHED]
