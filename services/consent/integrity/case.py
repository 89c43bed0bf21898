"""What all parts of a verification share: one shard, one snapshot of its database, and a place on disk to compare in.

Guarantees that rows are read a page at a time, whatever their number; that the scratch is a temporary file, gone with the
process, and holds places, states and hashes but nothing that was sealed.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, select, tuple_

from services.consent.domain.identifiers import Identifiers
from services.consent.integrity.report import Findings
from services.consent.vault import Vault

PAGE = 128
"""Rows read at a time."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What opens openings and reads external names."""

    vault: Vault
    identifiers: Identifiers


@dataclass(frozen=True, slots=True)
class Log:
    """A shard's log of one epoch, as large as its head states."""

    origin: str
    shard: int
    epoch: int
    size: int


@dataclass(slots=True)
class Tally:
    """Openings opened, openings whose key is gone, and openings that tombstones account for."""

    opened: int = 0
    closed: int = 0
    covered: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """One shard under verification; `secrets` None: nothing is opened."""

    connection: Connection
    shard: int
    shards: int
    domain: str
    secrets: Secrets | None
    findings: Findings
    tally: Tally
    scratch: sqlite3.Connection

    def origin(self, epoch: int) -> str:
        """What this shard's log of an epoch is called."""
        return f"{self.domain}/ledger/{epoch}/{self.shard}"

    def rows(self, statement: Select[Any], *key: Column[Any]) -> Iterator[Any]:
        """The rows of a statement in the order of `key`, which it selects, and which no two rows share."""
        ordered, after = statement.order_by(*key).limit(PAGE), None
        while True:
            page = self.connection.execute(ordered if after is None else ordered.where(tuple_(*key) > after)).all()
            yield from page
            if len(page) < PAGE:
                return
            after = tuple_(*(page[-1]._mapping[column] for column in key))

    def span(self, table: Table, log: Log, first: int, end: int) -> dict[int, Any]:
        """The rows of a log's table from one index until before another, by index."""
        where = (table.c.idx >= first, table.c.idx < end)
        return {row.idx: row for row in self.connection.execute(select(table).where(*in_log(table, log), *where))}

    def beyond(self, table: Table, log: Log) -> None:
        """Finds the rows of a log's table that belong to no entry."""
        for outside in (table.c.idx < 0, table.c.idx >= log.size):
            statement = select(table.c.idx).where(*in_log(table, log), outside)
            for row in self.rows(statement, table.c.idx):
                self.at(table, log, row.idx, "belongs to no entry of the signed log")

    def at(self, table: Table, log: Log, index: int, what: str) -> None:
        """A finding at an entry's place."""
        self.findings.add(table.name, self.shard, what, epoch=log.epoch, index=index)

    def at_log(self, log: Log, what: str) -> None:
        """A finding at a whole log."""
        self.findings.add("entry", self.shard, what, epoch=log.epoch)

    def keyed(self, table: Table, what: str, **key: Any) -> None:
        """A finding at a row with another key."""
        self.findings.add(table.name, self.shard, what, row=row_of(**key))

    def differ(self, table: Table, row: Any, said: dict[str, Any], key: dict[str, Any], who: str = "the log") -> None:
        """A finding that names the columns in which a row differs from what is said of it, if any."""
        other = [name for name, value in said.items() if getattr(row, name) != value]
        if other:
            self.keyed(table, f"{', '.join(other)}: not what {who} says", **key)


def in_log(table: Table, log: Log) -> Sequence[ColumnElement[bool]]:
    """The rows of one log."""
    return table.c.shard == log.shard, table.c.epoch == log.epoch


def row_of(**key: Any) -> str:
    """A row's key, as a finding names it."""
    texts = {name: value.hex() if isinstance(value, bytes) else value for name, value in key.items()}
    return " ".join(f"{name}={value}" for name, value in texts.items())
