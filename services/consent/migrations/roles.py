"""Who may do what with the ledger's tables on PostgreSQL: the application's role, and the role that erases.

Guarantees: after `grant` the application's role can add to the log and never change or shorten it, and can delete a data key
only in a transaction that says so, by taking the role `<role>_eraser`, whose rights it does not inherit. Neither role has
another way to the tables: `grant` looks at what the roles can do, however they came by it, and fails unless it is just this.
Leaves to the administrator to make the application's role with its password, and to keep the tables' owner, who migrates,
apart from it. SQLite has no roles: there, the file is whose it is.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from services.chassis.db import Database
from services.chassis.migrations import SchemaError, locked

_APPEND = ("SELECT", "INSERT")
_CHANGE, _ERASE = (*_APPEND, "UPDATE"), (*_APPEND, "DELETE")
APPLICATION: Mapping[str, tuple[str, ...]] = {
    "alembic_version": ("SELECT",),
    # The log, and what it needs to be explained.
    "entry": _APPEND,
    "node": _APPEND,
    "opening": _APPEND,
    "data_key": _APPEND,
    "registry_record": _APPEND,
    # What moves on, and stays when its patient is erased.
    "head": _CHANGE,
    "patient": _CHANGE,
    "consent_request": _CHANGE,
    "authorization": _CHANGE,
    # What is never changed, and goes with its patient; traces can be made again.
    "pairing": _ERASE,
    "alias": _ERASE,
    "identity": _ERASE,
    "representative": _ERASE,
    "revision": _ERASE,
    "grant_request": _ERASE,
    "quota_use": _ERASE,
    "assertion": _ERASE,
    "trace": _ERASE,
    "consent": (*_CHANGE, "DELETE"),
}
"""What the application's role may do; a table that does not stand here is closed to it."""
ERASER: Mapping[str, tuple[str, ...]] = {"data_key": ("SELECT (shard, patient, year, use)", "DELETE")}
"""What the eraser may do: find keys by their place and destroy them, never read one."""
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,55}")
_STATE = text(
    "SELECT e.rolname IS NOT NULL, pg_has_role(a.oid, e.oid, 'MEMBER') AND NOT pg_has_role(a.oid, e.oid, 'USAGE')"
    " FROM pg_roles a LEFT JOIN pg_roles e ON e.rolname = :eraser WHERE a.rolname = :role"
)
_POWERS = text(
    "SELECT rolname || ' is a superuser, may make roles, or erases and may log in' FROM pg_roles"
    " WHERE rolname IN (:role, :eraser) AND (rolsuper OR rolcreaterole OR rolname = :eraser AND rolcanlogin)"
    " UNION SELECT r.rolname || ' is a member of ' || other.rolname FROM pg_roles r, pg_roles other"
    " WHERE r.rolname IN (:role, :eraser) AND other.rolname NOT IN (:role, :eraser)"
    " AND pg_has_role(r.oid, other.oid, 'MEMBER')"
    " UNION SELECT rolname || ' owns ' || c.relname FROM pg_roles r JOIN pg_class c ON c.relowner = r.oid"
    " WHERE rolname IN (:role, :eraser) AND c.relnamespace = current_schema()::regnamespace"
    " UNION SELECT rolname || ' owns the schema' FROM pg_roles r JOIN pg_namespace n ON n.nspowner = r.oid"
    " WHERE rolname IN (:role, :eraser) AND n.nspname = current_schema()"
)
_RIGHTS = text(
    "SELECT c.relname, p.name FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE',"
    " 'REFERENCES', 'TRIGGER']) AS p(name)"
    " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND CASE"
    " WHEN p.name IN ('DELETE', 'TRUNCATE', 'TRIGGER') THEN has_table_privilege(:role, c.oid, p.name)"
    " ELSE has_any_column_privilege(:role, c.oid, p.name) END"
)
_MAY_DELETE_KEYS = text(
    "SELECT has_table_privilege('data_key', 'DELETE') OR to_regrole(quote_ident(session_user || '_eraser')) IS NOT NULL"
)
_HAS_ERASER = text("SELECT to_regrole(quote_ident(session_user || '_eraser')) IS NOT NULL")
_BECOME_ERASER = text("SELECT set_config('role', session_user || '_eraser', true)")
_RETURN = text("SET LOCAL ROLE NONE")


def eraser_of(role: str) -> str:
    """The role that erases for an application's role. Raises: SchemaError for a name that is not ours to use."""
    if not _ROLE.fullmatch(role):
        raise SchemaError("a role's name is at most 56 of a-z, 0-9 and _, and begins with no digit")
    return f"{role}_eraser"


