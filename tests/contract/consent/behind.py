"""Behind the ledger's back: its rows, read and changed by whoever has the database, of either kind."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select, text

from services.consent import tables
from tests.support.ledgers import Bench

THE_LOCK = select(tables.table(tables.Head)).with_for_update()
"""What a shard's writer holds: on PostgreSQL the head's row, on SQLite the transaction that this stands in."""


def change(bench: Bench, statement: str, **values: Any) -> None:
    """Changes exactly one row; `:name` in the statement stands for a value."""
    with bench.database.write() as connection:
        changed = connection.execute(text(statement), values).rowcount
    assert changed == 1


def value(bench: Bench, statement: str, **values: Any) -> Any:
    """The one value of one row."""
    with bench.database.read() as connection:
        return connection.execute(text(statement), values).scalar_one()


def rows(bench: Bench, name: str) -> list[Row[Any]]:
    """All rows of a table, in the order of its key."""
    table = tables.metadata.tables[name]
    with bench.database.read() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key)))


def replace_rows(bench: Bench, name: str, others: Sequence[Row[Any]]) -> None:
    """Exactly these rows instead of those that a table has."""
    table = tables.metadata.tables[name]
    with bench.database.write() as connection:
        connection.execute(delete(table))
        connection.execute(insert(table), [row._asdict() for row in others])


def everything(bench: Bench) -> dict[str, list[Row[Any]]]:
    """All rows of all tables."""
    return {table.name: rows(bench, table.name) for table in tables.metadata.sorted_tables}
