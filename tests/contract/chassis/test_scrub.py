"""What was deleted stands in no file of the database once it was scrubbed."""

from pathlib import Path

import pytest
from sqlalchemy import text

from services.chassis import db
from services.chassis.db import Database
from services.errors import Reason
from tests.support.refused import refusal_of

NEEDLE = "279035121518989"


def plant(database: Database) -> None:
    """A value that is written, and deleted."""
    with database.write() as connection:
        connection.execute(text("CREATE TABLE kept (value TEXT)"))
    for statement in (f"INSERT INTO kept VALUES ('{NEEDLE}'), ('other')", f"DELETE FROM kept WHERE value = '{NEEDLE}'"):
        with database.write() as connection:
            connection.execute(text(statement))


def holding(folder: Path) -> list[str]:
    """The files that hold the value."""
    return [path.name for path in folder.iterdir() if NEEDLE.encode() in path.read_bytes()]


def test_a_scrubbed_sqlite_database_holds_nothing_that_was_deleted_and_everything_that_was_not(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'accord.db'}")
    plant(database)
    assert holding(tmp_path) == ["accord.db-wal"]
    database.scrub()
    assert holding(tmp_path) == []
    assert (tmp_path / "accord.db-wal").stat().st_size == 0
    with database.read() as connection:
        assert connection.execute(text("SELECT value FROM kept")).scalar_one() == "other"
    database.close()


def test_scrubbing_leaves_the_database_in_use(database_url: str) -> None:
    database = Database(database_url)
    plant(database)
    for _ in range(2):
        database.scrub()
        with database.write() as connection:
            connection.execute(text("INSERT INTO kept VALUES ('more')"))
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM kept")).scalar_one() == 3
    database.close()


def test_a_log_that_somebody_still_reads_is_not_called_scrubbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "_PRAGMAS", (*db._PRAGMAS, "busy_timeout=10"))
    url = f"sqlite:///{tmp_path / 'accord.db'}"
    database = Database(url)
    plant(database)
    with database.read() as connection:
        connection.execute(text("SELECT * FROM kept")).all()
        with database.write() as writing:
            writing.execute(text("INSERT INTO kept VALUES ('more')"))
        assert refusal_of(database.scrub).reason is Reason.STORAGE_UNAVAILABLE
    database.scrub()
    assert holding(tmp_path) == []
    database.close()
