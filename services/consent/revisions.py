"""How a consent gets its next revision: one entry that names it and commits to all that it says, and the row that follows.

Whoever moves a consent does it here: patients, the platform, the clock. Leaves to the callers whether it may move.
"""

from dataclasses import replace
from typing import Any

from services.consent.domain import commands as c
from services.consent.domain.by_clock import by_clock
from services.consent.domain.identifiers import Identifiers
from services.consent.domain.lifecycle import ConsentState
from services.consent.locked import Locked, draft
from services.consent.store import consents, patients
from services.consent.store.consents import RevisionRow
from services.consent.vault import Vault
from services.formats.entry import LIVE, EntryType, sha256_hex
from services.formats.times import text_of

_TYPES = {
    ConsentState.ACTIVE: EntryType.CONSENT_RESUMED,
    ConsentState.SUSPENDED: EntryType.CONSENT_SUSPENDED,
    ConsentState.REVOKED: EntryType.CONSENT_REVOKED,
    ConsentState.EXPIRED: EntryType.CONSENT_EXPIRED,
    ConsentState.ENDED: EntryType.CONSENT_ENDED,
}
CLOCK = c.Actor(c.LEDGER, "")
"""Who acts when a date has come."""


class Revisions:
    """Appends revisions under the shard's lock."""

    def __init__(self, vault: Vault, identifiers: Identifiers) -> None:
        self._vault, self._identifiers = vault, identifiers

    def name(self, consent: c.Consent) -> str:
        """The external name of a consent's current revision."""
        return self._identifiers.revision_name(consent.shard, consent.consent, consent.revision)

    def grant(self, locked: Locked, consent: c.Consent, assertion: c.Assertion | None) -> c.Consent:
        """A consent's first revision."""
        made = self._append(locked, consent, EntryType.CONSENT_GRANTED, consent.actor, assertion)
        consents.add_consent(locked.connection, consent, made)
        self._note_assertion(locked, consent, made, assertion)
        return consent

    def amend(self, locked: Locked, consent: c.Consent, assertion: c.Assertion | None) -> c.Consent:
        """The revision after it, with other terms."""
        return self._follow(locked, consent, EntryType.CONSENT_AMENDED, consent.actor, assertion)

    def move(
        self,
        locked: Locked,
        consent: c.Consent,
        to: ConsentState,
        actor: c.Actor,
        *,
        cause: str = "",
        why: str = "",
        assertion: c.Assertion | None = None,
    ) -> c.Consent:
        """The revision after it, in another state. `cause`: who suspended it; `why`: the platform's justification."""
        # The platform and the clock move a consent without having given it: it stays the person's who did.
        given_by = actor if actor.role in (c.HOLDER, c.REPRESENTATIVE) else consent.actor
        moved = replace(consent, state=to, actor=given_by, cause=cause if to is ConsentState.SUSPENDED else "")
        return self._follow(locked, moved, _TYPES[to], actor, assertion, why)

    def settle(self, locked: Locked, consent: c.Consent) -> c.Consent:
        """The consent as it stands by the clock; what the clock has decided of it is written down first."""
        now = by_clock(consent, locked.now_ms)
        return consent if now.state is consent.state else self.move(locked, consent, now.state, CLOCK, cause=now.cause)

    def _follow(
        self,
        locked: Locked,
        consent: c.Consent,
        type_: EntryType,
        actor: c.Actor,
        assertion: c.Assertion | None,
        why: str = "",
    ) -> c.Consent:
        following = replace(consent, revision=consent.revision + 1)
        made = self._append(locked, following, type_, actor, assertion, why)
        consents.update_consent(locked.connection, following, made)
        self._note_assertion(locked, following, made, assertion)
        return following

    def _append(
        self,
        locked: Locked,
        consent: c.Consent,
        type_: EntryType,
        actor: c.Actor,
        assertion: c.Assertion | None,
        why: str = "",
    ) -> RevisionRow:
        address = c.Address(consent.shard, consent.patient)
        clear: dict[str, Any] = {
            "subject": patients.find_subject(locked.connection, address, consent.service) or "",
            "service": consent.service,
            "resources": (self.name(consent),),
            "cause": consent.cause,
            "assertion": sha256_hex(assertion.token) if assertion else "",
        }
        if type_ in LIVE:
            clear["until_ms"] = consent.end_ms
        body = revision_body(consent, actor) | ({"why": why} if why else {})
        body |= {"assertion": assertion.token} if assertion else {}
        index = locked.append(draft(type_, actor.role, body, consent.patient, **clear)).index
        return RevisionRow(consent.revision, locked.epoch, index, locked.now_ms)

    def _note_assertion(
        self, locked: Locked, consent: c.Consent, made: RevisionRow, assertion: c.Assertion | None
    ) -> None:
        if assertion is not None:
            person = self._vault.person_hash(consent.actor.person)
            consents.add_assertion(locked.connection, consent, made, assertion.kid, person)


def revision_body(consent: c.Consent, actor: c.Actor) -> dict[str, Any]:
    """What a revision's entry commits to: every term of it, and how its actor authenticated."""
    limits = consent.limits.to_json()
    body = {
        "authentication": actor.authentication,
        "end": text_of(consent.end_ms),
        "notice_sha256": consent.notice_sha256,
        "scope": consent.scope.to_json(),
        "start": text_of(consent.start_ms),
    }
    return body | ({"limits": limits} if limits else {}) | ({"person": actor.person} if actor.person else {})
