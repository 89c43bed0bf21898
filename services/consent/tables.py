"""The ledger's tables: dumb rows, one shard a transaction; every key and unique constraint holds the shard.

Trust, beside each: `entry`, `node`: append only, proven by the signed head. `head`: the lock, and the last signed
checkpoint. `opening`, `patient`: ciphertext or keyed hashes, useless without the keys. `data_key`: wrapped by the master
key, erasable. The rest is derived state that the log explains.
"""

from sqlalchemy import BigInteger, Index, LargeBinary, Table
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

_CLUSTERED = {"sqlite_with_rowid": False}
"""SQLite keeps the rows in their primary key's order, once; elsewhere this says nothing. For small rows only: there, one
above a quarter of a page would take a page of its own."""


class Row(SQLModel, registry=registry()):
    """Rows of the consent ledger: metadata of their own, apart from other services'."""


def _big(*, key: bool = False) -> int:
    field: int = Field(sa_type=BigInteger, primary_key=key, nullable=False)
    return field


def _bytes() -> bytes:
    field: bytes = Field(sa_type=LargeBinary, nullable=False)
    return field


class Head(Row, table=True):
    """One row a shard: whoever writes locks it first. `note` is the signed checkpoint of exactly this size and root."""

    __tablename__ = "head"
    shard: int = Field(primary_key=True)
    origin: str
    size: int = _big()
    root: bytes = _bytes()
    time_ms: int = _big()
    registry_sequence: int = _big()
    registry_hash: str
    note: str


class Entry(Row, table=True):
    """The log's entries, exact bytes."""

    __tablename__ = "entry"
    shard: int = Field(primary_key=True)
    idx: int = _big(key=True)
    data: bytes = _bytes()


class Node(Row, table=True):
    """Hashes of complete subtrees, leaves (level 0) included."""

    __tablename__ = "node"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    level: int = Field(primary_key=True)
    idx: int = _big(key=True)
    hash: bytes = _bytes()


class Opening(Row, table=True):
    """Salt and body behind a commitment, sealed under the patient's data key of the year (patient 0: nobody's).

    `facts`: what a decision rested on, salted and sealed likewise, and bound by a hash in the body; else empty.
    """

    __tablename__ = "opening"
    shard: int = Field(primary_key=True)
    idx: int = _big(key=True)
    patient: int = _big()
    year: int
    sealed: bytes = _bytes()
    facts: bytes = _bytes()


class DataKey(Row, table=True):
    """A patient's data key of a year, wrapped by the master key; year 0 seals the identity and derives subjects."""

    __tablename__ = "data_key"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = _big(key=True)
    year: int = Field(primary_key=True)
    wrapped: bytes = _bytes()


class Patient(Row, table=True):
    """A profile; `ins_hash` is the keyed hash that finds it, `ins_sealed` the identity under its year-0 key."""

    __tablename__ = "patient"
    __table_args__ = (Index("patient_by_ins", "shard", "ins_hash", unique=True), _CLUSTERED)
    shard: int = Field(primary_key=True)
    id: int = _big(key=True)
    status: str
    ins_hash: bytes = _bytes()
    ins_sealed: bytes = _bytes()


class Pairing(Row, table=True):
    """A patient known to a service; `subject` stands for both in the log."""

    __tablename__ = "pairing"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = _big(key=True)
    service: str = Field(primary_key=True)
    subject: str


class Consent(Row, table=True):
    """A consent's current revision, kept beside the patient's others for the service: that is how decisions read it."""

    __tablename__ = "consent"
    __table_args__ = (Index("consent_by_id", "shard", "id", unique=True), _CLUSTERED)
    shard: int = Field(primary_key=True)
    patient: int = _big(key=True)
    service: str = Field(primary_key=True)
    id: int = _big(key=True)
    state: str
    revision: int
    scope: str
    start_ms: int = _big()
    end_ms: int = _big()
    notice_sha256: str
    actor_role: str
    authentication: str


class Revision(Row, table=True):
    """Each revision of a consent, and the entry that made it."""

    __tablename__ = "revision"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    consent: int = _big(key=True)
    revision: int = Field(primary_key=True)
    state: str
    idx: int = _big()


class GrantRequest(Row, table=True):
    """The request ids that grants used (AIP-155): one consent each."""

    __tablename__ = "grant_request"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = _big(key=True)
    request_id: str = Field(primary_key=True)
    digest: str
    consent: int = _big()


class Authorization(Row, table=True):
    """Each authorisation, and the latest outcome once there is one; `digest` tells outcomes apart."""

    __tablename__ = "authorization"
    __table_args__ = (
        Index("authorization_by_exchange", "shard", "exchange"),
        Index("authorization_by_outcome", "shard", "outcome_idx", "time_ms"),
        _CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    idx: int = _big(key=True)
    exchange: str
    patient: int = _big()
    service: str
    counterparty: str
    subject: str
    time_ms: int = _big()
    outcome_idx: int | None = Field(default=None, sa_type=BigInteger)
    result: str = ""
    digest: str = ""


def table(row: type[Row]) -> Table:
    """The table of a row class, for SQLAlchemy Core."""
    return row.metadata.tables[str(row.__tablename__)]


metadata = Row.metadata
