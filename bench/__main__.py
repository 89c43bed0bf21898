"""`make bench`, `make bench-large`, or `python -m bench --help`.

Ends with code 0 whenever every figure was measured; whether a bar was reached is a line of the report.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import uvloop
from rich.console import Console

from bench import bars, report
from bench.cores import Cores
from bench.growth import Growth
from bench.ledgers import Ledgers
from bench.plan import QUICK, QUICK_GROWTH, GrowthPlan, Plan
from bench.run import Bench

WIDTH = 120
"""Characters a line where there is no terminal to ask."""
KEPT = (
    "Seeded ledgers are kept in FOLDER and used again. The first run seeds: some 5 minutes and 5 GB of disk; with --large "
    "some 14 minutes and 11 GB."
)


def main() -> None:
    """Runs the plan, shows the figures and writes them to FOLDER/results.json, or FOLDER/large.json."""
    flags = _flags()
    flags.folder.mkdir(parents=True, exist_ok=True)
    cores, console = Cores.available(), Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    cores.keep_client()
    started = time.monotonic()
    path = (_large if flags.large else _standard)(flags, cores, console)
    console.print(f"{time.monotonic() - started:.0f} s; everything is in {path}")


def _standard(flags: argparse.Namespace, cores: Cores, console: Console) -> Path:
    plan, path = QUICK if flags.quick else Plan(), Path(flags.folder, "results.json")
    figures = uvloop.run(Bench(plan, flags.folder, cores, console).run())
    judged = bars.standard(figures)
    report.write(path, cores, asdict(plan) | {"quick": flags.quick}, figures, judged)
    report.show(console, figures, judged)
    return path


def _large(flags: argparse.Namespace, cores: Cores, console: Console) -> Path:
    plan, path = QUICK_GROWTH if flags.quick else GrowthPlan(), Path(flags.folder, "large.json")
    figures = uvloop.run(Growth(plan, Ledgers(flags.folder, cores, console), console).run())
    report.write(path, cores, asdict(plan) | {"quick": flags.quick}, figures, bars.GROWTH)
    report.show(console, figures, bars.GROWTH)
    return path


def _flags() -> argparse.Namespace:
    description = (
        "Ratios against a bare echo and a bare relay, and the time of proofs on a ledger of a million entries."
    )
    parser = argparse.ArgumentParser(prog="python -m bench", description=description, epilog=KEPT)
    parser.add_argument(
        "--large", action="store_true", help="instead: a ledger of a million consents against a small one"
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: every figure, none to be believed")
    parser.add_argument("--folder", type=Path, default=Path("var/bench"), help="where everything is kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
