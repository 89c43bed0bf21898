"""Consents as they stand, the revisions that led there, and the request ids that made them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, insert, select, update

from services.consent import tables
from services.consent.domain.lifecycle import FINAL, ConsentState
from services.consent.domain.terms import NO_LIMITS
from services.consent.domain.values import Actor, Address, Consent
from services.consent.store.facts import CONSENT, read_limits, read_scope
from services.formats.canonical import dumps

REVISION, REQUEST = tables.table(tables.Revision), tables.table(tables.GrantRequest)
ASSERTION = tables.table(tables.Assertion)
_SHARD: BindParameter[int] = bindparam("shard")
_FIND_CONSENT = select(CONSENT).where(CONSENT.c.shard == _SHARD, CONSENT.c.id == bindparam("consent"))
_OF_PATIENT = select(CONSENT).where(CONSENT.c.shard == _SHARD, CONSENT.c.patient == bindparam("patient"))
_STANDING = _OF_PATIENT.where(CONSENT.c.standing)
_ENDED = (
    select(CONSENT)
    .where(CONSENT.c.shard == _SHARD, CONSENT.c.standing, CONSENT.c.end_ms <= bindparam("now_ms"))
    .order_by(CONSENT.c.end_ms, CONSENT.c.id)
    .limit(bindparam("limit"))
)
_MEASURE_OTHERS = select(
    func.count(), func.coalesce(func.sum(func.length(CONSENT.c.scope) + func.length(CONSENT.c.limits)), 0)
).where(
    CONSENT.c.shard == _SHARD,
    CONSENT.c.patient == bindparam("patient"),
    CONSENT.c.service == bindparam("service"),
    CONSENT.c.id != bindparam("but"),
)
_CHANGING = ("state", "standing", "cause", "revision", "scope", "limits", "end_ms", "notice_sha256", "actor_role")
_UPDATE_CONSENT = (
    update(CONSENT)
    .where(
        CONSENT.c.shard == bindparam("in_shard"),
        CONSENT.c.patient == bindparam("in_patient"),
        CONSENT.c.service == bindparam("in_service"),
        CONSENT.c.id == bindparam("in_id"),
    )
    .values({name: bindparam(name) for name in (*_CHANGING, "authentication")})
)
_FIND_REQUEST = select(REQUEST.c.digest, REQUEST.c.consent).where(
    REQUEST.c.shard == _SHARD,
    REQUEST.c.patient == bindparam("patient"),
    REQUEST.c.request_id == bindparam("request_id"),
)
_REVISIONS = (
    select(REVISION)
    .where(REVISION.c.shard == _SHARD, REVISION.c.consent == bindparam("consent"))
    .order_by(REVISION.c.revision.desc())
)
_ACKNOWLEDGED = select(CONSENT.c.acknowledged_ms).where(CONSENT.c.shard == _SHARD, CONSENT.c.id == bindparam("consent"))
_ACKNOWLEDGE = (
    update(CONSENT)
    .where(CONSENT.c.shard == bindparam("in_shard"), CONSENT.c.id == bindparam("in_id"))
    .values(acknowledged_ms=bindparam("acknowledged_ms"))
)
_ADD_CONSENT, _ADD_REVISION = insert(CONSENT), insert(REVISION)
_ADD_REQUEST, _ADD_ASSERTION = insert(REQUEST), insert(ASSERTION)


@dataclass(frozen=True, slots=True)
class RevisionRow:
    """A revision: its number, where the entry that made it stands, and when that was."""

    revision: int
    epoch: int
    index: int
    time_ms: int


def find_consent(connection: Connection, shard: int, consent: int) -> Consent | None:
    """A consent as it stands."""
    row = connection.execute(_FIND_CONSENT, {"shard": shard, "consent": consent}).one_or_none()
    return _consent(row) if row is not None else None


def consents_of(connection: Connection, address: Address) -> list[Consent]:
    """All of a patient's consents."""
    key = {"shard": address.shard, "patient": address.patient}
    return [_consent(row) for row in connection.execute(_OF_PATIENT, key)]


def standing_of(connection: Connection, address: Address) -> list[Consent]:
    """A patient's consents that have not ended."""
    key = {"shard": address.shard, "patient": address.patient}
    return [_consent(row) for row in connection.execute(_STANDING, key)]


def ended(connection: Connection, shard: int, now_ms: int, limit: int) -> list[Consent]:
    """Consents whose end has come and that still stand, in the order in which they ended."""
    key = {"shard": shard, "now_ms": now_ms, "limit": limit}
    return [_consent(row) for row in connection.execute(_ENDED, key)]


