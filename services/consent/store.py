"""Reads and derived state of the ledger: rows in, domain values out. Every function touches one shard, in the caller's
transaction; none decides anything.

Statements are constants: building one costs more than running it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, Connection, and_, bindparam, func, insert, select, update

from services.consent import tables
from services.consent.domain.commands import Actor, Address, Consent, Query
from services.consent.domain.decision import ConsentFact, ConsentState, ProfileStatus
from services.formats.canonical import Members, dumps
from services.formats.rights import Scope

PATIENT, PAIRING, CONSENT = tables.table(tables.Patient), tables.table(tables.Pairing), tables.table(tables.Consent)
REVISION, REQUEST = tables.table(tables.Revision), tables.table(tables.GrantRequest)
AUTHORIZATION = tables.table(tables.Authorization)


@dataclass(slots=True)
class PatientFacts:
    """What a decision needs of one patient: profile, keyed hash of the identity, pairings (service → subject), consents."""

    status: ProfileStatus
    ins_hash: bytes
    subjects: dict[str, str]
    consents: dict[str, list[tuple[int, ConsentFact]]]


_FACTS = (
    select(
        PATIENT.c.id,
        PATIENT.c.status,
        PATIENT.c.ins_hash,
        PAIRING.c.service,
        PAIRING.c.subject,
        CONSENT.c.id.label("consent"),
        CONSENT.c.state,
        CONSENT.c.revision,
        CONSENT.c.scope,
        CONSENT.c.start_ms,
        CONSENT.c.end_ms,
    )
    .outerjoin(PAIRING, and_(PAIRING.c.shard == PATIENT.c.shard, PAIRING.c.patient == PATIENT.c.id))
    .outerjoin(
        CONSENT,
        and_(
            CONSENT.c.shard == PAIRING.c.shard,
            CONSENT.c.patient == PAIRING.c.patient,
            CONSENT.c.service == PAIRING.c.service,
        ),
    )
    .where(PATIENT.c.shard == bindparam("shard"), PATIENT.c.id.in_(bindparam("patients", expanding=True)))
)
_SHARD: BindParameter[int] = bindparam("shard")
_IN_PATIENT = (PATIENT.c.shard == _SHARD, PATIENT.c.id == bindparam("patient"))
_FIND_PATIENT = select(PATIENT.c.id).where(PATIENT.c.shard == _SHARD, PATIENT.c.ins_hash == bindparam("ins_hash"))
_PROFILE_STATUS = select(PATIENT.c.status).where(*_IN_PATIENT)
_FIND_SUBJECT = select(PAIRING.c.subject).where(
    PAIRING.c.shard == _SHARD, PAIRING.c.patient == bindparam("patient"), PAIRING.c.service == bindparam("service")
)
_FIND_CONSENT = select(CONSENT).where(CONSENT.c.shard == _SHARD, CONSENT.c.id == bindparam("consent"))
_COUNT_CONSENTS = (
    select(func.count())
    .select_from(CONSENT)
    .where(
        CONSENT.c.shard == _SHARD, CONSENT.c.patient == bindparam("patient"), CONSENT.c.service == bindparam("service")
    )
)
_UPDATE_CONSENT = (
    update(CONSENT)
    .where(CONSENT.c.shard == bindparam("in_shard"), CONSENT.c.id == bindparam("consent"))
    .values(state=bindparam("state"), revision=bindparam("revision"))
)
_FIND_REQUEST = select(REQUEST.c.digest, REQUEST.c.consent).where(
    REQUEST.c.shard == _SHARD,
    REQUEST.c.patient == bindparam("patient"),
    REQUEST.c.request_id == bindparam("request_id"),
)
_COUNT_ATTEMPTS = (
    select(AUTHORIZATION.c.exchange, func.count().label("attempts"))
    .where(AUTHORIZATION.c.shard == _SHARD, AUTHORIZATION.c.exchange.in_(bindparam("exchanges", expanding=True)))
    .group_by(AUTHORIZATION.c.exchange)
)
_FIND_AUTHORIZATION = select(AUTHORIZATION).where(
    AUTHORIZATION.c.shard == _SHARD, AUTHORIZATION.c.idx == bindparam("at")
)
_FIND_UNSETTLED = (
    select(AUTHORIZATION)
    .where(
        AUTHORIZATION.c.shard == _SHARD,
        AUTHORIZATION.c.outcome_idx.is_(None),
        AUTHORIZATION.c.time_ms < bindparam("before_ms"),
    )
    .order_by(AUTHORIZATION.c.time_ms)
    .limit(bindparam("limit"))
)
_SET_OUTCOME = (
    update(AUTHORIZATION)
    .where(AUTHORIZATION.c.shard == bindparam("in_shard"), AUTHORIZATION.c.idx == bindparam("at"))
    .values(outcome_idx=bindparam("outcome_idx"), result=bindparam("result"), digest=bindparam("digest"))
)
_ADD_PATIENT, _ADD_PAIRING, _ADD_CONSENT = insert(PATIENT), insert(PAIRING), insert(CONSENT)
_ADD_REVISION, _ADD_REQUEST, _ADD_AUTHORIZATION = insert(REVISION), insert(REQUEST), insert(AUTHORIZATION)


def patient_facts(connection: Connection, shard: int, queries: Iterable[Query]) -> Mapping[int, PatientFacts]:
    """The facts of every patient asked about, in one statement whatever their number."""
    patients = {query.address.patient for query in queries if query.address is not None}
    if not patients:
        return {}
    found: dict[int, PatientFacts] = {}
    rows = connection.execute(_FACTS, {"shard": shard, "patients": sorted(patients)})
    for patient, status, ins_hash, service, subject, *consent in rows:
        facts = found.get(patient)
        if facts is None:
            facts = found[patient] = PatientFacts(ProfileStatus(status), ins_hash, {}, {})
        if service is not None:
            facts.subjects[service] = subject
        if consent[0] is not None:
            facts.consents.setdefault(service, []).append((consent[0], _fact(*consent[1:])))
    return found


def _fact(state: str, revision: int, scope: str, start_ms: int, end_ms: int) -> ConsentFact:
    # The revision's external name is the use case's to give: enciphering it for rows nobody chooses would be waste.
    return ConsentFact(str(revision), ConsentState(state), _scope(scope), start_ms, end_ms)


@lru_cache(maxsize=4096)
def _scope(text: str) -> Scope:
    return Scope.read(Members(json.loads(text), "scope"))


def find_patient(connection: Connection, shard: int, ins_hash: bytes) -> int | None:
    """The patient of this identity."""
    return connection.execute(_FIND_PATIENT, {"shard": shard, "ins_hash": ins_hash}).scalar()


def profile_status(connection: Connection, address: Address) -> ProfileStatus | None:
    """The state of a profile; None when there is none."""
    status = connection.execute(_PROFILE_STATUS, {"shard": address.shard, "patient": address.patient}).scalar()
    return ProfileStatus(status) if status is not None else None


def find_subject(connection: Connection, address: Address, service: str) -> str | None:
    """What stands for patient and service in the log; None when they are not paired."""
    key = {"shard": address.shard, "patient": address.patient, "service": service}
    return connection.execute(_FIND_SUBJECT, key).scalar()


def add_patient(connection: Connection, address: Address, ins_hash: bytes, ins_sealed: bytes) -> None:
    """A new profile, open."""
    secrets = {"ins_hash": ins_hash, "ins_sealed": ins_sealed}
    identity = {"shard": address.shard, "id": address.patient, "status": ProfileStatus.OPEN.value}
    connection.execute(_ADD_PATIENT, identity | secrets)


def add_pairing(connection: Connection, address: Address, service: str, subject: str) -> None:
    """A new pairing."""
    row = {"shard": address.shard, "patient": address.patient, "service": service, "subject": subject}
    connection.execute(_ADD_PAIRING, row)


def find_consent(connection: Connection, shard: int, consent: int) -> Consent | None:
    """A consent as it stands."""
    row = connection.execute(_FIND_CONSENT, {"shard": shard, "consent": consent}).one_or_none()
    return _consent(row) if row is not None else None


def _consent(row: Any) -> Consent:
    return Consent(
        shard=row.shard,
        consent=row.id,
        patient=row.patient,
        service=row.service,
        scope=_scope(row.scope),
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        notice_sha256=row.notice_sha256,
        actor=Actor(row.actor_role, row.authentication),
        state=ConsentState(row.state),
        revision=row.revision,
    )


def count_consents(connection: Connection, address: Address, service: str) -> int:
    """How many consents a patient ever gave to a service."""
    key = {"shard": address.shard, "patient": address.patient, "service": service}
    return connection.execute(_COUNT_CONSENTS, key).scalar_one()


def find_request(connection: Connection, address: Address, request_id: str) -> tuple[str, int] | None:
    """(digest, consent) of the grant that used this request id."""
    key = {"shard": address.shard, "patient": address.patient, "request_id": request_id}
    row = connection.execute(_FIND_REQUEST, key).one_or_none()
    return (row.digest, row.consent) if row is not None else None


def add_consent(connection: Connection, consent: Consent, index: int, request_id: str, digest: str) -> None:
    """A new consent, its first revision, and the request id it answers."""
    row = {
        "shard": consent.shard,
        "id": consent.consent,
        "patient": consent.patient,
        "service": consent.service,
        "state": consent.state.value,
        "revision": consent.revision,
        "scope": dumps(consent.scope.to_json()).decode(),
        "start_ms": consent.start_ms,
        "end_ms": consent.end_ms,
        "notice_sha256": consent.notice_sha256,
        "actor_role": consent.actor.role,
        "authentication": consent.actor.authentication,
    }
    connection.execute(_ADD_CONSENT, row)
    _add_revision(connection, consent, index)
    request = {"shard": consent.shard, "patient": consent.patient, "request_id": request_id}
    connection.execute(_ADD_REQUEST, request | {"digest": digest, "consent": consent.consent})


def update_consent(connection: Connection, consent: Consent, index: int) -> None:
    """A consent's next revision: its state changes."""
    key = {"in_shard": consent.shard, "consent": consent.consent}
    connection.execute(_UPDATE_CONSENT, key | {"state": consent.state.value, "revision": consent.revision})
    _add_revision(connection, consent, index)


