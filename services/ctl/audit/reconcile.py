"""`accord audit reconcile`: what a recipient signed for, against what the log says was delivered to it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from services.ctl.audit.access import (
    BROKEN,
    STACK_TRUST,
    AsJson,
    KnownTrust,
    console,
    explained,
    place,
    progress_bar,
    read_trust,
)
from services.ctl.audit.book import read_book
from services.ctl.audit.folder import LogFolder, open_export
from services.formats import jws
from services.formats.acknowledgement import ACKNOWLEDGEMENT, Acknowledgement, open_acknowledgement
from services.formats.canonical import TOKEN, FormatError
from services.formats.entry import OutcomeResult, sha256_hex
from services.formats.evidence import MAX_EVIDENCE, parse_evidence
from services.formats.jwk import VerifyKey
from services.formats.trust import Trust


def register(app: typer.Typer) -> None:
    """Adds `reconcile` to the auditor's commands."""
    app.command()(reconcile)


def reconcile(
    directory: Annotated[Path, typer.Argument(help="A folder of accord audit export --open.", metavar="DIR")],
    receipts: Annotated[Path, typer.Option(help="A folder of evidence files, or of acknowledgements (JWS).")],
    recipient: Annotated[str, typer.Option(help="Only what was delivered to this service: services/….")] = "",
    trust: KnownTrust = STACK_TRUST,
    as_json: AsJson = False,
) -> None:
    """Compares acknowledgements with the deliveries of the log, both ways; exits 1 when either side misses one.

    An acknowledgement counts if a key of its service, by the registry records of the export, has signed it. A delivery whose
    opening was erased can no longer be told from another: it is counted, and no more.

    Example: accord audit reconcile exports/november --receipts var/demo/evidence --trust trust.json
    """
    with explained(as_json):
        known, logs = read_trust(trust), open_export(directory)
        if not all(log.opened for log in logs):
            raise ValueError(f"{directory} holds no openings: accord audit export --open")
        held = Receipts(receipts, logs)
        with progress_bar(quiet=as_json) as progress:
            deliveries = [item for log in logs for item in _deliveries(log, known, recipient, progress)]
        result = compare(deliveries, held, recipient)
    print(json.dumps(result)) if as_json else _show(result)
    raise typer.Exit(0 if result["holds"] else BROKEN)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A DELIVERED outcome; the acknowledgement's hash is empty where its opening was erased."""

    log: str
    index: int
    exchange: str
    recipient: str
    acknowledgement: str


def _deliveries(log: LogFolder, trust: Trust, recipient: str, progress: Progress) -> Iterator[Delivery]:
    for read in read_book(log, trust, progress, opened=True):
        entry = read.entry
        delivered = entry.outcome is not None and entry.outcome.result is OutcomeResult.DELIVERED
        if delivered and recipient in ("", entry.counterparty):
            stated = read.opening.body.get("acknowledgement_sha256", "") if read.opening else ""
            yield Delivery(log.origin, read.index, entry.exchange, entry.counterparty, str(stated))


class Receipts:
    """The acknowledgements of a folder, by hash; and the files that hold none that counts."""

    def __init__(self, folder: Path, logs: list[LogFolder]) -> None:
        self._keys: dict[str, dict[str, VerifyKey]] = {}
        for record in (record for log in logs for record in log.records().values()):
            self._keys.setdefault(record.name, {}).update({key.kid: key for key in record.keys})
        self.valid: dict[str, tuple[Path, Acknowledgement]] = {}
        self.unusable: list[dict[str, str]] = []
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is not a folder")
        for path in sorted(item for item in folder.rglob("*") if item.is_file() and not item.name.startswith(".")):
            self._read(path)

    def _read(self, path: Path) -> None:
        try:
            token = acknowledgement_token(path.read_bytes())
            claims, _, _ = jws.peek(token, ACKNOWLEDGEMENT)
            keys = self._keys.get(str(claims.get("iss")), {})
            self.valid[sha256_hex(token)] = (path, open_acknowledgement(token, keys.get))
        except FormatError as error:
            self.unusable.append({"file": str(path), "why": str(error)})


def acknowledgement_token(data: bytes) -> str:
    """The acknowledgement of an evidence file, or the token that the file is. Raises: FormatError."""
    if len(data) > MAX_EVIDENCE:
        raise FormatError("too long to be evidence or an acknowledgement")
    text = data.decode("ascii", errors="replace").strip()
    return text if TOKEN.fullmatch(text) else parse_evidence(data).acknowledgement


def compare(deliveries: list[Delivery], held: Receipts, recipient: str) -> dict[str, Any]:
    """What either side misses. An erased delivery is told from others by its exchange and recipient alone."""
    stated = [item for item in deliveries if item.acknowledgement]
    agreeing = {item.acknowledgement for item in stated if _agrees(item, held)}
    erased = {(item.exchange, item.recipient) for item in deliveries if not item.acknowledgement}
    missing = [
        {"log": item.log, "index": item.index, "exchange": item.exchange, "recipient": item.recipient}
        for item in stated
        if item.acknowledgement not in agreeing
    ]
    unknown = [
        {"file": str(path), "exchange": said.exchange, "recipient": said.recipient}
        for hash_, (path, said) in held.valid.items()
        if hash_ not in agreeing and (said.exchange, said.recipient) not in erased and recipient in ("", said.recipient)
    ]
    counts = {"delivered": len(deliveries), "reconciled": len(agreeing), "erased": len(erased)}
    sides = {"without_receipt": missing, "not_in_log": unknown, "unusable": held.unusable}
    return {"holds": not any(sides.values())} | counts | sides


def _agrees(item: Delivery, held: Receipts) -> bool:
    if item.acknowledgement not in held.valid:
        return False
    _, said = held.valid[item.acknowledgement]
    return (item.exchange, item.recipient) == (said.exchange, said.recipient)


def _show(result: dict[str, Any]) -> None:
    for item in result["without_receipt"]:
        at = place(item["log"], item["index"])
        console.print(
            f"[red]✗ {at}no acknowledgement by {item['recipient']}, exchange {item['exchange']}[/]", highlight=False
        )
    for item in result["not_in_log"]:
        console.print(f"[red]✗ {item['file']}: no delivery in the log, exchange {item['exchange']}[/]", highlight=False)
    for item in result["unusable"]:
        console.print(f"[red]✗ {item['file']}: {item['why']}[/]", highlight=False)
    said = f"{result['reconciled']} of {result['delivered']} deliveries acknowledged"
    erased = f"; {result['erased']} cannot be compared: erased" if result["erased"] else ""
    console.print(f"{'[green]✓[/]' if result['holds'] else '[red]✗[/]'} {said}{erased}", highlight=False)
