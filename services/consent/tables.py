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


def _instant() -> int | None:
    field: int | None = Field(default=None, sa_type=BigInteger)
    return field


def _bytes() -> bytes:
    field: bytes = Field(sa_type=LargeBinary, nullable=False)
    return field


class Head(Row, table=True):
    """One row a log: whoever writes locks it first. `note` is the signed checkpoint of exactly this size and root."""

    __tablename__ = "head"
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
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
    epoch: int = Field(primary_key=True)
    idx: int = _big(key=True)
    data: bytes = _bytes()


class Node(Row, table=True):
    """Hashes of complete subtrees, leaves (level 0) included."""

    __tablename__ = "node"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    level: int = Field(primary_key=True)
    idx: int = _big(key=True)
    hash: bytes = _bytes()


class Opening(Row, table=True):
    """Salt and body behind a commitment, sealed under the patient's data key of the year and use (patient 0: nobody's).

    `facts`: what a decision rested on, salted and sealed likewise, and bound by a hash in the body; else empty.
    """

    __tablename__ = "opening"
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    idx: int = _big(key=True)
    patient: int = _big()
    year: int
    use: int
    sealed: bytes = _bytes()
    facts: bytes = _bytes()


class DataKey(Row, table=True):
    """A patient's data key of a year and a use (`vault.Use`), wrapped by the master key; year 0 seals the identity and
    derives subjects."""

    __tablename__ = "data_key"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = _big(key=True)
    year: int = Field(primary_key=True)
    use: int = Field(primary_key=True)
    wrapped: bytes = _bytes()


