"""Destroying what is kept of a patient, or of a year: keys first, for what they sealed is then only noise."""

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, select, update

from services.consent.domain.lifecycle import ProfileStatus
from services.consent.domain.values import Address
from services.consent.migrations.roles import erasing
from services.consent.store.authorizations import AUTHORIZATION
from services.consent.store.consents import ASSERTION, REQUEST, REVISION
from services.consent.store.facts import CONSENT, IDENTITY, PAIRING, PATIENT, QUOTA_USE
from services.consent.store.joins import DATA_KEY, OPENED_BY, OPENING
from services.consent.store.patients import ALIAS, REPRESENTATIVE
from services.consent.store.requests import CONSENT_REQUEST
from services.consent.vault import Use

_SHARD: BindParameter[int] = bindparam("shard")
_OF_PATIENT: BindParameter[int] = bindparam("patient")
_OWN_CONSENTS = select(CONSENT.c.id).where(CONSENT.c.shard == _SHARD, CONSENT.c.patient == _OF_PATIENT)
_COUNT_OF_PATIENT = (
    select(func.count())
    .select_from(OPENING)
    .where(
        OPENED_BY,
        OPENING.c.shard == _SHARD,
        OPENING.c.patient == _OF_PATIENT,
        OPENING.c.use.in_(bindparam("uses", expanding=True)),
    )
)
_COUNT_OF_YEAR = (
    select(func.count())
    .select_from(OPENING)
    .where(
        OPENED_BY,
        OPENING.c.shard == _SHARD,
        OPENING.c.year == bindparam("year"),
        OPENING.c.use == Use.TRACE.value,
    )
)
_DROP_KEYS = delete(DATA_KEY).where(
    DATA_KEY.c.shard == _SHARD,
    DATA_KEY.c.patient == _OF_PATIENT,
    DATA_KEY.c.use.in_(bindparam("uses", expanding=True)),
)
_DROP_YEAR = delete(DATA_KEY).where(
    DATA_KEY.c.shard == _SHARD, DATA_KEY.c.year == bindparam("year"), DATA_KEY.c.use == Use.TRACE.value
)
_DROP_OF_CONSENTS = tuple(
    delete(row).where(row.c.shard == _SHARD, row.c.consent.in_(_OWN_CONSENTS))
    for row in (REVISION, QUOTA_USE, ASSERTION)
)
_DROP_OF_PATIENT = tuple(
    delete(row).where(row.c.shard == _SHARD, row.c.patient == _OF_PATIENT)
    for row in (REQUEST, CONSENT, PAIRING, IDENTITY, REPRESENTATIVE)
)
_DROP_ALIASES = delete(ALIAS).where(
    ALIAS.c.shard == _SHARD, ALIAS.c.to_shard == bindparam("to_shard"), ALIAS.c.to_patient == _OF_PATIENT
)
_FORGET_OWNER = (
    update(AUTHORIZATION)
    .where(AUTHORIZATION.c.shard == bindparam("in_shard"), AUTHORIZATION.c.patient == bindparam("in_patient"))
    .values(patient=0)
)
_FORGET_CLAIMS = (
    update(CONSENT_REQUEST)
    .where(
        CONSENT_REQUEST.c.shard == bindparam("in_shard"),
        CONSENT_REQUEST.c.claimed_shard == bindparam("of_shard"),
        CONSENT_REQUEST.c.claimed_patient == bindparam("of_patient"),
    )
    .values(claimed_patient=0)
)
_EMPTY_PATIENT = (
    update(PATIENT)
    .where(PATIENT.c.shard == bindparam("in_shard"), PATIENT.c.id == bindparam("in_patient"))
    .values(
        status=ProfileStatus.ERASED.value,
        ins_hash=bindparam("ins_hash"),
        ins_sealed=b"",
        opens_ms=None,
        majority_ms=None,
        aliases=0,
    )
)


def count_sealed(connection: Connection, address: Address, uses: tuple[Use, ...]) -> int:
    """How many openings of a patient can still be opened by keys of these uses."""
    key = {"shard": address.shard, "patient": address.patient, "uses": [use.value for use in uses]}
    return connection.execute(_COUNT_OF_PATIENT, key).scalar_one()


def erase_patient(connection: Connection, address: Address, uses: tuple[Use, ...], nothing: bytes) -> None:
    """Destroys a patient's keys of these uses, and every row that names them; `nothing` stands where the INS's hash was.

    A row of the patient remains, which says that there was one; openings remain, which nothing opens.
    """
    key = {"shard": address.shard, "patient": address.patient}
    with erasing(connection):
        connection.execute(_DROP_KEYS, key | {"uses": [use.value for use in uses]})
    for statement in (*_DROP_OF_CONSENTS, *_DROP_OF_PATIENT):
        connection.execute(statement, key)
    owner = {"in_shard": address.shard, "in_patient": address.patient}
    connection.execute(_FORGET_OWNER, owner)
    connection.execute(_EMPTY_PATIENT, owner | {"ins_hash": nothing})


def drop_aliases(connection: Connection, shard: int, address: Address) -> None:
    """Takes a patient's other identities out of one shard of the directory, and the patient off the requests answered."""
    key = {"shard": shard, "to_shard": address.shard, "patient": address.patient}
    connection.execute(_DROP_ALIASES, key)
    connection.execute(_FORGET_CLAIMS, {"in_shard": shard, "of_shard": address.shard, "of_patient": address.patient})


def drop_year(connection: Connection, shard: int, year: int) -> int:
    """Destroys the keys of a year's traces; answers how many openings they could open."""
    covered = connection.execute(_COUNT_OF_YEAR, {"shard": shard, "year": year}).scalar_one()
    with erasing(connection):
        connection.execute(_DROP_YEAR, {"shard": shard, "year": year})
    return covered
