"""Histories, one after the other, until there have been so many interleavings; each is judged as soon as it has ended."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from services.ctl.logbook import Promise
from tests.races.arena import Arena
from tests.races.calls import Lost, count_interleavings
from tests.races.history import History
from tests.races.linear import Linear
from tests.races.quotas import Quotas
from tests.races.storm import Storm
from tests.races.world import World

HISTORIES = 40
"""Histories on one database; then a new one."""


@dataclass
class Tally:
    """What there was. `interleavings` as `calls.count_interleavings` defines them."""

    histories: int = 0
    calls: int = 0
    entries: int = 0
    interleavings: int = 0
    with_change: int = 0
    lost: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    exhausted: int = 0
    violations: list[str] = field(default_factory=list)


class Match:
    """Histories on one arena, and all that judges them: the promise, quotas, linearizability."""

    def __init__(self, arena: Arena, tally: Tally) -> None:
        self._arena, self._tally = arena, tally
        self._linear, self._promise, self._quotas = Linear(World()), Promise(), Quotas()

    async def play(self, seed: str) -> None:
        """One history; what was wrong with it is in the tally, and then there is no use in another."""
        storm = Storm(self._arena, seed)
        newcomers = await storm.prepare()
        wrong = self._broken_promises(History((), self._arena.read(), self._arena.hand))
        before_ms = self._arena.time_ms
        self._linear.world = World(newcomers, self._linear.world.unsettled)
        await storm.blow()
        self._arena.analyze()
        history = History(storm.recorder.calls, self._arena.read(), self._arena.hand, before_ms)
        wrong += self._broken_promises(history) + self._linear.take(history)
        self._count(history)
        self._tally.violations += [f"history {seed}: {what}" for what in wrong]

    def _broken_promises(self, history: History) -> list[str]:
        wrong = []
        for seen in history.seen:
            broken = self._promise.take(seen.index, seen.entry)
            wrong += [f"entry {seen.index}: {broken}"] if broken else []
            wrong += self._quotas.take(seen)
        return wrong

    def _count(self, history: History) -> None:
        tally, counted = self._tally, count_interleavings(history.calls)
        tally.histories += 1
        tally.calls += len(history.calls)
        tally.entries += len(history.seen)
        tally.interleavings += counted.with_any
        tally.with_change += counted.with_change
        tally.lost += sum(isinstance(call.answer, Lost) for call in history.calls)
        tally.kinds.update(seen.entry.type.value for seen in history.seen)
        tally.reasons.update(seen.entry.reason.value for seen in history.seen if seen.entry.reason)
        tally.exhausted, self._quotas.exhausted = tally.exhausted + self._quotas.exhausted, 0


async def campaign(
    new_database: Callable[[], str], interleavings: int, seed: int, go_on: Callable[[Tally], bool] = lambda _: True
) -> Tally:
    """Plays until there were so many, something was wrong, or `go_on`, asked after each history, says no."""
    tally, drawn = Tally(), random.Random(seed)

    def lasts() -> bool:
        return tally.interleavings < interleavings and not tally.violations and go_on(tally)

    while lasts():
        arena = Arena(new_database(), replicas=drawn.choice((2, 3)))
        match = Match(arena, tally)
        for _ in range(HISTORIES):
            await match.play(f"{seed}-{drawn.getrandbits(32):08x}")
            if not lasts():
                break
        await arena.close()
    return tally
