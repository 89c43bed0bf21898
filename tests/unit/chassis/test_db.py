"""The database: one writer, durable or nothing, and every failure of the storage has one name."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, event, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from services.chassis.db import Database
from services.errors import AccordError, Reason

METADATA = MetaData()
THING = Table("thing", METADATA, Column("id", Integer, primary_key=True), Column("data", LargeBinary))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "thing.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{path}")
    opened.create(METADATA)
    yield opened
    opened.close()


def add(database: Database, *ids: int) -> None:
    with database.write() as connection:
        for item in ids:
            connection.execute(insert(THING), {"id": item, "data": b"x" * 3000})


def ids(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(select(THING.c.id).order_by(THING.c.id)).scalars())


def patient(database: Database, milliseconds: int) -> None:
    """How long a writer waits for another."""
    event.listen(database._engine, "checkout", lambda raw, _, __: raw.execute(f"PRAGMA busy_timeout = {milliseconds}"))


def test_what_was_written_is_there_for_another_process(database: Database, path: Path) -> None:
    add(database, 1, 2)
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT id FROM thing ORDER BY id").fetchall() == [(1,), (2,)]
    other.close()


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("secure_delete", 1), ("foreign_keys", 1)]
)
def test_every_connection_is_durable_and_forgets_what_was_deleted(
    database: Database, pragma: str, value: object
) -> None:
    with database.read() as one, database.read() as two, database.write() as three:
        for connection in (one, two, three):
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_any_exception_undoes_the_transaction(database: Database, error: type[BaseException]) -> None:
    with pytest.raises(error), database.write() as connection:  # noqa: PT012
        connection.execute(insert(THING), {"id": 1})
        raise error
    assert ids(database) == []
    add(database, 1)


def test_a_writer_holds_the_lock_from_its_first_moment(database: Database, path: Path) -> None:
    """Before it has written anything: what it reads cannot change beneath it."""
    other = sqlite3.connect(path, isolation_level=None, timeout=0)
    with database.write(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_second_writer_waits_for_the_first(database: Database) -> None:
    entered = threading.Event()
    order: list[str] = []

    def second() -> None:
        entered.set()
        with database.write() as connection:
            order.append("second")
            connection.execute(insert(THING), {"id": 2})

    with database.write() as connection:
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait()
        order.append("first")
        connection.execute(insert(THING), {"id": 1})
    thread.join()
    assert order == ["first", "second"]
    assert ids(database) == [1, 2]


def test_a_reader_sees_one_state_whatever_is_written_meanwhile(database: Database) -> None:
    add(database, 1)
    with database.read() as reader:
        before = reader.execute(select(THING.c.id)).scalars().all()
        add(database, 2)
        assert reader.execute(select(THING.c.id)).scalars().all() == before
    assert ids(database) == [1, 2]


def test_a_lock_that_does_not_come_is_unavailable_storage(database: Database, path: Path) -> None:
    patient(database, 5)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(AccordError) as caught, database.write():
        pytest.fail("the lock is another's")
    assert (caught.value.reason, caught.value.retry_after) == (Reason.STORAGE_UNAVAILABLE, 1.0)
    assert isinstance(caught.value.__cause__, OperationalError)
    other.close()


def test_a_full_disk_is_unavailable_storage_and_half_writes_nothing(database: Database) -> None:
    add(database, 1)
    with database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    limit = pages + 2
    event.listen(database._engine, "checkout", lambda raw, _, __: raw.execute(f"PRAGMA max_page_count = {limit}"))
    with pytest.raises(AccordError) as caught:
        add(database, *range(2, 20))
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    assert ids(database) == [1]
    limit = 1_000_000
    add(database, 2)
    assert ids(database) == [1, 2]


def test_a_file_that_is_no_database_is_unavailable_storage(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"this is no database" * 1000)
    database = Database(f"sqlite:///{tmp_path / 'broken.db'}")
    for attempt in (database.ping, lambda: database.create(METADATA)):
        with pytest.raises(AccordError) as caught:
            attempt()
        assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
        assert isinstance(caught.value.__cause__, DBAPIError)


def test_a_folder_that_does_not_exist_is_unavailable_storage(tmp_path: Path) -> None:
    with pytest.raises(AccordError) as caught:
        Database(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}").create(METADATA)
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE


def test_a_wrong_statement_is_a_fault_of_ours_and_not_of_the_storage(database: Database) -> None:
    add(database, 1)
    with pytest.raises(IntegrityError):
        add(database, 1)
    with pytest.raises(ProgrammingError), database.read() as connection:
        connection.exec_driver_sql("SELECT ?", (1, 2))


def test_a_commit_that_fails_leaves_nothing_and_the_connection_is_good_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(database._engine.dialect, "do_commit", fail)
        with pytest.raises(AccordError) as caught:
            add(database, 1)
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    assert ids(database) == []
    add(database, 1)
    assert ids(database) == [1]


def test_what_was_deleted_does_not_stay_in_the_file(database: Database, path: Path) -> None:
    secret = b"279035121518989 " * 200
    with database.write() as connection:
        connection.execute(insert(THING), {"id": 1, "data": secret})
    with database.write() as connection:
        connection.execute(THING.delete())
    with database.read() as connection:
        connection.exec_driver_sql("SELECT 1")
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    assert secret[:16] not in path.read_bytes()


@pytest.mark.parametrize("url", ["mysql://localhost/accord", "postgresql+psycopg2://localhost/accord"])
def test_another_database_or_driver_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="no database of ours"):
        Database(url)


def test_it_answers_when_asked(database: Database) -> None:
    database.ping()


def test_creating_twice_changes_nothing(database: Database) -> None:
    add(database, 1)
    database.create(METADATA)
    assert ids(database) == [1]
