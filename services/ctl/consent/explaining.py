"""`accord consent explain`: whether an exchange would be permitted to a service, and by which rule not."""

import asyncio
from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import Annotated

import typer
from accord.consent.v1 import decision_service_pb2 as pb
from accord.consent.v1 import decision_service_pb2_grpc as pb_grpc
from accord.errors.v1 import error_reason_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from services.consent.convert.form import enum_name
from services.ctl.consent import terms as t
from services.ctl.consent.access import (
    CALL_S,
    DOMAIN,
    LEDGER,
    NO,
    STACK,
    Access,
    AsJson,
    AsService,
    Domain,
    Folder,
    Target,
    as_dict,
    console,
    explained,
    print_json,
)
from services.formats.rights import Direction, Purpose

Oldest = Annotated[
    Timestamp | None, typer.Option(parser=t.instant, metavar="DATE", help="The date of its oldest data.")
]
Newest = Annotated[
    Timestamp | None, typer.Option(parser=t.instant, metavar="DATE", help="The date of its newest data.")
]
At = Annotated[Timestamp | None, typer.Option(parser=t.instant, metavar="DATE", help="As it stood then; default: now.")]


def register(app: typer.Typer) -> None:
    """Adds `explain`."""
    app.command()(explain)


def explain(
    role: AsService,
    patient: Annotated[str, typer.Option(help="The patient, by the service's pseudonym.")],
    direction: Annotated[Direction, typer.Option(case_sensitive=False, help="Seen from the service.")],
    purpose: Annotated[Purpose, typer.Option(case_sensitive=False, help="Why.")],
    categories: Annotated[list[str], typer.Option("--category", help="What moves: type:11502-2; repeat for more.")],
    counterparty: Annotated[str, typer.Option(help="The other service; default: the patient's record.")] = "",
    labels: Annotated[list[str] | None, typer.Option("--label", help="Its confidentiality; repeat for more.")] = None,
    data_from: Oldest = None,
    data_until: Newest = None,
    at: At = None,
    folder: Folder = STACK,
    target: Target = LEDGER,
    trust_domain: Domain = DOMAIN,
    as_json: AsJson = False,
) -> None:
    """Explains whether an exchange would be permitted, rule by rule; exits 1 when it would not. Advice, and no entry.

    Example:

    accord consent explain --as lumen-audition --patient 0123… --direction deposit --purpose prevention
    --category type:75492-9
    """
    access = Access(folder, role, target, trust_domain)
    with explained():
        query = pb.Query(
            service=access.service(),
            patient=patient,
            direction=t.direction_value(direction),
            purpose=t.purpose_value(purpose),
            categories=categories,
            counterparty=counterparty,
            labels=labels,
            data_start_time=data_from,
            data_end_time=data_until,
        )
        answer = asyncio.run(_explain(access, pb.ExplainRequest(query=query, read_time=at)))
    print_json(as_dict(answer)) if as_json else _print(answer)
    raise typer.Exit(0 if answer.verdict.permitted else NO)


async def _explain(access: Access, request: pb.ExplainRequest) -> pb.ExplainResponse:
    async with access.ledger() as channel:
        return await pb_grpc.DecisionServiceStub(channel).Explain(request, timeout=CALL_S)


def _print(answer: pb.ExplainResponse) -> None:
    for resource, rules in groupby(answer.rules, key=attrgetter("resource")):
        console.print(_table(resource or "profile, services, convention", rules))
    permitted, reason = answer.verdict.permitted, _reason(answer.verdict.reason)
    console.print("[green]permitted[/]" if permitted else f"[red]not permitted[/]: {reason}", highlight=False)


def _table(about: str, rules: Iterable[pb.ExplainResponse.Rule]) -> Table:
    table = Table(title=about, title_justify="left", title_style="bold")
    for title in ("", "rule", "what it means, what next"):
        table.add_column(title, overflow="fold")
    for rule in rules:
        mark = "[green]✓[/]" if rule.holds else "[red]✗[/]"
        table.add_row(mark, _reason(rule.reason), "" if rule.holds else f"{rule.message} {rule.remedy}")
    return table


def _reason(value: int) -> str:
    return enum_name(error_reason_pb2.ErrorReason, "ERROR_REASON_", value)
