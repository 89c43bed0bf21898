"""`accord audit watch`: a witness of the ledger that any auditor can run, with a memory of its own.

Guarantees that the exit status tells what is known: 0 every log continues what was kept, 1 one does not, 2 it cannot be
said. Leaves the watch itself to `watching`.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from services.chassis.channels import Channels
from services.chassis.clock import SystemClock
from services.chassis.config import ConfigError
from services.chassis.identity import Identity
from services.chassis.keys import load_ed25519
from services.chassis.ledger import CONSENT_PATH, LedgerLogs
from services.chassis.witness import FOLLOW_S, Witness
from services.ctl.options import LEDGER, STACK, Folder, Role, Target, errors, leaf
from services.ctl.until import until_asked
from services.ctl.watching import CONTINUES, UNKNOWN, Report, Watch
from services.ctl.witness_file import WitnessFileError, held
from services.errors import AccordError
from services.formats.trust import parse_trust
from services.tlog.cosignature import Cosigner
from services.tlog.note import NoteError


def register(app: typer.Typer) -> None:
    """Adds `watch` to the auditor's commands."""
    app.command()(watch)


def watch(
    state: Annotated[Path, typer.Option(help="Where the highest checkpoints are kept, from one run to the next.")],
    folder: Folder = STACK,
    role: Role = "auditor",
    target: Target = LEDGER,
    trust: Annotated[Path | None, typer.Option(help="TRUST; default: FOLDER/trust.json.")] = None,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = FOLLOW_S,
    once: Annotated[bool, typer.Option("--once", help="Look once.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line for each look.")] = False,
    cosign_key: Annotated[Path | None, typer.Option(help="An Ed25519 key (PEM) to cosign checkpoints with.")] = None,
    cosign_name: Annotated[str | None, typer.Option(help="The cosigner's name, such as witness.example/one.")] = None,
) -> None:
    """Follows every log of the ledger; exits 1 when one contradicts what it showed before, 2 when that cannot be said.

    With a key, FILE.cosigned/ holds each log's checkpoint, cosigned. Ctrl-C ends it, with 0.

    Example: accord audit watch --state witness.json --once
    """
    try:
        known, cosigner = parse_trust((trust or folder / "trust.json").read_bytes()), _cosigner(cosign_key, cosign_name)
        channels = Channels(leaf(folder, role))
        ledger = LedgerLogs(partial(channels.to, target, Identity(known.trust_domain, CONSENT_PATH)))
        with held(state) as memory:
            witness, report = Witness(ledger, memory, known), Report(target, memory, as_json)
            one = Watch(witness, known, memory, cosigner, SystemClock(), report)
            status = asyncio.run(_run(one, channels, every, once=once))
    except (AccordError, ConfigError, WitnessFileError, OSError, ValueError) as error:
        errors.print(f"[red]{error}[/]", highlight=False)
        status = UNKNOWN
    raise typer.Exit(status)


async def _run(one: Watch, channels: Channels, every_s: float, *, once: bool) -> int:
    try:
        status = await until_asked(one.follow(every_s, once=once))
        return CONTINUES if status is None else status
    finally:
        await channels.close()


def _cosigner(key: Path | None, name: str | None) -> Cosigner | None:
    if key is None and name is None:
        return None
    if key is None or name is None:
        raise ConfigError("--cosign-key and --cosign-name go together")
    private = load_ed25519(key)
    cosigner = Cosigner(name, private.sign, private.public_key().public_bytes_raw())
    try:
        errors.print(f"cosigns as {cosigner.verifier.vkey}", highlight=False)
    except NoteError as error:
        raise ConfigError(f"--cosign-name: {error}") from error
    return cosigner
