"""`accord audit show` and `accord audit prove`: one entry of a live ledger, believed only with its proof."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from accord.consent.v1 import audit_service_pb2 as pb

from services.ctl.audit.access import (
    AUDITOR,
    CALL_S,
    LEDGER,
    STACK,
    Access,
    AsJson,
    BrokenError,
    Folder,
    Role,
    Target,
    TrustFile,
    console,
    explained,
)
from services.formats.canonical import FormatError, loads, loads_canonical
from services.formats.entry import MAX_BODY, Entry, commitment, parse_entry
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.note import NoteError
from services.tlog.proof import ProofError, verify_inclusion
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import leaf_hash

Origin = Annotated[str, typer.Argument(help="The log, such as accord.example/ledger/1/0.", show_default=False)]
Index = Annotated[int, typer.Argument(help="The entry's index in it.", min=0, show_default=False)]


def register(app: typer.Typer) -> None:
    """Adds `show` and `prove` to the auditor's commands."""
    app.command()(show)
    app.command()(prove)


def show(
    origin: Origin,
    index: Index,
    opened: Annotated[bool, typer.Option("--open", help="And what it commits to, where not erased.")] = False,
    folder: Folder = STACK,
    role: Role = AUDITOR,
    target: Target = LEDGER,
    trust: TrustFile = None,
    as_json: AsJson = False,
) -> None:
    """Shows an entry that the log is proven to hold. The reading is itself an entry of the log.

    Example: accord audit show accord.example/ledger/1/0 12 --open
    """
    access = Access(folder, role, target, trust)
    with explained(as_json):
        known = access.trust()
        answer = asyncio.run(_entry(access, known, pb.GetEntryRequest(origin=origin, index=index, open=opened)))
        checkpoint, entry = verified(answer, origin, index, known)
        facts = _facts(answer, entry, checkpoint, index, opened)
        print(json.dumps(facts)) if as_json else console.print_json(json.dumps(facts))


def prove(
    origin: Origin,
    index: Index,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file; default: standard output.")] = None,
    folder: Folder = STACK,
    role: Role = AUDITOR,
    target: Target = LEDGER,
    trust: TrustFile = None,
) -> None:
    """Writes the proof that the log holds an entry (C2SP tlog-proof), once it is verified with TRUST.

    Example: accord audit prove accord.example/ledger/1/0 12 -o entry-12.tlog-proof
    """
    access = Access(folder, role, target, trust)
    with explained():
        known = access.trust()
        answer = asyncio.run(_entry(access, known, pb.GetEntryRequest(origin=origin, index=index)))
        verified(answer, origin, index, known)
        if output is None:
            print(answer.entry.proof, end="")
        else:
            output.write_text(answer.entry.proof, encoding="utf-8")
            console.print(f"{output}: entry {index} of {origin}, verified")


async def _entry(access: Access, trust: Trust, request: pb.GetEntryRequest) -> pb.GetEntryResponse:
    async with access.stub(trust) as stub:
        return await stub.GetEntry(request, timeout=CALL_S)


def verified(answer: pb.GetEntryResponse, origin: str, index: int, trust: Trust) -> tuple[Checkpoint, Entry]:
    """The checkpoint that proves an answer's entry, and the entry. Raises: BrokenError."""
    verifier, shown = trust.log(origin), answer.entry
    if verifier is None:
        raise BrokenError("checkpoint", "TRUST does not list this log", origin)
    try:
        proof = parse_proof(shown.proof)
        checkpoint = open_checkpoint(proof.checkpoint_note, verifier)
        verify_inclusion(leaf_hash(shown.entry), index, checkpoint.size, proof.hashes, checkpoint.root)
        entry = parse_entry(shown.entry)
    except (NoteError, ProofError, FormatError) as error:
        raise BrokenError("proof", str(error), origin, index) from None
    if (proof.index, shown.index) != (index, index):
        raise BrokenError("proof", "of another entry", origin, index)
    return checkpoint, entry


def _facts(
    answer: pb.GetEntryResponse, entry: Entry, checkpoint: Checkpoint, index: int, opened: bool
) -> dict[str, Any]:
    """What is shown of an entry. Raises: BrokenError for an opening that is not what it commits to."""
    shown: dict[str, Any] = {"origin": checkpoint.origin, "index": index, "entry": loads(answer.entry.entry)}
    shown["proven_by"] = {"size": checkpoint.size, "root": checkpoint.root.hex()}
    opening = answer.entry.opening
    if answer.entry.HasField("opening"):
        if commitment(opening.salt, opening.body) != entry.commit:
            raise BrokenError("openings", "not what the entry commits to", checkpoint.origin, index)
        shown["body"] = loads_canonical(opening.body, MAX_BODY)
    if answer.HasField("facts"):
        if commitment(answer.facts.salt, answer.facts.body) != shown.get("body", {}).get("facts"):
            raise BrokenError("openings", "facts other than those that its body commits to", checkpoint.origin, index)
        shown["facts"] = loads_canonical(answer.facts.body, MAX_BODY)
    return shown | ({"erased": True} if opened and "body" not in shown else {})
