"""The rights on PostgreSQL: what the application's role can do with the log and the keys, and what only erasing can."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import MetaData, insert, make_url, text
from sqlalchemy.exc import ProgrammingError

from services.chassis.db import Database
from services.chassis.migrations import SchemaError, migrate, require
from services.consent import integrity
from services.consent.domain import commands as c
from services.consent.domain.asserted import AssertionFilter
from services.consent.handlers import Handler
from services.consent.locked import Locked
from services.consent.migrations import FOLDER, SUPPORTED
from services.consent.migrations.roles import APPLICATION, eraser_of, erasing, grant
from services.consent.migrations.start import prepare
from tests.support.eventful import everything, trust_of
from tests.support.ledgers import Bench, build

PROTECTED = ("entry", "node", "head", "opening", "data_key", "registry_record", "alembic_version")
DELETE_KEY = "DELETE FROM data_key WHERE shard = 0 AND patient = 0"


@contextmanager
def opened(url: str, user: str | None = None) -> Iterator[Database]:
    database = Database(str(make_url(url).set(username=user) if user else url))
    try:
        yield database
    finally:
        database.close()


def run(database: Database, *statements: str) -> int:
    """Runs statements in one transaction; the rows that the last one touched."""
    with database.write() as connection:
        return [connection.execute(text(statement)).rowcount for statement in statements][-1]


def add(database: Database, *only: str, shard: int = 0) -> None:
    """Adds a row of nothings to each table (or only to some), as the database has them."""
    tables = MetaData()
    with database.write() as connection:
        tables.reflect(connection)
        for table in tables.tables.values():
            if table.name in (only or APPLICATION.keys() - {"alembic_version"}):
                row = {column.name: column.type.python_type() for column in table.columns} | {"shard": shard}
                connection.execute(insert(table), row)


def denied(database: Database, *statements: str) -> None:
    with pytest.raises(ProgrammingError) as caught:
        run(database, *statements)
    assert isinstance(caught.value.orig, InsufficientPrivilege)


@pytest.fixture
def owner(postgresql_url: str) -> Iterator[Database]:
    """The database, migrated, as the tables' owner."""
    with opened(postgresql_url) as database:
        migrate(database, FOLDER)
        yield database


@pytest.fixture
def role(owner: Database) -> Iterator[str]:
    """An application's role: a user who has no rights yet."""
    name = f"consent_{secrets.token_hex(4)}"
    run(owner, f"CREATE ROLE {name} LOGIN")
    yield name
    for one in (name, f"{name}_eraser"):
        with owner.read() as connection:
            known = connection.execute(text("SELECT to_regrole(:one) IS NOT NULL"), {"one": one}).scalar_one()
        if known:
            run(owner, f"DROP OWNED BY {one} CASCADE", f"DROP ROLE {one}")


@pytest.fixture
def application(owner: Database, role: str, postgresql_url: str) -> Iterator[Database]:
    """The database as the application's role, with its rights and a row in each table."""
    grant(owner, role)
    with opened(postgresql_url, role) as database:
        add(database)
        add(database, "data_key", shard=1)
        yield database


def test_the_application_starts_adds_to_the_log_moves_the_head_and_keeps_derived_state(application: Database) -> None:
    assert require(application, SUPPORTED) == SUPPORTED.newest
    run(application, "SELECT 1 FROM head WHERE shard = 0 FOR UPDATE", "UPDATE head SET size = 2")
    assert run(application, "UPDATE consent SET state = 'x'") == 1
    assert run(application, "DELETE FROM consent") == 1
    with application.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM entry, node, opening, data_key")).scalar_one() == 2


@pytest.mark.parametrize("table", PROTECTED)
def test_the_application_cannot_shorten_empty_drop_or_extend_a_table_of_the_log(
    application: Database, table: str
) -> None:
    denied(application, f"DELETE FROM {table}")
    denied(application, f"TRUNCATE {table}")
    denied(application, f"DROP TABLE {table}")
    denied(application, f"ALTER TABLE {table} ADD COLUMN more INTEGER")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entry SET data = 'x'",
        "UPDATE node SET hash = 'x'",
        "UPDATE opening SET sealed = 'x'",
        "UPDATE data_key SET wrapped = 'x'",
        "UPDATE registry_record SET data = 'x'",
        "UPDATE quota_use SET time_ms = 1",
        "UPDATE revision SET state = 'x'",
        'DELETE FROM "authorization"',
        "DELETE FROM patient",
        "UPDATE alembic_version SET version_num = '0000'",
        "MERGE INTO entry USING (SELECT 0 AS i) AS s ON idx = i WHEN MATCHED THEN UPDATE SET data = 'x'",
        "CREATE RULE quietly AS ON INSERT TO entry DO INSTEAD NOTHING",
        "CREATE TRIGGER quietly BEFORE INSERT ON entry EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ],
)
def test_the_application_cannot_change_what_is_recorded(application: Database, change: str) -> None:
    denied(application, change)


