"""The tables of patients: who they are, who acts for them, to whom they are known."""

from sqlalchemy import Index, LargeBinary
from sqlmodel import Field

from services.consent.tables.rows import CLUSTERED, Row, big, instant, octets


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
        CLUSTERED,
    )
    shard: int = Field(primary_key=True)
    id: int = big(key=True)
    status: str
    ins_hash: bytes = octets()
    ins_sealed: bytes = octets()
    opens_ms: int | None = instant()
    majority_ms: int | None = instant()
    aliases: int = 0


class Alias(Row, table=True):
    """The directory's other entries: an identity, in its own shard, leads to the patient it is another name of."""

    __tablename__ = "alias"
    __table_args__ = CLUSTERED
    shard: int = Field(primary_key=True)
    ins_hash: bytes = Field(sa_type=LargeBinary, primary_key=True, nullable=False)
    to_shard: int
    to_patient: int = big()


class Identity(Row, table=True):
    """A patient's other identities, beside the patient: a document may bear any of them."""

    __tablename__ = "identity"
    __table_args__ = CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = big(key=True)
    ins_hash: bytes = Field(sa_type=LargeBinary, primary_key=True, nullable=False)
    ins_sealed: bytes = octets()


class Representative(Row, table=True):
    """Who may act for a minor: a keyed hash of the person, as the portal names them."""

    __tablename__ = "representative"
    __table_args__ = CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = big(key=True)
    person: str = Field(primary_key=True)


class Pairing(Row, table=True):
    """A patient known to a service; `subject` stands for both in the log."""

    __tablename__ = "pairing"
    __table_args__ = CLUSTERED
    shard: int = Field(primary_key=True)
    patient: int = big(key=True)
    service: str = Field(primary_key=True)
    subject: str
