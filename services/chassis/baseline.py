"""Recognises tables that were made before there were versions: are they what version 1 makes?

Guarantees that tables count as equal only if names, columns, types, nullability, keys, constraints, indexes and SQLite's
clustering are. Leaves other tables of the database alone, and compares neither defaults nor triggers.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Constraint,
    Dialect,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    inspect,
)


def compare(connection: Connection, upgrade: Callable[[], None]) -> list[str] | None:
    """How the database differs from what version 1's `upgrade` would make; None if it has none of its tables."""
    first = _Recorder()
    context = MigrationContext.configure(connection)
    context.impl = first  # type: ignore[assignment]
    with Operations.context(context):
        upgrade()
    present = first.tables.keys() & set(inspect(connection).get_table_names())
    if not present:
        return None
    found = MetaData()
    found.reflect(connection, only=sorted(present))
    want, have = first.lines(connection.dialect), describe(found.tables.values(), connection.dialect)
    return [f"missing: {line}" for line in sorted(want - have)] + [f"not ours: {line}" for line in sorted(have - want)]


@dataclass(slots=True)
class _Recorder:
    """Stands where Alembic talks to a database, and keeps what it is told to make."""

    tables: dict[str, Table] = field(default_factory=dict)
    indexes: list[Index] = field(default_factory=list)
    __dialect__: str = "default"

    def create_table(self, table: Table, **_: object) -> None:
        self.tables[table.name] = table

    def create_index(self, index: Index, **_: object) -> None:
        self.indexes.append(index)

    def lines(self, dialect: Dialect) -> set[str]:
        return describe(self.tables.values(), dialect) | {_index(index) for index in self.indexes}


def describe(tables: Iterable[Table], dialect: Dialect) -> set[str]:
    """Tables as lines of text: two schemas are equal if their lines are."""
    lines: set[str] = set()
    for table in tables:
        clustered = not table.dialect_options["sqlite"]["with_rowid"] and dialect.name == "sqlite"
        lines.add(f"{table.name}{' without rowid' if clustered else ''}")
        lines |= {_column(column, dialect) for column in table.columns}
        lines |= {_constraint(table, constraint) for constraint in table.constraints}
        lines |= {_index(index) for index in table.indexes}
    return lines


def _column(column: Column[Any], dialect: Dialect) -> str:
    null = "" if column.nullable else " not null"
    return f"{column.table.name}.{column.name} {column.type.compile(dialect)}{null}"


def _constraint(table: Table, constraint: Constraint) -> str:
    match constraint:
        case PrimaryKeyConstraint() | UniqueConstraint():
            kind = "primary key" if isinstance(constraint, PrimaryKeyConstraint) else "unique"
            return f"{table.name} {kind} ({', '.join(constraint.columns.keys())})"
        case ForeignKeyConstraint():
            target = ", ".join(element.target_fullname for element in constraint.elements)
            return f"{table.name} ({', '.join(constraint.columns.keys())}) references {target}"
        case CheckConstraint():
            return f"{table.name} check {constraint.sqltext}"
    return f"{table.name} {type(constraint).__name__} {constraint.name}"


def _index(index: Index) -> str:
    table = index.table.name if index.table is not None else ""
    return f"{table} {'unique ' if index.unique else ''}index {index.name} ({', '.join(index.columns.keys())})"
