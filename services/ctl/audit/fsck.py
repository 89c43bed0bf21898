"""`accord audit fsck`: all that can be checked of an export, to its end; the first broken thing of each kind is named.

Guarantees that each file and each entry was looked at, whatever broke before. An export of a live ledger is made on the way,
in a folder that is gone afterwards.
"""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from services.ctl.audit.access import (
    AUDITOR,
    BROKEN,
    LEDGER,
    STACK,
    Access,
    AsJson,
    Folder,
    Role,
    Target,
    TrustFile,
    explained,
    progress_bar,
)
from services.ctl.audit.export import export_all
from services.ctl.audit.folder import open_export
from services.ctl.audit.log_check import Findings, LogCheck
from services.formats.trust import Trust

LIVE = "live"


def register(app: typer.Typer) -> None:
    """Adds `fsck` to the auditor's commands."""
    app.command()(fsck)


def fsck(
    directory: Annotated[str, typer.Argument(help="An export's folder, or live.", metavar="DIR|live")],
    opened: Annotated[bool, typer.Option("--open", help="With live: openings too.")] = False,
    folder: Folder = STACK,
    role: Role = AUDITOR,
    target: Target = LEDGER,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """Checks an export, or a live ledger, whole; exits 1 when anything is broken, and names the first of each kind.

    Examples:

    accord audit fsck exports/november --trust trust.json

    accord audit fsck live --as auditor
    """
    access = Access(folder, role, target, trust)
    with explained(as_json):
        known = access.trust()
        if directory != LIVE:
            findings = _check(Path(directory), known, quiet=as_json)
        else:
            with tempfile.TemporaryDirectory(prefix="accord-fsck-") as kept:
                asyncio.run(export_all(access, known, Path(kept) / "export", opened=opened, quiet=as_json))
                findings = _check(Path(kept) / "export", known, quiet=as_json)
    print(json.dumps(findings.json())) if as_json else findings.show()
    raise typer.Exit(BROKEN if findings.first else 0)


def _check(directory: Path, trust: Trust, *, quiet: bool) -> Findings:
    findings = Findings()
    with progress_bar(quiet=quiet) as progress:
        for log in open_export(directory):
            findings.logs.append(LogCheck(log, trust, findings).run(progress))
    return findings
