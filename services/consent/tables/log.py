"""The log's tables, and what is derived from it entry by entry."""

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from services.consent.tables.rows import CLUSTERED, Row, big, octets


class Head(Row, table=True):
    """One row a log: whoever writes locks it first. `note` is the signed checkpoint of exactly this size and root."""

    __tablename__ = "head"
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    origin: str
    size: int = big()
    root: bytes = octets()
    time_ms: int = big()
    registry_sequence: int = big()
    registry_hash: str
    note: str


class Entry(Row, table=True):
    """The log's entries, exact bytes."""

    __tablename__ = "entry"
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    idx: int = big(key=True)
    data: bytes = octets()


class Node(Row, table=True):
    """Hashes of complete subtrees, leaves (level 0) included."""

    __tablename__ = "node"
    __table_args__ = CLUSTERED
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    level: int = Field(primary_key=True)
    idx: int = big(key=True)
    hash: bytes = octets()


class Opening(Row, table=True):
    """Salt and body behind a commitment, sealed under the patient's data key of the year and use (patient 0: nobody's).

    `facts`: what a decision rested on, salted and sealed likewise, and bound by a hash in the body; else empty.
    """

    __tablename__ = "opening"
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    idx: int = big(key=True)
    patient: int = big()
    year: int
    use: int
    sealed: bytes = octets()
    facts: bytes = octets()


class DataKey(Row, table=True):
    """A patient's data key of a year and a use (`vault.Use`), wrapped by the master key; year 0 seals the identity and
    derives subjects."""

    __tablename__ = "data_key"
    __table_args__ = CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = big(key=True)
    year: int = Field(primary_key=True)
    use: int = Field(primary_key=True)
    wrapped: bytes = octets()


class RegistryRecord(Row, table=True):
    """Each version of a service's registry record that this shard has observed: what decisions were made by."""

    __tablename__ = "registry_record"
    shard: int = Field(primary_key=True)
    service: str = Field(primary_key=True)
    sequence: int = big(key=True)
    hash: bytes = octets()
    data: bytes = octets()


class Authorization(Row, table=True):
    """Each authorisation, and the latest outcome once there is one; `digest` tells outcomes apart."""

    __tablename__ = "authorization"
    __table_args__ = (
        Index("authorization_by_exchange", "shard", "exchange"),
        Index("authorization_by_outcome", "shard", "outcome_idx", "time_ms"),
        CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    idx: int = big(key=True)
    exchange: str
    patient: int = big()
    service: str
    counterparty: str
    subject: str
    time_ms: int = big()
    outcome_idx: int | None = Field(default=None, sa_type=BigInteger)
    result: str = ""
    digest: str = ""


class Trace(Row, table=True):
    """What auditors and patients search by: derived from the entries some time after them; it can be made again."""

    __tablename__ = "trace"
    __table_args__ = (
        Index("trace_by_subject", "shard", "subject", "epoch", "idx"),
        Index("trace_by_service", "shard", "service", "epoch", "idx"),
        Index("trace_by_counterparty", "shard", "counterparty", "epoch", "idx"),
        Index("trace_by_time", "shard", "time_ms"),
        CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    idx: int = big(key=True)
    time_ms: int = big()
    type: str
    actor: str
    subject: str
    service: str
    counterparty: str
    reason: str
