"""PostgreSQL's own: what each session is told, what the storage's failures are, and which transactions may be run again."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, LargeBinary, MetaData, Table, event, insert, select, text
from sqlalchemy.exc import IntegrityError

from services.chassis.db import Database, retrying
from services.errors import AccordError, Reason

METADATA = MetaData()
THING = Table("thing", METADATA, Column("id", Integer, primary_key=True), Column("data", LargeBinary))
RAISE = "DO $$ BEGIN RAISE EXCEPTION 'as the server would' USING ERRCODE = '{}'; END $$"
CUT = "SELECT pg_terminate_backend(pg_backend_pid())"


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    opened = Database(postgresql_url)
    opened.create(METADATA)
    yield opened
    opened.close()


def add(connection: Connection, *ids: int) -> None:
    connection.execute(insert(THING), [{"id": item, "data": b"of a patient"} for item in ids])


def ids(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(select(THING.c.id).order_by(THING.c.id)).scalars())


def shown(database: Database, setting: str) -> str:
    with database.write() as connection:
        return str(connection.execute(text(f"SHOW {setting}")).scalar_one())


class Unit:
    """A transaction that adds a thing, after what `trouble` does the first times; counts its runs."""

    def __init__(self, database: Database, trouble: str, times: int = 1) -> None:
        self._database, self._trouble, self._times, self.runs = database, trouble, times, 0

    def __call__(self) -> int:
        self.runs += 1
        with self._database.write() as connection:
            add(connection, self.runs)
            if self.runs <= self._times:
                connection.execute(text(self._trouble))
        return self.runs


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("statement_timeout", "10s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("timezone", "UTC"),
        ("synchronous_commit", "on"),
        ("transaction_isolation", "read committed"),
        ("transaction_read_only", "off"),
    ],
)
def test_every_session_is_durable_and_waits_for_nothing_for_ever(database: Database, setting: str, value: str) -> None:
    assert shown(database, setting) == value


def test_a_url_adds_to_what_a_session_is_told_but_takes_no_durability_away(postgresql_url: str) -> None:
    database = Database(
        f"{postgresql_url}&options=-c%20synchronous_commit%3Doff%20-c%20work_mem%3D5MB&application_name=mine"
    )
    told = [shown(database, name) for name in ("synchronous_commit", "work_mem", "application_name")]
    assert told == ["on", "5MB", "mine"]
    database.close()


def test_a_reader_is_a_snapshot_that_cannot_write(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(text("SHOW transaction_isolation")).scalar_one() == "repeatable read"
    with pytest.raises(AccordError) as caught, database.read() as connection:
        add(connection, 1)
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    with database.write() as connection:
        add(connection, 1)
    assert ids(database) == [1]


def test_the_plain_name_of_postgresql_means_the_driver_that_there_is(postgresql_url: str) -> None:
    database = Database(postgresql_url.replace("postgresql+psycopg:", "postgresql:"))
    database.ping()
    database.close()


def test_a_failure_does_not_tell_what_was_being_written(database: Database) -> None:
    with pytest.raises(IntegrityError) as caught:  # noqa: PT012
        for _ in range(2):
            with database.write() as connection:
                add(connection, 1)
    assert "of a patient" not in str(caught.value)


def failing(database: Database, statement: str) -> AccordError:
    with pytest.raises(AccordError) as caught, database.write() as connection:  # noqa: PT012
        add(connection, 1)
        connection.execute(text(statement))
    assert caught.value.retry_after == 1.0
    return caught.value


@pytest.mark.parametrize(
    "state", ["53100", "53200", "53300", "25006", "40001", "40P01", "55P03", "57014", "58030", "XX001"]
)
def test_what_fails_in_the_server_is_unavailable_storage_and_leaves_nothing(database: Database, state: str) -> None:
    """Disk, memory, connections, read only, serialization, deadlock, lock, timeout, I/O, corruption."""
    assert failing(database, RAISE.format(state)).reason is Reason.STORAGE_UNAVAILABLE
    assert ids(database) == []


@pytest.mark.parametrize("limit", ["statement_timeout", "idle_in_transaction_session_timeout"])
def test_a_transaction_that_lasts_too_long_is_ended_and_leaves_nothing(database: Database, limit: str) -> None:
    with pytest.raises(AccordError) as caught, database.write() as connection:  # noqa: PT012
        add(connection, 1)
        connection.execute(text(f"SET LOCAL {limit} = '20ms'"))
        if limit == "statement_timeout":
            connection.execute(text("SELECT pg_sleep(60)"))
        else:
            threading.Event().wait(0.3)
            connection.execute(text("SELECT 1"))
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    assert ids(database) == []


def test_a_server_that_takes_no_writes_is_not_the_primary(database: Database, postgresql_url: str) -> None:
    name = postgresql_url.partition("?")[0].rpartition("/")[2]
    with database.write() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    other = Database(postgresql_url)
    with pytest.raises(AccordError) as caught:
        other.ping()
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    other.close()


def test_a_server_that_is_not_there_is_unavailable_storage(tmp_path: Path) -> None:
    database = Database(f"postgresql+psycopg://postgres@/accord?host={tmp_path}")
    with pytest.raises(AccordError) as caught:
        database.ping()
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    database.close()


def test_a_connection_that_was_lost_while_nobody_used_it_is_replaced_unseen(database: Database) -> None:
    other = Database(str(database._engine.url))
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    with other.write() as connection:
        assert connection.execute(text(f"{others} AND pid <> pg_backend_pid()")).all()
    other.close()
    assert ids(database) == []


@pytest.mark.parametrize("trouble", [RAISE.format("40001"), RAISE.format("40P01"), CUT])
def test_a_transaction_that_certainly_did_not_commit_is_run_again(database: Database, trouble: str) -> None:
    unit = Unit(database, trouble)
    assert retrying(unit)() == 2
    assert ids(database) == [2]


def test_it_is_run_a_bounded_number_of_times(database: Database) -> None:
    unit = Unit(database, RAISE.format("40001"), times=9)
    with pytest.raises(AccordError) as caught:
        retrying(unit, attempts=3)()
    assert (unit.runs, caught.value.reason) == (3, Reason.STORAGE_UNAVAILABLE)
    assert ids(database) == []


@pytest.mark.parametrize("state", ["55P03", "57014", "53100"])
def test_what_would_fail_again_is_not_run_again(database: Database, state: str) -> None:
    unit = Unit(database, RAISE.format(state))
    with pytest.raises(AccordError):
        retrying(unit)()
    assert unit.runs == 1


def test_a_commit_without_an_answer_is_not_run_again_for_it_may_have_happened(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect: Any = database._engine.dialect
    commit = dialect.do_commit

    def commit_and_lose(connection: Any) -> None:
        commit(connection)
        connection.driver_connection.close()
        raise dialect.loaded_dbapi.OperationalError("server closed the connection unexpectedly")

    unit = Unit(database, "SELECT 1")
    with monkeypatch.context() as patch:
        patch.setattr(dialect, "do_commit", commit_and_lose)
        with pytest.raises(AccordError) as caught:
            retrying(unit)()
    assert (unit.runs, caught.value.reason) == (1, Reason.STORAGE_UNAVAILABLE)
    assert ids(database) == [1]


def test_a_connection_cut_right_before_commit_is_an_unknown_outcome_too(database: Database) -> None:
    """It had not happened, but whoever sent COMMIT and has no answer cannot know."""
    runs = []

    def cut(connection: Connection) -> None:
        runs.append(1)
        dbapi: Any = connection.connection.driver_connection
        dbapi.pgconn.finish()

    event.listen(database._engine, "commit", cut)
    with pytest.raises(AccordError):
        retrying(Unit(database, "SELECT 1"))()
    event.remove(database._engine, "commit", cut)
    assert (len(runs), ids(database)) == (1, [])


def test_of_two_transactions_in_a_deadlock_both_end_well(database: Database) -> None:
    with database.write() as connection:
        add(connection, 1, 2)
    met = threading.Barrier(2)
    runs: list[int] = []

    def unit(first: int, second: int) -> None:
        runs.append(first)
        with database.write() as connection:
            connection.execute(text("SET LOCAL deadlock_timeout = '20ms'"))
            connection.execute(select(THING).where(THING.c.id == first).with_for_update())
            if len(runs) <= 2:
                met.wait()
            connection.execute(select(THING).where(THING.c.id == second).with_for_update())

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(retrying(unit), (1, 2), (2, 1)))
    assert len(runs) == 3
