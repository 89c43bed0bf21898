"""`make bench`, or `python -m bench --help`.

Ends with code 0 whenever every figure was measured; whether a bar was reached is a line of the report.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import uvloop
from rich.console import Console

from bench import report
from bench.cores import Cores
from bench.plan import QUICK, Plan
from bench.run import Bench

WIDTH = 120
"""Characters a line where there is no terminal to ask."""


def main() -> None:
    """Runs the plan, shows the figures and writes them to FOLDER/results.json."""
    flags = _flags()
    plan = QUICK if flags.quick else Plan()
    flags.folder.mkdir(parents=True, exist_ok=True)
    cores, console = Cores.available(), Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    cores.keep_client()
    started = time.monotonic()
    figures = uvloop.run(Bench(plan, flags.folder, cores, console).run())
    path = flags.folder / "results.json"
    report.write(path, cores, asdict(plan) | {"quick": flags.quick}, figures)
    report.show(console, figures)
    console.print(f"{time.monotonic() - started:.0f} s; everything is in {path}")


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ratios against a bare echo and a bare relay.")
    parser.add_argument("--quick", action="store_true", help="a smoke run: every figure, none to be believed")
    parser.add_argument("--folder", type=Path, default=Path("var/bench"), help="where everything is kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
