"""Who may do what with the register's tables on PostgreSQL: one role, the application's, which erases nothing.

Leaves to the administrator to make the role with its password, and to keep the tables' owner, who migrates, apart from it.
"""

from sqlalchemy import text

from services.chassis.db import Database
from services.chassis.migrations import SchemaError, locked
from services.chassis.rights import APPEND, CHANGE, Rights, check, check_role, differences, give, lacks, powers

APPLICATION: Rights = {
    "alembic_version": ("SELECT",),
    "organization": CHANGE,
    "service": CHANGE,
    "service_key": APPEND,
    "transition": ("SELECT",),
    "snapshot": CHANGE,
    # The log.
    "entry": APPEND,
    "node": APPEND,
    "log": CHANGE,
    "checkpoint": CHANGE,
}
"""What the application's role may do; a table that does not stand here is closed to it."""


def grant(database: Database, role: str) -> None:
    """Gives the role exactly its rights, in one transaction; as the tables' owner, and again after each migration.

    Raises: SchemaError if the role does not exist, or could still do more; nothing has changed then.
    """
    check_role(role)
    with locked(database) as connection:
        if connection.dialect.name != "postgresql":
            raise SchemaError("only PostgreSQL has roles")
        if connection.execute(text("SELECT to_regrole(:role) IS NULL"), {"role": role}).scalar_one():
            raise SchemaError(f"there is no role {role}: an administrator makes it first")
        give(connection, role, APPLICATION)
        problems = [*powers(connection, (role,)), *differences(connection, role, APPLICATION)]
        check(f"the rights of {role} are not as they must be:", problems)


def require_rights(database: Database) -> None:
    """Raises: SchemaError if this user lacks a right that the registry needs, naming each. SQLite: nobody does."""
    with database.read() as connection:
        if connection.dialect.name != "postgresql":
            return
        missing = lacks(connection, connection.execute(text("SELECT session_user")).scalar_one(), APPLICATION)
    check("rights are missing: migrate, naming the role", missing)
