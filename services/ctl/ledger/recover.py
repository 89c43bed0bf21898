"""`accord ledger recover`: after a restore that lost entries, a new epoch, with the service stopped.

Guarantees nothing of its own: `services.consent.recovery` does. Tells what was done, and what is to be changed now.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.chassis.clock import SystemClock
from services.chassis.config import ConfigError
from services.chassis.keys import load_ed25519
from services.consent import recovery
from services.consent.config import Settings
from services.consent.integrity import Secrets
from services.consent.locked import Means
from services.ctl.ledger.opening import opened, read_settings, secrets_of
from services.formats.canonical import FormatError, Members, loads
from services.formats.trust import Trust
from services.tlog.note import NoteSigner

WITNESS = "accord-witness/v1"
console, errors = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds `recover`."""
    app.command()(recover)


def recover(
    config: Annotated[Path, typer.Option(help="The consent service's settings, as they were: with the old epoch.")],
    witness: Annotated[list[Path], typer.Option(help="A state file of accord audit watch, or a signed checkpoint.")],
    export: Annotated[Path | None, typer.Option(help="An audit export taken after the backup: its folder.")] = None,
    trust_output: Annotated[Path | None, typer.Option(help="Where to write TRUST with the new epoch's logs.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Recovers a restored ledger into a new epoch: declares what was lost, suspends every consent until it is confirmed.

    Stop the service first. Run it again with the same arguments if it is interrupted.

    Example: accord ledger recover --config consent.toml --witness witness.json --export export --trust-output trust.json
    """
    settings, trust = read_settings(config)
    notes = [note for path in witness for note in read_notes(path)]
    exported = recovery.read_export(export) if export is not None else None
    if not yes:
        typer.confirm(f"Suspend every consent of {settings.database_url}, and end epoch {settings.epoch}?", abort=True)
    secrets = secrets_of(settings)
    means = _means(settings, secrets)
    with opened(settings) as database, errors.status("recovering") as status:
        done = recovery.recover(database, trust, secrets, means, notes, exported, status.update)
    new_trust = with_logs(trust, means)
    if trust_output is not None:
        trust_output.write_bytes(new_trust.to_bytes())
    if as_json:
        print(json.dumps(asdict(done) | {"trust_fingerprint": new_trust.fingerprint}))
    else:
        _tell(done, new_trust, trust_output)


def read_notes(path: Path) -> list[str]:
    """The checkpoints in a witness's file. Raises: ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
        if not text.startswith("{"):
            return [text]
        members = Members(loads(text), "witness")
        if members.text("format") != WITNESS:
            raise FormatError(f"not of format {WITNESS}")
        return list(members.texts("checkpoints"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None


def with_logs(trust: Trust, means: Sequence[Means]) -> Trust:
    """TRUST with the logs of these means, beside those that it lists: what they signed is still to be verified."""
    new = tuple(each.signer.verifier for each in means if trust.log(each.origin) is None)
    return replace(trust, logs=(*trust.logs, *new))


def _means(settings: Settings, secrets: Secrets) -> list[Means]:
    key, epoch = load_ed25519(settings.keys.log), settings.epoch + 1
    public = key.public_key().public_bytes_raw()
    origins = [f"{settings.trust_domain}/ledger/{epoch}/{shard}" for shard in range(settings.shards)]
    signers = [NoteSigner(origin, key.sign, public) for origin in origins]
    clock, leeway_ms = SystemClock(), settings.clock_leeway_ms
    return [
        Means(shard, signer, secrets.vault, clock, os.urandom, leeway_ms, epoch) for shard, signer in enumerate(signers)
    ]


def _tell(done: recovery.Recovered, trust: Trust, written: Path | None) -> None:
    for lost in done.lost:
        count = lost.seen - lost.size
        what = (
            f"lost {count}, from index {lost.size} until before {lost.seen}" if count else "lost nothing that was seen"
        )
        console.print(f"{lost.origin}: {what}", highlight=False)
    console.print(f"{done.suspended} consent(s) suspended until confirmed, {done.expired_requests} request(s) expired")
    console.print(f"erased again: {done.erased} patient(s), {done.dropped_years} year(s) of traces")
    for problem in done.unresolved:
        console.print(f"[yellow]unresolved[/] {problem}", highlight=False)
    console.print("Now:")
    console.print(f"  1. set epoch = {done.epoch} in the consent service's settings")
    made = f"it is {written}" if written else f"accord trust export … --epoch {done.epoch}, beside the earlier logs"
    console.print(f"  2. give every process the new TRUST: {made}; fingerprint {trust.fingerprint}", highlight=False)
    console.print("  3. accord ledger fsck, then start the service; patients confirm their consents", highlight=False)
