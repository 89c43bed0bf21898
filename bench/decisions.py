"""`Check` and `Authorize` against a bare echo: calls a second with many in flight, and the time of a lone call."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench import workload
from bench.bare import ECHO, SERVICE
from bench.load import Run, Target, load, lone
from bench.plan import Plan
from bench.portal import Portal
from bench.seeded import Patient
from bench.workload import Keys
from services.chassis.channel import open_channel
from services.chassis.identity import Identity
from services.ctl.people import People
from services.ctl.stack import Stack

MOST_A_SECOND = 12_000
"""More requests a second than one core serves: none is sent twice within a run."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One line of the table: a method, its requests for patients, whom it asks about, whether consents change meanwhile."""

    name: str
    target: Target
    requests: Callable[[Sequence[Patient]], list[bytes]]
    keys: Keys
    disturbed: bool = False


class Decisions:
    """Measures the consent process of a stack in turns with an echo."""

    def __init__(self, plan: Plan, check: Target, authorize: Target, echo: Target, portal: Portal) -> None:
        self._plan, self._check, self._authorize, self._echo = plan, check, authorize, echo
        self._portal, self._chance = portal, random.Random(1)

    def workloads(self, patients: Sequence[Patient]) -> list[Workload]:
        """Both methods with uniform keys, with Zipf's, and with uniform keys while consents change."""
        uniform, zipf = Keys(patients), Keys(patients, self._plan.zipf)
        methods = (("check", self._check, workload.checks), ("authorize", self._authorize, workload.authorizations))
        return [
            Workload(f"{name}_{suffix}", target, requests, keys, disturbed)
            for name, target, requests in methods
            for suffix, keys, disturbed in (
                ("uniform", uniform, False),
                ("zipf", zipf, False),
                ("revocations", uniform, True),
            )
        ]

    async def pair(self, item: Workload) -> tuple[Run, Run]:
        """(echo, Accord), one after the other, with the same requests."""
        plan = self._plan
        count = round((plan.run_s + plan.warm_up_s) * MOST_A_SECOND)
        requests = item.requests(item.keys.draw(count, self._chance))
        bare = await load(self._echo, requests, plan.in_flight, plan.warm_up_s, plan.run_s)
        async with self._portal.busy() if item.disturbed else nullcontext():
            real = await load(item.target, requests, plan.in_flight, plan.warm_up_s, plan.run_s)
        return bare, real

    async def lone(self, item: Workload) -> tuple[Run, Run]:
        """(echo, Accord), a call at a time."""
        requests = item.requests(item.keys.draw(self._plan.lone_calls, self._chance))
        return await lone(self._echo, requests), await lone(item.target, requests)


@asynccontextmanager
async def decisions(plan: Plan, stack: Stack, echo: str, patients: Sequence[Patient]) -> AsyncIterator[Decisions]:
    """Channels to the stack's consent process and to an echo that bears its name; the leaf is the broker's."""
    async with AsyncExitStack() as held:
        identity, leaf = Identity(stack.trust_domain, "/consent"), stack.tls("exchange")
        real = await held.enter_async_context(open_channel(stack.target("consent"), leaf, identity))
        bare = await held.enter_async_context(open_channel(echo, leaf, identity))
        people = await held.enter_async_context(People(stack))
        yield Decisions(
            plan,
            Target(real, workload.CHECK, workload.is_permitted),
            Target(real, workload.AUTHORIZE, workload.is_permitted),
            Target(bare, f"/{SERVICE}/{ECHO}", lambda request, answer: request == answer),
            Portal(people, patients, plan.revocations_a_second, random.Random(2)),
        )


def throughput(pairs: Sequence[tuple[Run, Run]]) -> dict[str, Any]:
    """The medians of interleaved pairs (echo, Accord)."""
    echoes, runs = [bare for bare, _ in pairs], [real for _, real in pairs]
    return {
        "rps": round(median(run.rps for run in runs), 1),
        "p50_ms": round(median(run.percentile_ms(50) for run in runs), 3),
        "p99_ms": round(median(run.percentile_ms(99) for run in runs), 3),
        "echo_rps": round(median(run.rps for run in echoes), 1),
        "echo_p50_ms": round(median(run.percentile_ms(50) for run in echoes), 3),
        "echo_p99_ms": round(median(run.percentile_ms(99) for run in echoes), 3),
        "ratio": round(median(real.rps / bare.rps for bare, real in pairs), 3),
        "ratios": [round(real.rps / bare.rps, 3) for bare, real in pairs],
        "calls": sum(len(run.latencies) for run in runs),
        "refused": sum(run.others for run in runs),
    }


def lone_call(bare: Run, real: Run) -> dict[str, Any]:
    """Latencies of lone calls; the ratio is the echo's median over Accord's."""
    return {
        "p50_ms": round(real.percentile_ms(50), 3),
        "p99_ms": round(real.percentile_ms(99), 3),
        "echo_p50_ms": round(bare.percentile_ms(50), 3),
        "echo_p99_ms": round(bare.percentile_ms(99), 3),
        "ratio": round(bare.percentile_ms(50) / real.percentile_ms(50), 3),
        "calls": len(real.latencies),
        "refused": real.others,
    }
