"""`accord ledger fsck`: verifies a whole ledger, beside the running service or without it; changes nothing.

Guarantees that the exit status tells what is known: 0 everything holds, 1 something does not, 2 it cannot be said.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import TaskID

from services.chassis.config import ConfigError
from services.consent import integrity
from services.consent.config import Settings
from services.ctl.ledger.opening import bars, opened, read_settings, secrets_of
from services.errors import AccordError

HOLDS, BROKEN, UNKNOWN = 0, 1, 2
console, errors = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds `fsck`."""
    app.command()(fsck)


def fsck(
    config: Annotated[Path, typer.Option(help="The consent service's settings, a TOML file.")],
    openings: Annotated[bool, typer.Option(help="Open what entries commit to, with the master secret.")] = True,
    limit: Annotated[int, typer.Option(help="List at most so many findings; all are counted.", min=1)] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Verifies every log, everything it commits to and everything derived from it; exits 1 when something does not hold.

    Without the master secret, or with --no-openings, nothing is opened, and the report says so. 2: it cannot be said.

    Example: accord ledger fsck --config consent.toml
    """
    try:
        report = _check(config, openings=openings, limit=limit, quiet=as_json)
    except (AccordError, ConfigError, OSError, ValueError) as error:
        errors.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(UNKNOWN) from None
    if as_json:
        print(json.dumps(asdict(report) | {"entries": report.entries}))
    else:
        _tell(report)
    raise typer.Exit(BROKEN if report.found else HOLDS)


def _check(config: Path, *, openings: bool, limit: int, quiet: bool) -> integrity.Report:
    settings, trust = read_settings(config)
    secrets = secrets_of(settings) if openings and _has_master(settings) else None
    with opened(settings) as database, bars(quiet=quiet) as shown:
        tasks: dict[str, TaskID] = {}

        def show(at: integrity.Progress) -> None:
            if at.origin not in tasks:
                tasks[at.origin] = shown.add_task(at.origin, total=at.size)
            shown.update(tasks[at.origin], completed=at.done)

        return integrity.check(database, trust, secrets, show, limit=limit)


def _has_master(settings: Settings) -> bool:
    """The master secret may live elsewhere: then there is no file, and the report says what was not opened."""
    return settings.keys.master.exists()


def _tell(report: integrity.Report) -> None:
    for finding in report.findings:
        place = [f"shard {finding.shard}"]
        place += [f"epoch {finding.epoch}"] if finding.epoch is not None else []
        place += [f"index {finding.index}"] if finding.index is not None else []
        place += [finding.row] if finding.row else []
        console.print(f"[red]{finding.table}[/] {', '.join(place)}: {finding.what}", highlight=False)
    if report.found > len(report.findings):
        console.print(f"… and {report.found - len(report.findings)} more", highlight=False)
    for note in report.notes:
        console.print(f"[yellow]note[/] {note}", highlight=False)
    logs = f"{len(report.logs)} log(s), {report.entries} entries, {report.opened} opened, {report.closed} erased"
    verdict = f"[red]{report.found} finding(s)[/]" if report.found else "[green]everything holds[/]"
    console.print(f"{verdict}: {logs}", highlight=False)
