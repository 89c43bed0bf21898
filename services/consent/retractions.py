"""Withdrawing, under the shard's lock, whatever rests on assertions that were not the patient's hand (threat 34).

A step looks at a bounded number of assertions, so that nobody waits long for the lock; a repeat finds nothing standing. Each
withdrawal is a revision of its consent like any other, by the platform, with its justification.
"""

from services.consent.domain import commands as c
from services.consent.domain.asserted import Withdrawn
from services.consent.domain.by_clock import by_clock
from services.consent.domain.lifecycle import FINAL, ConsentState
from services.consent.locked import STEP, Locked
from services.consent.revisions import Revisions
from services.consent.store import assertions, consents

_PLATFORM = c.Actor(c.PLATFORM, "")


class RetractionHandlers:
    """What the platform asks for."""

    def __init__(self, revisions: Revisions) -> None:
        self._revisions = revisions

    def retract(self, locked: Locked, item: c.RevokeAsserted) -> Withdrawn:
        """One step of a withdrawal; `after` is None at its end."""
        found = assertions.page(locked.connection, item.shard, item.wanted, item.after, STEP)
        revoked, ended = set(), set()
        for local in dict.fromkeys(assertion.consent for assertion in found):
            consent = consents.find_consent(locked.connection, item.shard, local)
            if consent is None or by_clock(consent, locked.now_ms).state in FINAL:
                ended.add(local)
                continue
            self._revisions.move(locked, consent, ConsentState.REVOKED, _PLATFORM, why=item.why)
            revoked.add(local)
        after = found[-1].place if len(found) == STEP else None
        return Withdrawn(frozenset(revoked), frozenset(ended), after)