class Patient(Row, table=True):
    """A profile; `ins_hash` is the keyed hash that finds it, `ins_sealed` the identity under its year-0 key.

    `opens_ms`: when an INFORMED profile opens by itself. `majority_ms`: when a minor's representatives no longer act.
    `aliases`: how many other identities it has in `identity`.
    """

    __tablename__ = "patient"
    __table_args__ = (
        Index("patient_by_ins", "shard", "ins_hash", unique=True),
        Index("patient_by_opening", "shard", "opens_ms"),
        Index("patient_by_majority", "shard", "majority_ms"),
        _CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    id: int = _big(key=True)
    status: str
    ins_hash: bytes = _bytes()
    ins_sealed: bytes = _bytes()
    opens_ms: int | None = _instant()
    majority_ms: int | None = _instant()
    aliases: int = 0


class Alias(Row, table=True):
    """The directory's other entries: an identity, in its own shard, leads to the patient it is another name of."""

    __tablename__ = "alias"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    ins_hash: bytes = Field(sa_type=LargeBinary, primary_key=True, nullable=False)
    to_shard: int
    to_patient: int = _big()


class Identity(Row, table=True):
    """A patient's other identities, beside the patient: a document may bear any of them."""

    __tablename__ = "identity"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = _big(key=True)
    ins_hash: bytes = Field(sa_type=LargeBinary, primary_key=True, nullable=False)
    ins_sealed: bytes = _bytes()


class Representative(Row, table=True):
    """Who may act for a minor: a keyed hash of the person, as the portal names them."""

    __tablename__ = "representative"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = _big(key=True)
    person: str = Field(primary_key=True)


class Pairing(Row, table=True):
    """A patient known to a service; `subject` stands for both in the log."""

    __tablename__ = "pairing"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = _big(key=True)
    service: str = Field(primary_key=True)
    subject: str


class Consent(Row, table=True):
    """A consent's current revision, kept beside the patient's others for the service: that is how decisions read it.

    `limits`: what goes beyond the scope (`domain.terms`), canonical JSON, empty for none. `cause`: why it is suspended.
    """

    __tablename__ = "consent"
    __table_args__ = (
        Index("consent_by_id", "shard", "id", unique=True),
        Index("consent_by_end", "shard", "standing", "end_ms"),
        Index("consent_by_service", "shard", "service", "patient"),
        _CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    patient: int = _big(key=True)
    service: str = Field(primary_key=True)
    id: int = _big(key=True)
    state: str
    standing: bool
    cause: str
    revision: int
    scope: str
    limits: str
    start_ms: int = _big()
    end_ms: int = _big()
    notice_sha256: str
    actor_role: str
    authentication: str
    acknowledged_ms: int | None = _instant()


class Revision(Row, table=True):
    """Each revision of a consent, and the entry that made it: its opening says what the revision said."""

    __tablename__ = "revision"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    consent: int = _big(key=True)
    revision: int = Field(primary_key=True)
    state: str
    epoch: int
    idx: int = _big()
    time_ms: int = _big()


class QuotaUse(Row, table=True):
    """Each exchange that a consent's quota counted, once, and when."""

    __tablename__ = "quota_use"
    __table_args__ = (Index("quota_use_by_time", "shard", "consent", "time_ms"), _CLUSTERED)
    shard: int = Field(primary_key=True)
    consent: int = _big(key=True)
    exchange: str = Field(primary_key=True)
    time_ms: int = _big()


class Assertion(Row, table=True):
    """Who asserted which consent: by the portal's key and a keyed hash of the person, to list and to revoke in bulk."""

    __tablename__ = "assertion"
    __table_args__ = (
        Index("assertion_by_person", "shard", "person", "time_ms"),
        Index("assertion_by_key", "shard", "kid", "time_ms"),
        _CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    idx: int = _big(key=True)
    consent: int = _big()
    kid: str
    person: str
    time_ms: int = _big()


class GrantRequest(Row, table=True):
    """The request ids that grants and amendments used (AIP-155): one consent each."""

    __tablename__ = "grant_request"
    __table_args__ = _CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = _big(key=True)
    request_id: str = Field(primary_key=True)
    digest: str
    consent: int = _big()


class ConsentRequest(Row, table=True):
    """What a service asks, in the service's shard; `claimed_*` is the patient for whom the portal decided first."""

    __tablename__ = "consent_request"
    __table_args__ = (
        Index("consent_request_by_code", "shard", "code", unique=True),
        Index("consent_request_by_id", "shard", "service", "request_id", unique=True),
        _CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    id: int = _big(key=True)
    service: str
    request_id: str
    digest: str
    code: str
    state: str
    scope: str
    limits: str
    start_ms: int | None = _instant()
    end_ms: int = _big()
    created_ms: int = _big()
    expires_ms: int = _big()
    claimed_shard: int | None = None
    claimed_patient: int | None = _instant()


class RegistryRecord(Row, table=True):
    """Each version of a service's registry record that this shard has observed: what decisions were made by."""

    __tablename__ = "registry_record"
    shard: int = Field(primary_key=True)
    service: str = Field(primary_key=True)
    sequence: int = _big(key=True)
    hash: bytes = _bytes()
    data: bytes = _bytes()


class Authorization(Row, table=True):
    """Each authorisation, and the latest outcome once there is one; `digest` tells outcomes apart."""

    __tablename__ = "authorization"
    __table_args__ = (
        Index("authorization_by_exchange", "shard", "exchange"),
        Index("authorization_by_outcome", "shard", "outcome_idx", "time_ms"),
        _CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
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


class Trace(Row, table=True):
    """What auditors and patients search by: derived from the entries some time after them; it can be made again."""

    __tablename__ = "trace"
    __table_args__ = (
        Index("trace_by_subject", "shard", "subject", "epoch", "idx"),
        Index("trace_by_service", "shard", "service", "epoch", "idx"),
        Index("trace_by_counterparty", "shard", "counterparty", "epoch", "idx"),
        Index("trace_by_time", "shard", "time_ms"),
        _CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    idx: int = _big(key=True)
    time_ms: int = _big()
    type: str
    actor: str
    subject: str
    service: str
    counterparty: str
    reason: str


def table(row: type[Row]) -> Table:
    """The table of a row class, for SQLAlchemy Core."""
    return row.metadata.tables[str(row.__tablename__)]


metadata = Row.metadata
