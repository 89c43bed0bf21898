"""A database's schema, version by version: Alembic's scripts, run by the service itself. Owns only `alembic_version`.

Guarantees: a migration, with the stamp that says so, is one transaction under one lock of the database (SQLite: BEGIN
IMMEDIATE; PostgreSQL: an advisory lock), so a crash leaves the version before or the version after, and a second process
waits (SQLite: the 5 s of `Database`), then finds the work done. A database that `create_all` made before there were versions
is recognised if it is exactly version 1. One thread of a process migrates at a time: Alembic's `op` belongs to the process.
Leaves to each service its scripts, `versions/NNNN_*.py` numbered from 0001, each after the one before; there is no way back.

A version is one phase, so that processes of two releases can run beside each other. *Expand* adds: tables, and columns
that are nullable or have a default; the release that brings it also works with the version before. *Migrate* fills what is
new, once every process writes it. *Contract* removes what no process reads any more, a release later than the one that
stopped reading it. Each release states the `Versions` it works with, and `require` refuses to start on any other: so roll
the release out, then migrate; the next phase comes with a later release. A process that runs while its database expands
goes on, but one that starts again must know the new version.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from services.chassis.baseline import compare
from services.chassis.config import ConfigError
from services.chassis.db import Database

LOCK = 0x6163636F7264
"""PostgreSQL's advisory lock of whoever changes the schema or its rights; `accord` in ASCII."""
LOCK_TIMEOUT_S = 5
"""How long a migration waits for a table: behind its wait every other statement on the table would queue."""
_log = logging.getLogger(__name__)


class SchemaError(ConfigError):
    """The database's schema is not one that this release can use or change; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The schema versions that a release works with, both ends included."""

    oldest: int
    newest: int


def migrate(database: Database, folder: Path, *, to: int | None = None) -> tuple[int, ...]:
    """Brings the database to version `to` (the newest in `folder`/versions); the versions that this call made or recognised.

    A database that is newer is left alone: `require` decides. Raises: SchemaError for one made otherwise, or for scripts
    that are not numbered in a row; AccordError STORAGE_UNAVAILABLE, and then every version is there entirely or not at all.
    """
    scripts = ScriptDirectory(str(folder))
    newest = _newest(scripts)
    made: list[int] = []
    while (version := _step(database, scripts, newest if to is None else min(to, newest))) is not None:
        _log.info("the schema has a new version", extra={"fields": {"version": version}})
        made.append(version)
    return tuple(made)


def require(database: Database, supported: Versions) -> int:
    """The database's version. Raises: SchemaError unless it is supported; AccordError STORAGE_UNAVAILABLE."""
    try:
        with database.read() as connection:
            version = version_of(connection)
    except ProgrammingError as error:
        raise SchemaError("this role may not read alembic_version: migrate, naming the role") from error
    works = f"this release works with {supported.oldest} to {supported.newest}"
    if version == 0:
        raise SchemaError(f"the database has no schema version: migrate it ({works})")
    if version < supported.oldest:
        raise SchemaError(f"the database has schema version {version}, {works}: migrate it")
    if version > supported.newest:
        raise SchemaError(f"the database has schema version {version}, {works}: start a newer release")
    return version


def version_of(connection: Connection) -> int:
    """The version that the database is stamped with, 0 for none. Raises: SchemaError for a stamp that is not ours."""
    heads = _context(connection).get_current_heads()
    if len(heads) > 1 or not all(head.isascii() and head.isdigit() for head in heads):
        raise SchemaError(f"alembic_version holds {', '.join(sorted(heads))}: not a version of this service")
    return int(heads[0]) if heads else 0


@contextmanager
def locked(database: Database) -> Iterator[Connection]:
    """A transaction that nobody else who changes the schema, or rights on it, runs beside."""
    with database.write() as connection:
        if connection.dialect.name == "postgresql":
            # A migration may take its time, and whoever waits for it too; but not for a table, see LOCK_TIMEOUT_S.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
        yield connection


def _newest(scripts: ScriptDirectory) -> int:
    found = sorted((script.revision, script.down_revision) for script in scripts.walk_revisions())
    wanted = [(_id(number), _id(number - 1) if number > 1 else None) for number in range(1, len(found) + 1)]
    if found != wanted or not found:
        raise SchemaError(f"{scripts.dir}: versions must be numbered from 0001, each after the one before")
    return len(found)


def _id(version: int) -> str:
    return f"{version:04}"


def _step(database: Database, scripts: ScriptDirectory, last: int) -> int | None:
    with locked(database) as connection:
        version = version_of(connection) + 1
        if version > last:
            return None
        if version == 1 and _made_before_versions(connection, scripts):
            _context(connection).stamp(scripts, _id(1))
        else:
            context = _context(connection, fn=lambda at, _: scripts._upgrade_revs(_id(version), at))
            with Operations.context(context):
                context.run_migrations()
        return version


def _context(connection: Connection, **options: Any) -> MigrationContext:
    # Our transaction is open: Alembic begins and ends none. It would hold SQLite's DDL to be outside transactions, which is
    # so with the driver's own BEGIN, not with `Database`'s.
    return MigrationContext.configure(connection, opts={"transactional_ddl": True, **options})


def _made_before_versions(connection: Connection, scripts: ScriptDirectory) -> bool:
    differences = compare(connection, scripts.get_revision(_id(1)).module.upgrade)
    if differences:
        problem = "the database has tables and no version, and they are not version 1's"
        raise SchemaError("\n".join([f"{problem}:", *(f"  - {line}" for line in differences)]))
    return differences is not None
