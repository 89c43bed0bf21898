"""Gives a table another shape, with its rows: SQLite cannot change a key, and a table made anew drags no dead rows along.

Guarantees that every row is carried, or the migration fails; what is not computed stays as it is. Leaves to the caller to
lock the table against writers, and to make its indexes afterwards, for their names are free only then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem


@contextmanager
def remade(name: str, *shape: SchemaItem, clustered: bool = True) -> Iterator[tuple[sa.TableClause, sa.Table]]:
    """The table as it was and as it will be, both there; at the end the new one takes the name, and the old one is gone.

    `clustered`: SQLite keeps the rows in their key's order.
    """
    new = op.create_table(f"{name}_new", *shape, sqlite_with_rowid=not clustered)
    yield sa.table(name, *(sa.column(column.name) for column in new.columns)), new
    op.drop_table(name)
    op.rename_table(new.name, name)
    if op.get_context().dialect.name == "postgresql":
        op.execute(f'ALTER INDEX "{new.name}_pkey" RENAME TO "{name}_pkey"')


def carry(old: sa.TableClause, new: sa.Table, **computed: sa.ColumnElement[Any]) -> None:
    """Copies every row; columns in `computed` are given by it, per row of `old`, the others are what they were."""
    names = [column.name for column in new.columns]
    values = sa.select(*(computed.get(name, old.c[name]) for name in names)).select_from(old)
    op.execute(sa.insert(new).from_select(names, values))
