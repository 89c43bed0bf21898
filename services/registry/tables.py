"""The register's tables: rows, dumb on purpose. `rows` turns them into domain values, `store` holds the statements."""

from sqlalchemy import BigInteger, Index, Table
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class RegistryTable(SQLModel, registry=registry()):
    """The base of the register's tables: their metadata is its own."""


class OrganizationRow(RegistryTable, table=True):
    """An organisation."""

    __tablename__ = "organization"
    name: str = Field(primary_key=True)
    siren: str = Field(unique=True)
    oid: str = Field(unique=True)
    display_name: str
    create_ms: int = Field(sa_type=BigInteger)
    suspended: bool
    revision: int


class ServiceRow(RegistryTable, table=True):
    """A service as it stands; `convention` is JSON, `before` the status that its own suspension replaced, `held` whether its
    organisation is suspended."""

    __tablename__ = "service"
    name: str = Field(primary_key=True)
    organization: str = Field(foreign_key="organization.name", index=True)
    display_name: str
    oid: str = Field(unique=True)
    endpoint: str
    spiffe_id: str = Field(unique=True)
    convention: str
    status: str
    before: str | None = None
    held: bool
    revision: int
    create_ms: int = Field(sa_type=BigInteger)
    record: bytes


class ServiceKeyRow(RegistryTable, table=True):
    """A signing key; the primary key says that it signs for one service only."""

    __tablename__ = "service_key"
    kid: str = Field(primary_key=True)
    service: str = Field(foreign_key="service.name", index=True)
    position: int
    jwk: str


class TransitionRow(RegistryTable, table=True):
    """A move of a service from before the register had a log. Only read by auditors' own means, and never written."""

    __tablename__ = "transition"
    id: int | None = Field(default=None, primary_key=True)
    service: str = Field(foreign_key="service.name", index=True)
    origin: str | None = None
    target: str
    time_ms: int = Field(sa_type=BigInteger)
    author: str
    justification: str


class SnapshotRow(RegistryTable, table=True):
    """The one head: what the newest snapshot is."""

    __tablename__ = "snapshot"
    id: int = Field(primary_key=True)
    sequence: int = Field(sa_type=BigInteger)
    hash: str


class CheckpointRow(RegistryTable, table=True):
    """The highest checkpoint of the consent ledger seen of one log, as its signed note."""

    __tablename__ = "checkpoint"
    origin: str = Field(primary_key=True)
    note: str


class LogRow(RegistryTable, table=True):
    """The head of the register's log: `note` is the signed checkpoint of exactly this size and root."""

    __tablename__ = "log"
    epoch: int = Field(primary_key=True)
    origin: str
    size: int = Field(sa_type=BigInteger)
    root: bytes
    time_ms: int = Field(sa_type=BigInteger)
    note: str


class EntryRow(RegistryTable, table=True):
    """An entry of the log, exact bytes, and what it commits to. `resource` is the one that the entry names."""

    __tablename__ = "entry"
    __table_args__ = (Index("entry_by_resource", "resource", "epoch", "idx"),)
    epoch: int = Field(primary_key=True)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    resource: str
    data: bytes
    salt: bytes
    body: bytes


class NodeRow(RegistryTable, table=True):
    """Hashes of complete subtrees of the log, leaves (level 0) included."""

    __tablename__ = "node"
    __table_args__ = {"sqlite_with_rowid": False}
    epoch: int = Field(primary_key=True)
    level: int = Field(primary_key=True)
    idx: int = Field(primary_key=True, sa_type=BigInteger)
    hash: bytes


METADATA = RegistryTable.metadata


def _table(name: str) -> Table:
    return METADATA.tables[name]


ORGANIZATION, SERVICE, SERVICE_KEY = _table("organization"), _table("service"), _table("service_key")
SNAPSHOT, CHECKPOINT = _table("snapshot"), _table("checkpoint")
LOG, ENTRY, NODE = _table("log"), _table("entry"), _table("node")
