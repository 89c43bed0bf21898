"""`accord audit search`: entries of a live ledger, found by what they say."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

import typer
from accord.consent.v1 import audit_service_pb2 as pb
from rich.table import Table

from services.ctl.audit import questions as q
from services.ctl.audit.access import (
    AUDITOR,
    CALL_S,
    LEDGER,
    STACK,
    Access,
    Folder,
    Role,
    Target,
    TrustFile,
    console,
    explained,
)
from services.formats.canonical import loads
from services.formats.entry import Entry, parse_entry
from services.formats.times import text_of

PAGE = 500
Found = pb.SearchEntriesResponse.Item


def register(app: typer.Typer) -> None:
    """Adds `search` to the auditor's commands."""
    app.command()(search)


def search(
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
    origin: Annotated[str, typer.Option(help="Only this log.")] = "",
    from_index: Annotated[int, typer.Option(help="From this index on, with --origin.", min=0)] = 0,
    to_index: Annotated[int, typer.Option(help="Before this index, with --origin.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="At most this many.", min=1)] = 100,
    folder: Folder = STACK,
    role: Role = AUDITOR,
    target: Target = LEDGER,
    trust: TrustFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line for each entry.")] = False,
) -> None:
    """Finds entries, in log order. Each page read is itself an entry of the log.

    Examples:

    accord audit search --type exchange.denied --since 2026-11-01 --service services/lumen-audition

    accord audit search --profile profiles/0123… --json
    """
    asked = q.entry_filter(patient, profile, service, actor, types, reason, since, before, consent, exchange)
    bounds = {"start_index": from_index, "end_index": to_index}
    request = pb.SearchEntriesRequest(filter=asked, origin=origin, **bounds)  # type: ignore[arg-type]
    access = Access(folder, role, target, trust)
    with explained():
        asyncio.run(_show(access, request, limit, as_json))


async def _show(access: Access, request: pb.SearchEntriesRequest, limit: int, as_json: bool) -> None:
    table, count = _table(), 0
    async for item in _found(access, request, limit):
        count += 1
        if as_json:
            print(json.dumps({"origin": item.origin, "index": item.index, "entry": loads(item.entry)}))
        else:
            table.add_row(*_row(item, parse_entry(item.entry)))
    if not as_json:
        console.print(table)
        console.print(f"{count} found" + (f": the first {limit}, there may be more" if count == limit else ""))


async def _found(access: Access, request: pb.SearchEntriesRequest, limit: int) -> AsyncIterator[Found]:
    left, trust = limit, access.trust()
    async with access.stub(trust) as stub:
        while left:
            request.page_size = min(PAGE, left)
            page = await stub.SearchEntries(request, timeout=CALL_S)
            for item in page.items:
                yield item
            left -= len(page.items)
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return


def _table() -> Table:
    table = Table()
    for name in ("time", "log", "type", "service", "counterparty", "reason", "more"):
        table.add_column(name, overflow="fold")
    table.columns[1].header = "log, index"
    return table


def _row(item: Found, entry: Entry) -> tuple[str, ...]:
    said = [entry.outcome.result.value if entry.outcome else "", *entry.resources, entry.cause]
    said += [f"until {text_of(entry.until_ms)}" if entry.until_ms is not None else ""]
    reason = entry.reason.value if entry.reason else ""
    where = f"{item.origin.rpartition('/')[2]}, {item.index}"
    services = (entry.service.removeprefix("services/"), entry.counterparty.removeprefix("services/"))
    return (text_of(entry.time_ms), where, entry.type.value, *services, reason, " ".join(filter(None, said)))
