"""Whom a command speaks as and to, and how it ends.

Guarantees that every failure ends a command with one explanation and its status: 1 where the platform, or what it answered,
says no; 2 where nobody could be asked.
"""

import json
import shlex
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from google.protobuf import json_format
from google.protobuf.message import Message
from rich.markup import escape

from services.chassis.channel import open_channel
from services.chassis.clock import SystemClock
from services.chassis.config import ConfigError
from services.chassis.identity import Identity
from services.chassis.keys import load_signer
from services.chassis.status import DETAILS_KEY, accord_error
from services.chassis.tls import TlsFiles, leaf_identity
from services.ctl import keys
from services.ctl.call import explain
from services.ctl.options import LEDGER as LEDGER
from services.ctl.options import REGISTRY as REGISTRY
from services.ctl.options import STACK as STACK
from services.ctl.options import Folder as Folder
from services.ctl.options import Role as Role
from services.ctl.options import Target as Target
from services.ctl.options import console as console
from services.ctl.options import errors as errors
from services.ctl.options import leaf
from services.ctl.portal import PortalHand
from services.errors import AccordError, Kind, Reason

CALL_S = 15.0
NO, UNKNOWN = 1, 2
AsService = Annotated[
    str, typer.Option("--as", help="The service that asks, by its leaf: FOLDER/tls/NAME.crt and .key.")
]
Register = Annotated[str, typer.Option("--registry", help="The registry, host:port.")]
Domain = Annotated[str, typer.Option(help="The trust domain.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one line for each message.")]
PORTAL, DOMAIN = "portal", "accord.example"
_UNANSWERED = frozenset({Kind.UNAVAILABLE, Kind.EXHAUSTED, Kind.INTERNAL, Kind.UNIMPLEMENTED})


class RefusedError(Exception):
    """The answer is no, though no RPC failed; the message says what."""


class UnreachableError(Exception):
    """Nobody answered as who was asked; the message names them."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who speaks, by the leaf of this name, and the ledger they speak to."""

    folder: Path
    role: str
    target: str
    trust_domain: str

    @property
    def flags(self) -> str:
        """The options by which another command speaks to the same ledger."""
        options = {"--folder": str(self.folder), "--target": self.target, "--trust-domain": self.trust_domain}
        usual = {"--folder": str(STACK), "--target": LEDGER, "--trust-domain": DOMAIN}
        return "".join(f" {name} {shlex.quote(value)}" for name, value in options.items() if value != usual[name])

    @property
    def files(self) -> TlsFiles:
        """The speaker's leaf."""
        return leaf(self.folder, self.role)

    def service(self) -> str:
        """The service that the leaf names, services/{service}. Raises: ConfigError for a leaf of nobody referenced."""
        kind, _, service_id = leaf_identity(self.files).path[1:].partition("/")
        if kind != "service":
            raise ConfigError(f"--as {self.role}: the leaf is no service's")
        return f"services/{service_id}"

    def hand(self) -> PortalHand:
        """The portal's signature, with the key in the folder. Raises: ConfigError."""
        clock = SystemClock()
        signer = load_signer(self.folder / "keys" / keys.PORTAL)
        return PortalHand(signer, self.trust_domain, lambda: clock.wall_ms() // 1000)

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to the ledger. Raises: ConfigError, UnreachableError, and what a call is refused with."""
        async with self._open(self.target, "consent") as channel:
            yield channel

    @asynccontextmanager
    async def registry(self, target: str) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to the registry. Raises: as `ledger`."""
        async with self._open(target, "registry") as channel:
            yield channel

    @asynccontextmanager
    async def _open(self, target: str, server: str) -> AsyncIterator[grpc.aio.Channel]:
        expected = Identity(self.trust_domain, f"/{server}")
        async with open_channel(target, self.files, expected) as channel:
            try:
                yield channel
            except grpc.aio.AioRpcError as error:
                if unanswered(error):
                    raise UnreachableError(f"{target} does not answer as {expected.uri}: {error.details()}") from error
                raise accord_error(error, Reason.INTERNAL, trusted=True) from error


def unanswered(error: grpc.aio.AioRpcError) -> bool:
    """Whether no process of Accord said this: the connection failed, broke, or stayed silent."""
    told = any(key == DETAILS_KEY for key, _ in error.trailing_metadata() or ())
    return not told and error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@contextmanager
def explained() -> Iterator[None]:
    """Ends the command with an explanation and its status where it cannot go on."""
    try:
        yield
    except AccordError as error:
        explain(error)
        raise typer.Exit(UNKNOWN if error.kind in _UNANSWERED else NO) from None
    except RefusedError as error:
        errors.print(f"[red]{escape(str(error))}[/]", highlight=False)
        raise typer.Exit(NO) from None
    except (UnreachableError, ConfigError, OSError) as error:
        errors.print(f"[red]{escape(str(error))}[/]", highlight=False)
        raise typer.Exit(UNKNOWN) from None


def as_dict(message: Message) -> dict[str, Any]:
    """A message as the contract writes it in JSON, with its own field names."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def print_json(said: dict[str, Any]) -> None:
    """One line, at once: somebody may be reading along."""
    print(json.dumps(said), flush=True)
