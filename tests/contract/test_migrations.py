"""The ledger's schema on both databases: it is what the code expects, and no crash and no rival leaves half of it."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.synchronize import Barrier, Event
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, MetaData, event, text

from services.chassis.baseline import describe
from services.chassis.db import Database
from services.chassis.migrations import SchemaError, migrate, require, version_of
from services.consent.migrations import FOLDER, SUPPORTED
from services.consent.migrations.roles import APPLICATION
from services.consent.tables import metadata
from tests.support.release_0_1_0 import held, released, rows

CLEAN = multiprocessing.get_context("forkserver")
"""Processes without this one's threads, which a fork would leave holding their locks."""
ALL = tuple(range(1, SUPPORTED.newest + 1))
LEAST = 50
"""Version 2 alone makes, fills, drops and renames more tables than this."""
Begin = Callable[[Database], None]
State = tuple[int, set[str], dict[str, list[dict[str, Any]]]]


@contextmanager
def opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with opened(database_url) as one:
        yield one


def wipe(database: Database) -> None:
    """Empties a database."""
    found = MetaData()
    with database.write() as connection:
        found.reflect(connection)
        found.drop_all(connection)


def empty(_: Database) -> None:
    """A database in which nobody has made anything."""


def state(connection: Connection) -> State:
    """The version, every table as it really is, and every row."""
    found = MetaData()
    found.reflect(connection)
    return version_of(connection), describe(found.tables.values(), connection.dialect), held(connection, found)


def states(database: Database, begin: Begin) -> list[State]:
    """What a database that begins so may look like: as it began, and after each version. Leaves it as it began."""
    begin(database)
    seen = []
    for version in (0, *ALL):
        if version:
            migrate(database, FOLDER, to=version)
        with database.read() as connection:
            seen.append(state(connection))
    wipe(database)
    begin(database)
    return seen


def left(database: Database, whole: list[State]) -> int:
    """The version that an end left. Raises: AssertionError unless it is there entirely, and nothing of the next."""
    with database.read() as connection:
        found = state(connection)
    assert found == whole[found[0]]
    return found[0]


def ended_everywhere(database: Database, whole: list[State], attempt: Callable[[int], bool]) -> None:
    """Lets attempts end at each point from each version, every one on what the ones before it left, until one finishes."""
    ends, point, version = 0, 1, 0
    while attempt(point):
        ends += 1
        moved = left(database, whole) != version
        version, point = (version + 1, 1) if moved else (version, point + 1)
    assert left(database, whole) == SUPPORTED.newest
    assert ends > LEAST


@contextmanager
def points(reach: Callable[[], None]) -> Iterator[None]:
    """Calls `reach` before each statement, before COMMIT and once it is done: so also after each statement."""

    def call(*_: object) -> None:
        reach()

    names = ("before_cursor_execute", "commit", "checkin")
    for name in names:
        event.listen(Engine, name, call)
    try:
        yield
    finally:
        for name in names:
            event.remove(Engine, name, call)


def migrate_until(url: str, last: int) -> None:
    """In a process of its own: kills itself at point `last`."""
    passed = count(1)

    def reach() -> None:
        if next(passed) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    with points(reach), opened(url) as database:
        migrate(database, FOLDER)


def migrate_beside(url: str, barrier: Barrier, made: "multiprocessing.SimpleQueue[tuple[int, ...]]") -> None:
    """In a process of its own: migrates when the others do."""
    with opened(url) as database:
        barrier.wait()
        made.put(migrate(database, FOLDER))


def migrate_slowly(url: str, inside: Event, go: Event) -> None:
    """In a process of its own: stops with a part of version 1 made, and the rest to come."""
    passed = count(1)

    def reach() -> None:
        if next(passed) == 10:
            inside.set()
            go.wait()

    with points(reach), opened(url) as database:
        migrate(database, FOLDER)


def test_the_newest_schema_is_the_one_that_the_code_expects(database: Database) -> None:
    migrate(database, FOLDER)
    assert require(database, SUPPORTED) == SUPPORTED.newest
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        found = MetaData()
        found.reflect(connection, only=sorted(metadata.tables))
        want = describe(metadata.tables.values(), connection.dialect)
        assert describe(found.tables.values(), connection.dialect) == want


