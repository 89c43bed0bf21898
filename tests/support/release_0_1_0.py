"""A ledger of release 0.1.0: the tables that it made, and what it kept of a few days' use.

Two shards, under the keys of `ledgers`; a patient in each who consents to everything, a consent withdrawn (revision 2, two
minutes after NOW_MS), an authorisation with its outcome, one without, two refusals.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, insert, select

from services.chassis.db import Database

FOLDER = Path(__file__).parents[1] / "contract" / "release_0_1_0"
Rows = dict[str, list[dict[str, Any]]]


def rows() -> Rows:
    """What it kept, by table, in order."""

    def bytes_of(item: dict[str, Any]) -> Any:
        return bytes.fromhex(item["hex"]) if item.keys() == {"hex"} else item

    found: Rows = json.loads((FOLDER / "rows.json").read_text(), object_hook=bytes_of)
    return {name: in_order(table_rows) for name, table_rows in found.items()}


def released(database: Database, *, kept: bool = True) -> None:
    """Makes its tables, and (`kept`) the rows in them."""
    found = MetaData()
    with database.write() as connection:
        for statement in (FOLDER / f"{connection.dialect.name}.sql").read_text().split(";")[:-1]:
            connection.exec_driver_sql(statement)
        found.reflect(connection)
        for name, table_rows in rows().items() if kept else ():
            connection.execute(insert(found.tables[name]), table_rows)


def held(connection: Connection, found: MetaData) -> Rows:
    """Every row of every table that was found but the version's, in order."""
    tables = [table for table in found.tables.values() if table.name != "alembic_version"]
    return {table.name: in_order(row._asdict() for row in connection.execute(select(table))) for table in tables}


def in_order(some: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows by what they hold."""
    return sorted(some, key=lambda row: repr(sorted(row.items())))
