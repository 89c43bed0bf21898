"""Who may do what with the ledger's tables on PostgreSQL: the application's role, and the role that erases.

Guarantees: after `grant` the application's role can add to the log and never change or shorten it, and can delete a data key
only in a transaction that says so, by taking the role `<role>_eraser`, whose rights it does not inherit. Neither role has
another way to the tables: `grant` looks at what the roles can do, however they came by it, and fails unless it is just this.
Leaves to the administrator to make the application's role with its password, and to keep the tables' owner, who migrates,
apart from it. SQLite has no roles: there, the file is whose it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from services.chassis.db import Database
from services.chassis.migrations import SchemaError, locked
from services.chassis.rights import APPEND, CHANGE, ERASE, Rights, check, check_role, differences, give, lacks, powers

APPLICATION: Rights = {
    "alembic_version": ("SELECT",),
    # The log, and what it needs to be explained.
    "entry": APPEND,
    "node": APPEND,
    "opening": APPEND,
    "data_key": APPEND,
    "registry_record": APPEND,
    # What moves on, and stays when its patient is erased.
    "head": CHANGE,
    "patient": CHANGE,
    "consent_request": CHANGE,
    "authorization": CHANGE,
    # What is never changed, and goes with its patient; traces can be made again.
    "pairing": ERASE,
    "alias": ERASE,
    "identity": ERASE,
    "representative": ERASE,
    "revision": ERASE,
    "grant_request": ERASE,
    "quota_use": ERASE,
    "assertion": ERASE,
    "trace": ERASE,
    "consent": (*CHANGE, "DELETE"),
}
"""What the application's role may do; a table that does not stand here is closed to it."""
ERASER: Rights = {"data_key": ("SELECT (shard, patient, year, use)", "DELETE")}
"""What the eraser may do: find keys by their place and destroy them, never read one."""
_STATE = text(
    "SELECT e.rolname IS NOT NULL, pg_has_role(a.oid, e.oid, 'MEMBER') AND NOT pg_has_role(a.oid, e.oid, 'USAGE')"
    " FROM pg_roles a LEFT JOIN pg_roles e ON e.rolname = :eraser WHERE a.rolname = :role"
)
_ERASER_POWERS = text(
    "SELECT rolname || ' erases and may log in' FROM pg_roles WHERE rolname = :eraser AND rolcanlogin"
)
_MAY_DELETE_KEYS = text(
    "SELECT has_table_privilege('data_key', 'DELETE') OR to_regrole(quote_ident(session_user || '_eraser')) IS NOT NULL"
)
_HAS_ERASER = text("SELECT to_regrole(quote_ident(session_user || '_eraser')) IS NOT NULL")
_BECOME_ERASER = text("SELECT set_config('role', session_user || '_eraser', true)")
_RETURN = text("SET LOCAL ROLE NONE")


def eraser_of(role: str) -> str:
    """The role that erases for an application's role. Raises: SchemaError for a name that is not ours to use."""
    check_role(role)
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
        give(connection, role, APPLICATION)
        give(connection, eraser, ERASER)
        problems = [
            *powers(connection, (role, eraser)),
            *connection.execute(_ERASER_POWERS, {"eraser": eraser}).scalars(),
            *differences(connection, role, APPLICATION),
            *differences(connection, eraser, ERASER),
        ]
        check(f"the rights of {role} are not as they must be:", problems)


def require_rights(database: Database) -> None:
    """Raises: SchemaError if this user lacks a right that the service needs, naming each. SQLite: nobody does."""
    with database.read() as connection:
        if connection.dialect.name != "postgresql":
            return
        user = connection.execute(text("SELECT session_user")).scalar_one()
        missing = lacks(connection, user, APPLICATION)
        if not missing and not connection.execute(_MAY_DELETE_KEYS).scalar_one():
            missing = [f"{user} may not erase: there is no role {user}_eraser"]
    check("rights are missing: migrate, naming the role", missing)


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
