"""What is shown and kept: progress, tables, PASS or FAIL for each bar, and one JSON file without host names."""

import json
import os
import platform
import sqlite3
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from bench.bars import Bar, Figures
from bench.cores import Cores


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


def progress(console: Console) -> Progress:
    """Bars that are drawn when told to: a thread that redraws would take the client's core from the client."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, *times, console=console, auto_refresh=False)


def write(path: Path, cores: Cores, parameters: dict[str, Any], figures: Figures, bars: Sequence[Bar]) -> None:
    """Writes everything as one JSON object."""
    verdicts = [bar.verdict(figures) for bar in bars]
    everything = {"machine": machine(cores), "parameters": parameters, "figures": figures, "bars": verdicts}
    path.write_text(json.dumps(everything, indent=2) + "\n")


def show(console: Console, figures: Figures, bars: Sequence[Bar]) -> None:
    """The tables that have rows, and a line for each bar."""
    for table in (_calls(figures), _forwards(figures), _proofs(figures), _checks(figures), _appending(figures)):
        if table.row_count:
            console.print(table)
    for bar in bars:
        word = "[green]PASS[/]" if bar.verdict(figures)["passed"] else "[red]FAIL[/]"
        console.print(f"{word}  {bar.line(figures)}")


def _calls(figures: Figures) -> Table:
    title = "Decisions against a bare echo (medians of interleaved runs)"
    columns = ("rps", "p50 ms", "p99 ms", "echo rps", "echo p50", "echo p99", "ratio", "refused")
    table = _table(title, "workload", *columns)
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
    title = "Forwards against a bare relay (medians, one after another)"
    table = _table(title, "document", "forward ms", "relay ms", "forward MiB/s", "relay MiB/s", "ratio")
    for item in figures.values():
        if "relay_ms" in item:
            keys = ("forward_ms", "relay_ms", "forward_mib_s", "relay_mib_s", "ratio")
            table.add_row(f"{item['bytes']:,} bytes", *(f"{item[key]:.2f}" for key in keys))
    return table


def _proofs(figures: Figures) -> Table:
    table = _table("Proofs on the seeded ledger, read and made in one process", "proof", "p50 ms", "p99 ms", "entries")
    for name, kind in (("proof", "inclusion, with the entry"), ("proof_consistency", "consistency")):
        if name in figures:
            item = figures[name]
            table.add_row(kind, *(f"{item[key]:.2f}" for key in ("p50_ms", "p99_ms")), _number(item["entries"]))
    return table


def _checks(figures: Figures) -> Table:
    title = "Check on two ledgers (medians of interleaved rounds)"
    table = _table(title, "consents", "rps", "p50 ms", "p99 ms", "ratio", "refused")
    for item in (figures[name] for name in figures if "few_consents" in figures[name]):
        for prefix, last in (("few_", ("", "")), ("", (f"{item['ratio']:.2f}", _number(item["refused"])))):
            times = (f"{item[prefix + key]:.2f}" for key in ("p50_ms", "p99_ms"))
            table.add_row(_number(item[f"{prefix}consents"]), _number(item[f"{prefix}rps"]), *times, *last)
    return table


def _appending(figures: Figures) -> Table:
    table = _table("Appending while the large ledger was seeded", "entries", "seconds", "ratio")
    for item in (figures[name] for name in figures if "stretch" in figures[name]):
        entries, stretch = item["entries"], item["stretch"]
        table.add_row(f"first {stretch:,} of {entries:,}", f"{item['first_s']:.2f}", "")
        table.add_row(f"last {stretch:,} of {entries:,}", f"{item['last_s']:.2f}", f"{item['ratio']:.2f}")
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in columns:
        table.add_column(name, justify="right")
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
