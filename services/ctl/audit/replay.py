"""`accord audit replay`: every decision of an export decided again, in this process, from what the log commits to."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from services.ctl.audit.access import (
    BROKEN,
    STACK_TRUST,
    AsJson,
    KnownTrust,
    console,
    explained,
    place,
    progress_bar,
    read_trust,
)
from services.ctl.audit.book import Read, read_book
from services.ctl.audit.checks import epoch_of
from services.ctl.audit.folder import LogFolder, open_export
from services.ctl.audit.replaying import DECISIONS, Replay
from services.formats.entry import EntryType
from services.formats.trust import Trust

_ERASURES = frozenset({EntryType.PATIENT_ERASED, EntryType.RETENTION_APPLIED})


def register(app: typer.Typer) -> None:
    """Adds `replay` to the auditor's commands."""
    app.command()(replay)


def replay(
    directory: Annotated[Path, typer.Argument(help="A folder of accord audit export --open.", metavar="DIR")],
    trust: KnownTrust = STACK_TRUST,
    as_json: AsJson = False,
) -> None:
    """Decides every authorisation and every denial again, and compares; exits 1 for any difference.

    What was erased cannot be replayed: as many openings must be gone as erasures in the log declare, and no other.

    Example: accord audit replay exports/november --trust trust.json
    """
    with explained(as_json):
        known, logs = read_trust(trust), open_export(directory)
        if not all(log.opened for log in logs):
            raise ValueError(f"{directory} holds no openings: accord audit export --open")
        with progress_bar(quiet=as_json) as progress:
            results = [_Replaying(log).run(known, progress) for log in logs]
    holds = not any(result["differences"] for result in results)
    if as_json:
        print(json.dumps({"holds": holds, "logs": results}))
    else:
        for result in results:
            _show(result)
    raise typer.Exit(0 if holds else BROKEN)


class _Replaying:
    """The replay of one log."""

    def __init__(self, log: LogFolder) -> None:
        self._log = log
        self._replay = Replay(log.records(), first_epoch=epoch_of(log.origin) == 1)
        self._counts: Counter[str] = Counter(authorized=0, denied=0, gone=0, covered=0)
        self._differences: list[dict[str, Any]] = []

    def run(self, trust: Trust, progress: Progress) -> dict[str, Any]:
        """Replays all decisions. Raises: BrokenError where entries or openings are not the signed log's."""
        for read in read_book(self._log, trust, progress, opened=True):
            self._take(read)
        gone, covered = self._counts["gone"], self._counts["covered"]
        if gone != covered:
            self._differ(None, f"{gone} openings are gone, and erasures account for {covered}")
        return {"origin": self._log.origin, **self._counts, "differences": self._differences}

    def _take(self, read: Read) -> None:
        entry = read.entry
        if entry.type in _ERASURES:
            self._counts["covered"] += entry.covers
        if read.opening is None:
            self._counts["gone"] += 1
            if not entry.subject and not entry.type.value.startswith("exchange."):
                self._differ(read.index, "its opening is gone, though it is of no patient")
        elif entry.type in DECISIONS:
            self._counts["authorized" if entry.type is EntryType.EXCHANGE_AUTHORIZED else "denied"] += 1
            wrong = self._replay.difference(entry, read.opening)
            if wrong:
                self._differ(read.index, wrong)
        self._replay.learn(entry)

    def _differ(self, index: int | None, why: str) -> None:
        self._differences.append({"index": index, "why": why})


def _show(result: dict[str, Any]) -> None:
    for difference in result["differences"]:
        at = place(result["origin"], difference["index"])
        console.print(f"[red]✗ {at}{difference['why']}[/]", highlight=False)
    mark = "[red]✗[/]" if result["differences"] else "[green]✓[/]"
    said = f"{result['authorized']} authorisations and {result['denied']} denials decided again"
    console.print(f"{mark} {result['origin']}: {said}; {result['gone']} openings erased", highlight=False)
