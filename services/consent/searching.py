"""Finding entries and counting them: what a filter means to the trace index, and one bounded look into one log.

Everything here reads, in the caller's thread, at one snapshot of the database. A look examines at most LOOK rows of the
index, or RESIDUE entries where the entries themselves must be read, and says where to go on. Leaves it to `audit` that the
index has caught up, and that the reading is on the record.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, select

from services.chassis.db import Database
from services.consent.domain.searching import Filter, Item
from services.consent.domain.values import Address
from services.consent.indexing import row_of
from services.consent.locked import DATA_KEY, IDENTITY_YEAR
from services.consent.profiles import PROFILE
from services.consent.store import consents, patients, traces
from services.consent.store.traces import Log, Scan
from services.consent.vault import Use, Vault, subject_of
from services.errors import AccordError, Reason
from services.formats.entry import EntryType
from services.formats.times import text_of

LOOK = 250_000
"""Rows that one look walks over where no subject leads it."""
RESIDUE, CHUNK = 5_000, 500
"""Entries that one look reads to see what they name, and how many at a time."""
Kind = tuple[str, str, str, str]
"""Month (YYYY-MM, UTC), service, type, reason."""
EXCHANGES = frozenset(type_.value for type_ in EntryType if type_.value.startswith("exchange."))
_IDENTITY_KEY = select(DATA_KEY.c.wrapped).where(
    DATA_KEY.c.shard == bindparam("shard"),
    DATA_KEY.c.patient == bindparam("patient"),
    DATA_KEY.c.year == IDENTITY_YEAR,
    DATA_KEY.c.use == Use.RECORD.value,
)


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Where a filter can find anything: one shard, some subjects, and the patient they are of; None: anywhere."""

    shard: int | None = None
    subjects: frozenset[str] | None = None
    patient: Address | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found, and the index at which the next begins; None when the log holds no more."""

    items: list[Item]
    next: int | None


class Searcher:
    """Reads by the trace index."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def narrow(self, wanted: Filter) -> Narrowed:
        """The subjects that a filter's patient has. Raises: AccordError RESOURCE_NOT_FOUND for none, or one erased."""
        with self._database.read() as connection:
            groups = list(self._groups(connection, wanted))
        if not groups:
            return Narrowed()
        asked = [patient for patient, _ in groups]
        subjects = frozenset.intersection(*(some for _, some in groups))
        return Narrowed(asked[0].shard, subjects if len(set(asked)) == 1 else frozenset(), asked[0])

    def _groups(self, connection: Connection, wanted: Filter) -> Iterator[tuple[Address, frozenset[str]]]:
        if wanted.patient is not None:
            subject = patients.find_subject(connection, wanted.patient, wanted.service)
            yield wanted.patient, frozenset({_known(subject)})
        if wanted.profile is not None:
            yield wanted.profile, self._subjects(connection, wanted.profile)
        if wanted.consent is not None:
            consent = consents.find_consent(connection, *wanted.consent)
            patient = Address(consent.shard, consent.patient) if consent else None
            # Entries that name it are of any service of the patient: a recipient's consent stands in its senders' exchanges.
            subjects = self._subjects(connection, patient)
            if patient is not None:
                yield patient, subjects

    def _subjects(self, connection: Connection, patient: Address | None) -> frozenset[str]:
        key = {"shard": patient.shard, "patient": patient.patient} if patient else None
        wrapped = connection.execute(_IDENTITY_KEY, key).scalar() if key else None
        if patient is None or wrapped is None:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        identity_key = self._vault.unwrap(wrapped, patient.shard, patient.patient, IDENTITY_YEAR)
        paired = patients.subjects(connection, patient).values()
        return frozenset({*paired, subject_of(identity_key, PROFILE)})

    def look(self, wanted: Filter, narrowed: Narrowed, log: Log, first: int, end: int, limit: int) -> Found:
        """At most `limit` entries of a log from index `first` until before `end`."""
        with self._database.read() as connection:
            scan = _scan(connection, wanted, narrowed, log, first, end)
            if scan.first >= scan.end:
                return Found([], None)
            stop = scan.end if scan.subjects is not None else min(scan.end, scan.first + LOOK)
            found = _walk(connection, wanted, replace(scan, end=stop), limit)
        return replace(found, next=stop if found.next is None and stop < scan.end else found.next)

    def months(self, wanted: Filter, log: Log) -> list[tuple[str, int, int]]:
        """(YYYY-MM, first index, end) of each month that a log's entries are of, as far as the filter's times go."""
        with self._database.read() as connection:
            span = traces.span(connection, log)
            if span is None:
                return []
            first, end = _period(connection, wanted, log, 0, log.size)
            months = [(name, traces.first_at(connection, log, start_ms)) for name, start_ms in _months(*span)]
        ends = [*(at for _, at in months[1:]), log.size]
        bounds = [(name, max(at, first), min(to, end)) for (name, at), to in zip(months, ends, strict=True)]
        return [(name, at, to) for name, at, to in bounds if at < to]

    def count(self, wanted: Filter, narrowed: Narrowed, log: Log, month: tuple[str, int, int]) -> Counter[Kind]:
        """Counts of one month; the filter must not be `in_entries`."""
        name, first, end = month
        with self._database.read() as connection:
            scan = _scan(connection, replace(wanted, start_ms=None, end_ms=None), narrowed, log, first, end)
            return Counter({(name, *kind): count for kind, count in traces.count(connection, scan)})


