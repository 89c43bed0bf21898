"""`accord verify` and `accord trust`: what anyone does with files alone."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.ctl import keys
from services.formats.canonical import FormatError
from services.formats.times import instant_of
from services.formats.trust import Trust, parse_trust
from services.formats.verify import Case, VerificationError
from services.formats.verify import verify as verify_evidence

console = Console(soft_wrap=True)
trust_app = typer.Typer(no_args_is_help=True, help="TRUST: the public keys that evidence is verified with.")


def verify(
    files: Annotated[list[Path], typer.Argument(help="Evidence files.", exists=True, dir_okay=False)],
    trust: Annotated[Path, typer.Option(help="TRUST, from accord trust export.", exists=True, dir_okay=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line for each file.")] = False,
) -> None:
    """Verifies evidence files offline, in numbered steps; exits 1 when one does not hold.

    Example: accord verify var/demo/evidence/*.json --trust var/demo/trust.json
    """
    known = _read_trust(trust)
    broken = sum(not _verify_one(path, known, as_json, steps=len(files) == 1) for path in files)
    if not as_json:
        console.print(f"{len(files) - broken} of {len(files)} verified with TRUST {known.fingerprint}")
    raise typer.Exit(1 if broken else 0)


def _verify_one(path: Path, trust: Trust, as_json: bool, *, steps: bool) -> bool:
    def on_step(number: int, title: str) -> None:
        if steps and not as_json:
            console.print(f"  [green]✓[/] {number:2}. {title}")

    try:
        case = verify_evidence(path.read_bytes(), trust, on_step)
    except VerificationError as error:
        if as_json:
            print(json.dumps({"file": str(path), "verified": False, "step": error.number, "why": error.why}))
        else:
            console.print(
                f"  [red]✗ {error.number:2}. {error.title}: {error.why}[/]\n[red]{path.name}: not verified[/]"
            )
        return False
    _report(path, case, as_json)
    return True


def _report(path: Path, case: Case, as_json: bool) -> None:
    facts = {
        "file": str(path),
        "verified": True,
        "exchange": case.authorization.exchange,
        "sender": case.manifest.sender,
        "recipient": case.manifest.recipient,
        "purpose": case.manifest.purpose.value,
        "documents": len(case.manifest.documents),
        "origin": case.authorized_at.origin,
        "authorization_index": case.index,
    }
    if as_json:
        print(json.dumps(facts))
    else:
        about = f"{facts['sender']} → {facts['recipient']}, {facts['documents']} document(s), {facts['purpose']}"
        console.print(f"[green]{path.name}: verified[/] — {about}, entry {case.index} of {facts['origin']}")


def _read_trust(path: Path) -> Trust:
    try:
        return parse_trust(path.read_bytes())
    except FormatError as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--trust") from None


@trust_app.command("export")
def export(
    keys_folder: Annotated[Path, typer.Option("--keys", help="The folder of Accord's keys.", exists=True)],
    trust_domain: Annotated[str, typer.Option(help="The trust domain.")],
    shards: Annotated[int, typer.Option(help="The ledger's number of shards.", min=1)] = 1,
    epoch: Annotated[int, typer.Option(help="The ledger's epoch.", min=1)] = 1,
    since: Annotated[
        str | None,
        typer.Option(help="From when the keys are good, 2026-01-31T00:00:00.000Z; default: their files' age."),
    ] = None,
    portal: Annotated[
        Path | None,
        typer.Option(help="The portal's public key, a JWK file (.jwk); default: portal/assertion.pem among the keys."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The file to write; default: standard output.")] = None,
) -> None:
    """Writes TRUST from the public halves of the keys, and prints its fingerprint to publish out of band.

    Example: accord trust export --keys keys --trust-domain accord.example --output trust.json
    """
    try:
        from_ms = instant_of(since) if since else None
    except FormatError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None
    trust = keys.trust_of(keys_folder, trust_domain, shards=shards, epoch=epoch, from_ms=from_ms, portal=portal)
    if output is None:
        print(trust.to_bytes().decode())
    else:
        output.write_bytes(trust.to_bytes())
    Console(stderr=True).print(f"fingerprint {trust.fingerprint}")


@trust_app.command("show")
def show(trust: Annotated[Path, typer.Argument(help="A TRUST file.", exists=True, dir_okay=False)]) -> None:
    """Shows a TRUST file's fingerprint, logs and keys.

    Example: accord trust show trust.json
    """
    known = _read_trust(trust)
    console.print(f"trust domain {known.trust_domain}, fingerprint {known.fingerprint}")
    for log in known.logs:
        console.print(f"log  {log.vkey}")
    for dated in known.keys:
        console.print(f"key  {dated.role.value:7} {dated.key.alg} {dated.key.kid}")
