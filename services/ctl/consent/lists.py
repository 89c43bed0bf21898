"""`accord consent list` and `accesses`: a patient's consents, and who read or sent their data or tried to."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import typer
from accord.consent.v1 import consent_pb2, decision_service_pb2
from accord.consent.v1 import consent_reader_service_pb2 as pb
from accord.consent.v1 import consent_reader_service_pb2_grpc as pb_grpc
from accord.errors.v1 import error_reason_pb2
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from services.consent.convert.form import enum_name
from services.ctl.consent import terms as t
from services.ctl.consent.access import (
    CALL_S,
    DOMAIN,
    LEDGER,
    PORTAL,
    STACK,
    Access,
    AsJson,
    Domain,
    Folder,
    Role,
    Target,
    as_dict,
    console,
    explained,
    print_json,
)

PAGE = 100
Limit = Annotated[int, typer.Option(help="At most this many.", min=1)]


def register(app: typer.Typer) -> None:
    """Adds `list` and `accesses`."""
    app.command("list")(list_consents)
    app.command()(accesses)


def list_consents(
    profile: Annotated[str, typer.Option(help="Whose, as the portal: profiles/….")] = "",
    patient: Annotated[str, typer.Option(help="Whose, as a service: its pseudonym of the patient.")] = "",
    limit: Limit = 100,
    role: Role = PORTAL,
    folder: Folder = STACK,
    target: Target = LEDGER,
    trust_domain: Domain = DOMAIN,
    as_json: AsJson = False,
) -> None:
    """Lists a patient's consents, newest first: all as the portal, its own as a service.

    Examples:

    accord consent list --profile profiles/0123…

    accord consent list --as lumen-audition --patient 0123…
    """
    request = pb.ListConsentsRequest(profile=profile, patient=patient)
    with explained():
        asyncio.run(_list(Access(folder, role, target, trust_domain), request, limit, as_json))


def accesses(
    profile: Annotated[str, typer.Option(help="Whose: profiles/….")],
    since: Annotated[
        Timestamp | None, typer.Option(parser=t.instant, metavar="DATE", help="From here, with --before.")
    ] = None,
    before: Annotated[
        Timestamp | None, typer.Option(parser=t.instant, metavar="DATE", help="Before here, with --since.")
    ] = None,
    service: Annotated[str, typer.Option(help="Only this service's: services/….")] = "",
    limit: Limit = 100,
    role: Role = PORTAL,
    folder: Folder = STACK,
    target: Target = LEDGER,
    trust_domain: Domain = DOMAIN,
    as_json: AsJson = False,
) -> None:
    """Lists who accessed a patient's data, or tried to, in log order.

    Example: accord consent accesses --profile profiles/0123… --since 2026-11-01 --before 2026-12-01
    """
    request = pb.ListAccessesRequest(profile=profile, service=service, start_time=since, end_time=before)
    with explained():
        asyncio.run(_accesses(Access(folder, role, target, trust_domain), request, limit, as_json))


async def _list(access: Access, request: pb.ListConsentsRequest, limit: int, as_json: bool) -> None:
    table = _table("consent", "service", "state", "until", "categories")
    async with access.ledger() as channel:
        call = pb_grpc.ConsentReaderServiceStub(channel).ListConsents
        async for item in _items(call, request, "consents", limit):
            print_json(as_dict(item)) if as_json else table.add_row(*_consent_row(item))
    if not as_json:
        _conclude(table, limit)


async def _accesses(access: Access, request: pb.ListAccessesRequest, limit: int, as_json: bool) -> None:
    table = _table("time", "who", "purpose", "categories", "decision", "outcome")
    async with access.ledger() as channel:
        call = pb_grpc.ConsentReaderServiceStub(channel).ListAccesses
        async for item in _items(call, request, "accesses", limit):
            print_json(as_dict(item)) if as_json else table.add_row(*_access_row(item))
    if not as_json:
        _conclude(table, limit)


async def _items(call: Any, request: Any, field: str, limit: int) -> AsyncIterator[Any]:
    """The items of a list, page after page (AIP-158), at most `limit`."""
    left = limit
    while left:
        request.page_size = min(PAGE, left)
        page = await call(request, timeout=CALL_S)
        for item in getattr(page, field):
            yield item
        left -= len(getattr(page, field))
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return


def _table(*titles: str) -> Table:
    table = Table()
    for title in titles:
        # A name that is folded cannot be copied, a state not be read.
        table.add_column(title, overflow="fold", no_wrap=title in ("consent", "state"))
    return table


def _conclude(table: Table, limit: int) -> None:
    console.print(table)
    more = f": the first {limit}, there may be more" if table.row_count == limit else ""
    console.print(f"{table.row_count} found{more}", highlight=False)


def _consent_row(item: consent_pb2.Consent) -> tuple[str, ...]:
    state = enum_name(consent_pb2.ConsentState, "CONSENT_STATE_", item.state)
    service = item.service.removeprefix("services/")
    return item.name, service, state, item.end_time.ToJsonString()[:10], " ".join(item.scope.categories)


def _access_row(item: pb.Access) -> tuple[str, ...]:
    parties = [name.removeprefix("services/") for name in (item.service, item.counterparty) if name]
    reason = enum_name(error_reason_pb2.ErrorReason, "ERROR_REASON_", item.reason)
    outcome = enum_name(decision_service_pb2.Outcome, "OUTCOME_", item.outcome)
    purpose = enum_name(registry_pb2.Purpose, "PURPOSE_", item.purpose)
    return (
        item.time.ToJsonString(),
        " → ".join(parties),
        "" if purpose == "UNSPECIFIED" else purpose,
        " ".join(item.categories),
        "authorised" if item.authorized else reason,
        "" if outcome == "UNSPECIFIED" else outcome,
    )
