"""A log's entries and what they commit to, in log order: each is canonical, in its place, the leaf that the tree holds, and
the one thing that its opening opens.

Guarantees that every opening is opened where its key exists, and counted where it does not. Hands on, page by page, what was
read, so that nothing is read twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import and_, select

from services.consent import tables
from services.consent.integrity.case import PAGE, Case, Log, in_log
from services.consent.integrity.tree import hashes
from services.consent.locked import DATA_KEY, facts_place, use_of
from services.consent.shard import ENTRY, NODE
from services.consent.vault import Use
from services.formats.canonical import loads_canonical
from services.formats.entry import MAX_BODY, Entry, EntryType, Pin, commitment, parse_entry
from services.formats.times import text_of
from services.tlog.tree import EMPTY_ROOT, leaf_hash

OPENING = tables.table(tables.Opening)
BY_KEY = and_(
    OPENING.c.shard == DATA_KEY.c.shard,
    OPENING.c.patient == DATA_KEY.c.patient,
    OPENING.c.year == DATA_KEY.c.year,
    OPENING.c.use == DATA_KEY.c.use,
)
"""Which key opens an opening."""
TOMBSTONES = frozenset({EntryType.PATIENT_ERASED, EntryType.RETENTION_APPLIED})
_DECIDED = frozenset({EntryType.EXCHANGE_AUTHORIZED, EntryType.EXCHANGE_DENIED})
_START = Pin(0, EMPTY_ROOT.hex())
_KEYS_KEPT = 1024


@dataclass(frozen=True, slots=True)
class Item:
    """An entry; its owner (None where no opening tells), its body and, of a decision, its facts, where they can be had."""

    index: int
    entry: Entry
    patient: int | None
    body: dict[str, Any] | None = None
    facts: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The entries of a log from index `first` until before `end`, those that could be read."""

    log: Log
    first: int
    end: int
    items: list[Item]


class Entries:
    """Reads the entries of one shard, log by log."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._before: Log | None = None
        vault = case.secrets.vault if case.secrets else None
        # Entries of one patient stand close together: a bounded memory of keys spares most of the unwrapping.
        self._unwrap = lru_cache(_KEYS_KEPT)(vault.unwrap) if vault else None

    def pages(self, head: Any, log: Log) -> Iterator[Page]:
        """A log, page by page, verified; then what stands beyond the head, and what that says."""
        case, last = self._case, None
        for first in range(0, log.size, PAGE):
            page = Page(log, first, min(first + PAGE, log.size), [])
            last = self._fill(page, last)
            yield page
        for table in (ENTRY, OPENING):
            case.beyond(table, log)
        self._before = log
        said = (last.time_ms, last.registry) if last else (0, _START)
        if (head.time_ms, Pin(head.registry_sequence, head.registry_hash)) != said:
            case.findings.add("head", case.shard, "time or registry: not what the last entry says", epoch=log.epoch)

    def _fill(self, page: Page, last: Entry | None) -> Entry | None:
        case, log = self._case, page.log
        entries = case.span(ENTRY, log, page.first, page.end)
        leaves, openings = hashes(case, log, 0, page.first, page.end), self._openings(page)
        for index in range(page.first, page.end):
            if index not in leaves:
                case.findings.add(NODE.name, case.shard, "missing", epoch=log.epoch, index=index, row="level=0")
            if index not in openings:
                case.at(OPENING, log, index, "missing")
            if index not in entries:
                case.at(ENTRY, log, index, "missing")
                continue
            with case.findings.guard(ENTRY.name, case.shard, epoch=log.epoch, index=index):
                data = bytes(entries[index].data)
                if leaves.get(index, leaf_hash(data)) != leaf_hash(data):
                    case.at(ENTRY, log, index, "not the entry whose leaf the tree holds")
                entry = parse_entry(data)
                self._check_order(log, index, entry, last)
                last = entry
                page.items.append(self._open(log, index, entry, openings.get(index)))
        return last

    def _check_order(self, log: Log, index: int, entry: Entry, last: Entry | None) -> None:
        case = self._case
        self._check_beginning(log, index, entry)
        if entry.shard != case.shard:
            case.at(ENTRY, log, index, "shard: another than the log's")
        if entry.type in TOMBSTONES:
            case.tally.covered += entry.covers
        if last is None:
            return
        if entry.time_ms < last.time_ms:
            case.at(ENTRY, log, index, "time: before the entry above it")
        if entry.registry != last.registry and (
            entry.registry.sequence <= last.registry.sequence or entry.type is not EntryType.REGISTRY_OBSERVED
        ):
            case.at(ENTRY, log, index, "registry: moves without having been observed, or back")

    def _check_beginning(self, log: Log, index: int, entry: Entry) -> None:
        """A log after another begins by declaring where that one ends and how far it had been seen; no other entry does."""
        before, lost = self._before, entry.lost
        begins = index == 0 and before is not None
        declares = entry.type is EntryType.LEDGER_RECOVERED and lost is not None
        if declares is not begins:
            self._case.at(ENTRY, log, index, "a log after another begins with what was lost, and only there")
        elif before is not None and lost is not None and (lost.origin, lost.size) != (before.origin, before.size):
            self._case.at(ENTRY, log, index, "lost: not where the log before it ends")

    def _openings(self, page: Page) -> dict[int, Any]:
        where = (OPENING.c.idx >= page.first, OPENING.c.idx < page.end)
        statement = select(OPENING, DATA_KEY.c.wrapped).outerjoin(DATA_KEY, BY_KEY)
        rows = self._case.connection.execute(statement.where(*in_log(OPENING, page.log), *where))
        return {row.idx: row for row in rows}

    def _open(self, log: Log, index: int, entry: Entry, row: Any) -> Item:
        case = self._case
        if row is None:
            return Item(index, entry, None)
        # Traces had no keys of their own before version 2 of the schema: theirs is the record's.
        uses = {use_of(entry.type).value, Use.RECORD.value}
        if row.use not in uses or row.year != int(text_of(entry.time_ms)[:4]):
            case.at(OPENING, log, index, "use or year: not its entry's")
        if row.wrapped is None:
            case.tally.closed += 1
        elif self._unwrap is not None:
            with case.findings.guard(OPENING.name, case.shard, epoch=log.epoch, index=index):
                body, facts = self._opened(log, index, entry, row)
                case.tally.opened += 1
                return Item(index, entry, row.patient, body, facts)
        return Item(index, entry, row.patient)

    def _opened(self, log: Log, index: int, entry: Entry, row: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Body and facts. Raises: what `BROKEN` lists."""
        assert self._case.secrets is not None
        assert self._unwrap is not None
        vault, place = self._case.secrets.vault, f"{log.origin}|{index}"
        key = self._unwrap(bytes(row.wrapped), row.shard, row.patient, row.year, Use(row.use))
        salt, data = vault.open_opening(key, bytes(row.sealed), place)
        if commitment(salt, data) != entry.commit:
            raise ValueError("not what the entry commits to")
        body = _object(data)
        bound = body.get("facts")
        if (bound is None) is not (not row.facts) or (entry.type in _DECIDED and bound is None):
            raise ValueError("facts: there, or missing, against what the body says")
        if bound is None:
            return body, None
        salt, data = vault.open_opening(key, bytes(row.facts), facts_place(place))
        if commitment(salt, data) != bound:
            raise ValueError("facts: not what the body commits to")
        return body, _object(data)


def _object(data: bytes) -> dict[str, Any]:
    value = loads_canonical(data, MAX_BODY)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value
