"""Storms until there were so many interleavings on each database, and says what was seen.

    python -m tests.races --interleavings 100000 [--database sqlite|postgresql] [--seed 1] [--seconds 240]

Ends with code 1 when anything was wrong, or a database was not there to be tried.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.races.campaign import Tally, campaign
from tests.support.postgres import Postgres, programs


@contextmanager
def databases(kind: str) -> Iterator[Callable[[], str] | None]:
    """What makes new databases of a kind; None where there are none."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="accord-races-") as folder:
            numbers = itertools.count(1)
            yield lambda: f"sqlite:///{folder}/{next(numbers)}.db"
        return
    binaries = programs()
    if binaries is None:
        yield None
        return
    server = Postgres(binaries)
    try:
        yield server.fresh
    finally:
        server.close()


async def storm(kind: str, new_database: Callable[[], str], flags: argparse.Namespace) -> Tally:
    """The campaign on one kind of database, with a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"{kind}: interleavings", total=flags.interleavings)

        def go_on(tally: Tally) -> bool:
            progress.update(task, completed=tally.interleavings)
            return not flags.seconds or time.monotonic() - began < flags.seconds

        return await campaign(new_database, flags.interleavings, flags.seed, go_on)


def report(kind: str, seed: int, tally: Tally) -> str:
    """What was seen, in lines."""
    lines = [
        f"{kind}, seed {seed}: {len(tally.violations)} violations",
        f"  interleavings {tally.interleavings:,}: authorisations under way with another call about the same patient;",
        f"    {tally.with_change:,} of them with a call that changes a right or a profile",
        f"  {tally.histories:,} histories, {tally.calls:,} calls ({tally.lost:,} unanswered), {tally.entries:,} entries",
        f"  quotas used up to their limit {tally.exhausted:,} times",
        "  entries: " + ", ".join(f"{kind} {count:,}" for kind, count in tally.kinds.most_common()),
        "  denied for: " + ", ".join(f"{reason} {count:,}" for reason, count in tally.reasons.most_common()),
    ]
    return "\n".join(lines + [f"  VIOLATION {what}" for what in tally.violations])


def run(kind: str, flags: argparse.Namespace) -> bool:
    """Whether a kind of database was tried, and nothing was wrong."""
    with databases(kind) as new_database:
        if new_database is None:
            print(f"{kind}: not installed, no initdb on PATH or in /usr/lib/postgresql")
            return False
        tally = asyncio.run(storm(kind, new_database, flags))
    print(report(kind, flags.seed, tally))
    return not tally.violations


def main() -> None:
    """Storms, and says what was seen."""
    parser = argparse.ArgumentParser(prog="python -m tests.races", description=__doc__)
    parser.add_argument("--interleavings", type=int, default=100_000, help="how many on each database")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="only this one")
    parser.add_argument("--seed", type=int, default=1, help="where the calls are drawn from")
    parser.add_argument("--seconds", type=float, default=0, help="on each database, stop after so long")
    flags = parser.parse_args()
    kinds = (flags.database,) if flags.database else ("sqlite", "postgresql")
    well = [run(kind, flags) for kind in kinds]
    sys.exit(0 if all(well) else 1)


if __name__ == "__main__":
    main()
