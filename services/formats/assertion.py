"""The grant assertion: the portal's signed word of what a patient decided (a JWS, RFC 7515).

One assertion carries one act: `jti` is the request id, the service's request that the grant answers, or the revision that a
resumption takes up again. What the patient was shown stands in it whole, so that the act can be judged without the ledger.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.formats import jws
from services.formats.canonical import HEX_32, FormatError, Members, dumps
from services.formats.entry import REVISION
from services.formats.jwk import KeyOf, Signer
from services.formats.rights import SERVICE_NAME, Scope
from services.formats.times import instant_of, text_of

ASSERTION = "accord-grant+jws"
AUDIENCE = "ledger"
MAX_AGE_S = 300
"""How far `iat` may be from the ledger's clock, either way."""
_JTI = re.compile(rf"[A-Za-z0-9_-]{{8,64}}|consentRequests/[0-9a-f]{{32}}|{REVISION.pattern}")
_PROFILE = re.compile(r"profiles/[0-9a-f]{32}")
_CONSENT = re.compile(r"consents/[0-9a-f]{32}")
_ROLE = re.compile(r"holder|representative")
_AUTHENTICATION = re.compile(r"[a-z0-9_.-]{1,40}")
_PERSON = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Act(StrEnum):
    """What the patient did: each gives a right, or gives one back. Taking a right away needs no assertion."""

    GRANT = "grant"
    AMEND = "amend"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class GrantAssertion:
    """What the portal asserts. `profile` names the patient of a grant, `consent` what is amended or resumed; the other is
    empty. `start_ms`: of a grant that does not begin at once. `limits`: as the ledger writes them, empty for none.
    """

    issuer: str
    jti: str
    issued_s: int
    act: Act
    service: str
    scope: Scope
    end_ms: int
    notice_sha256: str
    role: str
    authentication: str
    person: str = ""
    profile: str = ""
    consent: str = ""
    start_ms: int | None = None
    limits: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The claims; what does not apply is absent."""
        actor = {"role": self.role, "authentication": self.authentication, "person": self.person}
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "jti": self.jti,
            "iat": self.issued_s,
            "act": self.act.value,
            "service": self.service,
            "profile": self.profile,
            "consent": self.consent,
            "scope": self.scope.to_json(),
            "start": text_of(self.start_ms) if self.start_ms is not None else "",
            "end": text_of(self.end_ms),
            "limits": self.limits,
            "notice_sha256": self.notice_sha256,
            "actor": {name: value for name, value in actor.items() if value},
        }
        return {name: value for name, value in claims.items() if value or name == "iat"}

    def sign(self, signer: Signer) -> str:
        """The assertion's JWS."""
        return jws.sign(signer, ASSERTION, dumps(self.to_json()))


def open_assertion(token: str, key_of: KeyOf) -> GrantAssertion:
    """The assertion that the portal's key signed. Raises: FormatError."""
    claims = jws.verify(token, ASSERTION, key_of).claims
    members = Members(claims, "assertion")
    if members.text("aud") != AUDIENCE:
        raise FormatError("the assertion is for another audience")
    assertion = _read(members)
    members.done()
    if assertion.to_json() != claims:
        raise FormatError("the assertion holds an empty member, or an array that is not sorted")
    if bool(assertion.profile) is bool(assertion.consent) or bool(assertion.profile) is not (
        assertion.act is Act.GRANT
    ):
        raise FormatError("the assertion names neither the profile of a grant nor the consent of another act")
    return assertion


def _read(members: Members) -> GrantAssertion:
    actor, scope = members.object("actor"), members.object("scope")
    assertion = GrantAssertion(
        issuer=members.text("iss"),
        jti=members.text("jti", _JTI),
        issued_s=members.integer("iat"),
        act=_read_act(members),
        service=members.text("service", SERVICE_NAME),
        scope=Scope.read(scope),
        end_ms=instant_of(members.text("end")),
        notice_sha256=members.text("notice_sha256", HEX_32),
        role=actor.text("role", _ROLE),
        authentication=actor.text("authentication", _AUTHENTICATION),
        person=actor.text("person", _PERSON, default=""),
        profile=members.text("profile", _PROFILE, default=""),
        consent=members.text("consent", _CONSENT, default=""),
        start_ms=instant_of(members.text("start")) if members.has("start") else None,
        limits=_read_limits(members),
    )
    actor.done()
    scope.done()
    return assertion


def _read_act(members: Members) -> Act:
    name = members.text("act")
    try:
        return Act(name)
    except ValueError:
        raise FormatError("assertion.act is unknown") from None


def _read_limits(members: Members) -> dict[str, Any]:
    """Any object: only its equality with what the ledger would write counts."""
    limits: Any = members.value("limits") if members.has("limits") else {}
    if not isinstance(limits, dict):
        raise FormatError("assertion.limits is not an object")
    return limits
