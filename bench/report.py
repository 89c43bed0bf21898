"""What is shown and kept: a table, PASS or FAIL for each bar, and one JSON file without host names."""

import json
import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.cores import Cores
from bench.plan import AUTHORIZE_BAR, CHECK_BAR, FORWARD_GOAL

Figures = dict[str, dict[str, Any]]


def machine(cores: Cores) -> dict[str, Any]:
    """What the figures depend on, beside the code."""
    return {
        "cores": os.cpu_count(),
        "server_core": cores.server,
        "client_core": cores.client,
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{package: version(package) for package in ("grpcio", "uvloop", "cryptography", "sqlalchemy")},
    }


def verdicts(figures: Figures) -> list[dict[str, Any]]:
    """Each bar with what was reached."""
    bars = [(name, CHECK_BAR) for name in figures if name.startswith("check_") and "lone" not in name]
    bars += [(name, AUTHORIZE_BAR) for name in figures if name.startswith("authorize_") and "lone" not in name]
    bars += [("forward", FORWARD_GOAL)]
    return [
        {"figure": name, "ratio": figures[name]["ratio"], "bar": bar, "passed": figures[name]["ratio"] >= bar}
        for name, bar in bars
    ]


def write(path: Path, cores: Cores, parameters: dict[str, Any], figures: Figures) -> None:
    """Writes everything as one JSON object."""
    everything = {"machine": machine(cores), "parameters": parameters, "figures": figures, "bars": verdicts(figures)}
    path.write_text(json.dumps(everything, indent=2) + "\n")


def show(console: Console, figures: Figures) -> None:
    """The tables, and a line for each bar."""
    console.print(_calls(figures))
    console.print(_forwards(figures))
    for item in verdicts(figures):
        word = "[green]PASS[/]" if item["passed"] else "[red]FAIL[/]"
        console.print(f"{word}  {item['figure']}: {item['ratio']:.2f} of the bare server's; the bar is {item['bar']}")


def _calls(figures: Figures) -> Table:
    table = Table(title="Decisions against a bare echo (medians of interleaved runs)", title_justify="left")
    table.add_column("workload")
    for name in ("rps", "p50 ms", "p99 ms", "echo rps", "echo p50", "echo p99", "ratio", "refused"):
        table.add_column(name, justify="right")
    for name, item in figures.items():
        if "echo_p50_ms" in item:
            table.add_row(
                name,
                _number(item.get("rps")),
                *(f"{item[key]:.2f}" for key in ("p50_ms", "p99_ms")),
                _number(item.get("echo_rps")),
                *(f"{item[key]:.2f}" for key in ("echo_p50_ms", "echo_p99_ms", "ratio")),
                _number(item["refused"]),
            )
    return table


def _forwards(figures: Figures) -> Table:
    table = Table(title="Forwards against a bare relay (medians, one after another)", title_justify="left")
    table.add_column("document")
    for name in ("forward ms", "relay ms", "forward MiB/s", "relay MiB/s", "ratio"):
        table.add_column(name, justify="right")
    for item in figures.values():
        if "relay_ms" in item:
            keys = ("forward_ms", "relay_ms", "forward_mib_s", "relay_mib_s", "ratio")
            table.add_row(f"{item['bytes']:,} bytes", *(f"{item[key]:.2f}" for key in keys))
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
