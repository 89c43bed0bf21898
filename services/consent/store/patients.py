"""Profiles, the identities that lead to them, who may act for them, and their pairings."""

from collections.abc import Sequence

from sqlalchemy import BindParameter, Connection, bindparam, delete, insert, select, update

from services.consent import tables
from services.consent.domain.lifecycle import ProfileStatus
from services.consent.domain.values import Address, Profile
from services.consent.store.facts import IDENTITY, PAIRING, PATIENT

ALIAS, REPRESENTATIVE = tables.table(tables.Alias), tables.table(tables.Representative)
_SHARD: BindParameter[int] = bindparam("shard")
_IN_PATIENT = (PATIENT.c.shard == _SHARD, PATIENT.c.id == bindparam("patient"))
_FIND_PATIENT = select(PATIENT.c.id).where(PATIENT.c.shard == _SHARD, PATIENT.c.ins_hash == bindparam("ins_hash"))
_FIND_ALIAS = select(ALIAS.c.to_shard, ALIAS.c.to_patient).where(
    ALIAS.c.shard == _SHARD, ALIAS.c.ins_hash == bindparam("ins_hash")
)
_READ_PROFILE = select(PATIENT.c.status, PATIENT.c.opens_ms, PATIENT.c.majority_ms).where(*_IN_PATIENT)
_SET_STATUS = (
    update(PATIENT)
    .where(PATIENT.c.shard == bindparam("in_shard"), PATIENT.c.id == bindparam("patient"))
    .values(status=bindparam("status"), opens_ms=bindparam("opens_ms"))
)
_COUNT_ALIAS = (
    update(PATIENT)
    .where(PATIENT.c.shard == bindparam("in_shard"), PATIENT.c.id == bindparam("patient"))
    .values(aliases=PATIENT.c.aliases + 1)
)
_END_MINORITY = (
    update(PATIENT)
    .where(PATIENT.c.shard == bindparam("in_shard"), PATIENT.c.id == bindparam("patient"))
    .values(majority_ms=None)
)
_FIND_OPENING = (
    select(PATIENT.c.id)
    .where(PATIENT.c.shard == _SHARD, PATIENT.c.opens_ms <= bindparam("now_ms"))
    .order_by(PATIENT.c.opens_ms)
    .limit(bindparam("limit"))
)
_FIND_OF_AGE = (
    select(PATIENT.c.id)
    .where(PATIENT.c.shard == _SHARD, PATIENT.c.majority_ms <= bindparam("now_ms"))
    .order_by(PATIENT.c.majority_ms)
    .limit(bindparam("limit"))
)
_FIND_SUBJECT = select(PAIRING.c.subject).where(
    PAIRING.c.shard == _SHARD, PAIRING.c.patient == bindparam("patient"), PAIRING.c.service == bindparam("service")
)
_SUBJECTS = select(PAIRING.c.service, PAIRING.c.subject).where(
    PAIRING.c.shard == _SHARD, PAIRING.c.patient == bindparam("patient")
)
_IDENTITIES = select(IDENTITY.c.ins_hash).where(IDENTITY.c.shard == _SHARD, IDENTITY.c.patient == bindparam("patient"))
_REPRESENTS = select(REPRESENTATIVE.c.person).where(
    REPRESENTATIVE.c.shard == _SHARD,
    REPRESENTATIVE.c.patient == bindparam("patient"),
    REPRESENTATIVE.c.person == bindparam("person"),
)
_DROP_REPRESENTATIVE = delete(REPRESENTATIVE).where(
    REPRESENTATIVE.c.shard == _SHARD,
    REPRESENTATIVE.c.patient == bindparam("patient"),
    REPRESENTATIVE.c.person == bindparam("person"),
)
_ADD_PATIENT, _ADD_PAIRING, _ADD_ALIAS = insert(PATIENT), insert(PAIRING), insert(ALIAS)
_ADD_IDENTITY, _ADD_REPRESENTATIVE = insert(IDENTITY), insert(REPRESENTATIVE)


def find_patient(connection: Connection, shard: int, ins_hash: bytes) -> int | None:
    """The patient whose first identity this is."""
    return connection.execute(_FIND_PATIENT, {"shard": shard, "ins_hash": ins_hash}).scalar()


