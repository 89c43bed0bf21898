"""Reading the log: entries, inclusion and consistency proofs, openings. Each read sees one snapshot of the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from services.chassis.db import Database
from services.consent import tables
from services.consent.locked import DATA_KEY, HEAD, facts_place
from services.consent.shard import ENTRY, read_nodes
from services.consent.vault import Vault
from services.errors import AccordError, Reason
from services.tlog.proof import consistency_proof, inclusion_proof
from services.tlog.tlog_proof import format_proof

OPENING = tables.table(tables.Opening)


@dataclass(frozen=True, slots=True)
class Proven:
    """An entry, its C2SP tlog-proof against the latest checkpoint, and its opening where that still exists."""

    index: int
    entry: bytes
    proof: str
    opening: tuple[bytes, bytes] | None


class Proofs:
    """Reads of all shards, by the thread that calls."""

    def __init__(self, database: Database, vault: Vault, origins: Sequence[str]) -> None:
        self._database, self._vault = database, vault
        self._shards = {origin: shard for shard, origin in enumerate(origins)}

    def shard(self, origin: str) -> int:
        """The shard of a log's origin. Raises: AccordError RESOURCE_NOT_FOUND."""
        if origin not in self._shards:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return self._shards[origin]

    def checkpoints(self) -> list[str]:
        """The latest signed checkpoint of each shard."""
        with self._database.read() as connection:
            return list(connection.execute(select(HEAD.c.note).order_by(HEAD.c.shard)).scalars())

    def prove(self, origin: str, indices: Sequence[int], *, openings: bool) -> list[Proven]:
        """Entries with their proofs against one checkpoint. Raises: AccordError RESOURCE_NOT_FOUND."""
        shard = self.shard(origin)
        with self._database.read() as connection:
            head = connection.execute(select(HEAD.c.size, HEAD.c.note).where(HEAD.c.shard == shard)).one()
            if not all(0 <= index < head.size for index in indices):
                raise AccordError(Reason.RESOURCE_NOT_FOUND)
            return [
                Proven(
                    index,
                    self._entry(connection, shard, index),
                    format_proof(
                        index,
                        inclusion_proof(index, head.size, lambda nodes: read_nodes(connection, shard, nodes)),
                        head.note,
                    ),
                    self._opening(connection, origin, shard, index) if openings else None,
                )
                for index in indices
            ]

    def consistency(self, origin: str, old: int, new: int) -> list[bytes]:
        """The consistency proof between two sizes. Raises: AccordError RESOURCE_NOT_FOUND beyond the log's."""
        shard = self.shard(origin)
        with self._database.read() as connection:
            size = connection.execute(select(HEAD.c.size).where(HEAD.c.shard == shard)).scalar_one()
            if not 1 <= old <= new <= size:
                raise AccordError(Reason.RESOURCE_NOT_FOUND)
            return consistency_proof(old, new, lambda nodes: read_nodes(connection, shard, nodes))

    def entries(self, origin: str, first: int, count: int) -> list[bytes]:
        """Up to `count` entries from index `first`, in log order."""
        shard = self.shard(origin)
        where = (ENTRY.c.shard == shard, ENTRY.c.idx >= first, ENTRY.c.idx < first + count)
        with self._database.read() as connection:
            return list(connection.execute(select(ENTRY.c.data).where(*where).order_by(ENTRY.c.idx)).scalars())

    def facts(self, origin: str, index: int) -> tuple[bytes, bytes] | None:
        """(salt, facts) of a decision, which its body's `facts` commits to; None where there are none, or no more."""
        shard = self.shard(origin)
        with self._database.read() as connection:
            row = self._sealed(connection, shard, index)
        if row is None or not row.facts:
            return None
        key = self._vault.unwrap(row.wrapped, shard, row.patient, row.year)
        return self._vault.open_opening(key, row.facts, facts_place(f"{origin}|{index}"))

    @staticmethod
    def _entry(connection: Connection, shard: int, index: int) -> bytes:
        where = (ENTRY.c.shard == shard, ENTRY.c.idx == index)
        data: bytes = connection.execute(select(ENTRY.c.data).where(*where)).scalar_one()
        return data

    def _opening(self, connection: Connection, origin: str, shard: int, index: int) -> tuple[bytes, bytes] | None:
        row = self._sealed(connection, shard, index)
        if row is None:
            return None
        key = self._vault.unwrap(row.wrapped, shard, row.patient, row.year)
        return self._vault.open_opening(key, row.sealed, f"{origin}|{index}")

    @staticmethod
    def _sealed(connection: Connection, shard: int, index: int) -> Any | None:
        owner = (
            OPENING.c.shard == DATA_KEY.c.shard,
            OPENING.c.patient == DATA_KEY.c.patient,
            OPENING.c.year == DATA_KEY.c.year,
        )
        statement = select(OPENING, DATA_KEY.c.wrapped).where(OPENING.c.shard == shard, OPENING.c.idx == index, *owner)
        return connection.execute(statement).one_or_none()
