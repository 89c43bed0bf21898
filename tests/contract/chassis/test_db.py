"""What a transaction promises on either database: all or nothing, one snapshot to read, one name for what fails."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, insert, select
from sqlalchemy.exc import IntegrityError, ProgrammingError

from services.chassis.db import Database, retrying
from services.errors import AccordError, Reason

METADATA = MetaData()
THING = Table("thing", METADATA, Column("id", Integer, primary_key=True), Column("data", LargeBinary))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    opened.create(METADATA)
    yield opened
    opened.close()


def add(database: Database, *ids: int) -> None:
    with database.write() as connection:
        connection.execute(insert(THING), [{"id": item, "data": b"of a patient"} for item in ids])


def ids(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(select(THING.c.id).order_by(THING.c.id)).scalars())


def test_what_was_written_is_there_for_another_process(database: Database, database_url: str) -> None:
    add(database, 1, 2)
    other = Database(database_url)
    assert ids(other) == [1, 2]
    other.close()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_any_exception_undoes_the_transaction(database: Database, error: type[BaseException]) -> None:
    with pytest.raises(error), database.write() as connection:  # noqa: PT012
        connection.execute(insert(THING), {"id": 1})
        raise error
    assert ids(database) == []
    add(database, 1)


def test_a_reader_sees_one_state_whatever_is_written_meanwhile(database: Database) -> None:
    add(database, 1)
    with database.read() as reader:
        before = reader.execute(select(THING.c.id)).scalars().all()
        add(database, 2)
        assert reader.execute(select(THING.c.id)).scalars().all() == before
    assert ids(database) == [1, 2]


def test_a_wrong_statement_is_a_fault_of_ours_and_not_of_the_storage(database: Database) -> None:
    add(database, 1)
    with pytest.raises(IntegrityError):
        add(database, 1)
    with pytest.raises((ProgrammingError, TypeError)), database.read() as connection:
        connection.exec_driver_sql("SELECT 1", (1, 2))
    assert ids(database) == [1]


def test_no_connection_left_is_unavailable_storage(database: Database) -> None:
    pool: Any = database._engine.pool
    pool._timeout = 0.01
    held = [database.read() for _ in range(pool.size() + pool._max_overflow)]
    for one in held:
        one.__enter__()
    with pytest.raises(AccordError) as caught:
        ids(database)
    assert (caught.value.reason, caught.value.retry_after) == (Reason.STORAGE_UNAVAILABLE, 1.0)
    held.pop().__exit__(None, None, None)
    assert ids(database) == []
    for one in held:
        one.__exit__(None, None, None)


def test_a_commit_that_fails_leaves_nothing_and_is_not_run_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect: Any = database._engine.dialect
    runs = []

    def fail(_: object) -> None:
        runs.append(1)
        raise dialect.loaded_dbapi.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(dialect, "do_commit", fail)
        with pytest.raises(AccordError) as caught:
            retrying(add)(database, 1)
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    assert (len(runs), ids(database)) == (1, [])
    add(database, 1)


def test_tables_are_created_once_by_however_many_at_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda database: database.create(METADATA), databases))
    add(databases[0], 1)
    databases[1].create(METADATA)
    assert ids(databases[2]) == [1]
    for database in databases:
        database.close()


def test_it_answers_when_asked(database: Database) -> None:
    database.ping()
