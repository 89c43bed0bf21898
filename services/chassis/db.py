"""One database, SQLite or PostgreSQL: its engine, its transactions, its failures. Owns no table.

Guarantees: a `write` is durable when it returns, a `read` sees one snapshot, and a database that fails (full disk, lost
connection, no connection free, corruption) is STORAGE_UNAVAILABLE and leaves nothing half written.

SQLite: a `write` takes the write lock with its first statement (BEGIN IMMEDIATE); WAL, synchronous=FULL; deleted pages are
overwritten (secure_delete). PostgreSQL: a `write` is READ COMMITTED on a server that takes writes, so whoever must be alone
locks a row first; statements, locks and idle transactions end; COMMIT waits for a synchronous standby where there is one.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event, make_url, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.errors import AccordError, Reason

P = ParamSpec("P")
T = TypeVar("T")

_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    "busy_timeout=5000",
    "cache_size=-65536",
)
_SERVER = {
    "statement_timeout": "10s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",  # a stalled process keeps a shard's lock no longer
    "timezone": "UTC",
    "synchronous_commit": "on",
}
_LINK = {
    "application_name": "accord",
    "connect_timeout": 5,
    "target_session_attrs": "read-write",  # among several hosts, and after a failover: the primary
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_POOL = {"pool_size": 8, "max_overflow": 8}
_CHECKOUT_S = 5.0
_WRITE: dict[str, dict[str, Any]] = {
    "sqlite": {"accord_begin": "IMMEDIATE"},
    "postgresql": {"isolation_level": "READ COMMITTED"},
}
_READ: dict[str, dict[str, Any]] = {
    "sqlite": {"accord_begin": "DEFERRED"},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}
_UNDONE = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the server says that it rolled the transaction back."""


class Database:
    """A database by SQLAlchemy URL; safe to use from several threads, each transaction in one thread.

    Raises: ValueError unless the URL says `sqlite` or `postgresql+psycopg` (`postgresql` alone means the same).
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(make_url(url))
        self._write, self._read = _WRITE[self._engine.dialect.name], _READ[self._engine.dialect.name]

    def create(self, metadata: MetaData) -> None:
        """Creates the tables that are missing; several processes may at once. Raises: AccordError STORAGE_UNAVAILABLE."""
        with self.write() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('accord'))"))
            metadata.create_all(connection)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may write (SQLite: alone); commits at the end, rolls back on any exception."""
        with _failures(), self._engine.connect() as connection:
            connection.execution_options(**self._write)
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, beside any writer."""
        with _failures(), self._engine.connect() as connection:
            connection.execution_options(**self._read)
            with connection.begin():
                yield connection

    def ping(self) -> None:
        """Proves that the database answers. Raises: AccordError STORAGE_UNAVAILABLE."""
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def scrub(self) -> None:
        """Empties SQLite's write-ahead log, so that what was overwritten stands in no file; elsewhere does nothing.

        Waits for transactions under way. Raises: AccordError STORAGE_UNAVAILABLE when they last too long.
        """
        if self._engine.dialect.name != "sqlite":
            return
        with _failures(), closing(self._engine.raw_connection()) as connection:
            # A PRAGMA that no transaction surrounds: https://sqlite.org/pragma.html#pragma_wal_checkpoint
            busy, *_ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise AccordError(Reason.STORAGE_UNAVAILABLE, "the write-ahead log is in use", retry_after=1.0)

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()


def retrying(unit: Callable[P, T], attempts: int = 3) -> Callable[P, T]:
    """`unit`, run again while its transaction certainly did not commit: a deadlock, a connection lost before COMMIT.

    `unit` is a whole transaction and what leads to it, and may be run from its beginning. Not run again: a COMMIT without an
    answer, for it may have happened; a lock that did not come, for its waiting is over. Raises: what its last run raised.
    """

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(attempts - 1):
            try:
                return unit(*args, **kwargs)
            except AccordError as error:
                if not _undone(error.__cause__):
                    raise
        return unit(*args, **kwargs)

    return run


def _undone(cause: BaseException | None) -> bool:
    if not isinstance(cause, DBAPIError):
        return False
    # Only COMMIT, ROLLBACK and connecting fail without a statement: what failed with one had not come to COMMIT.
    lost_before = cause.connection_invalidated and cause.statement is not None
    return lost_before or getattr(cause.orig, "sqlstate", None) in _UNDONE


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except (IntegrityError, DataError, ProgrammingError):
        raise  # the caller's statement is wrong, the storage is well
    except (DBAPIError, PoolTimeoutError) as error:
        raise AccordError(Reason.STORAGE_UNAVAILABLE, retry_after=1.0) from error


def _engine(url: URL) -> Engine:
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        return _postgresql(url.set(drivername="postgresql+psycopg"))
    if url.get_backend_name() != "sqlite":
        raise ValueError(f"no database of ours: {url.drivername}")
    engine = create_engine(url, **_POOL, hide_parameters=True)
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _postgresql(url: URL) -> Engine:
    """What the URL's query says of the link stands; what durability rests on is said last, and stands."""
    server = " ".join(f"-c {name}={value}" for name, value in _SERVER.items())
    link = {name: value for name, value in _LINK.items() if name not in url.query}
    said = url.query.get("options", "")
    options = f"{said} {server}" if isinstance(said, str) else " ".join((*said, server))
    return create_engine(
        url,
        **_POOL,
        pool_timeout=_CHECKOUT_S,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args=link | {"options": options},
    )


def _on_connect(dbapi: Any, _: Any) -> None:
    dbapi.isolation_level = None  # the driver's own BEGIN would come too late, and deferred
    cursor = dbapi.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get("accord_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")
