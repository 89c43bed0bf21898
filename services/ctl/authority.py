"""`accord pki` and `accord keys`: a local certificate authority, and Accord's own keys, as files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.chassis.identity import Identity
from services.ctl import keys, pki
from services.ctl.private_files import PkiError, write_private

console = Console(soft_wrap=True)
pki_app = typer.Typer(no_args_is_help=True, help="A local certificate authority for mTLS.")
keys_app = typer.Typer(no_args_is_help=True, help="Accord's own signing keys and secrets.")
OWN = ("registry", "consent", "exchange", "portal", "platform", "registrar", "auditor")


@pki_app.command("init")
def init(
    folder: Annotated[Path, typer.Option(help="Where to write ca.crt, ca.key and the leaves.")] = Path("pki"),
    trust_domain: Annotated[str, typer.Option(help="The trust domain of every identity.")] = "accord.example",
    hours: Annotated[int, typer.Option(help="How long the leaves live.", min=1, max=8760)] = 24,
    loopback: Annotated[bool, typer.Option(help="Whether leaves also name localhost.")] = False,
) -> None:
    """Makes a certificate authority and a short-lived leaf for each of Accord's own identities.

    Example: accord pki init --folder pki --trust-domain accord.example
    """
    try:
        authority = pki.init_ca(folder, trust_domain, datetime.now(UTC))
        for name in OWN:
            key, identity = pki.new_key(), Identity(trust_domain, f"/{name}")
            leaf = pki.issue_leaf(
                authority,
                identity,
                key.public_key(),
                datetime.now(UTC),
                lifetime=timedelta(hours=hours),
                loopback=loopback,
            )
            write_private(folder / f"{name}.key", pki.private_pem(key))
            (folder / f"{name}.crt").write_bytes(leaf)
            console.print(f"{folder}/{name}.crt  {identity.uri}  {hours} h")
    except PkiError as error:
        raise typer.BadParameter(str(error), param_hint="--folder") from None


@pki_app.command("issue")
def issue(
    csr: Annotated[Path, typer.Option(help="The integrator's certificate request, PEM.", exists=True, dir_okay=False)],
    service: Annotated[str, typer.Option(help="The id of the referenced service, as in services/ID.")],
    folder: Annotated[Path, typer.Option(help="The folder of ca.crt and ca.key.")] = Path("pki"),
    hours: Annotated[int, typer.Option(help="How long the leaf lives.", min=1, max=8760)] = 24,
    output: Annotated[Path | None, typer.Option(help="The file to write; default: standard output.")] = None,
) -> None:
    """Signs an integrator's key as one referenced service; whatever names the request asks for are ignored.

    Example: accord pki issue --csr lumen.csr --service lumen-audition --output lumen.crt
    """
    try:
        leaf = pki.sign_csr(
            pki.load_ca(folder), csr.read_bytes(), service, datetime.now(UTC), lifetime=timedelta(hours=hours)
        )
    except PkiError as error:
        raise typer.BadParameter(str(error)) from None
    if output is None:
        print(leaf.decode(), end="")
    else:
        output.write_bytes(leaf)


@keys_app.command("init")
def init_keys(
    folder: Annotated[Path, typer.Option(help="Where to write the keys that are missing.")] = Path("keys"),
) -> None:
    """Makes the lease, checkpoint, permit and broker signing keys, the ledger's master secret, and a key for a portal that
    has none of its own; keeps those there are.

    Example: accord keys init --folder keys
    """
    keys.init_keys(folder)
    console.print(f"{folder}: {keys.LEASE}, {keys.LOG}, {keys.PERMIT}, {keys.BROKER}, {keys.MASTER}, {keys.PORTAL}")
