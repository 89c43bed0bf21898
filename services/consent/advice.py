"""Advice: what `Authorize` would decide now, and why. Records nothing, binds nobody.

Guarantees that an answer is as fresh as was asked: where a replica has not reached a token, the primary is read; a token
that names what the primary has not committed is refused, never ignored.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.registry import RegistryView
from services.consent.domain import commands as c
from services.consent.domain.decision import Deny, Permit, decide
from services.consent.domain.explain import Explanation, explain
from services.consent.domain.identifiers import Identifiers
from services.consent.domain.vector import Vector
from services.consent.gathering import Gatherer
from services.consent.horizon import ANY, Consistency, Horizon
from services.consent.ledger import Ledger
from services.consent.sources import Answered, Asking, Judge, Source
from services.errors import AccordError, Reason, Violation, invalid

TOKEN = "consistency.at_least_as_fresh"  # noqa: S105 (a field's path)


class Advised(NamedTuple):
    """A verdict for each question, in the order asked, and the token of what they have seen."""

    verdicts: tuple[Permit | Deny, ...]
    token: str


class Advice:
    """Answers questions about exchanges: in the ledger's reading thread, or, with a `replica`, in one of its own."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        view: RegistryView,
        clock: Clock,
        identifiers: Identifiers,
        *,
        replica: Database | None = None,
    ) -> None:
        self._ledger, gatherer = ledger, Gatherer(identifiers)
        self._primary = Source(database, ledger.horizon, view, clock, gatherer, ledger.reader)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="replica-read") if replica else None
        self._replica = None
        if replica is not None and self._thread is not None:
            horizon = Horizon(ledger.epoch, ledger.shards)
            self._replica = Source(replica, horizon, view, clock, gatherer, self._thread)

    async def check(self, item: c.Check) -> Permit | Deny:
        """What `authorize` would decide now."""
        return (await self.advise((item,))).verdicts[0]

    async def advise(self, items: Sequence[c.Check], consistency: Consistency = ANY) -> Advised:
        """What `authorize` would decide now on each; those of one shard are answered from one snapshot.

        Raises: AccordError NOT_YET_CONSISTENT for a token ahead of the primary, FIELD_INVALID for one of another ledger,
        REGISTRY_STALE, STORAGE_UNAVAILABLE.
        """
        return Advised(*await self._ask(items, decide, consistency))

    async def explain(self, item: c.Check, consistency: Consistency = ANY) -> tuple[Explanation, str]:
        """Why, and the token of what that has seen. Raises: as `advise`."""
        (explanation,), token = await self._ask((item,), explain, consistency)
        return explanation, token

    async def close(self) -> None:
        """Finishes what was submitted."""
        await self._primary.close()
        if self._replica is not None and self._thread is not None:
            await self._replica.close()
            self._thread.shutdown()

    async def _ask(
        self, items: Sequence[c.Check], judge: Judge, consistency: Consistency
    ) -> tuple[tuple[Any, ...], str]:
        if consistency.least is not None:
            await self._require(consistency.least)
        if len(items) == 1:
            query = items[0].query
            shard = self._ledger.route(query.address, query.service)
            read = await self._read(shard, Asking(tuple(items), judge), consistency)
            return read.answers, read.token
        return await self._ask_shards(items, judge, consistency)

    async def _ask_shards(
        self, items: Sequence[c.Check], judge: Judge, consistency: Consistency
    ) -> tuple[tuple[Any, ...], str]:
        places: dict[int, list[int]] = {}
        for place, item in enumerate(items):
            places.setdefault(self._ledger.route(item.query.address, item.query.service), []).append(place)
        reads = await asyncio.gather(
            *(
                self._read(shard, Asking(tuple([items[p] for p in at]), judge), consistency)
                for shard, at in places.items()
            )
        )
        answers: dict[int, Any] = {}
        for at, read in zip(places.values(), reads, strict=True):
            answers |= zip(at, read.answers, strict=True)
        sizes = {shard: read.size for shard, read in zip(places, reads, strict=True)}
        nearest = self._replica or self._primary
        return tuple([answers[place] for place in range(len(items))]), nearest.horizon.token(sizes)

    def _read(self, shard: int, asking: Asking, consistency: Consistency) -> Awaitable[Answered]:
        if self._replica is None or consistency.primary:
            return self._primary.ask(shard, asking)
        return self._read_near(self._replica, shard, asking, consistency.least)

    async def _read_near(self, replica: Source, shard: int, asking: Asking, least: Vector | None) -> Answered:
        found = await _unless_unavailable(replica, shard, asking)
        if found is not None and found.size >= (least.sizes[shard] if least else 0):
            return found
        return await self._primary.ask(shard, asking)

    async def _require(self, least: Vector) -> None:
        """The primary has all that a token names; so a read of it that begins now sees that."""
        if least.epoch < self._ledger.epoch or len(least.sizes) != self._ledger.shards:
            raise invalid([Violation(TOKEN, "is not of this ledger, or from before it was restored: ask without it")])
        if least.epoch == self._ledger.epoch and not self._ledger.horizon.covers(least):
            self._ledger.horizon.learn(await self._ledger.read(self._ledger.proofs.sizes))
        if least.epoch > self._ledger.epoch or not self._ledger.horizon.covers(least):
            raise AccordError(Reason.NOT_YET_CONSISTENT, retry_after=1.0)


async def _unless_unavailable(replica: Source, shard: int, asking: Asking) -> Answered | None:
    try:
        return await replica.ask(shard, asking)
    except AccordError as error:
        if error.reason is not Reason.STORAGE_UNAVAILABLE:
            raise
        return None
