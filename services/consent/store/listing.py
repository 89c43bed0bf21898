"""Who has consents with whom, in order: what lists are made of."""

from collections.abc import Sequence

from sqlalchemy import BindParameter, Connection, bindparam, select

from services.consent.domain.values import Address
from services.consent.store.consents import REVISION
from services.consent.store.facts import CONSENT

_SHARD: BindParameter[int] = bindparam("shard")
_OWN = select(CONSENT.c.id).where(CONSENT.c.shard == _SHARD, CONSENT.c.patient == bindparam("patient"))
_CREATED = select(REVISION.c.consent, REVISION.c.time_ms).where(
    REVISION.c.shard == _SHARD, REVISION.c.consent.in_(_OWN), REVISION.c.revision == 1
)
_PATIENTS = (
    select(CONSENT.c.patient)
    .where(
        CONSENT.c.shard == _SHARD,
        CONSENT.c.patient > bindparam("after"),
        CONSENT.c.service == bindparam("service"),
        CONSENT.c.standing,
    )
    .distinct()
    .order_by(CONSENT.c.patient)
    .limit(bindparam("limit"))
)


def created(connection: Connection, address: Address) -> dict[int, int]:
    """When each consent of a patient was given (milliseconds), by local id."""
    rows = connection.execute(_CREATED, {"shard": address.shard, "patient": address.patient})
    return {row.consent: row.time_ms for row in rows}


def patients_of(connection: Connection, shard: int, service: str, after: int, limit: int) -> Sequence[int]:
    """The next patients of a shard, by local id, with a consent for a service that has not ended."""
    key = {"shard": shard, "service": service, "after": after, "limit": limit}
    return connection.execute(_PATIENTS, key).scalars().all()