def _add_revision(connection: Connection, consent: Consent, index: int) -> None:
    row = {"shard": consent.shard, "consent": consent.consent, "revision": consent.revision}
    connection.execute(_ADD_REVISION, row | {"state": consent.state.value, "idx": index})


def count_attempts(connection: Connection, shard: int, exchanges: Sequence[str]) -> dict[str, int]:
    """How often each exchange was authorised before."""
    key = {"shard": shard, "exchanges": list(exchanges)}
    return {row.exchange: row.attempts for row in connection.execute(_COUNT_ATTEMPTS, key)}


def add_authorizations(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """New authorisations, all at once."""
    if rows:
        connection.execute(_ADD_AUTHORIZATION, rows)


def find_authorization(connection: Connection, shard: int, index: int) -> Any | None:
    """The authorisation at an index."""
    return connection.execute(_FIND_AUTHORIZATION, {"shard": shard, "at": index}).one_or_none()


def find_unsettled(connection: Connection, shard: int, before_ms: int, limit: int) -> Sequence[Any]:
    """The oldest authorisations before an instant that have no outcome."""
    return connection.execute(_FIND_UNSETTLED, {"shard": shard, "before_ms": before_ms, "limit": limit}).all()


def set_outcome(connection: Connection, shard: int, authorization: int, index: int, result: str, digest: str) -> None:
    """The latest outcome of an authorisation."""
    key = {"in_shard": shard, "at": authorization}
    connection.execute(_SET_OUTCOME, key | {"outcome_idx": index, "result": result, "digest": digest})
