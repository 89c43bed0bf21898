"""Services' requests for consent, in the shard of the service."""

from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, insert, select, update

from services.consent import tables
from services.consent.domain.terms import NO_LIMITS
from services.consent.domain.values import Address, Request, RequestState
from services.consent.store.facts import read_limits, read_scope
from services.formats.canonical import dumps

CONSENT_REQUEST = tables.table(tables.ConsentRequest)
_SHARD: BindParameter[int] = bindparam("shard")
_FIND = select(CONSENT_REQUEST).where(CONSENT_REQUEST.c.shard == _SHARD, CONSENT_REQUEST.c.id == bindparam("request"))
_FIND_BY_CODE = select(CONSENT_REQUEST).where(
    CONSENT_REQUEST.c.shard == _SHARD, CONSENT_REQUEST.c.code == bindparam("code")
)
_FIND_BY_REQUEST_ID = select(CONSENT_REQUEST).where(
    CONSENT_REQUEST.c.shard == _SHARD,
    CONSENT_REQUEST.c.service == bindparam("service"),
    CONSENT_REQUEST.c.request_id == bindparam("request_id"),
)
_CLAIM = (
    update(CONSENT_REQUEST)
    .where(CONSENT_REQUEST.c.shard == bindparam("in_shard"), CONSENT_REQUEST.c.id == bindparam("in_id"))
    .values(
        state=bindparam("state"),
        claimed_shard=bindparam("claimed_shard"),
        claimed_patient=bindparam("claimed_patient"),
    )
)
_ADD = insert(CONSENT_REQUEST)


def find(connection: Connection, shard: int, request: int) -> Request | None:
    """A request as it stands."""
    row = connection.execute(_FIND, {"shard": shard, "request": request}).one_or_none()
    return _request(row) if row is not None else None


def find_by_code(connection: Connection, shard: int, code: str) -> Request | None:
    """The request of a code."""
    row = connection.execute(_FIND_BY_CODE, {"shard": shard, "code": code}).one_or_none()
    return _request(row) if row is not None else None


def find_repeated(connection: Connection, shard: int, service: str, request_id: str) -> tuple[str, Request] | None:
    """(digest, request) of the service's request that used this request id."""
    key = {"shard": shard, "service": service, "request_id": request_id}
    row = connection.execute(_FIND_BY_REQUEST_ID, key).one_or_none()
    return (row.digest, _request(row)) if row is not None else None


def add(connection: Connection, request: Request, request_id: str, digest: str) -> None:
    """A new request."""
    limits = request.limits.to_json()
    row: dict[str, Any] = {
        "shard": request.shard,
        "id": request.request,
        "service": request.service,
        "request_id": request_id,
        "digest": digest,
        "code": request.code,
        "state": request.state.value,
        "scope": dumps(request.scope.to_json()).decode(),
        "limits": dumps(limits).decode() if limits else "",
        "start_ms": request.start_ms,
        "end_ms": request.end_ms,
        "created_ms": request.created_ms,
        "expires_ms": request.expires_ms,
        "claimed_shard": None,
        "claimed_patient": None,
    }
    connection.execute(_ADD, row)


def claim(connection: Connection, request: Request, state: RequestState, address: Address) -> None:
    """The request is decided, for this patient."""
    key = {"in_shard": request.shard, "in_id": request.request, "state": state.value}
    connection.execute(_CLAIM, key | {"claimed_shard": address.shard, "claimed_patient": address.patient})


def _request(row: Any) -> Request:
    claimed = None if row.claimed_shard is None else Address(row.claimed_shard, row.claimed_patient)
    return Request(
        shard=row.shard,
        request=row.id,
        service=row.service,
        scope=read_scope(row.scope),
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        limits=read_limits(row.limits) if row.limits else NO_LIMITS,
        code=row.code,
        state=RequestState(row.state),
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        claimed=claimed,
    )
