"""One database: its engine, its transactions, its failures. Owns no table.

Guarantees: a `write` transaction takes SQLite's write lock with its first statement (BEGIN IMMEDIATE) and is durable when it
returns (WAL, synchronous=FULL); deleted pages are overwritten (secure_delete). A `read` sees one snapshot. A database
that fails (full disk, lost connection, corruption) is STORAGE_UNAVAILABLE, and leaves nothing half written.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from services.errors import AccordError, Reason

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "busy_timeout=5000",
    "cache_size=-65536",
)


class Database:
    """A database by SQLAlchemy URL; safe to use from several threads, each transaction in one thread."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)

    def create(self, metadata: MetaData) -> None:
        """Creates the tables that are missing. Raises: AccordError STORAGE_UNAVAILABLE."""
        with self.write() as connection:
            metadata.create_all(connection)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write, alone; commits at the end, rolls back on any exception."""
        with _failures(), self._engine.connect() as connection:
            connection.execution_options(accord_begin="IMMEDIATE")
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, beside any writer."""
        with _failures(), self._engine.connect() as connection:
            connection.execution_options(accord_begin="DEFERRED")
            with connection.begin():
                yield connection

    def ping(self) -> None:
        """Proves that the database answers. Raises: AccordError STORAGE_UNAVAILABLE."""
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (IntegrityError, DataError, ProgrammingError):
        raise  # the caller's statement is wrong, the storage is well
    except DBAPIError as error:
        raise AccordError(Reason.STORAGE_UNAVAILABLE, retry_after=1.0) from error


def _engine(url: str) -> Engine:
    engine = create_engine(url, pool_size=8, max_overflow=8)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _on_connect)
        event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(dbapi: Any, _: Any) -> None:
    dbapi.isolation_level = None  # the driver's own BEGIN would come too late, and deferred
    cursor = dbapi.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get("accord_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")
