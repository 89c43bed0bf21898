"""Services' requests for consent, under the lock of the service's shard: made once, decided once.

Deciding claims the request for one patient (compare-and-swap); the grant itself follows in the patient's shard, by a request
id that only this request has. So a crash between the two loses nothing: the same patient's grant may be repeated, and
nobody else can have the request.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from services.consent.domain import commands as c
from services.consent.domain.codes import make_code
from services.consent.locked import Locked, draft
from services.consent.profiles import require_referenced
from services.consent.store import requests
from services.errors import AccordError, Reason
from services.formats.entry import EntryType
from services.formats.times import text_of

DECIDED = "the request has been decided"
CLAIM_GRACE_MS = 5_000
"""How long after a request's end the grant that claimed it may still arrive; until then it is not called expired."""


class RequestHandlers:
    """What services ask for and patients decide; `random_bits(n)` makes local ids and codes."""

    def __init__(self, shards: int, random_bits: Callable[[int], int]) -> None:
        self._shards, self._random_bits = shards, random_bits

    def request(self, locked: Locked, item: c.RequestConsent) -> c.Request:
        """Records what a service asks for, within its convention; the same request id again answers the same request."""
        repeated = requests.find_repeated(locked.connection, locked.shard, item.service, item.request_id)
        if repeated is not None:
            digest, known = repeated
            if digest != item.digest:
                raise AccordError(Reason.REQUEST_ID_REUSED)
            return known
        convention = require_referenced(locked, item.service).convention
        if not convention.in_force(locked.now_ms):
            raise AccordError(Reason.CONVENTION_NOT_IN_FORCE)
        start_ms = locked.now_ms if item.start_ms is None else item.start_ms
        inside = convention.start_ms <= start_ms and locked.now_ms < item.end_ms <= convention.end_ms
        if not inside or not item.scope.within(convention.scope):
            raise AccordError(Reason.CONVENTION_EXCEEDED)
        request = c.Request(
            shard=locked.shard,
            request=locked.new_id(self._random_bits),
            service=item.service,
            scope=item.scope,
            start_ms=item.start_ms,
            end_ms=item.end_ms,
            limits=item.limits,
            code=make_code(locked.shard, self._shards, self._random_bits),
            state=c.RequestState.PENDING,
            created_ms=locked.now_ms,
            expires_ms=locked.now_ms + item.life_s * 1000,
            claimed=None,
        )
        requests.add(locked.connection, request, item.request_id, item.digest)
        locked.append(draft(EntryType.CONSENT_REQUESTED, "service", _body(request), service=item.service))
        return request

    def decide(self, locked: Locked, item: c.DecideRequest) -> c.Request:
        """Claims a pending request for one patient; a repeat by the same patient changes nothing."""
        request = requests.find(locked.connection, item.shard, item.request)
        if request is None:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        state = c.RequestState.GRANTED if item.granted else c.RequestState.REJECTED
        if not decides(request, state, item.address, locked.now_ms):
            return request
        requests.claim(locked.connection, request, state, item.address)
        if not item.granted:
            body = {"authentication": item.actor.authentication}
            locked.append(draft(EntryType.CONSENT_REJECTED, item.actor.role, body, service=request.service))
        return replace(request, state=state, claimed=item.address)


def decides(request: c.Request, state: c.RequestState, address: c.Address, now_ms: int) -> bool:
    """Whether this decision by this patient changes anything. Raises: AccordError STATE_CONFLICT, REQUEST_EXPIRED."""
    if request.state is not c.RequestState.PENDING:
        if (request.state, request.claimed) != (state, address):
            raise AccordError(Reason.STATE_CONFLICT, DECIDED)
        return False
    if now_ms >= request.expires_ms:
        raise AccordError(Reason.REQUEST_EXPIRED)
    return True


def shown_state(request: c.Request, *, granted: bool, now_ms: int) -> c.RequestState:
    """Where a request stands towards those who ask: `granted` says whether the consent exists.

    What was claimed is pending until the consent exists; what was called expired is never granted afterwards.
    """
    if request.state is c.RequestState.REJECTED:
        return c.RequestState.REJECTED
    if granted:
        return c.RequestState.GRANTED
    expired = now_ms >= request.expires_ms + CLAIM_GRACE_MS
    return c.RequestState.EXPIRED if expired else c.RequestState.PENDING


def grant_request_id(request: c.Request) -> str:
    """The request id of the one grant that answers a request: of a form that no caller can send."""
    return f"request:{request.shard}-{request.request:016x}"


def _body(request: c.Request) -> dict[str, Any]:
    limits = request.limits.to_json()
    body = {"end": text_of(request.end_ms), "scope": request.scope.to_json(), "expires": text_of(request.expires_ms)}
    body |= {"start": text_of(request.start_ms)} if request.start_ms is not None else {}
    return body | ({"limits": limits} if limits else {})
