"""The seeded ledgers below a folder: made when they are not there, and served from fresh copies."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from bench.cores import Cores
from bench.processes import start
from bench.report import progress
from bench.seed import seed
from bench.seeded import is_seeded, restore
from services.ctl.stack import Stack


class Ledgers:
    """One ledger for each number of patients; its processes live on the servers' core."""

    def __init__(self, folder: Path, cores: Cores, console: Console) -> None:
        self._folder, self._cores, self._console = folder, cores, console

    async def seeded(self, patients: int) -> Path:
        """The folder of the ledger of so many patients, with nothing running in it. Raises: StackError."""
        folder = self._folder / f"ledger-{patients}"
        if not is_seeded(folder, patients):
            if folder.exists():
                shutil.rmtree(folder)
            await self._seed(Stack(folder), patients)
        return folder

    @contextmanager
    def serving(self, folder: Path) -> Iterator[Stack]:
        """Registry and consent process of a seeded folder, as they were seeded, until the block ends. Raises: StackError."""
        stack = Stack(folder)  # chooses its ports now: those of another that serves are taken
        try:
            stack.prepare()
            restore(stack)
            for name in ("registry", "consent"):
                start(self._cores, stack, name)
            yield stack
        finally:
            stack.stop()

    async def _seed(self, stack: Stack, patients: int) -> None:
        try:
            stack.prepare()
            start(self._cores, stack, "registry")
            with progress(self._console) as shown:
                task = shown.add_task("patients seeded", total=patients)

                def advance(count: int) -> None:
                    shown.advance(task, count)
                    shown.refresh()

                await seed(stack, patients, advance)
        finally:
            stack.stop()
        took = json.loads((stack.folder / "seed.json").read_text())
        rate = f"{took['patients_a_second']:,} a second"
        self._console.print(f"{patients:,} patients seeded in {took['seconds']:.0f} s: {rate}")
