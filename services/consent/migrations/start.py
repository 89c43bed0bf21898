"""What becomes of the schema before the ledger is served, and what `--migrate-only` does instead of serving.

A SQLite file belongs to the one process that opens it, which migrates it. A PostgreSQL database belongs to an owner who is
not the application: there a process changes nothing, and starts only where version and rights are what it needs.
"""

from services.chassis.db import Database
from services.chassis.migrations import migrate, require
from services.consent.migrations import FOLDER, SUPPORTED
from services.consent.migrations.roles import grant, require_rights


def prepare(database: Database) -> None:
    """Before serving. Raises: SchemaError, saying what to do; AccordError STORAGE_UNAVAILABLE."""
    with database.read() as connection:
        embedded = connection.dialect.name == "sqlite"
    if embedded:
        migrate(database, FOLDER)
    require(database, SUPPORTED)
    require_rights(database)


def migrate_only(url: str, role: str | None) -> None:
    """Migrates the database, as its owner, and gives the application's `role` its rights; again, it changes nothing.

    Raises: SchemaError, above all for a database newer than this release; AccordError STORAGE_UNAVAILABLE.
    """
    database = Database(url)
    try:
        migrate(database, FOLDER)
        require(database, SUPPORTED)
        if role is not None:
            grant(database, role)
    finally:
        database.close()
