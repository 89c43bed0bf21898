"""What a decision needs of patients: everything in one statement, whatever their number, and what quotas have counted."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, exists, func, insert, select

from services.consent import tables
from services.consent.domain.lifecycle import ProfileStatus
from services.consent.domain.terms import Limits
from services.consent.domain.values import Query
from services.formats.canonical import Members
from services.formats.rights import Scope

PATIENT, PAIRING, CONSENT = tables.table(tables.Patient), tables.table(tables.Pairing), tables.table(tables.Consent)
IDENTITY, QUOTA_USE = tables.table(tables.Identity), tables.table(tables.QuotaUse)


class StoredConsent(NamedTuple):
    """A consent as its row has it: `id` is local, `scope` and `limits` are read by those who need them."""

    id: int
    state: str
    revision: int
    scope: str
    limits: str
    start_ms: int
    end_ms: int


@dataclass(slots=True)
class PatientFacts:
    """Profile, keyed hashes of the identities, pairings (service → subject), consents by service."""

    status: ProfileStatus
    ins_hashes: list[bytes]
    subjects: dict[str, str] = field(default_factory=dict)
    consents: dict[str, list[StoredConsent]] = field(default_factory=dict)


_FACTS = (
    select(
        PATIENT.c.id,
        PATIENT.c.status,
        PATIENT.c.ins_hash,
        PATIENT.c.aliases,
        PAIRING.c.service,
        PAIRING.c.subject,
        CONSENT.c.id.label("consent"),
        CONSENT.c.state,
        CONSENT.c.revision,
        CONSENT.c.scope,
        CONSENT.c.limits,
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
    .where(
        PATIENT.c.shard == bindparam("shard"),
        PATIENT.c.id.in_(bindparam("patients", expanding=True)),
        # Of who was erased only the row is left: nobody is to find a patient there, nor make keys for one.
        PATIENT.c.status != ProfileStatus.ERASED.value,
    )
    # A decision takes the first consent that will do: everywhere the same one. SQLite's keys lie in this order already.
    .order_by(PATIENT.c.id, PAIRING.c.service, CONSENT.c.id)
)
_FIND_IDENTITIES = select(IDENTITY.c.ins_hash).where(
    IDENTITY.c.shard == bindparam("shard"), IDENTITY.c.patient == bindparam("patient")
)
_IN_CONSENT = (QUOTA_USE.c.shard == bindparam("shard"), QUOTA_USE.c.consent == bindparam("consent"))
_COUNT_USES = select(
    select(func.count()).where(*_IN_CONSENT, QUOTA_USE.c.time_ms >= bindparam("from_ms")).scalar_subquery(),
    exists().where(*_IN_CONSENT, QUOTA_USE.c.exchange == bindparam("exchange")),
)
_ADD_USE = insert(QUOTA_USE)


def facts_asked(connection: Connection, shard: int, queries: Iterable[Query]) -> Mapping[int, PatientFacts]:
    """The facts of every patient asked about."""
    return patient_facts(connection, shard, {query.address.patient for query in queries if query.address is not None})


def patient_facts(connection: Connection, shard: int, patients: Iterable[int]) -> Mapping[int, PatientFacts]:
    """The facts of these patients, those that exist and were not erased."""
    wanted = sorted(patients)
    if not wanted:
        return {}
    found: dict[int, PatientFacts] = {}
    rows = connection.execute(_FACTS, {"shard": shard, "patients": wanted})
    for patient, status, ins_hash, aliases, service, subject, consent, *fact in rows:
        facts = found.get(patient)
        if facts is None:
            facts = found[patient] = PatientFacts(ProfileStatus(status), [ins_hash])
            if aliases:
                facts.ins_hashes += connection.execute(_FIND_IDENTITIES, {"shard": shard, "patient": patient}).scalars()
        if service is not None:
            facts.subjects[service] = subject
        if consent is not None:
            facts.consents.setdefault(service, []).append(StoredConsent(consent, *fact))
    return found


def count_uses(connection: Connection, shard: int, consent: int, exchange: str, from_ms: int) -> tuple[int, bool]:
    """What a consent's quota has counted since `from_ms`, and whether this exchange is among all it ever counted."""
    key = {"shard": shard, "consent": consent, "exchange": exchange, "from_ms": from_ms}
    used, counted = connection.execute(_COUNT_USES, key).one()
    return used, bool(counted)


def add_use(connection: Connection, shard: int, consent: int, exchange: str, now_ms: int) -> None:
    """Counts an exchange against a consent's quota, for ever."""
    connection.execute(_ADD_USE, {"shard": shard, "consent": consent, "exchange": exchange, "time_ms": now_ms})


@lru_cache(maxsize=4096)
def read_scope(text: str) -> Scope:
    """The scope that a row's text states."""
    return Scope.read(Members(json.loads(text), "scope"))


@lru_cache(maxsize=4096)
def read_limits(text: str) -> Limits:
    """The limits that a row's text states."""
    return Limits.read(Members(json.loads(text), "limits"))
