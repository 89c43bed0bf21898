"""One database that advice is read from: the primary, or a replica that may lag behind it.

Guarantees that all the questions of one asking are answered from one snapshot of their shard, by the time and the registry
snapshot that `Authorize` would decide by: never before the head's time, never by an older registry than the shard has seen.
"""

from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import make_url

from services.chassis.batch import Batcher
from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.registry import RegistryView
from services.consent.domain import commands as c
from services.consent.domain.decision import Facts, resting_on
from services.consent.gathering import Gathered, Gatherer
from services.consent.horizon import Horizon
from services.consent.store.facts import facts_asked
from services.consent.store.history import read_head
from services.errors import AccordError, Reason

Judge = Callable[[Facts, int], Any]
"""What is made of the facts at an instant (milliseconds)."""
UNREADABLE = -1


class Asking(NamedTuple):
    """Questions about one shard, and what to make of the facts of each."""

    checks: tuple[c.Check, ...]
    judge: Judge


class Answered(NamedTuple):
    """An answer for each question; the size of the log that they rest on, and the token that says so.

    UNREADABLE, without any answer: the database holds no such log.
    """

    answers: tuple[Any, ...]
    size: int
    token: str


class Source:
    """Reads one database in `executor`, a batch for each shard at a time."""

    def __init__(
        self,
        database: Database,
        horizon: Horizon,
        view: RegistryView,
        clock: Clock,
        gatherer: Gatherer,
        executor: Executor,
    ) -> None:
        self._database, self._view, self._clock, self._gatherer = database, view, clock, gatherer
        self.horizon = horizon
        # A read of one costs as much as of ten, and ends before many wait: so two waiting calls wait for more.
        self._batchers = [
            Batcher[Asking, Answered](partial(self._answer, shard), executor, busy=1) for shard in range(horizon.shards)
        ]

    def ask(self, shard: int, asking: Asking) -> Awaitable[Answered]:
        """The answers. Raises: AccordError REGISTRY_STALE, STORAGE_UNAVAILABLE, OVERLOADED."""
        return self._batchers[shard].submit(asking)

    async def close(self) -> None:
        """Finishes what was submitted."""
        for batcher in self._batchers:
            await batcher.close()

    def _answer(self, shard: int, askings: Sequence[Asking]) -> list[Answered]:
        snapshot, now_ms = self._view.current(), self._clock.wall_ms()
        with self._database.read() as connection:
            head = read_head(connection, shard, self.horizon.epoch)
            if head is None:
                return [Answered((), UNREADABLE, "")] * len(askings)
            if head.registry_sequence > snapshot.pin.sequence:
                raise AccordError(Reason.REGISTRY_STALE, retry_after=1.0)
            now_ms = max(now_ms, head.time_ms)
            asked = [check for asking in askings for check in asking.checks]
            found = facts_asked(connection, shard, [check.query for check in asked])
            gathered = Gathered(connection, shard, found, snapshot.services, now_ms)
            facts = [[self._facts(gathered, check) for check in asking.checks] for asking in askings]
        token = self.horizon.reached(shard, head.size)
        return [
            Answered(tuple([asking.judge(item, now_ms) for item in items]), head.size, token)
            for asking, items in zip(askings, facts, strict=True)
        ]

    def _facts(self, gathered: Gathered, item: c.Check) -> Facts:
        facts = self._gatherer.facts(gathered, item.query, exchange=item.exchange)
        return resting_on(facts, item.resources) if item.resources else facts


def open_replica(url: str) -> Database:
    """The replica of this URL. A PostgreSQL standby takes no writes: the driver must not look for a server that does."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql" and "target_session_attrs" not in parsed.query:
        parsed = parsed.update_query_dict({"target_session_attrs": "any"})
    return Database(parsed.render_as_string(hide_password=False))
