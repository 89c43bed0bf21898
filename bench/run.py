"""The order of a run: the seeded ledger and its decisions, then a fresh platform and its forwards."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.cores import Cores
from bench.decisions import Decisions, Workload, decisions, lone_call, throughput
from bench.forwards import Forwards, Parties, introduce
from bench.load import Run
from bench.plan import Plan
from bench.processes import bare
from bench.report import Figures
from bench.seed import RECIPIENT, SENDER, is_seeded, load_patients, restore, seed
from services.chassis.channel import open_channel
from services.chassis.identity import Identity
from services.ctl.stack import NAMES, Stack


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
        stack = Stack(self._folder / f"ledger-{self._plan.patients}")
        with ExitStack() as held:
            held.callback(stack.stop)
            await self._seeded(stack)
            self._start(stack, "consent")
            with self._cores.servers():
                echo = held.enter_context(bare(stack, "echo", "consent"))
            patients = load_patients(stack.folder)
            async with decisions(self._plan, stack, echo, patients) as measuring:
                return await self._in_turns(measuring, measuring.workloads(patients))

    async def _in_turns(self, measuring: Decisions, workloads: list[Workload]) -> Figures:
        figures: Figures = {}
        pairs: dict[str, list[tuple[Run, Run]]] = {item.name: [] for item in workloads}
        with self._progress() as progress:
            task = progress.add_task("decisions", total=self._plan.rounds * len(workloads))
            for _ in range(self._plan.rounds):
                for item in workloads:
                    pairs[item.name].append(await measuring.pair(item))
                    progress.advance(task)
                    progress.refresh()
        for item in workloads:
            figures[item.name] = throughput(pairs[item.name])
        for item in workloads:
            if item.name.endswith("_uniform"):
                figures[item.name.replace("uniform", "lone")] = lone_call(*await measuring.lone(item))
        return figures

    async def _seeded(self, stack: Stack) -> None:
        """A stack whose registry serves and whose ledger holds the plan's patients."""
        known = is_seeded(stack.folder, self._plan.patients)
        if not known and stack.folder.exists():
            shutil.rmtree(stack.folder)
        stack.prepare()
        if not known:
            self._start(stack, "registry")
            await self._seed(stack)
        restore(stack)
        self._start(stack, "registry")

    async def _seed(self, stack: Stack) -> None:
        with self._progress() as progress:
            task = progress.add_task("patients seeded", total=self._plan.patients)

            def advance(count: int) -> None:
                progress.advance(task, count)
                progress.refresh()

            seconds = await seed(stack, self._plan.patients, advance)
        rate = self._plan.patients / seconds
        self._console.print(f"{self._plan.patients:,} patients seeded in {seconds:.0f} s: {rate:,.0f} a second")

    async def _forward(self) -> list[dict[str, Any]]:
        folder = self._folder / "forward"
        shutil.rmtree(folder, ignore_errors=True)
        stack = Stack(folder)
        with ExitStack() as held:
            held.callback(stack.stop)
            stack.prepare()
            for name in NAMES:
                self._start(stack, name)
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
            with self._progress() as progress:
                task = progress.add_task("forwards", total=len(self._plan.forwards))
                figures = []
                for size, count in self._plan.forwards:
                    figures.append(await forwards.measure(size, count))
                    progress.advance(task)
                    progress.refresh()
                return figures

    def _start(self, stack: Stack, name: str) -> None:
        with self._cores.servers():
            stack.start_one(name)
        stack.wait_serving(name)

    def _progress(self) -> Progress:
        # Refreshed between runs only: a thread that redraws would take the client's core from the client.
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        return Progress(*columns, *times, console=self._console, auto_refresh=False)
