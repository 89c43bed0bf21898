"""`accord consent request`: a service asks, shows the code to its patient, and may wait for the answer."""

import asyncio
import uuid
from typing import Annotated

import typer
from accord.consent.v1 import consent_request_service_pb2 as pb
from accord.consent.v1 import consent_request_service_pb2_grpc as pb_grpc
from google.protobuf.timestamp_pb2 import Timestamp
from rich.panel import Panel

from services.chassis.clock import SystemClock
from services.ctl.consent import terms as t
from services.ctl.consent.access import (
    CALL_S,
    DOMAIN,
    LEDGER,
    STACK,
    Access,
    AsJson,
    AsService,
    Domain,
    Folder,
    RefusedError,
    Target,
    as_dict,
    console,
    explained,
    print_json,
)
from services.ctl.consent.shown import request_state
from services.formats.rights import Direction, Purpose


def register(app: typer.Typer) -> None:
    """Adds `request`."""
    app.command()(request)


def request(
    role: AsService,
    categories: Annotated[
        list[str], typer.Option("--category", help="class:10, type:11488-4 or measure:8867-4; repeat for more.")
    ],
    directions: Annotated[
        list[Direction],
        typer.Option("--direction", case_sensitive=False, help="Seen from the service; repeat for more."),
    ],
    purposes: Annotated[list[Purpose], typer.Option("--purpose", case_sensitive=False, help="Why; repeat for more.")],
    until: Annotated[Timestamp, typer.Option(parser=t.instant, metavar="DATE", help=f"Its end, excluded: {t.When}.")],
    quota: t.HowOften = None,
    data_from: t.DataFrom = None,
    data_until: t.DataUntil = None,
    life: Annotated[int, typer.Option(help="Seconds in which it can be decided.", min=60, max=604_800)] = 900,
    request_id: Annotated[str, typer.Option(help="Makes a retry safe; default: one drawn at random.")] = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is decided; exits 1 when it is not granted.")
    ] = False,
    folder: Folder = STACK,
    target: Target = LEDGER,
    trust_domain: Domain = DOMAIN,
    as_json: AsJson = False,
) -> None:
    """Asks for a consent, and prints the code that the patient gives to the portal. With --wait also what came of it.

    Example:

    accord consent request --as lumen-audition --category class:10 --direction deposit --purpose prevention
    --until 2027-06-30 --quota 10/day --wait
    """
    access = Access(folder, role, target, trust_domain)
    changes = t.Changes(categories, directions, purposes, until, quota, data_from, data_until)
    with explained():
        asked = pb.ConsentRequest(service=access.service())
        changes.apply(asked)
        asking = pb.RequestConsentRequest(request=asked, request_id=request_id or uuid.uuid4().hex, life_seconds=life)
        asyncio.run(_ask(access, asking, wait, as_json))


async def _ask(access: Access, asking: pb.RequestConsentRequest, wait: bool, as_json: bool) -> None:
    async with access.ledger() as channel:
        stub = pb_grpc.ConsentRequestServiceStub(channel)
        made = await stub.RequestConsent(asking, timeout=CALL_S)
        if as_json:
            print_json(as_dict(made))
        else:
            _show_code(made.request, access, wait)
        if wait:
            decided = await _decided(stub, made)
            if as_json:
                print_json(as_dict(decided))
            _conclude(decided.request, as_json)


def _show_code(made: pb.ConsentRequest, access: Access, wait: bool) -> None:
    left_s = made.expire_time.seconds - SystemClock().wall_ms() // 1000
    console.print(Panel.fit(f"[bold]{made.user_code}[/]", title="the patient's code", padding=(1, 6)))
    console.print(f"{made.name}, {request_state(made)}", highlight=False)
    console.print(f"to be decided in {left_s} s, until {made.expire_time.ToJsonString()}", highlight=False)
    grant = f"accord consent grant {made.user_code} --profile profiles/…{access.flags}"
    console.print(f"as the portal: {grant}", highlight=False)
    show = f"accord consent show {made.name} --as {access.role}{access.flags}"
    console.print("waiting…" if wait else f"what came of it: {show}", highlight=False)


async def _decided(
    stub: "pb_grpc.ConsentRequestServiceAsyncStub", made: pb.RequestConsentResponse
) -> pb.GetConsentRequestResponse:
    """The request once it is not pending any more; asked for no more often than the ledger wishes."""
    while True:
        answer = await stub.GetConsentRequest(pb.GetConsentRequestRequest(name=made.request.name), timeout=CALL_S)
        if answer.request.state != pb.REQUEST_STATE_PENDING:
            return answer
        await asyncio.sleep(made.poll_seconds)


def _conclude(decided: pb.ConsentRequest, as_json: bool) -> None:
    if decided.state != pb.REQUEST_STATE_GRANTED:
        raise RefusedError(f"{decided.name}: {request_state(decided)}")
    if not as_json:
        console.print(f"[green]granted[/]: {decided.consent}", highlight=False)
        console.print(f"the patient's pseudonym for {decided.service}: {decided.patient}", highlight=False)
