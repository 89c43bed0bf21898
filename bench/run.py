"""The order of a standard run: the seeded ledger, its proofs and its decisions, then a fresh platform and its forwards."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.bars import Figures
from bench.cores import Cores
from bench.decisions import Decisions, Workload, decisions, lone_call, throughput
from bench.forwards import Forwards, Parties, introduce
from bench.ledgers import Ledgers
from bench.load import Run
from bench.plan import Plan
from bench.processes import bare, start
from bench.proofs import prove
from bench.report import progress
from bench.seed import RECIPIENT, SENDER
from bench.seeded import load_patients
from services.chassis.channel import open_channel
from services.chassis.identity import Identity
from services.ctl.stack import NAMES, Stack

PROOFS_SHOWN = 50
"""Proofs between two drawings of their bar."""


class Bench:
    """One run of a plan, below `folder`."""

    def __init__(self, plan: Plan, folder: Path, cores: Cores, console: Console) -> None:
        self._plan, self._folder, self._cores, self._console = plan, folder, cores, console

    async def run(self) -> Figures:
        """Every figure. Raises: StackError, AioRpcError and others when something breaks."""
        figures = await self._decide()
        for position, item in enumerate(await self._forward()):
            figures["forward" if position == 0 else "forward_large"] = item
        return figures

    async def _decide(self) -> Figures:
        ledgers = Ledgers(self._folder, self._cores, self._console)
        folder = await ledgers.seeded(self._plan.patients)
        with ExitStack() as held:
            stack = held.enter_context(ledgers.serving(folder))
            figures = self._prove(stack)
            with self._cores.servers():
                echo = held.enter_context(bare(stack, "echo", "consent"))
            patients = load_patients(stack.folder)
            async with decisions(self._plan, stack, echo, patients) as measuring:
                return figures | await self._in_turns(measuring, measuring.workloads(patients))

    def _prove(self, stack: Stack) -> Figures:
        with progress(self._console) as shown:
            task = shown.add_task("proofs", total=2 * self._plan.proofs)

            def advance() -> None:
                shown.advance(task)
                if shown.tasks[task].completed % PROOFS_SHOWN == 0:
                    shown.refresh()

            return prove(stack, self._plan.proofs, advance)

    async def _in_turns(self, measuring: Decisions, workloads: list[Workload]) -> Figures:
        figures: Figures = {}
        pairs: dict[str, list[tuple[Run, Run]]] = {item.name: [] for item in workloads}
        with progress(self._console) as shown:
            task = shown.add_task("decisions", total=self._plan.rounds * len(workloads))
            for _ in range(self._plan.rounds):
                for item in workloads:
                    pairs[item.name].append(await measuring.pair(item))
                    shown.advance(task)
                    shown.refresh()
        for item in workloads:
            figures[item.name] = throughput(pairs[item.name])
        for item in workloads:
            if item.name.endswith("_uniform"):
                figures[item.name.replace("uniform", "lone")] = lone_call(*await measuring.lone(item))
        return figures

    async def _forward(self) -> list[dict[str, Any]]:
        folder = self._folder / "forward"
        shutil.rmtree(folder, ignore_errors=True)
        stack = Stack(folder)
        with ExitStack() as held:
            held.callback(stack.stop)
            stack.prepare()
            for name in NAMES:
                start(self._cores, stack, name)
            parties = await introduce(stack)
            try:
                sink = held.enter_context(bare(stack, "sink", RECIPIENT))
                flags = ("--to", sink, "--identity", Identity(stack.trust_domain, f"/service/{RECIPIENT}").uri)
                with self._cores.servers():
                    relay = held.enter_context(bare(stack, "relay", "exchange", *flags))
                return await self._measure_forwards(stack, parties, relay)
            finally:
                await parties.recipient.stop()
                shutil.rmtree(folder / "inbox", ignore_errors=True)

    async def _measure_forwards(self, stack: Stack, parties: Parties, relay: str) -> list[dict[str, Any]]:
        broker, leaf = Identity(stack.trust_domain, "/exchange"), stack.tls(SENDER)
        async with (
            open_channel(stack.target("exchange"), leaf, broker) as real,
            open_channel(relay, leaf, broker) as bare_relay,
        ):
            forwards = Forwards(stack, parties, real, bare_relay)
            with progress(self._console) as shown:
                task = shown.add_task("forwards", total=len(self._plan.forwards))
                figures = []
                for size, count in self._plan.forwards:
                    figures.append(await forwards.measure(size, count))
                    shown.advance(task)
                    shown.refresh()
                return figures
