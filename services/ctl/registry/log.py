"""`accord registry log`: every change of the register, believed only as the log that its key has signed.

Guarantees that what is shown is whole up to the signed checkpoint, that each entry opens to what it says of who and why, and
that the checkpoint's key is the one of TRUST.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from accord.registry.v1 import register_log_service_pb2 as pb
from accord.registry.v1 import register_log_service_pb2_grpc as pb_grpc
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table

from services.ctl.audit.access import AUDITOR, AsJson, BrokenError, TrustFile, explained, progress_bar
from services.ctl.options import STACK, Folder, Role, console
from services.ctl.registry.access import CALL_S, REGISTRY, Access, Target
from services.formats.canonical import FormatError, loads
from services.formats.entry import commitment
from services.formats.register_entry import RegisterEntry, parse_register_entry
from services.formats.times import text_of
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.note import NoteError
from services.tlog.tree import leaf_hash, merkle_root

PAGE = 500
Resource = Annotated[
    str, typer.Argument(help="Only this organisation or service, such as services/lumen.", show_default=False)
]


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the log, and what it opens to: author, justification, evidence and more."""

    index: int
    entry: RegisterEntry
    said: dict[str, Any]

    def json(self) -> dict[str, Any]:
        """Both, as JSON."""
        entry = self.entry
        return {
            "index": self.index,
            "time": text_of(entry.time_ms),
            "type": entry.type.value,
            "resource": entry.resource,
            "status": entry.status,
            "sequence": entry.registry.sequence,
            "snapshot": entry.registry.hash,
            "record": entry.record,
        } | self.said


def register(app: typer.Typer) -> None:
    """Adds `log` to the register's commands."""
    app.command("log")(show_log)


def show_log(
    resource: Resource = "",
    folder: Folder = STACK,
    role: Role = AUDITOR,
    target: Target = REGISTRY,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """Shows who changed what in the register, when, why and on which evidence, once the whole log is verified with TRUST.

    Example: accord registry log services/lumen-audition
    """
    access = Access(folder, role, target, trust)
    with explained(as_json), progress_bar(quiet=as_json) as progress:
        checkpoint, changes = asyncio.run(_read(access, access.trust(), progress))
    wanted = [change for change in changes if resource in ("", change.entry.resource)]
    if as_json:
        signed = {"origin": checkpoint.origin, "size": checkpoint.size}
        print(json.dumps(signed | {"entries": [change.json() for change in wanted]}))
    else:
        _show(checkpoint, wanted)


async def _read(access: Access, trust: Trust, progress: Progress) -> tuple[Checkpoint, list[Change]]:
    async with access.registry() as channel:
        stub = pb_grpc.RegisterLogServiceStub(channel)
        note = (await stub.GetRegisterCheckpoint(pb.GetRegisterCheckpointRequest(), timeout=CALL_S)).checkpoint
        checkpoint = opened(note, trust)
        task, found, token = progress.add_task(checkpoint.origin, total=checkpoint.size), list[pb.RegisterEntry](), ""
        while len(found) < checkpoint.size:
            request = pb.ListRegisterEntriesRequest(page_size=PAGE, page_token=token)
            page = await stub.ListRegisterEntries(request, timeout=CALL_S)
            found += page.entries
            progress.update(task, completed=len(found))
            token = page.next_page_token
            if not token:
                break
    return checkpoint, verified(checkpoint, found[: checkpoint.size])


def opened(note: str, trust: Trust) -> Checkpoint:
    """The checkpoint of a log of TRUST's register. Raises: BrokenError."""
    origin = note.partition("\n")[0]
    verifier = next((log for log in trust.register if log.name == origin), None)
    if verifier is None:
        raise BrokenError("checkpoint", "of a log that TRUST does not list for the register", origin)
    try:
        return open_checkpoint(note, verifier)
    except NoteError as error:
        raise BrokenError("checkpoint", str(error), origin) from None


def verified(checkpoint: Checkpoint, found: Sequence[pb.RegisterEntry]) -> list[Change]:
    """The log's entries, once they are those of the checkpoint and open to what is said of them. Raises: BrokenError."""
    root = merkle_root([leaf_hash(item.entry) for item in found])
    if len(found) != checkpoint.size or root != checkpoint.root:
        raise BrokenError("entries", "they are not those of the signed checkpoint", checkpoint.origin)
    return [_change(checkpoint.origin, index, item) for index, item in enumerate(found)]


def _change(origin: str, index: int, item: pb.RegisterEntry) -> Change:
    try:
        entry, said = parse_register_entry(item.entry), loads(item.body)
        if commitment(item.salt, item.body) != entry.commit:
            raise FormatError("not what its entry commits to")
    except FormatError as error:
        raise BrokenError("entry", str(error), origin, index) from None
    return Change(index, entry, said)


def _show(checkpoint: Checkpoint, changes: Sequence[Change]) -> None:
    table = Table(*(Column(name, overflow="fold") for name in ("#", "time", "what", "resource", "status", "by", "why")))
    for change in changes:
        entry, said = change.entry, change.said
        why = ", ".join(str(said[name]) for name in ("justification", "evidence") if name in said)
        author = said.get("author", entry.actor).rpartition("spiffe://")[2].partition("/")[2] or entry.actor
        cells = (str(change.index), text_of(entry.time_ms), entry.type.value, entry.resource, entry.status, author, why)
        table.add_row(*map(escape, cells))
    console.print(table)
    proven = f"{checkpoint.origin}: {checkpoint.size} entries, all of the signed checkpoint"
    console.print(f"[green]✓[/] {proven}", highlight=False)
