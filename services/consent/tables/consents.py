"""The tables of consents: what stands, what was asked, what was used."""

from sqlalchemy import Index
from sqlmodel import Field

from services.consent.tables.rows import CLUSTERED, Row, big, instant


class Consent(Row, table=True):
    """A consent's current revision, kept beside the patient's others for the service: that is how decisions read it.

    `limits`: what goes beyond the scope (`domain.terms`), canonical JSON, empty for none. `cause`: why it is suspended.
    """

    __tablename__ = "consent"
    __table_args__ = (
        Index("consent_by_id", "shard", "id", unique=True),
        Index("consent_by_end", "shard", "standing", "end_ms"),
        Index("consent_by_service", "shard", "service", "patient"),
        CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    patient: int = big(key=True)
    service: str = Field(primary_key=True)
    id: int = big(key=True)
    state: str
    standing: bool
    cause: str
    revision: int
    scope: str
    limits: str
    start_ms: int = big()
    end_ms: int = big()
    notice_sha256: str
    actor_role: str
    authentication: str
    acknowledged_ms: int | None = instant()


class Revision(Row, table=True):
    """Each revision of a consent, and the entry that made it: its opening says what the revision said."""

    __tablename__ = "revision"
    __table_args__ = CLUSTERED
    shard: int = Field(primary_key=True)
    consent: int = big(key=True)
    revision: int = Field(primary_key=True)
    state: str
    epoch: int
    idx: int = big()
    time_ms: int = big()


class QuotaUse(Row, table=True):
    """Each exchange that a consent's quota counted, once, and when."""

    __tablename__ = "quota_use"
    __table_args__ = (Index("quota_use_by_time", "shard", "consent", "time_ms"), CLUSTERED)
    shard: int = Field(primary_key=True)
    consent: int = big(key=True)
    exchange: str = Field(primary_key=True)
    time_ms: int = big()


class Assertion(Row, table=True):
    """Who asserted which consent: by the portal's key and a keyed hash of the person, to list and to revoke in bulk."""

    __tablename__ = "assertion"
    __table_args__ = (
        Index("assertion_by_person", "shard", "person", "time_ms"),
        Index("assertion_by_key", "shard", "kid", "time_ms"),
        CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    epoch: int = Field(primary_key=True)
    idx: int = big(key=True)
    consent: int = big()
    kid: str
    person: str
    time_ms: int = big()


class GrantRequest(Row, table=True):
    """The request ids that grants and amendments used (AIP-155): one consent each."""

    __tablename__ = "grant_request"
    __table_args__ = CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = big(key=True)
    request_id: str = Field(primary_key=True)
    digest: str
    consent: int = big()


class ConsentRequest(Row, table=True):
    """What a service asks, in the service's shard; `claimed_*` is the patient for whom the portal decided first."""

    __tablename__ = "consent_request"
    __table_args__ = (
        Index("consent_request_by_code", "shard", "code", unique=True),
        Index("consent_request_by_id", "shard", "service", "request_id", unique=True),
        CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    id: int = big(key=True)
    service: str
    request_id: str
    digest: str
    code: str
    state: str
    scope: str
    limits: str
    start_ms: int | None = instant()
    end_ms: int = big()
    created_ms: int = big()
    expires_ms: int = big()
    claimed_shard: int | None = None
    claimed_patient: int | None = instant()
