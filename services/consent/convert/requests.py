"""Services' requests for consent: what is asked, and a request as the wire has it."""

import hashlib

from accord.consent.v1 import consent_request_service_pb2 as pb
from accord.consent.v1 import consent_service_pb2

from services.consent.answers import Answer
from services.consent.convert.consents import limits_message, scope_message
from services.consent.convert.form import REQUEST_ID, Form, timestamp
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.codes import shown
from services.consent.domain.terms import NO_LIMITS, Effect

DEFAULT_LIFE_S, MIN_LIFE_S, MAX_LIFE_S = 900, 60, 604_800
"""How long a request can be decided."""
_GIVEN = frozenset({"service", "scope", "start_time", "end_time", "limits"})


def request(message: pb.RequestConsentRequest) -> c.RequestConsent:
    """What a service asks for. Raises: AccordError FIELD_INVALID."""
    form, asked = Form(), message.request
    unset = all(field.name in _GIVEN for field, _ in asked.ListFields())
    form.check(unset, "request", "output-only fields must be unset")
    form.check(asked.HasField("end_time"), "request.end_time", "is required")
    life_s = message.life_seconds or DEFAULT_LIFE_S
    form.check(MIN_LIFE_S <= life_s <= MAX_LIFE_S, "life_seconds", f"must be {MIN_LIFE_S} to {MAX_LIFE_S}")
    limits = form.limits(asked.limits, "request.limits")
    plain = limits.effect is Effect.PERMIT and not limits.secret
    form.check(plain, "request.limits", "a service asks for neither a refusal nor a secret")
    start_ms = form.optional_instant(asked, "start_time", "request")
    end_ms = form.instant(asked.end_time, "request.end_time")
    form.check(start_ms is None or start_ms < end_ms, "request.end_time", "must be after the start")
    item = c.RequestConsent(
        service=form.service(asked.service, "request.service"),
        scope=form.scope(asked.scope, "request.scope"),
        start_ms=start_ms,
        end_ms=end_ms,
        limits=limits,
        life_s=life_s,
        request_id=form.text(message.request_id, REQUEST_ID, "request_id"),
        digest=hashlib.sha256(f"{life_s}|".encode() + asked.SerializeToString(deterministic=True)).hexdigest(),
    )
    form.done()
    return item


def rejection(message: consent_service_pb2.RejectConsentRequestRequest, names: Names) -> c.DecideRequest:
    """A patient's refusal of a request. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form = Form()
    by = form.actor(message.actor, "actor")
    form.done()
    return c.DecideRequest(*names.request(message.request), names.profile(message.profile), False, by)


def request_message(answer: Answer, names: Names, *, for_service: bool) -> pb.ConsentRequest:
    """A request for the wire; the patient's pseudonym is for the service alone."""
    asked = answer.request
    message = pb.ConsentRequest(
        name=names.request_name(asked.shard, asked.request),
        service=asked.service,
        scope=scope_message(asked.scope),
        end_time=timestamp(asked.end_ms),
        user_code=shown(asked.code),
        state=pb.RequestState.Value("REQUEST_STATE_" + answer.state),
        expire_time=timestamp(asked.expires_ms),
        notice_sha256=answer.notice_sha256,
    )
    if asked.start_ms is not None:
        message.start_time.CopyFrom(timestamp(asked.start_ms))
    if asked.limits != NO_LIMITS:
        message.limits.CopyFrom(limits_message(asked.limits))
    if answer.consent is not None and asked.claimed is not None:
        message.consent = names.consent_name(asked.claimed.shard, answer.consent)
        message.patient = names.pseudonym(asked.service, asked.claimed) if for_service else ""
    return message
