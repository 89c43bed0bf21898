"""Who asks the ledger, with what certificate, and whom they believe; and how a command says that something is not so.

Guarantees that every failure of a command ends it with one explanation and its status: 1 where something was found not to
hold, 2 where that cannot be said.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from accord.consent.v1 import audit_service_pb2_grpc as pb_grpc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.chassis.config import ConfigError
from services.chassis.ledger import CONSENT_PATH
from services.ctl import access
from services.ctl.access import read_trust as read_trust
from services.ctl.call import explain
from services.ctl.options import LEDGER as LEDGER
from services.ctl.options import STACK as STACK
from services.ctl.options import Folder as Folder
from services.ctl.options import Role as Role
from services.ctl.options import Target as Target
from services.ctl.options import console as console
from services.ctl.options import errors as errors
from services.errors import AccordError, Reason
from services.formats.trust import Trust

CALL_S = 30.0
BROKEN, UNKNOWN = 1, 2
TrustFile = Annotated[Path | None, typer.Option("--trust", help="TRUST; default: FOLDER/trust.json.")]
KnownTrust = Annotated[Path, typer.Option("--trust", help="TRUST, from accord trust export.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AUDITOR = "auditor"
STACK_TRUST = STACK / "trust.json"


class BrokenError(Exception):
    """Something does not hold. `kind` names what, `why` says how; `log` and `index` where."""

    def __init__(self, kind: str, why: str, log: str = "", index: int | None = None) -> None:
        super().__init__(f"{kind}: {place(log, index)}{why}")
        self.kind, self.why, self.log, self.index = kind, why, log, index

    def json(self) -> dict[str, Any]:
        """The same as JSON."""
        return {"kind": self.kind, "log": self.log, "index": self.index, "why": self.why}


def place(log: str, index: int | None) -> str:
    """Where something is, before what it is."""
    at = f"{log}, " if log else ""
    return f"{at}entry {index}: " if index is not None else at


class Access(access.Access):
    """The ledger that a command asks."""

    @asynccontextmanager
    async def stub(self, trust: Trust) -> AsyncIterator["pb_grpc.AuditServiceAsyncStub"]:
        """The ledger's AuditService. Raises: ConfigError; whatever a call refuses, as AccordError."""
        async with self.channel(trust, CONSENT_PATH, Reason.LEDGER_UNAVAILABLE) as channel:
            yield pb_grpc.AuditServiceStub(channel)


@contextmanager
def explained(as_json: bool = False) -> Iterator[None]:
    """Ends the command with an explanation where it cannot go on: status 1 for what does not hold, else 2."""
    try:
        yield
    except BrokenError as error:
        if as_json:
            print(json.dumps({"holds": False, "broken": [error.json()]}))
        errors.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(BROKEN) from None
    except AccordError as error:
        explain(error)
        raise typer.Exit(UNKNOWN) from None
    except (ConfigError, OSError, ValueError) as error:
        errors.print(f"[red]{error}[/]", highlight=False)
        raise typer.Exit(UNKNOWN) from None


def progress_bar(*, quiet: bool) -> Progress:
    """A bar for long work, on standard error, gone when it is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True, quiet=quiet), transient=True)