def counted(items: list[Item]) -> Counter[Kind]:
    """Counts of entries that were found one by one."""
    rows = (row_of(item.entry) for item in items)
    return Counter((text_of(row["time_ms"])[:7], row["service"], row["type"], row["reason"]) for row in rows)


def _scan(connection: Connection, wanted: Filter, narrowed: Narrowed, log: Log, first: int, end: int) -> Scan:
    first, end = _period(connection, wanted, log, first, end)
    subjects, types = narrowed.subjects, frozenset(type_.value for type_ in wanted.types)
    if wanted.exchange:
        types = (types or EXCHANGES) & EXCHANGES
        end = end if types else first
        known = traces.subjects_of(connection, log.shard, wanted.exchange)
        # An attempt before the pairing is under no subject: it names nobody.
        around = known | {""} if known else None
        subjects = around if subjects is None or around is None else subjects & around
    return Scan(
        log,
        first,
        end,
        tuple(sorted(subjects)) if subjects is not None else None,
        "" if wanted.patient else wanted.service,
        wanted.actor,
        types,
        wanted.reason.value if wanted.reason else "",
    )


def _period(connection: Connection, wanted: Filter, log: Log, first: int, end: int) -> tuple[int, int]:
    """Indices instead of times: a log's times never decrease."""
    if wanted.start_ms is not None:
        first = max(first, traces.first_at(connection, log, wanted.start_ms))
    if wanted.end_ms is not None:
        end = min(end, traces.first_at(connection, log, wanted.end_ms))
    return first, end


def _walk(connection: Connection, wanted: Filter, scan: Scan, limit: int) -> Found:
    items: list[Item] = []
    at, read = scan.first, 0
    while len(items) < limit and read < RESIDUE:
        chunk = CHUNK if wanted.in_entries else limit - len(items)
        indices = traces.find(connection, replace(scan, first=at), chunk)
        for index, entry in traces.chosen(connection, scan.log, indices):
            if len(items) == limit:
                return Found(items, index)
            if wanted.matches(entry):
                items.append(Item(scan.log.origin, index, entry))
        if len(indices) < chunk:
            return Found(items, None)
        at, read = indices[-1] + 1, read + len(indices)
    return Found(items, at if at < scan.end else None)


def _months(first_ms: int, last_ms: int) -> Iterator[tuple[str, int]]:
    """The name and the start of each month from that of one instant to that of another."""
    year, month = (int(part) for part in text_of(first_ms)[:7].split("-"))
    while (start_ms := int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1000) <= last_ms:
        yield f"{year:04}-{month:02}", start_ms
        year, month = (year + month // 12, month % 12 + 1)


def _known(subject: str | None) -> str:
    if subject is None:
        raise AccordError(Reason.RESOURCE_NOT_FOUND)
    return subject
