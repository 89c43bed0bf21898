"""Profiles: how they open, move and are told of."""

from accord.consent.v1 import consent_pb2, consent_service_pb2

from services.consent.convert.form import PERSON, Form
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.formats.entry import EntryType

CHANNELS = frozenset({"letter", "email", "sms", "application"})
"""By which a patient may be told."""
_PATHS = {
    int(consent_service_pb2.OPENING_PATH_UNSPECIFIED): False,
    int(consent_service_pb2.OPENING_PATH_EXPRESS): False,
    int(consent_service_pb2.OPENING_PATH_OPT_OUT): True,
}


def opening(message: consent_service_pb2.OpenProfileRequest, names: Names) -> c.OpenProfile:
    """A profile to open. Raises: AccordError FIELD_INVALID, INS_INVALID, INS_TEST_REFUSED."""
    form = Form()
    opt_out = form.member(_PATHS, message.path, "path", False)
    majority_ms = form.optional_instant(message, "majority_time")
    form.done()
    return c.OpenProfile(names.ins(message.patient), opt_out, majority_ms)


def activation(message: consent_service_pb2.ActivateProfileRequest, names: Names) -> c.MoveProfile:
    """A profile to activate. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    return _movement(message.profile, message.actor, EntryType.PROFILE_ACTIVATED, names)


def closing(message: consent_service_pb2.CloseProfileRequest, names: Names) -> c.MoveProfile:
    """A profile to close. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    return _movement(message.profile, message.actor, EntryType.PROFILE_CLOSED, names)


def reopening(message: consent_service_pb2.ReopenProfileRequest, names: Names) -> c.MoveProfile:
    """A profile to reopen. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    return _movement(message.profile, message.actor, EntryType.PROFILE_REOPENED, names)


def _movement(profile: str, actor: consent_pb2.Actor, move: EntryType, names: Names) -> c.MoveProfile:
    form = Form()
    by = form.actor(actor, "actor")
    form.done()
    return c.MoveProfile(names.profile(profile), move, by)


def representation(profile: str, person: str, names: Names, *, allowed: bool) -> c.Represent:
    """Who may, or no longer may, act for a minor. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form = Form()
    form.text(person, PERSON, "person")
    form.done()
    return c.Represent(names.profile(profile), person, allowed)


def notice(message: consent_service_pb2.RecordNoticeRequest, names: Names) -> c.RecordNotice:
    """What a patient was told. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form = Form()
    form.check(message.channel in CHANNELS, "channel", f"must be one of {', '.join(sorted(CHANNELS))}")
    form.check(message.HasField("send_time"), "send_time", "is required")
    sent_ms = form.instant(message.send_time, "send_time")
    form.done()
    shard, consent, revision = names.revision(message.about)
    return c.RecordNotice(names.profile(message.profile), shard, consent, revision, message.channel, sent_ms)
