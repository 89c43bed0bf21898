"""What becomes of a database's schema before it is served, and what `--migrate-only` does instead of serving.

A SQLite file belongs to the one process that opens it, which migrates it. A PostgreSQL database belongs to an owner who is
not the application: there a process changes nothing, and starts only where version and rights are what it needs.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.chassis.db import Database
from services.chassis.migrations import Versions, migrate, require


@dataclass(frozen=True, slots=True)
class Schema:
    """A service's schema: its scripts, what this release works with, and how rights are given and asked for."""

    folder: Path
    supported: Versions
    grant: Callable[[Database, str], None]
    require_rights: Callable[[Database], None]

    def prepare(self, database: Database) -> None:
        """Before serving. Raises: SchemaError, saying what to do; AccordError STORAGE_UNAVAILABLE."""
        with database.read() as connection:
            embedded = connection.dialect.name == "sqlite"
        if embedded:
            migrate(database, self.folder)
        require(database, self.supported)
        self.require_rights(database)

    def migrate_only(self, url: str, role: str | None) -> None:
        """Migrates the database, as its owner, and gives the application's `role` its rights; again, it changes nothing.

        Raises: SchemaError, above all for a database newer than this release; AccordError STORAGE_UNAVAILABLE.
        """
        database = Database(url)
        try:
            migrate(database, self.folder)
            require(database, self.supported)
            if role is not None:
                self.grant(database, role)
        finally:
            database.close()


def parse_arguments(program: str, description: str) -> argparse.Namespace:
    """`--config FILE [--migrate-only [--role NAME]]` of a process that has a schema."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--config", type=Path, required=True, help="settings, a TOML file")
    parser.add_argument(
        "--migrate-only", action="store_true", help="brings the database to this release's schema, and ends"
    )
    parser.add_argument(
        "--role", help="with --migrate-only: PostgreSQL's role of the application, which gets its rights"
    )
    arguments = parser.parse_args()
    if arguments.role is not None and not arguments.migrate_only:
        parser.error("--role goes with --migrate-only")
    return arguments