def test_a_key_is_deleted_only_while_erasing(application: Database) -> None:
    denied(application, DELETE_KEY)
    with application.write() as connection:
        with erasing(connection):
            assert connection.execute(text(DELETE_KEY)).rowcount == 1
        assert connection.execute(text("UPDATE head SET size = 2")).rowcount == 1
    denied(application, DELETE_KEY)


def test_after_erasing_the_same_transaction_deletes_no_more(application: Database) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), application.write() as connection:  # noqa: PT012
        with erasing(connection):
            connection.execute(text(DELETE_KEY))
        connection.execute(text("DELETE FROM data_key"))
    with application.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM data_key")).scalar_one() == 2


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT wrapped FROM data_key",
        "DELETE FROM data_key WHERE wrapped = 'x'",
        "UPDATE data_key SET wrapped = 'x'",
        "DELETE FROM entry",
        "SELECT 1 FROM opening",
    ],
)
def test_whoever_erases_can_do_nothing_else(application: Database, statement: str) -> None:
    def erase() -> None:
        with application.write() as connection, erasing(connection):
            connection.execute(text(statement))

    with pytest.raises(ProgrammingError, match="permission denied"):
        erase()


def test_erasing_as_the_owner_or_on_sqlite_is_deleting(owner: Database, database_url: str) -> None:
    with opened(database_url) as database:
        migrate(database, FOLDER)
        add(database)
        with database.write() as connection, erasing(connection):
            assert connection.execute(text(DELETE_KEY)).rowcount == 1


def test_granting_again_takes_back_whatever_was_given_besides(
    owner: Database, role: str, application: Database
) -> None:
    eraser = eraser_of(role)
    run(owner, f"GRANT ALL ON entry, data_key TO {role}", f"GRANT UPDATE (hash) ON node TO {role}")
    run(owner, f"GRANT SELECT ON data_key TO {eraser}", f"ALTER ROLE {role} INHERIT")
    assert run(application, "UPDATE entry SET data = 'x'") == 1
    grant(owner, role)
    denied(application, "UPDATE entry SET data = 'y'")
    denied(application, "UPDATE node SET hash = 'y'")
    denied(application, DELETE_KEY)
    denied(application, f"SET LOCAL ROLE {eraser}", "SELECT wrapped FROM data_key")


@pytest.mark.parametrize(
    ("power", "problem"),
    [
        ("ALTER ROLE {role} SUPERUSER", "{role} is a superuser"),
        ("ALTER ROLE {role} CREATEROLE", "may make roles"),
        ("GRANT pg_write_all_data TO {role}", "{role} is a member of pg_write_all_data"),
        ("GRANT pg_write_all_data TO {role}_eraser", "{role}_eraser is a member of pg_write_all_data"),
        ("ALTER ROLE {role}_eraser LOGIN", "erases and may log in"),
        ("GRANT UPDATE ON entry TO PUBLIC", "{role} may UPDATE on entry"),
        ("GRANT UPDATE (data) ON entry TO PUBLIC", "{role} may UPDATE on entry"),
        ("CREATE TABLE other (); GRANT SELECT ON other TO PUBLIC", "{role} may SELECT on other"),
        ("ALTER TABLE entry OWNER TO {role}", "{role} owns entry"),
        ("ALTER SCHEMA public OWNER TO {role}", "{role} owns the schema"),
    ],
)
def test_a_role_with_another_way_to_the_tables_is_refused(owner: Database, role: str, power: str, problem: str) -> None:
    run(owner, f"CREATE ROLE {role}_eraser")
    run(owner, *power.format(role=role).split(";"))
    with pytest.raises(SchemaError) as caught:
        grant(owner, role)
    assert problem.format(role=role) in str(caught.value)
    with owner.read() as connection:
        given = "SELECT count(*) FROM pg_class, aclexplode(relacl) a WHERE a.grantee = CAST(:role AS regrole)"
        assert connection.execute(text(given), {"role": role}).scalar_one() == 0


