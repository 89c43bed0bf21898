"""`accord consent show`: a consent, one of its revisions, or a request; by its code, what the portal shows its patient."""

import asyncio
from typing import Annotated

import typer
from accord.consent.v1 import consent_request_service_pb2 as request_pb
from accord.consent.v1 import consent_request_service_pb2_grpc as request_grpc
from rich.markup import escape
from rich.panel import Panel

from services.ctl.consent.access import (
    CALL_S,
    DOMAIN,
    LEDGER,
    PORTAL,
    REGISTRY,
    STACK,
    Access,
    AsJson,
    Domain,
    Folder,
    Register,
    Role,
    Target,
    as_dict,
    console,
    explained,
    print_json,
)
from services.ctl.consent.notice import read_notice
from services.ctl.consent.reading import look_up, read_consent
from services.ctl.consent.shown import consent_table, request_table


def register(app: typer.Typer) -> None:
    """Adds `show`."""
    app.command()(show)


def show(
    name: Annotated[
        str, typer.Argument(help="consents/…, consents/…/revisions/N, or consentRequests/….", show_default=False)
    ] = "",
    code: Annotated[str, typer.Option(help="Instead of a name: a patient's code, as the portal.")] = "",
    role: Role = PORTAL,
    folder: Folder = STACK,
    target: Target = LEDGER,
    registry: Register = REGISTRY,
    trust_domain: Domain = DOMAIN,
    as_json: AsJson = False,
) -> None:
    """Shows a consent or a request; by a code, with the notice of the register, checked against the hash asked for.

    A request has no other reader than the service that made it: --as SERVICE.

    Examples:

    accord consent show --code BCDF-GHJK

    accord consent show consents/0123… --as lumen-audition
    """
    if bool(name) is bool(code):
        raise typer.BadParameter("give a name, or a code", param_hint="NAME")
    if name.startswith("consentRequests/") and role == PORTAL:
        raise typer.BadParameter("the service that asked reads its request; the portal, by its code", param_hint="--as")
    access = Access(folder, role, target, trust_domain)
    with explained():
        if code:
            asyncio.run(_show_asked(access, registry, code, as_json))
        elif name.startswith("consentRequests/"):
            asyncio.run(_show_request(access, name, as_json))
        else:
            asyncio.run(_show_consent(access, name, as_json))


async def _show_asked(access: Access, registry: str, code: str, as_json: bool) -> None:
    asked = await look_up(access, code)
    notice = await read_notice(access, registry, asked.service, asked.notice_sha256)
    if as_json:
        print_json({"request": as_dict(asked), "notice": as_dict(notice)})
        return
    console.print(request_table(asked))
    title = f"notice, version {escape(notice.version)}: its text has this hash"
    console.print(Panel(escape(notice.text), title=title), soft_wrap=False)


async def _show_request(access: Access, name: str, as_json: bool) -> None:
    async with access.ledger() as channel:
        stub = request_grpc.ConsentRequestServiceStub(channel)
        answer = await stub.GetConsentRequest(request_pb.GetConsentRequestRequest(name=name), timeout=CALL_S)
    print_json(as_dict(answer)) if as_json else console.print(request_table(answer.request))


async def _show_consent(access: Access, name: str, as_json: bool) -> None:
    consent = await read_consent(access, name)
    print_json({"consent": as_dict(consent)}) if as_json else console.print(consent_table(consent))