def _consent(row: Any) -> Consent:
    return Consent(
        shard=row.shard,
        consent=row.id,
        patient=row.patient,
        service=row.service,
        scope=read_scope(row.scope),
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        notice_sha256=row.notice_sha256,
        actor=Actor(row.actor_role, row.authentication),
        state=ConsentState(row.state),
        revision=row.revision,
        limits=read_limits(row.limits) if row.limits else NO_LIMITS,
        cause=row.cause,
    )


def _row(consent: Consent) -> dict[str, Any]:
    limits = consent.limits.to_json()
    return {
        "state": consent.state.value,
        "standing": consent.state not in FINAL,
        "cause": consent.cause,
        "revision": consent.revision,
        "scope": dumps(consent.scope.to_json()).decode(),
        "limits": dumps(limits).decode() if limits else "",
        "end_ms": consent.end_ms,
        "notice_sha256": consent.notice_sha256,
        "actor_role": consent.actor.role,
        "authentication": consent.actor.authentication,
    }


def measure_others(connection: Connection, consent: Consent) -> tuple[int, int]:
    """How many other consents the patient ever gave to the same service, and how many characters their terms take."""
    key = {"shard": consent.shard, "patient": consent.patient, "service": consent.service, "but": consent.consent}
    count, size = connection.execute(_MEASURE_OTHERS, key).one()
    return count, int(size)


def add_consent(connection: Connection, consent: Consent, made: RevisionRow) -> None:
    """A new consent and its first revision."""
    key: dict[str, Any] = {"shard": consent.shard, "patient": consent.patient}
    key |= {"service": consent.service, "id": consent.consent}
    connection.execute(_ADD_CONSENT, key | {"start_ms": consent.start_ms} | _row(consent))
    _add_revision(connection, consent, made)


def update_consent(connection: Connection, consent: Consent, made: RevisionRow) -> None:
    """A consent's next revision."""
    key: dict[str, Any] = {"in_shard": consent.shard, "in_patient": consent.patient}
    key |= {"in_service": consent.service, "in_id": consent.consent}
    connection.execute(_UPDATE_CONSENT, key | _row(consent))
    _add_revision(connection, consent, made)


def _add_revision(connection: Connection, consent: Consent, made: RevisionRow) -> None:
    row = {"shard": consent.shard, "consent": consent.consent, "revision": made.revision, "state": consent.state.value}
    connection.execute(_ADD_REVISION, row | {"epoch": made.epoch, "idx": made.index, "time_ms": made.time_ms})


def revisions(connection: Connection, shard: int, consent: int) -> Sequence[RevisionRow]:
    """A consent's revisions, newest first."""
    rows = connection.execute(_REVISIONS, {"shard": shard, "consent": consent})
    return [RevisionRow(row.revision, row.epoch, row.idx, row.time_ms) for row in rows]


def find_request(connection: Connection, address: Address, request_id: str) -> tuple[str, int] | None:
    """(digest, consent) of the grant or amendment that used this request id."""
    key = {"shard": address.shard, "patient": address.patient, "request_id": request_id}
    row = connection.execute(_FIND_REQUEST, key).one_or_none()
    return (row.digest, row.consent) if row is not None else None


def add_request(connection: Connection, consent: Consent, request_id: str, digest: str) -> None:
    """The request id that made a consent, or a revision of it."""
    row = {"shard": consent.shard, "patient": consent.patient, "request_id": request_id}
    connection.execute(_ADD_REQUEST, row | {"digest": digest, "consent": consent.consent})


def add_assertion(connection: Connection, consent: Consent, made: RevisionRow, kid: str, person: str) -> None:
    """Who asserted a revision: the portal's key, and the keyed hash of the person."""
    row = {"shard": consent.shard, "epoch": made.epoch, "idx": made.index, "consent": consent.consent}
    connection.execute(_ADD_ASSERTION, row | {"kid": kid, "person": person, "time_ms": made.time_ms})


def acknowledged(connection: Connection, shard: int, consent: int) -> int | None:
    """When the service noted the consent's end; None when it has not."""
    return connection.execute(_ACKNOWLEDGED, {"shard": shard, "consent": consent}).scalar()


def acknowledge(connection: Connection, shard: int, consent: int, now_ms: int) -> None:
    """The service has noted the consent's end."""
    connection.execute(_ACKNOWLEDGE, {"in_shard": shard, "in_id": consent, "acknowledged_ms": now_ms})
