"""What is kept of a patient's accesses: each entry with what opens its commitment, and how the exchange ended."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import BindParameter, Connection, and_, bindparam, func, select

from services.consent.domain.values import Address
from services.consent.locked import RECORD
from services.consent.store.authorizations import AUTHORIZATION
from services.consent.store.consents import REVISION
from services.consent.store.facts import CONSENT
from services.consent.store.joins import DATA_KEY, ENTRY, OF_ENTRY, OPENED_BY, OPENING
from services.consent.store.traces import Log

_SHARD: BindParameter[int] = bindparam("shard")
_SEALED = (
    select(
        ENTRY.c.idx,
        ENTRY.c.data,
        OPENING.c.patient,
        OPENING.c.year,
        OPENING.c.use,
        OPENING.c.sealed,
        OPENING.c.facts,
        DATA_KEY.c.wrapped,
        AUTHORIZATION.c.result,
    )
    .select_from(ENTRY)
    .join(OPENING, OF_ENTRY)
    .outerjoin(DATA_KEY, OPENED_BY)
    .outerjoin(
        AUTHORIZATION,
        and_(
            AUTHORIZATION.c.shard == ENTRY.c.shard,
            AUTHORIZATION.c.epoch == ENTRY.c.epoch,
            AUTHORIZATION.c.idx == ENTRY.c.idx,
        ),
    )
    .where(
        ENTRY.c.shard == _SHARD,
        ENTRY.c.epoch == bindparam("epoch"),
        ENTRY.c.idx.in_(bindparam("indices", expanding=True)),
    )
    .order_by(ENTRY.c.idx)
)
_RECORD = (
    select(RECORD.c.data)
    .where(
        RECORD.c.shard == _SHARD,
        RECORD.c.service.in_(bindparam("services", expanding=True)),
        RECORD.c.hash == bindparam("leaf"),
    )
    .limit(1)
)
_REVISED = (
    select(REVISION.c.consent, func.max(REVISION.c.time_ms).label("time_ms"))
    .join(CONSENT, and_(CONSENT.c.shard == REVISION.c.shard, CONSENT.c.id == REVISION.c.consent))
    .where(CONSENT.c.shard == _SHARD, CONSENT.c.patient == bindparam("patient"))
    .group_by(REVISION.c.consent)
)


@dataclass(frozen=True, slots=True)
class SealedAccess:
    """An entry, what its commitment opens to and what it rested on, both sealed; `wrapped` None: destroyed.

    `result`: the latest outcome, None or empty where there is none.
    """

    index: int
    entry: bytes
    patient: int
    year: int
    use: int
    sealed: bytes
    facts: bytes
    wrapped: bytes | None
    result: str | None


def sealed(connection: Connection, log: Log, indices: Sequence[int]) -> list[SealedAccess]:
    """The entries of a log at these indices, in log order."""
    rows = connection.execute(_SEALED, log.key | {"indices": list(indices)}) if indices else ()
    return [SealedAccess(*row) for row in rows]


def record(connection: Connection, shard: int, services: Collection[str], leaf: str) -> bytes:
    """The registry record of one of these services with this leaf hash (hexadecimal). Raises: LookupError."""
    key = {"shard": shard, "services": sorted(services), "leaf": bytes.fromhex(leaf)}
    data: bytes | None = connection.execute(_RECORD, key).scalar()
    if data is None:
        raise LookupError("a record that this shard has not known")
    return data


def revised(connection: Connection, address: Address) -> dict[int, int]:
    """When each consent of a patient was last revised (milliseconds), by local id."""
    rows = connection.execute(_REVISED, {"shard": address.shard, "patient": address.patient})
    return {row.consent: row.time_ms for row in rows}
