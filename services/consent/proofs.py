"""Reading the log: entries, inclusion and consistency proofs, openings. Each read sees one snapshot of the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select

from services.chassis.db import Database
from services.consent.locked import HEAD, RECORD, facts_place
from services.consent.shard import read_nodes
from services.consent.store.joins import DATA_KEY, ENTRY, OF_ENTRY, OPENED_BY, OPENING
from services.consent.vault import Use, Vault
from services.errors import AccordError, Reason
from services.tlog.proof import consistency_proof, inclusion_proof
from services.tlog.tlog_proof import format_proof

# The range is said of both sides: without statistics PostgreSQL would look at every opening of the shard for each entry.
_IN_RANGE = (OPENING.c.idx >= bindparam("first"), OPENING.c.idx < bindparam("end"))
_OPENED = (
    select(ENTRY.c.idx.label("place"), ENTRY.c.data, OPENING, DATA_KEY.c.wrapped)
    .select_from(ENTRY.outerjoin(OPENING, and_(OF_ENTRY, *_IN_RANGE)).outerjoin(DATA_KEY, OPENED_BY))
    .where(
        ENTRY.c.shard == bindparam("shard"),
        ENTRY.c.epoch == bindparam("epoch"),
        ENTRY.c.idx >= bindparam("first"),
        ENTRY.c.idx < bindparam("end"),
    )
    .order_by(ENTRY.c.idx)
)
_HEAD = select(HEAD.c.size, HEAD.c.note).where(HEAD.c.shard == bindparam("shard"), HEAD.c.epoch == bindparam("epoch"))
_ENTRY = select(ENTRY.c.data).where(
    ENTRY.c.shard == bindparam("shard"), ENTRY.c.epoch == bindparam("epoch"), ENTRY.c.idx == bindparam("at")
)
_SEALED = select(OPENING, DATA_KEY.c.wrapped).where(
    OPENING.c.shard == bindparam("shard"),
    OPENING.c.epoch == bindparam("epoch"),
    OPENING.c.idx == bindparam("at"),
    OPENED_BY,
)
Sealed = tuple[bytes, bytes]
"""What a salted hash commits to: the salt, 32 bytes, and the bytes."""


@dataclass(frozen=True, slots=True)
class Proven:
    """An entry, its C2SP tlog-proof against the latest checkpoint, and its opening where that still exists."""

    index: int
    entry: bytes
    proof: str
    opening: Sealed | None


@dataclass(frozen=True, slots=True)
class Opened:
    """An entry, what its commitment opens to, and what a decision rested on, where those still exist."""

    entry: bytes
    opening: Sealed | None
    facts: Sealed | None


class Proofs:
    """Reads of all logs, by the thread that calls: those of this epoch, and of the epochs before it."""

    def __init__(self, database: Database, vault: Vault, origins: Sequence[str], epoch: int = 1) -> None:
        self._database, self._vault, self._epoch = database, vault, epoch
        self._shards = {origin: shard for shard, origin in enumerate(origins)}
        self._origins = list(origins)
        self._earlier: dict[str, tuple[int, int]] = {}

    def origin(self, shard: int) -> str:
        """The origin of a shard's log of this epoch."""
        return self._origins[shard]

    def shard(self, origin: str) -> int:
        """The shard of a log of this epoch. Raises: AccordError RESOURCE_NOT_FOUND."""
        if origin not in self._shards:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return self._shards[origin]

    def log(self, origin: str) -> tuple[int, int]:
        """(shard, epoch) of a log of any epoch. Raises: AccordError RESOURCE_NOT_FOUND."""
        if origin in self._shards:
            return self._shards[origin], self._epoch
        if origin not in self._earlier:
            with self._database.read() as connection:
                rows = connection.execute(select(HEAD.c.origin, HEAD.c.shard, HEAD.c.epoch)).all()
            self._earlier = {row.origin: (row.shard, row.epoch) for row in rows}
        if origin not in self._earlier:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return self._earlier[origin]

    def checkpoints(self) -> list[str]:
        """The latest signed checkpoint of each shard's log of this epoch."""
        notes = select(HEAD.c.note).where(HEAD.c.epoch == self._epoch).order_by(HEAD.c.shard)
        with self._database.read() as connection:
            return list(connection.execute(notes).scalars())

    def sizes(self) -> list[int]:
        """The size of each shard's log of this epoch."""
        sizes = select(HEAD.c.size).where(HEAD.c.epoch == self._epoch).order_by(HEAD.c.shard)
        with self._database.read() as connection:
            return list(connection.execute(sizes).scalars())

    def prove(self, origin: str, indices: Sequence[int], *, openings: bool) -> list[Proven]:
        """Entries with their proofs against one checkpoint. Raises: AccordError RESOURCE_NOT_FOUND."""
        log = self.log(origin)
        with self._database.read() as connection:
            head = connection.execute(_HEAD, _log(*log)).one()
            if not all(0 <= index < head.size for index in indices):
                raise AccordError(Reason.RESOURCE_NOT_FOUND)
            return [
                Proven(
                    index,
                    self._entry(connection, log, index),
                    format_proof(
                        index,
                        inclusion_proof(index, head.size, lambda nodes: read_nodes(connection, *log, nodes)),
                        head.note,
                    ),
                    self._opening(connection, origin, log, index) if openings else None,
                )
                for index in indices
            ]

    def consistency(self, origin: str, old: int, new: int) -> list[bytes]:
        """The consistency proof between two sizes. Raises: AccordError RESOURCE_NOT_FOUND beyond the log's."""
        log = self.log(origin)
        with self._database.read() as connection:
            size = connection.execute(_HEAD, _log(*log)).one().size
            if not 1 <= old <= new <= size:
                raise AccordError(Reason.RESOURCE_NOT_FOUND)
            return consistency_proof(old, new, lambda nodes: read_nodes(connection, *log, nodes))

    def entries(self, origin: str, first: int, count: int) -> list[bytes]:
        """Up to `count` entries from index `first`, in log order."""
        shard, epoch = self.log(origin)
        where = (ENTRY.c.shard == shard, ENTRY.c.epoch == epoch, ENTRY.c.idx >= first, ENTRY.c.idx < first + count)
        with self._database.read() as connection:
            return list(connection.execute(select(ENTRY.c.data).where(*where).order_by(ENTRY.c.idx)).scalars())

    def head(self, origin: str) -> tuple[int, str]:
        """(size, signed checkpoint) of a log of any epoch. Raises: AccordError RESOURCE_NOT_FOUND."""
        log = self.log(origin)
        with self._database.read() as connection:
            row = connection.execute(_HEAD, _log(*log)).one()
        return row.size, row.note

    def opened(self, origin: str, first: int, end: int) -> list[Opened]:
        """Entries from index `first` until before `end`, opened where they still can be, in log order."""
        shard, epoch = self.log(origin)
        place, keys = {"shard": shard, "epoch": epoch, "first": first, "end": end}, dict[bytes, bytes]()
        with self._database.read() as connection:
            rows = connection.execute(_OPENED, place).all()
        return [self._unseal(origin, row, keys) for row in rows]

    def _unseal(self, origin: str, row: Any, keys: dict[bytes, bytes]) -> Opened:
        if row.wrapped is None:
            return Opened(row.data, None, None)
        if row.wrapped not in keys:
            keys[row.wrapped] = self._key(row)
        place = f"{origin}|{row.place}"
        opening = self._vault.open_opening(keys[row.wrapped], row.sealed, place)
        facts = self._vault.open_opening(keys[row.wrapped], row.facts, facts_place(place)) if row.facts else None
        return Opened(row.data, opening, facts)

    def records(self, origin: str) -> list[tuple[str, int]]:
        """(service, sequence) of the registry records that the log's shard has kept, each of them once."""
        shard, _ = self.log(origin)
        where = (RECORD.c.shard == shard, RECORD.c.hash != b"")
        places = select(RECORD.c.hash, RECORD.c.service, RECORD.c.sequence).where(*where)
        with self._database.read() as connection:
            rows = connection.execute(places.order_by(RECORD.c.service, RECORD.c.sequence)).all()
        return list({row.hash: (row.service, row.sequence) for row in rows}.values())

    def record(self, origin: str, service: str, sequence: int) -> bytes:
        """The exact bytes of one of them."""
        shard, _ = self.log(origin)
        where = (RECORD.c.shard == shard, RECORD.c.service == service, RECORD.c.sequence == sequence)
        with self._database.read() as connection:
            data: bytes = connection.execute(select(RECORD.c.data).where(*where)).scalar_one()
        return data

    def facts(self, origin: str, index: int) -> Sealed | None:
        """(salt, facts) of a decision, which its body's `facts` commits to; None where there are none, or no more."""
        log = self.log(origin)
        with self._database.read() as connection:
            row = self._sealed(connection, log, index)
        if row is None or not row.facts:
            return None
        return self._vault.open_opening(self._key(row), row.facts, facts_place(f"{origin}|{index}"))

    def _key(self, row: Any) -> bytes:
        return self._vault.unwrap(row.wrapped, row.shard, row.patient, row.year, Use(row.use))

    @staticmethod
    def _entry(connection: Connection, log: tuple[int, int], index: int) -> bytes:
        data: bytes = connection.execute(_ENTRY, _log(*log) | {"at": index}).scalar_one()
        return data

    def _opening(self, connection: Connection, origin: str, log: tuple[int, int], index: int) -> Sealed | None:
        row = self._sealed(connection, log, index)
        if row is None:
            return None
        return self._vault.open_opening(self._key(row), row.sealed, f"{origin}|{index}")

    @staticmethod
    def _sealed(connection: Connection, log: tuple[int, int], index: int) -> Any | None:
        return connection.execute(_SEALED, _log(*log) | {"at": index}).one_or_none()


def _log(shard: int, epoch: int) -> dict[str, int]:
    return {"shard": shard, "epoch": epoch}
