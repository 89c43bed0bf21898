"""`accord registry suspend` and `reinstate`: one service, or an organisation with all its services."""

import asyncio
import json
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from accord.registry.v1 import registry_pb2
from accord.registry.v1 import registry_service_pb2 as pb
from accord.registry.v1 import registry_service_pb2_grpc as pb_grpc
from google.protobuf.json_format import MessageToDict
from rich.markup import escape

from services.ctl.audit.access import AsJson, TrustFile, explained
from services.ctl.options import STACK, Folder, Role, console
from services.ctl.registry.access import CALL_S, REGISTRY, Access, Target
from services.formats.rights import ORGANIZATION_NAME, SERVICE_NAME

REGISTRAR = "registrar"
Name = Annotated[str, typer.Argument(help="services/… or organizations/….", show_default=False)]
Etag = Annotated[str, typer.Option(help="Only if this is still its etag.")]
Why = Annotated[str, typer.Option("--justification", help="Why, for auditors: at most 200 characters.")]
Evidence = Annotated[str, typer.Option(help="What it rests on, such as a decision's number: at most 200 characters.")]


def register(app: typer.Typer) -> None:
    """Adds `suspend` and `reinstate` to the register's commands."""
    app.command()(suspend)
    app.command()(reinstate)


def suspend(
    name: Name,
    justification: Why,
    evidence: Evidence = "",
    etag: Etag = "",
    folder: Folder = STACK,
    role: Role = REGISTRAR,
    target: Target = REGISTRY,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """Suspends a service, or an organisation with all its services: exchanges under way are cut. A repeat changes nothing.

    Example: accord registry suspend services/lumen-audition --justification "Manquement à la convention" --evidence 2026-114
    """
    _move(
        _Wish(name, etag, justification, evidence, suspends=True), Access(folder, role, target, trust), as_json=as_json
    )


def reinstate(
    name: Name,
    justification: Why = "",
    evidence: Evidence = "",
    etag: Etag = "",
    folder: Folder = STACK,
    role: Role = REGISTRAR,
    target: Target = REGISTRY,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """Ends a suspension: a service is what it was before, an organisation's services what they would be without it.

    Example: accord registry reinstate organizations/lumen
    """
    _move(
        _Wish(name, etag, justification, evidence, suspends=False), Access(folder, role, target, trust), as_json=as_json
    )


@dataclass(frozen=True, slots=True)
class _Wish:
    """Which service or organisation, at which etag, why, and whether it is to be suspended or reinstated."""

    name: str
    etag: str
    justification: str
    evidence: str
    suspends: bool

    async def ask(self, stub: Any) -> Any:
        """The service or organisation as it stands then."""
        kind = "organization" if ORGANIZATION_NAME.fullmatch(self.name) else "service"
        method = ("Suspend" if self.suspends else "Reinstate") + kind.title()
        more = {"name": self.name, "etag": self.etag, "justification": self.justification, "evidence": self.evidence}
        answer = await getattr(stub, method)(getattr(pb, f"{method}Request")(**more), timeout=CALL_S)
        return getattr(answer, kind)


def _move(wish: _Wish, access: Access, *, as_json: bool) -> None:
    with explained(as_json):
        if not (ORGANIZATION_NAME.fullmatch(wish.name) or SERVICE_NAME.fullmatch(wish.name)):
            raise ValueError(f"{wish.name}: neither services/… nor organizations/…")
        moved = asyncio.run(_ask(wish, access))
    if as_json:
        print(json.dumps(MessageToDict(moved, preserving_proto_field_name=True)))
    else:
        console.print(f"[green]✓[/] {escape(wish.name)}: {_standing(moved)}; etag {moved.etag}", highlight=False)


async def _ask(wish: _Wish, access: Access) -> Any:
    async with access.registry() as channel:
        return await wish.ask(pb_grpc.RegistryServiceStub(channel))


def _standing(moved: registry_pb2.Service | registry_pb2.Organization) -> str:
    if isinstance(moved, registry_pb2.Organization):
        return "suspended, with its services" if moved.suspended else "not suspended"
    status = registry_pb2.ServiceStatus.Name(moved.status).removeprefix("SERVICE_STATUS_")
    return status + (", by its organisation's suspension too" if moved.organization_suspended else "")
