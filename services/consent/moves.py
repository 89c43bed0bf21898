"""The moves of a profile under the shard's lock, and what each does to the consents that stand, in the same transaction.

Closing ends them all; the platform's suspension pauses those in use, and its end resumes those that it paused.
"""

from services.consent.domain import commands as c
from services.consent.domain.lifecycle import FINAL, ConsentState, profile_after
from services.consent.locked import Locked
from services.consent.profiles import append_profile_entry, check_actor, require_profile
from services.consent.revisions import Revisions
from services.consent.store import consents, patients
from services.consent.vault import Vault
from services.formats.entry import EntryType


class ProfileMoves:
    """What a holder, a representative and the platform do with a profile as a whole."""

    def __init__(self, vault: Vault, revisions: Revisions) -> None:
        self._vault, self._revisions = vault, revisions

    def move(self, locked: Locked, item: c.MoveProfile) -> c.Profile:
        """Moves a profile, and its consents with it; a repeat changes nothing."""
        profile = require_profile(locked, item.address)
        check_actor(locked.connection, self._vault, profile, item.actor, locked.now_ms)
        status = profile_after(profile.status, item.move)
        if status is profile.status:
            return profile
        append_profile_entry(locked, item.address, item.move, item.actor, item.why)
        patients.set_status(locked.connection, item.address, status)
        for consent in consents.standing_of(locked.connection, item.address):
            # What the clock has ended or paused already, no move of the profile ends, pauses or resumes.
            self._take_along(locked, self._revisions.settle(locked, consent), item)
        return c.Profile(item.address, status, None, profile.majority_ms)

    def _take_along(self, locked: Locked, consent: c.Consent, item: c.MoveProfile) -> None:
        if consent.state in FINAL:
            return
        if item.move is EntryType.PROFILE_CLOSED:
            self._revisions.move(locked, consent, ConsentState.ENDED, item.actor)
        elif item.move is EntryType.PROFILE_SUSPENDED and consent.state is ConsentState.ACTIVE:
            self._revisions.move(locked, consent, ConsentState.SUSPENDED, item.actor, cause=c.PLATFORM, why=item.why)
        elif item.move is EntryType.PROFILE_RESUMED and consent.cause == c.PLATFORM:
            resumed = self._revisions.move(locked, consent, ConsentState.ACTIVE, item.actor, why=item.why)
            self._revisions.settle(locked, resumed)
