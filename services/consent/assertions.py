"""The portal's assertions, verified before anything is decided on them.

Guarantees that an act which gives a right is one that the portal signed, with a key that TRUST lists for it, within five
minutes of now, and that nothing in the request differs from what was signed. Leaves to the ledger that a request id is used
once; a resumption names the revision that it takes up again, so that its assertion carries no second one.
"""

from collections.abc import Set
from dataclasses import fields, replace
from typing import Any

from services.chassis.clock import Clock
from services.consent.domain import commands as c
from services.consent.domain.by_clock import taken_up
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import Limits
from services.errors import AccordError, Reason
from services.formats import jws
from services.formats.assertion import ASSERTION, MAX_AGE_S, Act, GrantAssertion, open_assertion
from services.formats.canonical import FormatError
from services.formats.trust import KeyRole, Trust


class Assertions:
    """Verifies by what TRUST lists."""

    def __init__(self, trust: Trust, clock: Clock) -> None:
        self._trust, self._clock = trust, clock

    def granting(self, token: str, item: c.Grant, jti: str, profile: str) -> c.Assertion:
        """The assertion of a grant: `profile` is its name, `jti` the request id or the request's name.

        Raises: AccordError ASSERTION_INVALID.
        """
        expected = GrantAssertion(
            **self._always(Act.GRANT, jti, item.actor, item.limits),
            service=item.service,
            scope=item.scope,
            start_ms=item.start_ms,
            end_ms=item.end_ms,
            notice_sha256=item.notice_sha256,
            profile=profile,
        )
        return self.verify(token, expected)

    def amending(self, token: str, item: c.Amend, service: str, consent: str) -> c.Assertion:
        """The assertion of an amendment of a consent of this name. Raises: AccordError ASSERTION_INVALID."""
        expected = GrantAssertion(
            **self._always(Act.AMEND, item.request_id, item.actor, item.limits),
            service=service,
            scope=item.scope,
            end_ms=item.end_ms,
            notice_sha256=item.notice_sha256,
            consent=consent,
        )
        return self.verify(token, expected)

    def resuming(self, token: str, known: c.Consent, actor: c.Actor, consent: str) -> tuple[c.Assertion, int]:
        """The assertion of a resumption of a consent, as it stands now, of this name; and the revision that it takes up.

        Its `jti` is the revision that the patient saw suspended. Raises: AccordError ASSERTION_INVALID.
        """
        expected = GrantAssertion(
            **self._always(Act.RESUME, "", actor, known.limits),
            service=known.service,
            scope=known.scope,
            end_ms=known.end_ms,
            notice_sha256=known.notice_sha256,
            consent=consent,
        )
        # Of what is not suspended any revision will do: that changes nothing, or the ledger refuses it.
        suspended = known.state is ConsentState.SUSPENDED
        numbers = taken_up(known) if suspended else range(1, known.revision + 1)
        jtis = {f"{consent}/revisions/{number}": number for number in numbers}
        assertion = self.verify(token, expected, jtis.keys())
        return assertion, jtis[jws.peek(token, ASSERTION)[0]["jti"]]

    def _always(self, act: Act, jti: str, actor: c.Actor, limits: Limits) -> dict[str, Any]:
        return {
            "issuer": self._trust.trust_domain,
            "jti": jti,
            "issued_s": 0,
            "act": act,
            "role": actor.role,
            "authentication": actor.authentication,
            "person": actor.person,
            # When a representative's consent waits for the holder is the ledger's to say.
            "limits": replace(limits, confirm_ms=None).to_json(),
        }

    def verify(self, token: str, expected: GrantAssertion, jtis: Set[str] = frozenset()) -> c.Assertion:
        """The assertion, which says what is expected, its time apart; one of `jtis` does for the expected jti.

        Raises: AccordError ASSERTION_INVALID.
        """
        try:
            said = open_assertion(token, self._trust.key_of(KeyRole.PORTAL))
            kid = jws.peek(token, ASSERTION)[1]
        except FormatError as error:
            raise _refused(str(error)) from None
        if abs(said.issued_s * 1000 - self._clock.wall_ms()) > MAX_AGE_S * 1000:
            raise _refused("iat is more than five minutes away")
        if self._trust.key_of(KeyRole.PORTAL, said.issued_s * 1000)(kid) is None:
            raise _refused("signed with a key that was not good at its iat")
        expected = replace(expected, issued_s=said.issued_s, jti=said.jti if said.jti in jtis else expected.jti)
        other = [item.name for item in fields(said) if getattr(said, item.name) != getattr(expected, item.name)]
        if other:
            raise _refused(f"says something else than the request: {', '.join(other)}")
        return c.Assertion(token, kid)


def _refused(why: str) -> AccordError:
    return AccordError(Reason.ASSERTION_INVALID, f"assertion: {why}")
