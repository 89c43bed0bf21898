"""The options that commands share: whose leaf speaks, from which folder, to which address."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.chassis.tls import TlsFiles

PORTS = {"registry": 7401, "consent": 7402, "exchange": 7403}
STACK = Path("var/up")
LEDGER, REGISTRY = f"127.0.0.1:{PORTS['consent']}", f"127.0.0.1:{PORTS['registry']}"
Folder = Annotated[Path, typer.Option(help="The stack's folder: tls/NAME.crt and .key, ca/ca.crt, trust.json, keys/.")]
Role = Annotated[str, typer.Option("--as", help="Whose leaf to use: FOLDER/tls/NAME.crt and .key.")]
Target = Annotated[str, typer.Option(help="The ledger, host:port.")]
console, errors = Console(soft_wrap=True), Console(stderr=True, soft_wrap=True)


def leaf(folder: Path, role: str) -> TlsFiles:
    """The leaf of this name in a stack's folder, and the authority that signed it."""
    return TlsFiles(folder / "tls" / f"{role}.crt", folder / "tls" / f"{role}.key", folder / "ca" / "ca.crt")
