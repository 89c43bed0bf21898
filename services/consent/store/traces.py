"""The trace index: what entries are searched and counted by, derived from them some time after they were appended.

Every row can be made again from its entry; two processes may add the same rows at once, and one set of them remains.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Select, bindparam, delete, func, or_, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from services.consent import tables
from services.consent.locked import HEAD
from services.consent.store.authorizations import AUTHORIZATION
from services.errors import AccordError, Reason

TRACE, ENTRY = tables.table(tables.Trace), tables.table(tables.Entry)
_ADD = {
    "sqlite": sqlite.insert(TRACE).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(TRACE).on_conflict_do_nothing(),
}
_IN_LOG = (TRACE.c.shard == bindparam("shard"), TRACE.c.epoch == bindparam("epoch"))
_LAST = select(TRACE.c.idx, TRACE.c.time_ms).where(*_IN_LOG).order_by(TRACE.c.idx.desc()).limit(1)
_FIRST_AT = (
    select(TRACE.c.idx)
    .where(*_IN_LOG, TRACE.c.time_ms >= bindparam("time_ms"))
    .order_by(TRACE.c.time_ms, TRACE.c.idx)
    .limit(1)
)
_TIME_OF = select(TRACE.c.time_ms).where(*_IN_LOG, TRACE.c.idx == bindparam("at"))
_FORGET = delete(TRACE).where(*_IN_LOG, TRACE.c.idx >= bindparam("first"))
_ENTRIES = (
    select(ENTRY.c.idx, ENTRY.c.data)
    .where(
        ENTRY.c.shard == bindparam("shard"),
        ENTRY.c.epoch == bindparam("epoch"),
        ENTRY.c.idx >= bindparam("first"),
        ENTRY.c.idx < bindparam("end"),
    )
    .order_by(ENTRY.c.idx)
)
_CHOSEN = (
    select(ENTRY.c.idx, ENTRY.c.data)
    .where(
        ENTRY.c.shard == bindparam("shard"),
        ENTRY.c.epoch == bindparam("epoch"),
        ENTRY.c.idx.in_(bindparam("indices", expanding=True)),
    )
    .order_by(ENTRY.c.idx)
)
_LOGS = select(HEAD.c.origin, HEAD.c.shard, HEAD.c.epoch, HEAD.c.size).order_by(HEAD.c.shard, HEAD.c.epoch)
_SUBJECTS = (
    select(AUTHORIZATION.c.subject)
    .where(AUTHORIZATION.c.shard == bindparam("shard"), AUTHORIZATION.c.exchange == bindparam("exchange"))
    .distinct()
)


class Rare(FunctionElement[bool]):
    """A condition that few rows meet.

    Without statistics SQLite takes two bounds of the primary key, which are the whole log, for narrower than one subject.
    """

    inherit_cache = True
    type = Boolean()
    name = "rare"

    def self_group(self, against: Any = None) -> "Rare":
        """As it is: `… = 1` around it would hide it from every index."""
        return self


@compiles(Rare)
def _as_it_is(element: Rare, compiler: SQLCompiler, **how: Any) -> str:
    return compiler.process(element.clauses, **how)


@compiles(Rare, "sqlite")
def _with_likelihood(element: Rare, compiler: SQLCompiler, **how: Any) -> str:
    return f"likelihood({compiler.process(element.clauses, **how)}, 0.0001)"


@dataclass(frozen=True, slots=True)
class Log:
    """A log of any epoch, and its size when it was looked at."""

    origin: str
    shard: int
    epoch: int
    size: int

    @property
    def key(self) -> dict[str, int]:
        """The log, for a statement."""
        return {"shard": self.shard, "epoch": self.epoch}


@dataclass(frozen=True, slots=True)
class Scan:
    """Rows of one log from index `first` until before `end`; `subjects` None: whatever the subject."""

    log: Log
    first: int
    end: int
    subjects: tuple[str, ...] | None = None
    service: str = ""
    actor: str = ""
    types: frozenset[str] = frozenset()
    reason: str = ""


def logs(connection: Connection) -> list[Log]:
    """Every log of every epoch, in order of shard and epoch."""
    return [Log(row.origin, row.shard, row.epoch, row.size) for row in connection.execute(_LOGS)]


def reached(connection: Connection, log: Log) -> int:
    """The index that the log's next row will have."""
    last = connection.execute(_LAST, log.key).first()
    return 0 if last is None else last.idx + 1


