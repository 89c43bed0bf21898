"""A start: SQLite migrates itself, PostgreSQL is migrated beforehand by its owner, and neither serves an unknown schema."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from services.chassis.db import Database
from services.chassis.migrations import SchemaError, migrate, require
from services.consent.migrations import FOLDER, SUPPORTED
from services.consent.migrations.start import migrate_only, prepare
from tests.support.release_0_1_0 import released

SETTINGS = """\
database_url = "{url}"
trust = "trust.json"
trust_domain = "accord.example"
registry = "localhost:1"
keys = {{ log = "log.pem", permit = "permit.pem", master = "master.key" }}

[server]
listen = "127.0.0.1:0"
health_listen = "127.0.0.1:0"
access_policy = "access.yaml"
tls = {{ cert = "tls.crt", key = "tls.key", ca = "ca.crt" }}
"""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def role(postgresql_url: str) -> Iterator[str]:
    """A user of PostgreSQL without any right."""
    name, owner = f"consent_{secrets.token_hex(4)}", Database(postgresql_url)
    with owner.write() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN"))
    yield name
    with owner.write() as connection:
        for one in (name, f"{name}_eraser"):
            if connection.execute(text("SELECT to_regrole(:one) IS NOT NULL"), {"one": one}).scalar_one():
                connection.execute(text(f"DROP OWNED BY {one} CASCADE"))
                connection.execute(text(f"DROP ROLE {one}"))
    owner.close()


def command(folder: Path, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The process, on a configuration of this database alone: the files that it names do not exist."""
    config = folder / "consent.toml"
    config.write_text(SETTINGS.format(url=url))
    program = [sys.executable, "-m", "services.consent", "--config", str(config), *arguments]
    paths = os.pathsep.join((str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "services" / "gen")))
    return subprocess.run(
        program, capture_output=True, text=True, check=False, cwd=folder, env=os.environ | {"PYTHONPATH": paths}
    )


def test_sqlite_of_any_known_version_is_ready_once_prepared(tmp_path: Path) -> None:
    for version in range(-1, SUPPORTED.newest + 1):
        database = Database(f"sqlite:///{tmp_path / str(version)}")
        if version < 0:
            released(database)
        else:
            migrate(database, FOLDER, to=version)
        prepare(database)
        assert require(database, SUPPORTED) == SUPPORTED.newest
        database.close()


@pytest.mark.parametrize(("version", "said"), [(0, "no schema version"), (1, "schema version 1")])
def test_postgresql_that_nobody_migrated_is_refused_and_left_alone(
    postgresql_url: str, version: int, said: str
) -> None:
    database = Database(postgresql_url)
    migrate(database, FOLDER, to=version)
    with pytest.raises(SchemaError, match=rf"{said}.*: migrate it"):
        prepare(database)
    with pytest.raises(SchemaError, match=said):
        prepare(database)
    database.close()


def test_a_newer_schema_is_refused_whoever_asks(database: Database, database_url: str) -> None:
    migrate(database, FOLDER)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    with pytest.raises(SchemaError, match=r"schema version 99, .*: start a newer release"):
        prepare(database)
    with pytest.raises(SchemaError, match=r"schema version 99, .*: start a newer release"):
        migrate_only(database_url, None)


def test_the_command_migrates_and_ends_and_needs_nothing_but_the_database(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    for _ in range(2):
        done = command(tmp_path, database_url, "--migrate-only")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert require(database, SUPPORTED) == SUPPORTED.newest


def test_the_command_gives_the_role_what_it_needs_to_start(postgresql_url: str, role: str, tmp_path: Path) -> None:
    application = Database(str(make_url(postgresql_url).set(username=role)))
    assert command(tmp_path, postgresql_url, "--migrate-only").returncode == 0
    with pytest.raises(SchemaError, match="naming the role"):
        prepare(application)
    assert command(tmp_path, postgresql_url, "--migrate-only", "--role", role).returncode == 0
    prepare(application)
    application.close()


def test_the_command_says_why_it_did_not(database_url: str, tmp_path: Path) -> None:
    nobody = command(tmp_path, database_url, "--migrate-only", "--role", "nobody")
    assert nobody.returncode == 1
    assert nobody.stderr.splitlines()[-1] in (
        "only PostgreSQL has roles",
        "there is no role nobody: an administrator makes it first",
    )
    assert "Traceback" not in nobody.stderr
    alone = command(tmp_path, database_url, "--role", "consent")
    assert (alone.returncode, "--role goes with --migrate-only" in alone.stderr) == (2, True)