def test_an_owner_who_may_not_set_up_roles_says_what_an_administrator_runs(
    owner: Database, role: str, postgresql_url: str
) -> None:
    schema_owner = f"{role}_owner"
    run(owner, f"CREATE ROLE {schema_owner} LOGIN", f"GRANT ALL ON SCHEMA public TO {schema_owner}")
    for table in APPLICATION:
        run(owner, f'ALTER TABLE "{table}" OWNER TO {schema_owner}')
    with opened(postgresql_url, schema_owner) as database:
        with pytest.raises(SchemaError, match="an administrator runs: ") as caught:
            grant(database, role)
        run(owner, *str(caught.value).partition("runs: ")[2].split("; "))
        grant(database, role)
    with opened(postgresql_url, role) as application:
        add(application)
        denied(application, DELETE_KEY)
    run(owner, f"REASSIGN OWNED BY {schema_owner} TO CURRENT_USER", f"DROP OWNED BY {schema_owner}")
    run(owner, f"DROP ROLE {schema_owner}")


def test_without_rights_the_process_does_not_start(owner: Database, role: str, postgresql_url: str) -> None:
    with opened(postgresql_url, role) as database, pytest.raises(SchemaError, match="naming the role"):
        require(database, SUPPORTED)


def test_a_role_whose_rights_a_migration_took_with_the_table_does_not_start(
    owner: Database, role: str, application: Database
) -> None:
    prepare(application)
    run(owner, "ALTER TABLE trace RENAME TO old", "CREATE TABLE trace (LIKE old)", "DROP TABLE old")
    with pytest.raises(SchemaError) as caught:
        prepare(application)
    assert [line.strip() for line in str(caught.value).splitlines()] == [
        "rights are missing: migrate, naming the role",
        *(f"- {role} may not {privilege} on trace" for privilege in ("DELETE", "INSERT", "SELECT")),
    ]
    grant(owner, role)
    prepare(application)


def test_a_role_that_could_not_erase_does_not_start(owner: Database, role: str, application: Database) -> None:
    run(owner, f"DROP OWNED BY {role}_eraser", f"DROP ROLE {role}_eraser")
    with pytest.raises(SchemaError, match=f"{role} may not erase: there is no role {role}_eraser"):
        prepare(application)


def test_the_owner_may_serve_too(owner: Database) -> None:
    prepare(owner)


async def test_the_application_s_rights_suffice_for_everything_that_the_service_does(
    owner: Database, role: str, postgresql_url: str
) -> None:
    """Every command, by the application's role: every type of entry, erasure and retention, search and verification."""
    grant(owner, role)
    bench = build(str(make_url(postgresql_url).set(username=role)))
    prepare(bench.database)
    done = followed(bench)
    await everything(bench)
    late: list[c.Command[Any]] = [
        c.DropAliases(0, c.Address(0, 1)),
        c.RevokeAsserted(0, AssertionFilter("somebody", "", 0, 1), None, "why"),
    ]
    for command in late:
        await bench.ledger.do(command)
    assert done == set(bench.ledger._handlers)
    report = integrity.check(bench.database, trust_of(bench), integrity.Secrets(bench.vault, bench.identifiers))
    assert (report.findings, report.closed) == ((), report.covered)
    assert report.covered > 0
    await bench.close()


def followed(bench: Bench) -> set[type[c.Command[Any]]]:
    """The types of the commands that the ledger runs from now on."""
    seen: set[type[c.Command[Any]]] = set()
    handlers = bench.ledger._handlers

    def following(kind: type[c.Command[Any]], handler: Handler) -> Handler:
        def handle(locked: Locked, items: Sequence[Any]) -> list[Any]:
            seen.add(kind)
            return handler(locked, items)

        return handle

    for kind, handler in list(handlers.items()):
        handlers[kind] = following(kind, handler)
    return seen


def test_a_role_that_does_not_exist_is_refused(owner: Database) -> None:
    with pytest.raises(SchemaError, match="there is no role nobody"):
        grant(owner, "nobody")


@pytest.mark.parametrize("name", ["", "a" * 57, "Consent", 'a"; DROP TABLE entry; --', "1a"])
def test_a_name_that_could_be_cut_or_quoted_is_refused(name: str) -> None:
    with pytest.raises(SchemaError, match="a role's name"):
        eraser_of(name)


def test_sqlite_has_no_roles(tmp_path: object) -> None:
    with opened(f"sqlite:///{tmp_path}/x.db") as database, pytest.raises(SchemaError, match="only PostgreSQL"):
        grant(database, "consent")
