"""What every row of the ledger's tables is made of."""

from sqlalchemy import BigInteger, LargeBinary, Table
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

CLUSTERED = {"sqlite_with_rowid": False}
"""SQLite keeps the rows in their primary key's order, once; elsewhere this says nothing. For small rows only: there, one
above a quarter of a page would take a page of its own."""


class Row(SQLModel, registry=registry()):
    """Rows of the consent ledger: metadata of their own, apart from other services'."""


def big(*, key: bool = False) -> int:
    """A column of 64-bit integers."""
    field: int = Field(sa_type=BigInteger, primary_key=key, nullable=False)
    return field


def instant() -> int | None:
    """A column of instants, or none: milliseconds since 1970."""
    field: int | None = Field(default=None, sa_type=BigInteger)
    return field


def octets() -> bytes:
    """A column of bytes."""
    field: bytes = Field(sa_type=LargeBinary, nullable=False)
    return field


def table(row: type[Row]) -> Table:
    """The table of a row class, for SQLAlchemy Core."""
    return row.metadata.tables[str(row.__tablename__)]
