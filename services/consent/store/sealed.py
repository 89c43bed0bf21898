"""Revisions of consents with the entries that made them and what opens these: still sealed, for the callers to open."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Connection, Select, and_, bindparam, func, select

from services.consent.domain.values import Address
from services.consent.store.consents import REVISION
from services.consent.store.facts import CONSENT
from services.consent.store.history import HEAD
from services.consent.store.joins import DATA_KEY, ENTRY, OF_ENTRY, OPENED_BY, OPENING

_SHARD: BindParameter[int] = bindparam("shard")
_UNTIL: BindParameter[int] = bindparam("until_ms")


def _sealed() -> Select[Any]:
    """Revisions, each with its entry and what opens its commitment; `wrapped` is null where that was destroyed."""
    return (
        select(
            REVISION.c.consent,
            REVISION.c.revision,
            REVISION.c.state,
            REVISION.c.time_ms,
            REVISION.c.idx,
            HEAD.c.origin,
            ENTRY.c.data,
            OPENING.c.shard,
            OPENING.c.patient,
            OPENING.c.year,
            OPENING.c.use,
            OPENING.c.sealed,
            DATA_KEY.c.wrapped,
        )
        .join(HEAD, and_(HEAD.c.shard == REVISION.c.shard, HEAD.c.epoch == REVISION.c.epoch))
        .join(
            ENTRY,
            and_(ENTRY.c.shard == REVISION.c.shard, ENTRY.c.epoch == REVISION.c.epoch, ENTRY.c.idx == REVISION.c.idx),
        )
        .join(OPENING, OF_ENTRY)
        .outerjoin(DATA_KEY, OPENED_BY)
    )


_LATER = REVISION.alias("later")
_GIVEN = select(CONSENT.c.id).where(
    CONSENT.c.shard == _SHARD, CONSENT.c.patient == bindparam("patient"), CONSENT.c.service == bindparam("service")
)
_CURRENT_AT = (
    _sealed()
    .where(
        REVISION.c.shard == _SHARD,
        # Not joined: the revisions of a shard are many, a patient's consents few, and no planner is to guess.
        REVISION.c.consent.in_(_GIVEN),
        REVISION.c.revision
        == select(func.max(_LATER.c.revision))
        .where(_LATER.c.shard == REVISION.c.shard, _LATER.c.consent == REVISION.c.consent, _LATER.c.time_ms <= _UNTIL)
        .scalar_subquery(),
    )
    .order_by(REVISION.c.consent)
)
_BELOW = (
    _sealed()
    .where(
        REVISION.c.shard == _SHARD,
        REVISION.c.consent == bindparam("consent"),
        REVISION.c.revision < bindparam("below", type_=BigInteger),
    )
    .order_by(REVISION.c.revision.desc())
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True)
class SealedRevision:
    """A revision: its entry, and the opening of what that commits to, still sealed; `wrapped` None: destroyed."""

    consent: int
    revision: int
    state: str
    time_ms: int
    index: int
    origin: str
    entry: bytes
    shard: int
    patient: int
    year: int
    use: int
    sealed: bytes
    wrapped: bytes | None


def current_at(connection: Connection, address: Address, service: str, until_ms: int) -> list[SealedRevision]:
    """The revision that was current at an instant of each consent that a patient had given a service, by local id."""
    key = {"shard": address.shard, "patient": address.patient, "service": service, "until_ms": until_ms}
    return [SealedRevision(*row) for row in connection.execute(_CURRENT_AT, key)]


def revisions_below(
    connection: Connection, shard: int, consent: int, below: int, chunk: int = 32
) -> Iterator[SealedRevision]:
    """A consent's revisions under a number, newest first, read as they are taken."""
    while True:
        key = {"shard": shard, "consent": consent, "below": below, "limit": chunk}
        found = [SealedRevision(*row) for row in connection.execute(_BELOW, key)]
        yield from found
        if len(found) < chunk:
            return
        below = found[-1].revision
