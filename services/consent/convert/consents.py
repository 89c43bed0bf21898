"""Consents: what the portal asks for, and a consent as the wire has it."""

import hashlib
from dataclasses import replace
from functools import partial
from typing import Any

from accord.consent.v1 import consent_pb2, consent_service_pb2
from accord.registry.v1 import registry_pb2

from services.consent.convert.form import REQUEST_ID, Form, timestamp
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import NO_LIMITS, Limits
from services.formats.canonical import HEX_32
from services.formats.rights import Scope


def grant(message: consent_service_pb2.GrantConsentRequest, names: Names) -> c.Grant:
    """A grant, its assertion not looked at. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form, consent = Form(), message.consent
    unset = not (consent.name or consent.state or consent.revision or consent.etag or consent.cause)
    form.check(unset, "consent", "output-only fields must be unset")
    grant = partial(
        c.Grant,
        service=form.service(consent.service, "consent.service"),
        start_ms=form.optional_instant(consent, "start_time", "consent"),
        digest=_digest(consent),
        validate_only=message.validate_only,
        **_terms(consent, form),
    )
    form.given(message.assertion, "assertion")
    # A grant that answers a request has the request's own id: sent or not, the caller's changes nothing.
    needs_id = bool(message.request_id) or not message.request
    request_id = form.text(message.request_id, REQUEST_ID, "request_id") if needs_id else ""
    form.done()
    return grant(address=names.profile(message.profile), request_id=request_id)


def amendment(message: consent_service_pb2.AmendConsentRequest, names: Names) -> c.Amend:
    """An amendment, its assertion not looked at. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form, consent = Form(), message.consent
    unset = not (consent.state or consent.revision or consent.cause or consent.HasField("start_time"))
    form.check(unset, "consent", "start_time stays, and output-only fields must be unset")
    amend = partial(
        c.Amend,
        digest=_digest(consent),
        request_id=form.text(message.request_id, REQUEST_ID, "request_id"),
        etag=consent.etag,
        validate_only=message.validate_only,
        **_terms(consent, form),
    )
    form.given(message.assertion, "assertion")
    form.done()
    shard, local = names.consent(consent.name)
    return amend(shard=shard, consent=local)


def movement(name: str, to: ConsentState, actor: consent_pb2.Actor, etag: str, names: Names) -> c.MoveConsent:
    """A suspension, resumption or withdrawal. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form = Form()
    by = form.actor(actor, "actor")
    form.done()
    shard, local = names.consent(name)
    return c.MoveConsent(shard, local, to, by, etag)


def resumption(message: consent_service_pb2.ResumeConsentRequest, names: Names) -> c.MoveConsent:
    """A resumption, its assertion not looked at. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form = Form()
    by = form.actor(message.actor, "actor")
    form.given(message.assertion, "assertion")
    form.done()
    return c.MoveConsent(*names.consent(message.name), ConsentState.ACTIVE, by, message.etag)


def _terms(consent: consent_pb2.Consent, form: Form) -> dict[str, Any]:
    form.check(consent.HasField("end_time"), "consent.end_time", "is required")
    return {
        "scope": form.scope(consent.scope, "consent.scope"),
        "end_ms": form.instant(consent.end_time, "consent.end_time"),
        "notice_sha256": form.text(consent.notice_sha256, HEX_32, "consent.notice_sha256"),
        "actor": form.actor(consent.actor, "consent.actor"),
        "limits": form.limits(consent.limits, "consent.limits"),
    }


def _digest(consent: consent_pb2.Consent) -> str:
    return hashlib.sha256(consent.SerializeToString(deterministic=True)).hexdigest()


def consent_message(consent: c.Consent, names: Names) -> consent_pb2.Consent:
    """A consent for the wire."""
    message = consent_pb2.Consent(
        name=names.consent_name(consent.shard, consent.consent),
        service=consent.service,
        scope=scope_message(consent.scope),
        start_time=timestamp(consent.start_ms),
        end_time=timestamp(consent.end_ms),
        notice_sha256=consent.notice_sha256,
        actor=consent_pb2.Actor(role=_role(consent.actor), authentication=consent.actor.authentication),
        state=consent_pb2.ConsentState.Value("CONSENT_STATE_" + consent.state),
        revision=consent.revision,
        etag=consent.etag,
        cause=consent.cause,
    )
    if replace(consent.limits, confirm_ms=None) != NO_LIMITS:
        message.limits.CopyFrom(limits_message(consent.limits))
    return message


def _role(actor: c.Actor) -> consent_pb2.ActorRole.ValueType:
    return consent_pb2.ActorRole.Value(f"ACTOR_ROLE_{actor.role.upper()}")


def scope_message(scope: Scope) -> consent_pb2.Scope:
    """A scope for the wire."""
    return consent_pb2.Scope(
        categories=sorted(scope.categories),
        directions=[registry_pb2.Direction.Value("DIRECTION_" + item) for item in sorted(scope.directions)],
        purposes=[registry_pb2.Purpose.Value("PURPOSE_" + item) for item in sorted(scope.purposes)],
    )


def limits_message(limits: Limits) -> consent_pb2.Limits:
    """What goes beyond a scope, for the wire."""
    message = consent_pb2.Limits(
        effect=consent_pb2.Effect.Value("EFFECT_" + limits.effect),
        exceptions=sorted(limits.exceptions),
        secret=limits.secret,
    )
    if limits.quota is not None:
        message.quota.limit, message.quota.period_seconds = limits.quota.limit, limits.quota.period_s
    times = {
        "data_start_time": limits.data_from_ms,
        "data_end_time": limits.data_until_ms,
        "erase_time": limits.erase_ms,
    }
    for field, instant_ms in times.items():
        if instant_ms is not None:
            getattr(message, field).CopyFrom(timestamp(instant_ms))
    return message


def profile_message(profile: c.Profile, names: Names) -> consent_pb2.Profile:
    """A profile for the wire."""
    message = consent_pb2.Profile(
        name=names.profile_name(profile.address),
        state=consent_pb2.ProfileState.Value("PROFILE_STATE_" + profile.status),
    )
    for field, instant_ms in (("open_time", profile.opens_ms), ("majority_time", profile.majority_ms)):
        if instant_ms is not None:
            getattr(message, field).CopyFrom(timestamp(instant_ms))
    return message