def test_every_table_has_its_rights() -> None:
    assert set(APPLICATION) == {*metadata.tables, "alembic_version"}


def test_migrating_again_changes_nothing(database: Database) -> None:
    assert migrate(database, FOLDER) == ALL
    assert migrate(database, FOLDER) == ()


def test_a_database_of_release_0_1_0_is_recognised_and_keeps_what_it_holds(database: Database) -> None:
    released(database)
    with pytest.raises(SchemaError, match="no schema version"):
        require(database, SUPPORTED)
    assert migrate(database, FOLDER, to=1) == (1,)
    with database.read() as connection:
        version, tables, kept = state(connection)
    assert (version, kept) == (1, rows())
    wipe(database)
    migrate(database, FOLDER, to=1)
    with database.read() as connection:
        assert state(connection)[1] == tables


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("ALTER TABLE consent ADD COLUMN more INTEGER", "not ours: consent.more INTEGER"),
        ("ALTER TABLE opening DROP COLUMN facts", "missing: opening.facts"),
        ("DROP INDEX patient_by_ins", "missing: patient unique index patient_by_ins (shard, ins_hash)"),
        ("CREATE INDEX more ON entry (idx)", "not ours: entry index more (idx)"),
        ("DROP TABLE pairing", "missing: pairing primary key (shard, patient, service)"),
    ],
)
def test_tables_that_are_not_those_of_version_1_are_refused_and_left_alone(
    database: Database, change: str, difference: str
) -> None:
    released(database)
    with database.write() as connection:
        connection.exec_driver_sql(change)
        before = state(connection)
    with pytest.raises(SchemaError) as caught:
        migrate(database, FOLDER)
    assert difference in str(caught.value)
    with database.read() as connection:
        assert state(connection) == before


def test_a_version_that_this_release_does_not_know_is_left_alone_and_not_served(database: Database) -> None:
    migrate(database, FOLDER)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    assert migrate(database, FOLDER) == ()
    with pytest.raises(SchemaError, match=r"schema version 99, .* newer release"):
        require(database, SUPPORTED)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("begin", [empty, released])
def test_a_process_killed_at_any_point_leaves_whole_versions_and_rows_and_the_next_one_finishes(
    database: Database, database_url: str, begin: Begin
) -> None:
    CLEAN.set_forkserver_preload(["__main__", __name__, "psycopg", "sqlalchemy.dialects.postgresql.psycopg"])
    whole = states(database, begin)

    def killed(point: int) -> bool:
        process = CLEAN.Process(target=migrate_until, args=(database_url, point))
        process.start()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        return process.exitcode != 0

    ended_everywhere(database, whole, killed)


@pytest.mark.timeout(600)
def test_an_exception_at_any_point_leaves_whole_versions_and_the_next_attempt_finishes(database: Database) -> None:
    whole = states(database, empty)

    def broken(point: int) -> bool:
        passed = count(1)

        def reach() -> None:
            if next(passed) == point:
                raise InterruptedError

        try:
            with points(reach):
                migrate(database, FOLDER)
        except InterruptedError:
            return True
        return False

    ended_everywhere(database, whole, broken)


def test_of_processes_that_migrate_at_once_one_makes_each_version(database: Database, database_url: str) -> None:
    barrier, made = CLEAN.Barrier(4), CLEAN.SimpleQueue()
    processes = [CLEAN.Process(target=migrate_beside, args=(database_url, barrier, made)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert sorted(version for _ in processes for version in made.get()) == list(ALL)
    assert require(database, SUPPORTED) == SUPPORTED.newest


def test_whoever_comes_second_sees_nothing_of_a_version_and_then_all_of_it(
    database: Database, database_url: str
) -> None:
    inside, go = CLEAN.Event(), CLEAN.Event()
    first = CLEAN.Process(target=migrate_slowly, args=(database_url, inside, go))
    first.start()
    inside.wait()
    with database.read() as connection:
        assert state(connection) == (0, set(), {})
    with points(go.set):  # the first goes on once the second begins
        assert 1 not in migrate(database, FOLDER)
    first.join()
    assert first.exitcode == 0
    assert require(database, SUPPORTED) == SUPPORTED.newest
