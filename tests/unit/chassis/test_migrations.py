"""Versions of a schema: one after the other, each whole or not at all, and nothing starts on one that it does not know."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from services.chassis.config import ConfigError
from services.chassis.db import Database
from services.chassis.migrations import SchemaError, Versions, locked, migrate, require, version_of
from services.errors import AccordError, Reason

ONE = """
    op.create_table(
        "thing",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("parent", sa.Integer(), sa.ForeignKey("thing.id"), index=True),
    )
    op.create_index("thing_by_name", "thing", ["name"])"""
TWO = 'op.add_column("thing", sa.Column("size", sa.Integer(), nullable=True))'
THREE = 'op.execute("UPDATE thing SET size = 1 WHERE size IS NULL")'
LEGACY = (
    """CREATE TABLE thing (id INTEGER NOT NULL, name VARCHAR NOT NULL, parent INTEGER, PRIMARY KEY (id),
    FOREIGN KEY (parent) REFERENCES thing (id), UNIQUE (name))""",
    "CREATE INDEX ix_thing_parent ON thing (parent)",
    "CREATE INDEX thing_by_name ON thing (name)",
)


def write(folder: Path, *bodies: str, first: int = 1) -> Path:
    """Scripts with these bodies, numbered in a row."""
    (folder / "versions").mkdir(exist_ok=True)
    for number, body in enumerate(bodies, first):
        before = f'"{number - 1:04}"' if number > 1 else None
        lines = ["import sqlalchemy as sa", "from alembic import op", f'revision = "{number:04}"']
        lines += [f"down_revision = {before}", "def upgrade():", f"    {body.strip()}"]
        (folder / "versions" / f"{number:04}_x.py").write_text("\n".join(lines))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, ONE, TWO, THREE)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'thing.db'}")
    yield opened
    opened.close()


def run(database: Database, *statements: str) -> None:
    with database.write() as connection:
        for statement in statements:
            connection.execute(text(statement))


def version(database: Database) -> int:
    with database.read() as connection:
        return version_of(connection)


def columns(database: Database) -> list[str]:
    with database.read() as connection:
        return [column["name"] for column in inspect(connection).get_columns("thing")]


def test_an_empty_database_gets_every_version_in_order(database: Database, folder: Path) -> None:
    assert version(database) == 0
    assert migrate(database, folder) == (1, 2, 3)
    assert columns(database) == ["id", "name", "parent", "size"]
    assert version(database) == 3


def test_only_what_is_missing_is_done(database: Database, folder: Path) -> None:
    assert migrate(database, folder, to=2) == (1, 2)
    run(database, "INSERT INTO thing (id, name) VALUES (1, 'a')")
    assert migrate(database, folder) == (3,)
    assert migrate(database, folder) == ()
    with database.read() as connection:
        assert connection.execute(text("SELECT size FROM thing")).scalar_one() == 1


def test_a_version_beyond_the_scripts_is_the_newest(database: Database, folder: Path) -> None:
    assert migrate(database, folder, to=9) == (1, 2, 3)


@pytest.mark.parametrize("line", ["raise ZeroDivisionError", 'op.execute("INSERT INTO nowhere VALUES (1)")'])
def test_a_version_that_fails_leaves_the_one_before_it(database: Database, tmp_path: Path, line: str) -> None:
    write(tmp_path, ONE, f"{TWO}; op.drop_index('thing_by_name')\n    {line}")
    with pytest.raises((ZeroDivisionError, AccordError)):
        migrate(database, tmp_path)
    assert version(database) == 1
    assert columns(database) == ["id", "name", "parent"]
    write(tmp_path, ONE, TWO)
    assert migrate(database, tmp_path) == (2,)


def test_a_lock_that_does_not_come_is_unavailable_storage(database: Database, folder: Path, tmp_path: Path) -> None:
    impatient = Database(f"sqlite:///{tmp_path / 'thing.db'}")
    with impatient.read() as connection:
        connection.execute(text("PRAGMA busy_timeout = 5"))
    with locked(database), pytest.raises(AccordError) as caught:
        migrate(impatient, folder)
    assert caught.value.reason is Reason.STORAGE_UNAVAILABLE
    assert migrate(impatient, folder) == (1, 2, 3)
    impatient.close()


def test_tables_made_before_there_were_versions_are_recognised(database: Database, folder: Path) -> None:
    run(database, *LEGACY, "INSERT INTO thing (id, name) VALUES (1, 'kept')", "CREATE TABLE other (id INTEGER)")
    assert migrate(database, folder) == (1, 2, 3)
    with database.read() as connection:
        assert connection.execute(text("SELECT name, size FROM thing")).one() == ("kept", 1)


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("id INTEGER", "id BIGINT", "missing: thing.id INTEGER not null\n  - not ours: thing.id BIGINT not null"),
        ("parent INTEGER", "parent INTEGER NOT NULL", "not ours: thing.parent INTEGER not null"),
        (" PRIMARY KEY (id),", "", "missing: thing primary key (id)"),
        (", UNIQUE (name)", "", "missing: thing unique (name)"),
        ("FOREIGN KEY (parent) REFERENCES thing (id), ", "", "missing: thing (parent) references thing.id"),
        ("UNIQUE (name)", "UNIQUE (name), CHECK (id > 0)", "not ours: thing check id > 0"),
        ("UNIQUE (name))", "UNIQUE (name)) WITHOUT ROWID", "not ours: thing without rowid"),
        (
            "INDEX thing_by_name ON thing (name)",
            "INDEX thing_by_name ON thing (id)",
            "not ours: thing index thing_by_name (id)",
        ),
        ("INDEX thing_by_name", "UNIQUE INDEX thing_by_name", "not ours: thing unique index thing_by_name (name)"),
    ],
)
def test_tables_that_are_not_version_1_are_refused_with_every_difference(
    database: Database, folder: Path, old: str, new: str, difference: str
) -> None:
    changed = [statement.replace(old, new) for statement in LEGACY]
    assert changed != list(LEGACY)
    run(database, *changed)
    with pytest.raises(SchemaError) as caught:
        migrate(database, folder)
    assert f"  - {difference}" in str(caught.value)
    assert version(database) == 0


@pytest.mark.parametrize(
    ("numbers", "before"),
    [((1, 3), "0001"), ((2,), None), ((1, 2), None)],
)
def test_scripts_that_are_not_numbered_in_a_row_are_refused(
    database: Database, tmp_path: Path, numbers: tuple[int, ...], before: str | None
) -> None:
    (tmp_path / "versions").mkdir()
    for number in numbers:
        parent = repr(before if number == numbers[-1] else None)
        script = f'revision = "{number:04}"\ndown_revision = {parent}\ndef upgrade(): pass'
        (tmp_path / "versions" / f"{number}.py").write_text(script)
    with pytest.raises(SchemaError, match="numbered from 0001, each after the one before"):
        migrate(database, tmp_path)


def test_a_folder_without_scripts_is_refused(database: Database, tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    with pytest.raises(SchemaError, match="numbered from 0001"):
        migrate(database, tmp_path)


def test_a_process_starts_on_the_versions_that_it_works_with(database: Database, folder: Path) -> None:
    migrate(database, folder, to=2)
    for oldest, newest in ((1, 2), (2, 2), (2, 3)):
        assert require(database, Versions(oldest, newest)) == 2


@pytest.mark.parametrize(
    ("at", "supported", "message"),
    [
        (0, Versions(1, 2), "no schema version: migrate it (this release works with 1 to 2)"),
        (1, Versions(2, 3), "schema version 1, this release works with 2 to 3: migrate it"),
        (3, Versions(1, 2), "schema version 3, this release works with 1 to 2: start a newer release"),
    ],
)
def test_and_on_no_other(database: Database, folder: Path, at: int, supported: Versions, message: str) -> None:
    migrate(database, folder, to=at)
    with pytest.raises(ConfigError) as caught:
        require(database, supported)
    assert message in str(caught.value)


@pytest.mark.parametrize("stamps", [["cafe"], ["0001", "0002"], ["٣"]])
def test_a_stamp_that_is_not_ours_is_refused(database: Database, folder: Path, stamps: list[str]) -> None:
    migrate(database, folder)
    run(database, "DELETE FROM alembic_version")
    run(database, *(f"INSERT INTO alembic_version VALUES ('{stamp}')" for stamp in stamps))
    for attempt in (lambda: require(database, Versions(1, 3)), lambda: migrate(database, folder)):
        with pytest.raises(SchemaError, match=r"alembic_version holds .*: not a version of this service"):
            attempt()