def grant(database: Database, role: str) -> None:
    """Gives both roles exactly their rights, in one transaction; as the tables' owner, and again after each migration.

    Raises: SchemaError if the role does not exist, if this user may not do so (with the statements that an administrator
    runs first), or if a role could still do more; nothing has changed then.
    """
    eraser = eraser_of(role)
    with locked(database) as connection:
        if connection.dialect.name != "postgresql":
            raise SchemaError("only PostgreSQL has roles")
        _set_up_roles(connection, role, eraser)
        _grant(connection, role, APPLICATION)
        _grant(connection, eraser, ERASER)
        problems = [
            *sorted(connection.execute(_POWERS, {"role": role, "eraser": eraser}).scalars()),
            *_differences(connection, role, APPLICATION),
            *_differences(connection, eraser, ERASER),
        ]
        if problems:
            raise SchemaError(
                "\n".join([f"the rights of {role} are not as they must be:", *(f"  - {p}" for p in problems)])
            )


def require_rights(database: Database) -> None:
    """Raises: SchemaError if this user lacks a right that the service needs, naming each. SQLite: nobody does."""
    with database.read() as connection:
        if connection.dialect.name != "postgresql":
            return
        user = connection.execute(text("SELECT session_user")).scalar_one()
        lacks = _lacks(connection, user, APPLICATION)
        if not lacks and not connection.execute(_MAY_DELETE_KEYS).scalar_one():
            lacks = [f"{user} may not erase: there is no role {user}_eraser"]
    if lacks:
        raise SchemaError(
            "\n".join(["rights are missing: migrate, naming the role", *(f"  - {line}" for line in lacks)])
        )


@contextmanager
def erasing(connection: Connection) -> Iterator[None]:
    """Within it, and within the caller's transaction, the application's role is its eraser: it can delete data keys.

    Without such a role (SQLite, or the tables' owner) nothing changes.
    """
    if connection.dialect.name != "postgresql" or not connection.execute(_HAS_ERASER).scalar_one():
        yield
        return
    connection.execute(_BECOME_ERASER)
    yield  # a statement that fails ends the transaction, and the role with it
    connection.execute(_RETURN)


def _set_up_roles(connection: Connection, role: str, eraser: str) -> None:
    names = {"role": role, "eraser": eraser}
    state = connection.execute(_STATE, names).one_or_none()
    if state is None:
        raise SchemaError(f"there is no role {role}: an administrator makes it first")
    exists, member_only = state
    if member_only:
        return
    # NOINHERIT before membership: from PostgreSQL 16 on, a membership keeps what the role was when it was granted.
    statements = [] if exists else [f'CREATE ROLE "{eraser}" NOLOGIN']
    statements += [
        f'ALTER ROLE "{role}" NOINHERIT',
        f'REVOKE "{eraser}" FROM "{role}"',
        f'GRANT "{eraser}" TO "{role}"',
    ]
    try:
        for statement in statements:
            connection.execute(text(statement))
    except ProgrammingError as error:
        raise SchemaError("this user may not set up roles; an administrator runs: " + "; ".join(statements)) from error


def _grant(connection: Connection, role: str, rights: Mapping[str, tuple[str, ...]]) -> None:
    schema = connection.execute(text("SELECT quote_ident(current_schema())")).scalar_one()
    connection.execute(text(f'REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM "{role}"'))
    connection.execute(text(f'GRANT USAGE ON SCHEMA {schema} TO "{role}"'))
    for table, privileges in rights.items():
        connection.execute(text(f'GRANT {", ".join(privileges)} ON {schema}."{table}" TO "{role}"'))


def _differences(connection: Connection, role: str, rights: Mapping[str, tuple[str, ...]]) -> list[str]:
    excess = sorted(_held(connection, role) - _wanted(rights))
    return _lacks(connection, role, rights) + [f"{role} may {privilege} on {table}" for table, privilege in excess]


def _lacks(connection: Connection, role: str, rights: Mapping[str, tuple[str, ...]]) -> list[str]:
    lacking = sorted(_wanted(rights) - _held(connection, role))
    return [f"{role} may not {privilege} on {table}" for table, privilege in lacking]


def _wanted(rights: Mapping[str, tuple[str, ...]]) -> set[tuple[str, str]]:
    return {(table, privilege.split(" ")[0]) for table, privileges in rights.items() for privilege in privileges}


def _held(connection: Connection, role: str) -> set[tuple[str, str]]:
    return {(row[0], row[1]) for row in connection.execute(_RIGHTS, {"role": role})}