def entries(connection: Connection, log: Log, first: int, end: int) -> Sequence[tuple[int, bytes]]:
    """Entries of a log by index, in order."""
    found = connection.execute(_ENTRIES, log.key | {"first": first, "end": end})
    return [(row.idx, row.data) for row in found]


def chosen(connection: Connection, log: Log, indices: Sequence[int]) -> Sequence[tuple[int, bytes]]:
    """Entries at these indices, in order. Raises: AccordError LEDGER_ROLLED_BACK where one is gone."""
    found = [(row.idx, row.data) for row in connection.execute(_CHOSEN, log.key | {"indices": list(indices)})]
    if len(found) != len(indices):
        raise AccordError(Reason.LEDGER_ROLLED_BACK, f"{log.origin}: an entry is gone")
    return found


def add(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """New rows; those that another process has added meanwhile stay as they are."""
    if rows:
        connection.execute(_ADD[connection.dialect.name], rows)


def forget(connection: Connection, log: Log, first: int = 0) -> None:
    """Takes the rows from an index on away: they are made again."""
    connection.execute(_FORGET, log.key | {"first": first})


def first_at(connection: Connection, log: Log, time_ms: int) -> int:
    """The index of a log's first entry from an instant on; its size when there is none. Times never decrease."""
    last = connection.execute(_LAST, log.key).first()
    if last is None or last.time_ms < time_ms:
        return log.size
    index: int = connection.execute(_FIRST_AT, log.key | {"time_ms": time_ms}).scalar_one()
    return index


def span(connection: Connection, log: Log) -> tuple[int, int] | None:
    """The instants of a log's first and last entry; None for an empty log."""
    last = connection.execute(_LAST, log.key).first()
    if last is None:
        return None
    return connection.execute(_TIME_OF, log.key | {"at": 0}).scalar_one(), last.time_ms


def subjects_of(connection: Connection, shard: int, exchange: str) -> frozenset[str]:
    """The subjects under which an exchange was authorised in a shard."""
    return frozenset(connection.execute(_SUBJECTS, {"shard": shard, "exchange": exchange}).scalars())


def find(connection: Connection, scan: Scan, limit: int) -> list[int]:
    """The first indices that a scan finds, at most `limit`: O(log n) for each where a subject or a service is given."""
    found: set[int] = set()
    for walk in walks(scan, limit):
        found.update(row.idx for row in connection.execute(walk))
    return sorted(found)[:limit]


def walks(scan: Scan, limit: int) -> Iterator[Select[tuple[int]]]:
    """The statements of a scan: each walks along one index, in log order, until it has found `limit` rows."""
    for branch in _branches(scan):
        yield select(TRACE.c.idx).where(*_within(scan), branch).order_by(TRACE.c.idx).limit(limit)


def count(connection: Connection, scan: Scan) -> Iterator[tuple[tuple[str, str, str], int]]:
    """How many rows that a scan finds have (service, type, reason) in common."""
    columns = (TRACE.c.service, TRACE.c.type, TRACE.c.reason)
    conditions = [*_within(scan), true() if scan.subjects is None else Rare(TRACE.c.subject.in_(scan.subjects))]
    if scan.service:
        conditions.append(_concerns(scan.service))
    statement = select(*columns, func.count().label("count")).where(*conditions).group_by(*columns)
    for row in connection.execute(statement):
        yield (row[0], row[1], row[2]), row[3]


def _branches(scan: Scan) -> Iterator[ColumnElement[bool]]:
    """What leads to the rows: each branch is one walk along one index."""
    if scan.subjects is not None:
        also = _concerns(scan.service) if scan.service else true()
        yield from (also & Rare(TRACE.c.subject == subject) for subject in scan.subjects)
    elif scan.service:
        yield Rare(TRACE.c.service == scan.service)
        yield Rare(TRACE.c.counterparty == scan.service)
    else:
        yield true()


def _within(scan: Scan) -> Iterator[ColumnElement[bool]]:
    yield TRACE.c.shard == scan.log.shard
    yield TRACE.c.epoch == scan.log.epoch
    yield TRACE.c.idx >= scan.first
    yield TRACE.c.idx < scan.end
    if scan.actor:
        yield TRACE.c.actor == scan.actor
    if scan.types:
        yield TRACE.c.type.in_(sorted(scan.types))
    if scan.reason:
        yield TRACE.c.reason == scan.reason


def _concerns(service: str) -> ColumnElement[bool]:
    return or_(TRACE.c.service == service, TRACE.c.counterparty == service)