def find_alias(connection: Connection, shard: int, ins_hash: bytes) -> Address | None:
    """The patient, of any shard, whose other identity this is."""
    row = connection.execute(_FIND_ALIAS, {"shard": shard, "ins_hash": ins_hash}).one_or_none()
    return Address(row.to_shard, row.to_patient) if row is not None else None


def find_profile(connection: Connection, address: Address) -> Profile | None:
    """A profile as it stands."""
    row = connection.execute(_READ_PROFILE, _key(address)).one_or_none()
    return Profile(address, ProfileStatus(row.status), row.opens_ms, row.majority_ms) if row is not None else None


def add_patient(connection: Connection, profile: Profile, ins_hash: bytes, ins_sealed: bytes) -> None:
    """A new profile."""
    identity = {"shard": profile.address.shard, "id": profile.address.patient, "status": profile.status.value}
    times = {"opens_ms": profile.opens_ms, "majority_ms": profile.majority_ms}
    secrets = {"ins_hash": ins_hash, "ins_sealed": ins_sealed}
    connection.execute(_ADD_PATIENT, identity | times | secrets | {"aliases": 0})


def set_status(connection: Connection, address: Address, status: ProfileStatus) -> None:
    """Where a profile stands from now on; it no longer opens by itself."""
    key = {"in_shard": address.shard, "patient": address.patient}
    connection.execute(_SET_STATUS, key | {"status": status.value, "opens_ms": None})


def end_minority(connection: Connection, address: Address) -> None:
    """The holder has come of age, and what that ends has been ended."""
    connection.execute(_END_MINORITY, {"in_shard": address.shard, "patient": address.patient})


def find_opening(connection: Connection, shard: int, now_ms: int, limit: int) -> Sequence[int]:
    """Patients whose informed profile opens by now."""
    return connection.execute(_FIND_OPENING, {"shard": shard, "now_ms": now_ms, "limit": limit}).scalars().all()


def find_of_age(connection: Connection, shard: int, now_ms: int, limit: int) -> Sequence[int]:
    """Patients who have come of age by now."""
    return connection.execute(_FIND_OF_AGE, {"shard": shard, "now_ms": now_ms, "limit": limit}).scalars().all()


def add_alias(connection: Connection, shard: int, ins_hash: bytes, address: Address) -> None:
    """An entry of the directory, in the identity's own shard."""
    row = {"shard": shard, "ins_hash": ins_hash, "to_shard": address.shard, "to_patient": address.patient}
    connection.execute(_ADD_ALIAS, row)


def identities(connection: Connection, address: Address) -> Sequence[bytes]:
    """The keyed hashes of a patient's other identities."""
    return connection.execute(_IDENTITIES, _key(address)).scalars().all()


def add_identity(connection: Connection, address: Address, ins_hash: bytes, ins_sealed: bytes) -> None:
    """Another identity, beside the patient."""
    connection.execute(_ADD_IDENTITY, _key(address) | {"ins_hash": ins_hash, "ins_sealed": ins_sealed})
    connection.execute(_COUNT_ALIAS, {"in_shard": address.shard, "patient": address.patient})


def represents(connection: Connection, address: Address, person: str) -> bool:
    """Whether the person of this keyed hash may act for the patient."""
    return connection.execute(_REPRESENTS, _key(address) | {"person": person}).first() is not None


def set_representative(connection: Connection, address: Address, person: str, allowed: bool) -> None:
    """The person may, or no longer may, act for the patient."""
    connection.execute(_ADD_REPRESENTATIVE if allowed else _DROP_REPRESENTATIVE, _key(address) | {"person": person})


def find_subject(connection: Connection, address: Address, service: str) -> str | None:
    """What stands for patient and service in the log; None when they are not paired."""
    return connection.execute(_FIND_SUBJECT, _key(address) | {"service": service}).scalar()


def subjects(connection: Connection, address: Address) -> dict[str, str]:
    """What stands for a patient in the log, by service."""
    return {row.service: row.subject for row in connection.execute(_SUBJECTS, _key(address))}


def add_pairing(connection: Connection, address: Address, service: str, subject: str) -> None:
    """A new pairing."""
    connection.execute(_ADD_PAIRING, _key(address) | {"service": service, "subject": subject})


def _key(address: Address) -> dict[str, int]:
    return {"shard": address.shard, "patient": address.patient}
