"""What a ledger's size costs: `Check` on a large ledger against a small one, and appending late against appending early.

Guarantees that both ledgers are served at the same time, by processes on one core, and loaded in turns by the same client
code, each first as often as the other, with patients drawn uniformly from the whole of each; and that appending was timed
while the large ledger was seeded, early and late by one process. A folder that is used again brings those times with it.
"""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from bench import workload
from bench.bars import Figures
from bench.decisions import MOST_A_SECOND
from bench.ledgers import Ledgers
from bench.load import Run, Target, load
from bench.plan import GrowthPlan
from bench.report import progress
from bench.seeded import load_marks, load_patients, seconds_between
from bench.workload import Keys
from services.chassis.channel import open_channel
from services.chassis.identity import Identity
from services.ctl.stack import Stack

CONSENTS = 2
"""A seeded patient's."""
Side = tuple[Target, list[list[bytes]]]
"""A ledger's `Check`, and the requests of each round."""


class Growth:
    """One run of a plan on the ledgers given."""

    def __init__(self, plan: GrowthPlan, ledgers: Ledgers, console: Console) -> None:
        self._plan, self._ledgers, self._console, self._chance = plan, ledgers, console, random.Random(5)

    async def run(self) -> Figures:
        """Both figures. Raises: StackError, AioRpcError and others when something breaks."""
        many, few = await self._ledgers.seeded(self._plan.many), await self._ledgers.seeded(self._plan.few)
        with ExitStack() as held:
            large, small = (held.enter_context(self._ledgers.serving(folder)) for folder in (many, few))
            async with _checks(small) as on_few, _checks(large) as on_many:
                pairs = await self._in_turns((on_few, self._requests(few)), (on_many, self._requests(many)))
        return {"check": self._checked(pairs), "append": self._appended(many)}

    def _requests(self, folder: Path) -> list[list[bytes]]:
        # Made beforehand, so that no client holds half a million patients while it measures.
        keys, count = Keys(load_patients(folder)), round((self._plan.run_s + self._plan.warm_up_s) * MOST_A_SECOND)
        return [workload.checks(keys.draw(count, self._chance)) for _ in range(self._plan.rounds)]

    async def _in_turns(self, small: Side, large: Side) -> list[tuple[Run, Run]]:
        pairs: list[tuple[Run, Run]] = []
        with progress(self._console) as shown:
            task = shown.add_task("rounds", total=self._plan.rounds)
            for number in range(self._plan.rounds):
                if number % 2:
                    after, before = await self._load(large, number), await self._load(small, number)
                else:
                    before, after = await self._load(small, number), await self._load(large, number)
                pairs.append((before, after))
                shown.advance(task)
                shown.refresh()
        return pairs

    async def _load(self, side: Side, number: int) -> Run:
        target, requests = side
        return await load(target, requests[number], self._plan.in_flight, self._plan.warm_up_s, self._plan.run_s)

    def _checked(self, pairs: Sequence[tuple[Run, Run]]) -> dict[str, Any]:
        small, large = [before for before, _ in pairs], [after for _, after in pairs]
        ratios = [after.rps / before.rps for before, after in pairs]
        return {
            "consents": CONSENTS * self._plan.many,
            **_medians("", large),
            "few_consents": CONSENTS * self._plan.few,
            **_medians("few_", small),
            "ratio": round(median(ratios), 3),
            "ratios": [round(ratio, 3) for ratio in ratios],
            "calls": sum(len(run.latencies) for run in large),
            "refused": sum(run.others for run in small + large),
        }

    def _appended(self, folder: Path) -> dict[str, Any]:
        marks, entries, stretch = load_marks(folder), self._plan.entries, self._plan.stretch
        early, late = seconds_between(marks, 0, stretch), seconds_between(marks, entries - stretch, entries)
        return {
            "entries": entries,
            "stretch": stretch,
            "first_s": round(early, 2),
            "last_s": round(late, 2),
            "ratio": round(late / early, 3),
        }


@asynccontextmanager
async def _checks(stack: Stack) -> AsyncIterator[Target]:
    identity, leaf = Identity(stack.trust_domain, "/consent"), stack.tls("exchange")
    async with open_channel(stack.target("consent"), leaf, identity) as channel:
        yield Target(channel, workload.CHECK, workload.is_permitted)


def _medians(prefix: str, runs: Sequence[Run]) -> dict[str, float]:
    return {
        f"{prefix}rps": round(median(run.rps for run in runs), 1),
        f"{prefix}p50_ms": round(median(run.percentile_ms(50) for run in runs), 3),
        f"{prefix}p99_ms": round(median(run.percentile_ms(99) for run in runs), 3),
    }
