"""Several replicas of one ledger on one database, each with a loop, threads, connections and a clock of its own.

Reads what the log gained, and guarantees of it that it is the signed head's, the same for all replicas, and that times
never decrease; what each entry commits to is opened, to learn which call made it.
"""

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import uvloop
from sqlalchemy import text

from services.consent.domain.identifiers import CONSENT
from services.consent.proofs import Opened
from services.ctl.logbook import split_revision
from services.formats.canonical import loads_canonical
from services.formats.entry import MAX_BODY, EntryType, commitment, parse_entry
from services.formats.times import instant_of
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from services.tlog.tree import Frontier, leaf_hash
from tests.races.calls import Hand, Skewed
from tests.races.history import Seen
from tests.races.people import UNSEEN, Fresh
from tests.support.ledgers import PUBLIC_KEY, Bench, build

SKEWS_MS = (0, -400, 250)
"""How wrong each replica's clock is: less than the leeway of the ledger."""

T = TypeVar("T")
Play = Callable[[Bench, int], Coroutine[Any, Any, None]]


class Replica:
    """A ledger, and the thread with the one loop that calls it."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self._loop = bench, uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """The work, begun in this replica's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work returns, done in this replica's loop."""
        return await asyncio.wrap_future(self.submit(work))

    async def close(self) -> None:
        """Ends the ledger, then its thread."""
        await self.run(self.bench.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Arena:
    """Replicas, and how far their log has been read."""

    def __init__(self, url: str, replicas: int = 2) -> None:
        self.hand = Hand()
        first = build(url, clock=Skewed(hand=self.hand, skew_ms=SKEWS_MS[0]))
        self.benches = [first]
        for skew_ms in SKEWS_MS[1:replicas]:
            self.benches.append(build(url, clock=Skewed(hand=self.hand, skew_ms=skew_ms), view=first.view))
        for bench in self.benches:
            bench.ids = first.ids
        self.replicas = [Replica(bench) for bench in self.benches]
        self.numbers = itertools.count(1)
        self.time_ms = 0
        self._frontier = Frontier.empty()

    async def play(self, play: Play) -> None:
        """All replicas at once."""
        await asyncio.gather(*(it.run(play(it.bench, number)) for number, it in enumerate(self.replicas)))

    def read(self) -> list[Seen]:
        """What the log gained since it was last read. Raises: AssertionError unless it is the signed head's."""
        bench, first = self.benches[0], self._frontier.size
        origin = bench.logs[0].origin
        notes = {other.ledger.proofs.checkpoints()[0] for other in self.benches}
        assert len(notes) == 1, "replicas that are at rest have two heads"
        checkpoint = open_checkpoint(notes.pop(), Verifier(origin, PUBLIC_KEY))
        opened = bench.ledger.proofs.opened(origin, first, checkpoint.size)
        self._frontier, _ = self._frontier.extend([leaf_hash(item.entry) for item in opened])
        assert (self._frontier.size, self._frontier.root()) == (checkpoint.size, checkpoint.root), "not the head's"
        return [self._see(bench, first + offset, item) for offset, item in enumerate(opened)]

    def _see(self, bench: Bench, index: int, item: Opened) -> Seen:
        entry = parse_entry(item.entry)
        assert entry.time_ms >= self.time_ms, f"time falls at entry {index}"
        self.time_ms = entry.time_ms
        assert item.opening is not None
        assert commitment(*item.opening) == entry.commit
        if entry.type.value.startswith("exchange."):
            return Seen(index, entry, leaf_hash(item.entry))
        body, fresh = loads_canonical(item.opening[1], MAX_BODY), UNSEEN
        if entry.type is EntryType.CONSENT_GRANTED:
            name, _ = split_revision(entry.resources[0])
            place = bench.identifiers.decipher(CONSENT, name.partition("/")[2])
            assert place is not None
            fresh = Fresh(place[1], name)
        quota = body.get("limits", {}).get("quota")
        return Seen(
            index,
            entry,
            leaf_hash(item.entry),
            body.get("authentication", ""),
            fresh,
            (quota["limit"], quota["period"]) if quota else None,
            instant_of(body["start"]) if "start" in body else 0,
        )

    def analyze(self) -> None:
        """Tells PostgreSQL how large its tables are, as its daemon does in production; the tests' server has none."""
        with self.benches[0].database.write() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("ANALYZE entry, opening, data_key"))

    async def close(self) -> None:
        """Ends all replicas."""
        for replica in reversed(self.replicas):
            await replica.close()
