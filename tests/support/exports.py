"""Exports of a real ledger in a folder, ways to doctor them, and the commands that read them."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from services.consent.domain import commands as c
from services.ctl.audit import audit_app
from services.ctl.audit.access import progress_bar
from services.ctl.audit.exporting import Exported, Exporter
from services.formats.acknowledgement import Acknowledgement
from services.formats.entry import Entry, EntryType, parse_entry, sha256_hex
from services.formats.trust import Trust
from services.tlog.checkpoint import Checkpoint, sign_checkpoint
from services.tlog.note import NoteSigner, Verifier
from services.tlog.tiles import export as tile_export
from services.tlog.tree import leaf_hash, merkle_root
from tests.support.auditing import Auditing, LocalStub
from tests.support.ledgers import _SIGNER, DAY_MS, HOLDER, LOG_KEY, PUBLIC_KEY, RECIPIENT, SENDER, Bench, outcome, query

OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


def trust_of(bench: Bench) -> Trust:
    """TRUST of a bench: its logs, and no key beside."""
    return Trust("accord.example", tuple(Verifier(log.origin, PUBLIC_KEY) for log in bench.logs), ())


async def export(bench: Bench, folder: Path, *, opened: bool = False, stub: Any = None) -> list[Exported]:
    """Exports all logs of a bench, and writes TRUST beside the folder."""
    auditing = Auditing(bench)
    try:
        trust = trust_of(bench)
        with progress_bar(quiet=True) as progress:
            exporter = Exporter(cast(Any, stub or LocalStub(auditing.rpcs)), trust, folder, opened, progress)
            logs = await exporter.run()
        folder.with_name("trust.json").write_bytes(trust.to_bytes())
        return logs
    finally:
        await auditing.close()


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit status."""

    code: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def audit(*arguments: str | Path, code: int = 0) -> Said:
    """Runs a command of `accord audit`, which must end with this status."""
    done = CliRunner().invoke(audit_app, list(map(str, arguments)), env={"COLUMNS": "240", "NO_COLOR": "1"})
    assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
    return Said(done.exit_code, done.stdout)


def offline(command: str, folder: Path, *more: str | Path, code: int = 0) -> Any:
    """What a command that reads an export says as JSON, with the TRUST beside it."""
    return audit(command, folder, *more, "--trust", folder.with_name("trust.json"), "--json", code=code).json


def acknowledgement(exchange: str, recipient: str = RECIPIENT, **changes: Any) -> str:
    """The recipient's word, signed with the key of its record."""
    fields: dict[str, Any] = {"audience": "accord.example", "issued_s": 1_795_443_329, "documents": ("d" * 64,)}
    fields |= {"recipient": recipient, "exchange": exchange, "manifest_sha256": "b" * 64}
    return Acknowledgement(**(fields | changes)).sign(_SIGNER)


async def delivered(bench: Bench, address: c.Address) -> tuple[int, str]:
    """An exchange of this patient that was delivered: index of its authorisation, the acknowledgement."""
    exchange = bench.exchange()
    decision = await bench.ledger.authorize(c.Authorize(query(address), exchange, (), "t" * 43))
    token = acknowledgement(exchange)
    await bench.ledger.record_outcome(outcome(decision, exchange, acknowledgement_sha256=sha256_hex(token)))
    return decision.appended.index, token


async def lived(bench: Bench) -> dict[str, str]:
    """Patients who consent, exchange, change and withdraw, one who was erased; acknowledgements by exchange."""
    tokens = {}
    for number in range(1, 5):
        address = await bench.patient(number)
        granted = {service: await bench.grant(address, service, days=300) for service in (SENDER, RECIPIENT)}
        _, token = await delivered(bench, address)
        tokens[str(number)] = token
        await bench.authorize(query(address, categories=frozenset({"class:44"})))
        await bench.authorize(query(None))
        if number % 2:
            await bench.revoke(granted[SENDER])
            await bench.authorize(query(address))
        bench.clock.now_ms += DAY_MS
    exchange = bench.exchange()
    decision = await bench.ledger.authorize(c.Authorize(query(address), exchange, (), "t" * 43))
    await bench.ledger.sweep(-1)
    await bench.ledger.record_outcome(outcome(decision, exchange))
    return tokens


async def erase(bench: Bench, address: c.Address) -> None:
    """Closes and erases a profile, traces too."""
    await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_CLOSED, HOLDER))
    await bench.ledger.do(c.Erase(address, "gdpr_17", traces_too=True))


def entries(folder: Path, log: int = 0) -> list[Entry]:
    """The entries of an exported log."""
    return [parse_entry(line) for line in (folder / str(log) / "entries.ndjson").read_bytes().splitlines()]


def rewrite(folder: Path, lines: Sequence[bytes], key: Ed25519PrivateKey = LOG_KEY, log: int = 0) -> None:
    """Makes an exported log anew of other entries: tiles, lines and checkpoint, signed by this key."""
    path = folder / str(log)
    origin = (path / "checkpoint").read_text().partition("\n")[0]
    root = merkle_root([leaf_hash(line) for line in lines])
    shutil.rmtree(path / "tile")
    for name, data in tile_export(lines, len(lines), root):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    (path / "entries.ndjson").write_bytes(b"".join(line + b"\n" for line in lines))
    signer = NoteSigner(origin, key.sign, key.public_key().public_bytes_raw())
    (path / "checkpoint").write_text(sign_checkpoint(Checkpoint(origin, len(lines), root), signer))
