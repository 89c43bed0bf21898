"""What a role of PostgreSQL may do with a database's tables: given, looked at, and nothing else.

Guarantees that what is looked at is what the role can do, however it came by it: by grant, by membership, by ownership or
as a superuser. Leaves to each service what its roles may do, and to the administrator to make them.
"""

import re
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, text

from services.chassis.migrations import SchemaError

Rights = Mapping[str, tuple[str, ...]]
"""The privileges of a role by table, `SELECT` or `SELECT (column, …)`; a table that does not stand here is closed to it."""
APPEND = ("SELECT", "INSERT")
CHANGE, ERASE = (*APPEND, "UPDATE"), (*APPEND, "DELETE")
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,55}")
_POWERS = text(
    "SELECT rolname || ' is a superuser, or may make roles' FROM pg_roles"
    " WHERE rolname IN :roles AND (rolsuper OR rolcreaterole)"
    " UNION SELECT r.rolname || ' is a member of ' || other.rolname FROM pg_roles r, pg_roles other"
    " WHERE r.rolname IN :roles AND other.rolname NOT IN :roles AND pg_has_role(r.oid, other.oid, 'MEMBER')"
    " UNION SELECT rolname || ' owns ' || c.relname FROM pg_roles r JOIN pg_class c ON c.relowner = r.oid"
    " WHERE rolname IN :roles AND c.relnamespace = current_schema()::regnamespace"
    " UNION SELECT rolname || ' owns the schema' FROM pg_roles r JOIN pg_namespace n ON n.nspowner = r.oid"
    " WHERE rolname IN :roles AND n.nspname = current_schema()"
).bindparams(bindparam("roles", expanding=True))
_RIGHTS = text(
    "SELECT c.relname, p.name FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE',"
    " 'REFERENCES', 'TRIGGER']) AS p(name)"
    " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND CASE"
    " WHEN p.name IN ('DELETE', 'TRUNCATE', 'TRIGGER') THEN has_table_privilege(:role, c.oid, p.name)"
    " ELSE has_any_column_privilege(:role, c.oid, p.name) END"
)


def check_role(role: str) -> None:
    """Raises: SchemaError for a role's name that is not ours to use: it is quoted nowhere."""
    if not _ROLE.fullmatch(role):
        raise SchemaError("a role's name is at most 56 of a-z, 0-9 and _, and begins with no digit")


def check(what: str, problems: Sequence[str]) -> None:
    """Raises: SchemaError with every problem."""
    if problems:
        raise SchemaError("\n".join([what, *(f"  - {problem}" for problem in problems)]))


def give(connection: Connection, role: str, rights: Rights) -> None:
    """Gives a role these rights on the schema's tables, and takes those away that were granted to it before."""
    schema = connection.execute(text("SELECT quote_ident(current_schema())")).scalar_one()
    connection.execute(text(f'REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM "{role}"'))
    connection.execute(text(f'GRANT USAGE ON SCHEMA {schema} TO "{role}"'))
    for table, privileges in rights.items():
        connection.execute(text(f'GRANT {", ".join(privileges)} ON {schema}."{table}" TO "{role}"'))


def powers(connection: Connection, roles: Sequence[str]) -> list[str]:
    """What these roles can do beyond any right on a table; membership in one another is not counted."""
    return sorted(connection.execute(_POWERS, {"roles": list(roles)}).scalars())


def differences(connection: Connection, role: str, rights: Rights) -> list[str]:
    """What a role lacks of these rights, and what it may do beside them."""
    excess = sorted(_held(connection, role) - _wanted(rights))
    return lacks(connection, role, rights) + [f"{role} may {privilege} on {table}" for table, privilege in excess]


def lacks(connection: Connection, role: str, rights: Rights) -> list[str]:
    """What a role lacks of these rights."""
    lacking = sorted(_wanted(rights) - _held(connection, role))
    return [f"{role} may not {privilege} on {table}" for table, privilege in lacking]


def _wanted(rights: Rights) -> set[tuple[str, str]]:
    return {(table, privilege.split(" ")[0]) for table, privileges in rights.items() for privilege in privileges}


def _held(connection: Connection, role: str) -> set[tuple[str, str]]:
    return {(row[0], row[1]) for row in connection.execute(_RIGHTS, {"role": role})}
