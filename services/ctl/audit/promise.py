"""`accord audit no-forward-after-revoke`: promise 2, proven from an export alone."""

import json
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
from services.ctl.audit.book import read_book
from services.ctl.audit.folder import LogFolder, open_export
from services.ctl.logbook import Promise
from services.formats.trust import Trust

NAME = "no-forward-after-revoke"


def register(app: typer.Typer) -> None:
    """Adds `no-forward-after-revoke` to the auditor's commands."""
    app.command(NAME)(prove_promise)


def prove_promise(
    directory: Annotated[Path, typer.Argument(help="An export's folder.", metavar="DIR")],
    trust: KnownTrust = STACK_TRUST,
    as_json: AsJson = False,
) -> None:
    """Proves that no authorisation follows a withdrawal, from an export and TRUST alone.

    Each authorisation rests on the newest revisions of consents, which entries before it made and left standing, before
    their end, by a permit that does not outlive them; and all of that stands in a log that its own key has signed.

    Example: accord audit no-forward-after-revoke exports/november --trust trust.json
    """
    with explained(as_json):
        known, logs = read_trust(trust), open_export(directory)
        with progress_bar(quiet=as_json) as progress:
            results = [_prove(log, known, progress) for log in logs]
    holds = not any(result["violations"] for result in results)
    if as_json:
        print(json.dumps({"holds": holds, "logs": results}))
    else:
        for result in results:
            _show(result)
    raise typer.Exit(0 if holds else BROKEN)


def _prove(log: LogFolder, trust: Trust, progress: Progress) -> dict[str, Any]:
    promise, size = Promise(), 0
    violations = []
    for read in read_book(log, trust, progress):
        wrong = promise.take(read.index, read.entry)
        size = read.index + 1
        if wrong:
            violations.append({"index": read.index, "why": wrong})
    counts = {"consents": len(promise.newest), "revisions": promise.revisions, "authorizations": promise.authorizations}
    return {"origin": log.origin, "entries": size} | counts | {"violations": violations}


def _show(result: dict[str, Any]) -> None:
    for violation in result["violations"]:
        at = place(result["origin"], violation["index"])
        console.print(f"[red]✗ {at}{violation['why']}[/]", highlight=False)
    proven = f"{result['authorizations'] - len(result['violations'])} of {result['authorizations']} authorisations"
    about = f"{result['revisions']} revisions of {result['consents']} consents, in {result['entries']} entries"
    mark = "[red]✗[/]" if result["violations"] else "[green]✓[/]"
    console.print(f"{mark} {result['origin']}: {proven} rest on standing consents ({about})", highlight=False)
