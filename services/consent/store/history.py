"""What a shard's log tells of an earlier instant, and where its head stands now.

Leaves to the indexer that `trace` holds each log's entries without gaps, up to wherever it has come: what lies beyond is
read from the log itself.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, select

from services.consent import tables
from services.consent.domain.values import Address
from services.consent.store.facts import QUOTA_USE
from services.consent.store.joins import DATA_KEY, ENTRY, OF_ENTRY, OPENING
from services.consent.vault import Use
from services.formats.entry import Entry, EntryType, parse_entry

HEAD, TRACE = tables.table(tables.Head), tables.table(tables.Trace)
RECORD = tables.table(tables.RegistryRecord)
_SHARD: BindParameter[int] = bindparam("shard")
_EPOCH: BindParameter[int] = bindparam("epoch")
_PATIENT: BindParameter[int] = bindparam("patient")
_UNTIL: BindParameter[int] = bindparam("until_ms")
_READ_HEAD = select(HEAD.c.size, HEAD.c.time_ms, HEAD.c.registry_sequence).where(
    HEAD.c.shard == _SHARD, HEAD.c.epoch == _EPOCH
)
_LOGS = select(HEAD.c.epoch, HEAD.c.size).where(HEAD.c.shard == _SHARD).order_by(HEAD.c.epoch)
_READ_ENTRY = select(ENTRY.c.data).where(
    ENTRY.c.shard == _SHARD, ENTRY.c.epoch == _EPOCH, ENTRY.c.idx == bindparam("at")
)
_FIND_KEY = select(DATA_KEY.c.wrapped).where(
    DATA_KEY.c.shard == _SHARD,
    DATA_KEY.c.patient == _PATIENT,
    DATA_KEY.c.year == bindparam("year"),
    DATA_KEY.c.use == Use.RECORD.value,
)
_INDEXED = select(func.max(TRACE.c.idx)).where(TRACE.c.shard == _SHARD, TRACE.c.epoch == _EPOCH)
_NAMED = TRACE.alias("named")
_TRACED = (
    select(TRACE.c.type)
    .where(
        TRACE.c.shard == _SHARD,
        TRACE.c.epoch == _EPOCH,
        # Found by an index that holds all it needs: SQLite would else rather read the whole log's rows.
        TRACE.c.idx.in_(
            select(_NAMED.c.idx).where(
                _NAMED.c.shard == _SHARD, _NAMED.c.subject == bindparam("subject"), _NAMED.c.epoch == _EPOCH
            )
        ),
        TRACE.c.type.in_(bindparam("types", expanding=True)),
        TRACE.c.time_ms <= _UNTIL,
    )
    .order_by(TRACE.c.idx)
)
_UNTRACED = (
    select(ENTRY.c.data)
    .join(OPENING, OF_ENTRY)
    .where(
        ENTRY.c.shard == _SHARD,
        ENTRY.c.epoch == _EPOCH,
        ENTRY.c.idx >= bindparam("first"),
        OPENING.c.patient == _PATIENT,
        OPENING.c.use == Use.RECORD.value,
    )
    .order_by(ENTRY.c.idx)
)
_RECORD_AT = (
    select(RECORD.c.data)
    .where(
        RECORD.c.shard == _SHARD, RECORD.c.service == bindparam("service"), RECORD.c.sequence <= bindparam("sequence")
    )
    .order_by(RECORD.c.sequence.desc())
    .limit(1)
)
_COUNT_USES = select(func.count()).where(
    QUOTA_USE.c.shard == _SHARD,
    QUOTA_USE.c.consent == bindparam("consent"),
    QUOTA_USE.c.time_ms >= bindparam("from_ms"),
    QUOTA_USE.c.time_ms < _UNTIL,
)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a shard's log stands."""

    size: int
    time_ms: int
    registry_sequence: int


def read_head(connection: Connection, shard: int, epoch: int) -> Head | None:
    """Where a shard's log stands; None for a database that does not hold it."""
    row = connection.execute(_READ_HEAD, {"shard": shard, "epoch": epoch}).one_or_none()
    return Head(*row) if row is not None else None


def last_entry(connection: Connection, shard: int, until_ms: int) -> Entry | None:
    """The last entry of a shard at or before an instant, whatever its epoch: a binary search, for times never decrease."""

    for epoch, size in reversed(connection.execute(_LOGS, {"shard": shard}).all()):
        found = bisect_right(range(size), until_ms, key=partial(_time_of, connection, shard, epoch))
        if found:
            return _entry(connection, shard, epoch, found - 1)
    return None


def _entry(connection: Connection, shard: int, epoch: int, index: int) -> Entry:
    key = {"shard": shard, "epoch": epoch, "at": index}
    return parse_entry(connection.execute(_READ_ENTRY, key).scalar_one())


def _time_of(connection: Connection, shard: int, epoch: int, index: int) -> int:
    return _entry(connection, shard, epoch, index).time_ms


def happenings(
    connection: Connection, address: Address, subject: str, types: Collection[EntryType], until_ms: int
) -> Iterator[EntryType]:
    """The types, of these, of a patient's entries that bear a subject: in log order, up to an instant."""
    wanted = {"subject": subject, "types": sorted(type_.value for type_ in types), "until_ms": until_ms}
    for epoch, _ in connection.execute(_LOGS, {"shard": address.shard}).all():
        log: dict[str, Any] = {"shard": address.shard, "epoch": epoch}
        last = connection.execute(_INDEXED, log).scalar()
        yield from map(EntryType, connection.execute(_TRACED, wanted | log).scalars())
        tail = log | {"patient": address.patient, "first": 0 if last is None else last + 1}
        for entry in map(parse_entry, connection.execute(_UNTRACED, tail).scalars()):
            if entry.subject == subject and entry.type in types and entry.time_ms <= until_ms:
                yield entry.type


def find_key(connection: Connection, address: Address, year: int) -> bytes | None:
    """The wrapped data key of a patient's record and year."""
    key = {"shard": address.shard, "patient": address.patient, "year": year}
    return connection.execute(_FIND_KEY, key).scalar()


def record_at(connection: Connection, shard: int, service: str, sequence: int) -> bytes | None:
    """A service's registry record as a shard knew it at a sequence; None where it knew none."""
    key = {"shard": shard, "service": service, "sequence": sequence}
    return connection.execute(_RECORD_AT, key).scalar() or None


def count_uses(connection: Connection, shard: int, consent: int, from_ms: int, until_ms: int) -> int:
    """How many exchanges a consent's quota counted from an instant until before another."""
    key = {"shard": shard, "consent": consent, "from_ms": from_ms, "until_ms": until_ms}
    return connection.execute(_COUNT_USES, key).scalar_one()
