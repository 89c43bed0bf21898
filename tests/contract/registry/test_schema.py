"""The register's schema: what the code expects, on both databases; and the rights on it."""

import secrets
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import MetaData, make_url, text
from sqlalchemy.exc import ProgrammingError

from services.chassis.db import Database
from services.chassis.migrations import SchemaError, migrate, require
from services.registry.migrations import FOLDER, SUPPORTED
from services.registry.migrations.roles import APPLICATION
from services.registry.migrations.start import SCHEMA
from services.registry.tables import METADATA


@pytest.fixture
def empty(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def role(postgresql_url: str) -> Iterator[str]:
    """A user of PostgreSQL without any right."""
    name, owner = f"registry_{secrets.token_hex(4)}", Database(postgresql_url)
    with owner.write() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN"))
    yield name
    with owner.write() as connection:
        connection.execute(text(f"DROP OWNED BY {name} CASCADE"))
        connection.execute(text(f"DROP ROLE {name}"))
    owner.close()


def test_the_migrations_make_the_tables_that_the_code_expects(empty: Database) -> None:
    assert migrate(empty, FOLDER) == tuple(range(1, SUPPORTED.newest + 1))
    with empty.read() as connection:
        found = MetaData()
        found.reflect(connection)
        ours = [
            item
            for item in compare_metadata(MigrationContext.configure(connection), METADATA)
            if "alembic" not in str(item)
        ]
    assert ours == []
    assert found.tables.keys() == METADATA.tables.keys() | {"alembic_version"} == APPLICATION.keys()
    assert migrate(empty, FOLDER) == ()


def test_a_postgresql_that_nobody_migrated_is_refused(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with pytest.raises(SchemaError, match=r"no schema version.*: migrate it"):
        SCHEMA.prepare(database)
    database.close()


def test_the_role_can_serve_and_can_do_nothing_more(postgresql_url: str, role: str) -> None:
    SCHEMA.migrate_only(postgresql_url, None)
    application = Database(str(make_url(postgresql_url).set(username=role)))
    with pytest.raises(SchemaError, match="naming the role"):
        SCHEMA.prepare(application)
    for _ in range(2):
        SCHEMA.migrate_only(postgresql_url, role)
    SCHEMA.prepare(application)
    assert require(application, SUPPORTED) == SUPPORTED.newest
    for statement in (
        "DELETE FROM service",
        "DROP TABLE service",
        "UPDATE service_key SET jwk = ''",
        "TRUNCATE snapshot",
    ):
        with pytest.raises(ProgrammingError) as refused, application.write() as connection:
            connection.execute(text(statement))
        assert isinstance(refused.value.orig, InsufficientPrivilege)
    application.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER ROLE {role} SUPERUSER", "{role} is a superuser"),
        ("ALTER TABLE service OWNER TO {role}", "{role} owns service"),
        ("GRANT {role}_more TO {role}", "is a member of"),
    ],
)
def test_a_role_that_could_do_more_is_refused(postgresql_url: str, role: str, change: str, said: str) -> None:
    SCHEMA.migrate_only(postgresql_url, None)
    owner = Database(postgresql_url)
    with owner.write() as connection:
        connection.execute(text(f"CREATE ROLE {role}_more"))
        for statement in change.format(role=role).split("; "):
            connection.execute(text(statement))
    with pytest.raises(SchemaError, match=said.format(role=role)):
        SCHEMA.migrate_only(postgresql_url, role)
    with owner.write() as connection:
        connection.execute(text(f"REASSIGN OWNED BY {role} TO CURRENT_USER"))
        connection.execute(text(f"DROP ROLE {role}_more"))
    owner.close()


@pytest.mark.parametrize("name", ["nobody", "Robert'); --"])
def test_a_role_that_is_none_is_refused(database_url: str, name: str) -> None:
    with pytest.raises(SchemaError, match=r"only PostgreSQL has roles|there is no role nobody|at most 56"):
        SCHEMA.migrate_only(database_url, name)
