"""A ledger that grows, is backed up, grows on, and is restored from the backup: what a recovery starts from."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from services.chassis.db import Database
from services.chassis.witness import Witness
from services.consent import integrity, recovery, tables
from services.consent.domain import commands as c
from services.consent.domain.terms import Limits
from services.consent.locked import Means
from services.consent.proofs import Proofs
from services.errors import AccordError
from services.formats.canonical import dumps, loads
from services.formats.entry import EntryType, parse_entry
from services.formats.trust import Trust
from services.tlog.note import NoteSigner, Verifier
from services.tlog.tiles import export
from services.tlog.tree import leaf_hash, merkle_root
from tests.support.ledgers import (
    DAY_MS,
    EVERYTHING,
    HOLDER,
    LOG_KEY,
    PUBLIC_KEY,
    RECIPIENT,
    SENDER,
    Bench,
    HeldClock,
    HeldView,
    build,
    ins,
    query,
    record,
)

SHARDS, PATIENTS = 2, 4
DOMAIN = "accord.example"


class CrashError(Exception):
    """The process is gone."""


class Crashing(Database):
    """A database whose process dies at its `at`-th commit: just before it, or just after it."""

    def __init__(self, url: str, at: int, *, after: bool) -> None:
        super().__init__(url)
        self.commits, self._at, self._after = 0, at, after

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self.commits += 1
        dies = self.commits == self._at
        with super().write() as connection:
            yield connection
            if dies and not self._after:
                raise CrashError
        if dies:
            raise CrashError


@dataclass
class Memory:
    """A witness's memory."""

    notes: dict[str, str] = field(default_factory=dict)

    async def checkpoints(self) -> Mapping[str, str]:
        return dict(self.notes)

    async def keep(self, origin: str, note: str) -> None:
        self.notes[origin] = note


@dataclass
class Shown:
    """The logs, as a running ledger would show them."""

    proofs: Proofs

    async def checkpoints(self) -> list[str]:
        return self.proofs.checkpoints()

    async def consistency(self, origin: str, old: int, new: int) -> list[bytes] | None:
        try:
            return self.proofs.consistency(origin, old, new)
        except AccordError:
            return None


def trust_of(*epochs: int, shards: int = SHARDS) -> Trust:
    """TRUST of the logs of these epochs."""
    origins = [f"{DOMAIN}/ledger/{epoch}/{shard}" for epoch in epochs for shard in range(shards)]
    return Trust(DOMAIN, tuple(Verifier(origin, PUBLIC_KEY) for origin in origins), ())


@dataclass
class Loss:
    """A ledger that lost what came after its backup; `sizes` are those of the backup, `seen` those before the loss."""

    url: str
    folder: Path
    clock: HeldClock
    view: HeldView
    vault: Any
    identifiers: Any
    witness: Memory
    backup: dict[str, list[dict[str, Any]]]
    sizes: list[int]
    seen: list[int]
    patients: list[c.Address]
    revoked: c.Consent
    erased: c.Address

    @property
    def secrets(self) -> integrity.Secrets:
        return integrity.Secrets(self.vault, self.identifiers)

    def means(self, epoch: int = 2) -> list[Means]:
        signers = [NoteSigner(f"{DOMAIN}/ledger/{epoch}/{shard}", LOG_KEY.sign, PUBLIC_KEY) for shard in range(SHARDS)]
        return [
            Means(shard, signer, self.vault, self.clock, os.urandom, 1000, epoch)
            for shard, signer in enumerate(signers)
        ]

    def restore(self) -> None:
        """Puts the backup back, every row of it."""
        database = Database(self.url)
        with database.write() as connection:
            for table in tables.metadata.sorted_tables:
                connection.execute(delete(table))
                if self.backup[table.name]:
                    connection.execute(insert(table), self.backup[table.name])
        database.close()

    def recover(self, database: Database | None = None, *, exported: bool = True) -> recovery.Recovered:
        """The recovery, with the witness's memory and the export."""
        opened = database or Database(self.url)
        export = recovery.read_export(self.folder) if exported else None
        try:
            notes = list(self.witness.notes.values())
            return recovery.recover(opened, trust_of(1), self.secrets, self.means(), notes, export)
        finally:
            opened.close()

    def build(self, epoch: int) -> Bench:
        """A process on the database, of this epoch."""
        origin = f"{DOMAIN}/ledger/{epoch}"
        return build(self.url, SHARDS, origin, clock=self.clock, view=self.view, epoch=epoch)

    def check(self, *epochs: int) -> integrity.Report:
        database = Database(self.url)
        report = integrity.check(database, trust_of(*epochs), self.secrets)
        database.close()
        return report


