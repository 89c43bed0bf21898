"""`accord audit stats`: how many entries of what."""

import asyncio
import json
from collections import Counter
from enum import StrEnum
from typing import Annotated

import typer
from accord.consent.v1 import audit_service_pb2 as pb
from accord.errors.v1 import error_reason_pb2
from rich.table import Table

from services.ctl.audit import questions as q
from services.ctl.audit.access import (
    AUDITOR,
    CALL_S,
    LEDGER,
    STACK,
    Access,
    AsJson,
    Folder,
    Role,
    Target,
    TrustFile,
    console,
    explained,
)


class By(StrEnum):
    """What counts may have in common."""

    MONTH = "month"
    SERVICE = "service"
    REASON = "reason"
    TYPE = "type"


def register(app: typer.Typer) -> None:
    """Adds `stats` to the auditor's commands."""
    app.command()(stats)


def stats(
    by: Annotated[list[By] | None, typer.Option(help="Only by this; repeat for more. Default: by all four.")] = None,
    patient: q.Patient = "",
    profile: q.Profile = "",
    service: q.Service = "",
    actor: q.Actor = "",
    types: q.Types = None,
    reason: q.Why = "",
    since: q.Since = "",
    before: q.Before = "",
    consent: q.Consent = "",
    exchange: q.Exchange = "",
    folder: Folder = STACK,
    role: Role = AUDITOR,
    target: Target = LEDGER,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """Counts entries by month, service, type and reason. The reading is itself an entry of the log.

    Example: accord audit stats --by month --by type --since 2026-01-01
    """
    asked = q.entry_filter(patient, profile, service, actor, types, reason, since, before, consent, exchange)
    access = Access(folder, role, target, trust)
    columns = by or [By.MONTH, By.SERVICE, By.TYPE, By.REASON]
    with explained():
        counts = asyncio.run(_counts(access, pb.GetStatisticsRequest(filter=asked), columns))
    if as_json:
        rows = [dict(zip(map(str, columns), key, strict=True)) | {"count": count} for key, count in counts.items()]
        print(json.dumps({"counts": rows, "total": sum(counts.values())}))
    else:
        console.print(_table(columns, counts))


async def _counts(access: Access, request: pb.GetStatisticsRequest, by: list[By]) -> dict[tuple[str, ...], int]:
    async with access.stub(access.trust()) as stub:
        answer = await stub.GetStatistics(request, timeout=CALL_S)
    counts: Counter[tuple[str, ...]] = Counter()
    for item in answer.counts:
        reason = error_reason_pb2.ErrorReason.Name(item.reason).removeprefix("ERROR_REASON_") if item.reason else ""
        said = {By.MONTH: item.month, By.SERVICE: item.service, By.TYPE: item.type, By.REASON: reason}
        counts[tuple(said[column] for column in by)] += item.count
    return dict(sorted(counts.items()))


def _table(by: list[By], counts: dict[tuple[str, ...], int]) -> Table:
    table = Table(show_footer=True)
    for column in by:
        table.add_column(column.value)
    table.add_column("count", str(sum(counts.values())), justify="right")
    for key, count in counts.items():
        table.add_row(*key, str(count))
    return table
