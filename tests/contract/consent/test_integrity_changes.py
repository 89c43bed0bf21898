"""Every change that anybody with the database can make is found, and named by its row.

Columns that nothing can be held against are listed in `integrity.UNVERIFIED`; all others are changed here, one by one.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    String,
    Table,
    bindparam,
    delete,
    insert,
    update,
)

from services.consent import integrity, tables
from services.consent.domain.lifecycle import ProfileStatus
from services.formats.times import instant_of
from tests.contract.consent.behind import rows
from tests.support.eventful import everything, trust_of
from tests.support.ledgers import Bench, build

PLACES = {LargeBinary: 33, String: 9}
"""At how many places a column is changed: hashes at every byte, longer values at evenly spread ones; texts are compared."""
ALL_TABLES = tables.metadata.sorted_tables
DROPPED_MS = instant_of("2027-01-01T00:00:00.000Z")
"""Until then the traces of exchanges were dropped."""


@pytest.fixture
async def eventful(database_url: str) -> AsyncIterator[Bench]:
    """A ledger to which everything has happened."""
    bench = build(database_url)
    await everything(bench)
    yield bench
    await bench.close()


def report(bench: Bench, limit: int = 100_000) -> integrity.Report:
    return integrity.check(
        bench.database, trust_of(bench), integrity.Secrets(bench.vault, bench.identifiers), limit=limit
    )


def sampled(bench: Bench, items: list[Any], some: int, few: int = 1) -> list[Any]:
    """On SQLite `some` of the items, on PostgreSQL `few`: the first, the last and others between, always the same."""
    count = few if bench.database._engine.dialect.name == "postgresql" else some
    if len(items) <= count:
        return items
    return [items[index * (len(items) - 1) // max(count - 1, 1)] for index in range(count)]


def key_of(table: Table, row: Any) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in table.primary_key}


def other(row: Any, column: Column[Any], cell: Any) -> Any:
    """The row with another value in one column."""
    return SimpleNamespace(**(row._asdict() | {column.name: cell}))


def write(bench: Bench, table: Table, old: list[Any], column: Column[Any], values: list[Any]) -> None:
    """Gives each of these rows another value in one column."""
    place = {f"in_{column.name}": column for column in table.primary_key}
    statement = update(table).where(*(item == bindparam(name) for name, item in place.items()))
    changes = [
        {f"in_{name}": item for name, item in key_of(table, row).items()} | {"to": new}
        for row, new in zip(old, values, strict=True)
    ]
    with bench.database.write() as connection:
        connection.execute(statement.values({column.name: bindparam("to")}), changes)


@contextmanager
def changed(bench: Bench, table: Table, column: Column[Any], change_of: dict[int, Any]) -> Iterator[None]:
    """Some rows of a table with other values in one column, by their position in the order of the key."""
    old = rows(bench, table.name)
    chosen, values = [old[at] for at in change_of], list(change_of.values())
    write(bench, table, chosen, column, values)
    yield
    moved = [other(row, column, new) for row, new in zip(chosen, values, strict=True)]
    write(bench, table, moved, column, [getattr(row, column.name) for row in chosen])


def flipped(cell: bytes | str, position: int) -> bytes | str:
    """The cell with one bit of one byte, or one character, changed."""
    if isinstance(cell, str):
        return cell[:position] + chr(ord(cell[position]) ^ 1) + cell[position + 1 :]
    return cell[:position] + bytes([cell[position] ^ 1 << position % 8]) + cell[position + 1 :]


def names(finding: integrity.Finding, table: Table, row: Any) -> bool:
    """Whether a finding names this row of this table."""
    if table.name == "node" and row.level == 0 and finding.table == "entry":
        return (finding.epoch, finding.index) == (row.epoch, row.idx)  # entry and leaf differ: either is wrong
    if finding.table != table.name:
        return False
    if "idx" in table.c:
        return (finding.epoch, finding.index) == (row.epoch, row.idx)
    said = set(finding.row.split())
    key = {f"{name}={item.hex() if isinstance(item, bytes) else item}" for name, item in key_of(table, row).items()}
    return table.name == "head" or (bool(said) and said <= key)


def is_noise(table: Table, column: Column[Any], row: Any, open_keys: set[tuple[int, int, int]]) -> bool:
    """What was erased: nothing opens it, and nothing says what it was."""
    if table.name == "opening":
        return (
            column.name in ("sealed", "facts", "patient", "use") and (row.patient, row.year, row.use) not in open_keys
        )
    return table.name == "patient" and row.status == ProfileStatus.ERASED.value and column.name == "ins_hash"


def verified_columns(kinds: tuple[type, ...]) -> list[tuple[Table, Column[Any]]]:
    return [
        (table, column)
        for table in ALL_TABLES
        for column in table.c
        if isinstance(column.type, kinds) and f"{table.name}.{column.name}" not in integrity.UNVERIFIED
    ]


def places(column: Column[Any], longest: int) -> list[int]:
    """Where a column's values are changed: the first byte, the last of the longest, and others between."""
    count = next(number for kind, number in PLACES.items() if isinstance(column.type, kind))
    return sorted({at * (longest - 1) // (count - 1) for at in range(count)}) if longest else []


@pytest.mark.timeout(600)
async def test_every_changed_byte_of_every_row_is_found_where_it_stands(eventful: Bench) -> None:
    """A column at a time, one byte of all its rows at once: each of these rows is named."""
    open_keys = {(row.patient, row.year, row.use) for row in rows(eventful, "data_key")}
    survivors = set()
    for table, column in verified_columns((LargeBinary, String)):
        if column.primary_key:
            continue
        cells = {
            at: (row, getattr(row, column.name))
            for at, row in enumerate(rows(eventful, table.name))
            if getattr(row, column.name) and not is_noise(table, column, row, open_keys)
        }
        longest = max((len(cell) for _, cell in cells.values()), default=0)
        for position in sampled(eventful, places(column, longest), 33, 2):
            new = {at: flipped(cell, position) for at, (_, cell) in cells.items() if position < len(cell)}
            with changed(eventful, table, column, new):
                findings = report(eventful).findings
            missed = [at for at in new if not any(names(item, table, cells[at][0]) for item in findings)]
            survivors |= {(table.name, column.name, position, at) for at in missed}
    assert survivors == set()
    assert report(eventful).found == 0


def other_values(column: Column[Any], cell: Any) -> list[Any]:
    """What else might stand in a column of numbers, or in a key."""
    if isinstance(column.type, Boolean):
        return [not cell]
    if isinstance(column.type, (LargeBinary, String)):
        return [flipped(cell, position) for position in {0, len(cell) - 1}] if cell else []
    others = [1 << 40] if cell is None else [cell ^ 1, cell ^ 1 << 20, *([None] if column.nullable else [])]
    return (
        others if isinstance(column.type, BigInteger) else [item for item in others if item is None or item < 1 << 31]
    )


@pytest.mark.timeout(600)
async def test_every_changed_number_and_key_is_found(eventful: Bench) -> None:
    open_keys = {(row.patient, row.year, row.use) for row in rows(eventful, "data_key")}
    survivors = []
    for table, column in verified_columns((Integer, BigInteger, Boolean, LargeBinary, String)):
        if not column.primary_key and isinstance(column.type, (LargeBinary, String)):
            continue
        everyone = rows(eventful, table.name)
        taken = {tuple(key_of(table, row).values()) for row in everyone}
        for at, row in sampled(eventful, list(enumerate(everyone)), 2, 1):
            for new in sampled(eventful, other_values(column, getattr(row, column.name)), 3, 1):
                moved = tuple(key_of(table, other(row, column, new)).values())
                if is_noise(table, column, row, open_keys) or (column.primary_key and moved in taken):
                    continue
                with changed(eventful, table, column, {at: new}):
                    if not report(eventful, 1).found:
                        survivors.append((table.name, column.name, getattr(row, column.name), new))
    assert survivors == []
    assert report(eventful).found == 0


@pytest.mark.timeout(600)
async def test_every_row_that_is_gone_is_found(eventful: Bench) -> None:
    survivors = []
    for table in ALL_TABLES:
        last = rows(eventful, table.name)[-1]
        for row in sampled(eventful, rows(eventful, table.name), 8, 1):
            with eventful.database.write() as connection:
                connection.execute(
                    delete(table).where(*(table.c[name] == item for name, item in key_of(table, row).items()))
                )
            # The trace index is made behind the log: what is missing at its end is not made yet. And what a decision of a
            # dropped year counted, nobody can say.
            excused = row == last if table.name == "trace" else table.name == "quota_use" and row.time_ms < DROPPED_MS
            if not report(eventful, 1).found and not excused:
                survivors.append((table.name, key_of(table, row)))
            with eventful.database.write() as connection:
                connection.execute(insert(table), row._asdict())
    assert survivors == []
    assert report(eventful).found == 0