def copy_of(database: Database) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, by table."""
    with database.read() as connection:
        return {
            table.name: [row._asdict() for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in tables.metadata.sorted_tables
        }


async def lose(url: str, folder: Path, *, tiles: bool = False) -> Loss:
    """Grows, backs up five years later, grows on with a witness behind and an export at the end, and restores."""
    bench = build(url, SHARDS)
    patients = [await bench.consenting(number) for number in range(PATIENTS)]
    for address in patients:
        await bench.authorize(query(address))
    bench.clock.now_ms += 5 * 365 * DAY_MS
    bench.view.set([record(SENDER), record(RECIPIENT)])
    while await bench.ledger.sweep(0):
        pass
    given = [[await bench.grant(address, service) for service in (SENDER, RECIPIENT)] for address in patients]
    await bench.across.add_identity(c.AddIdentity(ins(1001), patients[1]))
    await bench.across.add_identity(c.AddIdentity(ins(1002), patients[1]))
    await bench.ledger.do(_asking(bench, "request-before"))
    backup, sizes = copy_of(bench.database), bench.ledger.proofs.sizes()
    witness = Witness(Shown(bench.ledger.proofs), memory := Memory(), trust_of(1))
    await witness.look()
    revoked = await bench.revoke(given[0][0])
    await _lost(bench, patients)
    await witness.look()
    write_export(bench, folder, tiles=tiles)
    seen = bench.ledger.proofs.sizes()
    made = (bench.clock, bench.view, bench.vault, bench.identifiers, memory, backup)
    loss = Loss(url, folder, *made, sizes, seen, patients, revoked, patients[1])
    await bench.close()
    loss.restore()
    return loss


async def _lost(bench: Bench, patients: list[c.Address]) -> None:
    """What the backup does not hold, beside a withdrawal: a grant, decisions, erasures, and a retention."""
    await bench.grant(patients[2], SENDER)
    await bench.authorize(query(patients[2]))
    await bench.ledger.do(_asking(bench, "request-after"))
    stranger = await bench.patient(500)
    for address, traces in ((patients[1], True), (stranger, False)):
        await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_CLOSED, HOLDER))
        await bench.ledger.do(c.Erase(address, "art17", traces))
        for shard in range(SHARDS):
            await bench.ledger.do(c.DropAliases(shard, address))
    for shard in range(SHARDS):
        await bench.ledger.do(c.Retain(shard, 2026, "retention"))


def _asking(bench: Bench, request_id: str) -> c.RequestConsent:
    end_ms = bench.clock.now_ms + 30 * DAY_MS
    return c.RequestConsent(SENDER, EVERYTHING, None, end_ms, Limits(), 3600, request_id, "d")


def write_export(bench: Bench, folder: Path, *, tiles: bool) -> None:
    """An audit export of all logs: entries a line each or as tiles, checkpoints, and the openings that still open."""
    proofs = bench.ledger.proofs
    for number, note in enumerate(proofs.checkpoints()):
        origin, size = note.split("\n")[0], int(note.split("\n")[1])
        entries, place = proofs.entries(origin, 0, size), folder / str(number)
        place.mkdir(parents=True)
        (place / "checkpoint").write_text(note)
        if tiles:
            for name, data in export(entries, size, merkle_root([leaf_hash(item) for item in entries])):
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(data)
        else:
            (place / "entries.ndjson").write_bytes(b"".join(item + b"\n" for item in entries))
        proven = proofs.prove(origin, range(size), openings=True)
        lines = [
            dumps({"index": item.index, "salt": item.opening[0].hex(), "body": loads(item.opening[1])}) + b"\n"
            for item in proven
            if item.opening is not None
        ]
        (place / "openings.ndjson").write_bytes(b"".join(lines))
    origins = [log.origin for log in bench.logs]
    (folder / "export.json").write_text(json.dumps({"format": "accord-export/v1", "logs": origins}))


def end_of(loss: Loss) -> Any:
    """What a recovery leaves, its secrets apart."""
    rows = copy_of(database := Database(loss.url))
    database.close()
    shown = {
        "consent": ("id", "state", "cause", "revision", "standing"),
        "patient": ("id", "status", "aliases"),
        "revision": ("consent", "revision", "state", "epoch"),
        "data_key": ("patient", "year", "use"),
        "alias": ("to_patient",),
        "consent_request": ("id", "state"),
        "head": ("shard", "epoch", "origin", "size"),
    }
    ends = {name: [tuple(row[column] for column in columns) for row in rows[name]] for name, columns in shown.items()}
    kinds = Counter((row["shard"], row["epoch"], parse_entry(row["data"]).type) for row in rows["entry"])
    return ends, kinds
