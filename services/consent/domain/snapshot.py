"""What a revision of a consent said, read back from the body that its entry commits to."""

from dataclasses import dataclass, replace

from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import NO_LIMITS, Limits
from services.consent.domain.values import Actor, Consent
from services.formats.canonical import HEX_32, FormatError, Members, loads_canonical
from services.formats.entry import MAX_BODY, Entry
from services.formats.rights import Scope
from services.formats.times import instant_of

_OTHERS = ("assertion", "person", "why")
"""What a body may hold beside the terms: not said again here."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Every term of a revision, and how its actor authenticated."""

    scope: Scope
    start_ms: int
    end_ms: int
    notice_sha256: str
    limits: Limits
    authentication: str


def read_terms(body: bytes) -> Terms:
    """The terms that a revision's body states. Raises: FormatError."""
    members = Members(loads_canonical(body, MAX_BODY), "revision")
    scope = members.object("scope")
    terms = Terms(
        scope=Scope.read(scope),
        start_ms=instant_of(members.text("start")),
        end_ms=instant_of(members.text("end")),
        notice_sha256=members.text("notice_sha256", HEX_32),
        limits=Limits.read(members.object("limits")) if members.has("limits") else NO_LIMITS,
        authentication=members.text("authentication"),
    )
    scope.done()
    for name in _OTHERS:
        members.text(name, default="")
    members.done()
    return terms


def as_revised(consent: Consent, revision: int, state: str, entry: Entry, terms: Terms) -> Consent:
    """The consent as it was from this revision on; its actor is the entry's, who may be no person."""
    if not entry.resources or not entry.resources[0].endswith(f"/revisions/{revision}"):
        raise FormatError("the entry is another revision's")
    return replace(
        consent,
        revision=revision,
        state=ConsentState(state),
        cause=entry.cause,
        scope=terms.scope,
        start_ms=terms.start_ms,
        end_ms=terms.end_ms,
        notice_sha256=terms.notice_sha256,
        limits=terms.limits,
        actor=Actor(entry.actor, terms.authentication),
    )
