"""Authorisations, how often each exchange was authorised, and the latest outcome of each."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, insert, select, update

from services.consent import tables

AUTHORIZATION = tables.table(tables.Authorization)
_SHARD: BindParameter[int] = bindparam("shard")
_EPOCH: BindParameter[int] = bindparam("epoch")
_COUNT_ATTEMPTS = (
    select(AUTHORIZATION.c.exchange, func.count().label("attempts"))
    .where(AUTHORIZATION.c.shard == _SHARD, AUTHORIZATION.c.exchange.in_(bindparam("exchanges", expanding=True)))
    .group_by(AUTHORIZATION.c.exchange)
)
_FIND_AUTHORIZATION = select(AUTHORIZATION).where(
    AUTHORIZATION.c.shard == _SHARD, AUTHORIZATION.c.epoch == _EPOCH, AUTHORIZATION.c.idx == bindparam("at")
)
_FIND_UNSETTLED = (
    select(AUTHORIZATION)
    .where(
        AUTHORIZATION.c.shard == _SHARD,
        AUTHORIZATION.c.epoch == _EPOCH,
        AUTHORIZATION.c.outcome_idx.is_(None),
        AUTHORIZATION.c.time_ms < bindparam("before_ms"),
    )
    .order_by(AUTHORIZATION.c.time_ms)
    .limit(bindparam("limit"))
)
_SET_OUTCOME = (
    update(AUTHORIZATION)
    .where(
        AUTHORIZATION.c.shard == bindparam("in_shard"),
        AUTHORIZATION.c.epoch == bindparam("in_epoch"),
        AUTHORIZATION.c.idx == bindparam("at"),
    )
    .values(outcome_idx=bindparam("outcome_idx"), result=bindparam("result"), digest=bindparam("digest"))
)
_ADD_AUTHORIZATION = insert(AUTHORIZATION)


def count_attempts(connection: Connection, shard: int, exchanges: Sequence[str]) -> dict[str, int]:
    """How often each exchange was authorised before."""
    key = {"shard": shard, "exchanges": list(exchanges)}
    return {row.exchange: row.attempts for row in connection.execute(_COUNT_ATTEMPTS, key)}


def add_authorizations(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """New authorisations, all at once."""
    if rows:
        connection.execute(_ADD_AUTHORIZATION, rows)


def find_authorization(connection: Connection, shard: int, epoch: int, index: int) -> Any | None:
    """The authorisation at an index."""
    return connection.execute(_FIND_AUTHORIZATION, {"shard": shard, "epoch": epoch, "at": index}).one_or_none()


def find_unsettled(connection: Connection, shard: int, epoch: int, before_ms: int, limit: int) -> Sequence[Any]:
    """The oldest authorisations before an instant that have no outcome."""
    key = {"shard": shard, "epoch": epoch, "before_ms": before_ms, "limit": limit}
    return connection.execute(_FIND_UNSETTLED, key).all()


def set_outcome(connection: Connection, known: Any, index: int, result: str, digest: str) -> None:
    """The latest outcome of an authorisation."""
    key = {"in_shard": known.shard, "in_epoch": known.epoch, "at": known.idx}
    connection.execute(_SET_OUTCOME, key | {"outcome_idx": index, "result": result, "digest": digest})
