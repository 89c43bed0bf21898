"""`accord audit export`: the ledger's logs as files."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from services.ctl.audit.access import (
    AUDITOR,
    LEDGER,
    STACK,
    Access,
    AsJson,
    Folder,
    Role,
    Target,
    TrustFile,
    console,
    explained,
    progress_bar,
)
from services.ctl.audit.exporting import Exported, Exporter
from services.formats.trust import Trust


def register(app: typer.Typer) -> None:
    """Adds `export` to the auditor's commands."""
    app.command()(export)


def export(
    directory: Annotated[Path, typer.Argument(help="The folder to write, or to bring up to date.")],
    opened: Annotated[bool, typer.Option("--open", help="With what commitments open to, where not erased.")] = False,
    folder: Folder = STACK,
    role: Role = AUDITOR,
    target: Target = LEDGER,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """Exports every log: checkpoint, C2SP tiles, entries, and with --open what they commit to.

    Into an export that is there, only what is new is written, once it is proven to continue it. A failure leaves what there
    was. Exits 1 when the ledger contradicts its signed checkpoints or what was exported before, 2 when that cannot be said.

    Example: accord audit export exports/november --open
    """
    access = Access(folder, role, target, trust)
    with explained(as_json):
        logs = asyncio.run(export_all(access, access.trust(), directory, opened=opened, quiet=as_json))
        if as_json:
            print(json.dumps({"holds": True, "folder": str(directory), "logs": [_json(log) for log in logs]}))
        else:
            for log in logs:
                new = log.checkpoint.size - log.since
                opened_too = f", {log.openings} openings, {log.records} registry records" if opened else ""
                console.print(f"{log.checkpoint.origin}: {log.checkpoint.size} entries (+{new}){opened_too}")


async def export_all(access: Access, trust: Trust, directory: Path, *, opened: bool, quiet: bool) -> list[Exported]:
    """Exports every log of the ledger. Raises: BrokenError, AccordError, OSError, ValueError."""
    with progress_bar(quiet=quiet) as progress:
        async with access.stub(trust) as stub:
            return await Exporter(stub, trust, directory, opened, progress).run()


def _json(log: Exported) -> dict[str, object]:
    checkpoint = log.checkpoint
    size = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}
    return size | {"new": checkpoint.size - log.since, "openings": log.openings, "records": log.records}
