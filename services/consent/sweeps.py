"""What the clock decides, written down: consents that expired, representatives' consents at majority, profiles that open.

Each is one entry, exactly once: what was swept is changed in the same transaction, so that a crash leaves it swept or not.
Decisions do not wait for it: they read the same dates.
"""

from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ProfileStatus, profile_after
from services.consent.locked import STEP, Locked
from services.consent.profiles import append_profile_entry
from services.consent.revisions import CLOCK, Revisions
from services.consent.store import consents, patients
from services.formats.entry import EntryType


class SweepHandlers:
    """What nobody asks for."""

    def __init__(self, revisions: Revisions) -> None:
        self._revisions = revisions

    def sweep(self, locked: Locked, _: c.SweepConsents) -> int:
        """Sweeps up to STEP of each; answers how many there were."""
        return self._expire(locked) + self._come_of_age(locked) + _open(locked)

    def _expire(self, locked: Locked) -> int:
        ended = consents.ended(locked.connection, locked.shard, locked.now_ms, STEP)
        for consent in ended:
            self._revisions.settle(locked, consent)
        return len(ended)

    def _come_of_age(self, locked: Locked) -> int:
        of_age = patients.find_of_age(locked.connection, locked.shard, locked.now_ms, STEP)
        for patient in of_age:
            address = c.Address(locked.shard, patient)
            for consent in consents.standing_of(locked.connection, address):
                self._revisions.settle(locked, consent)
            patients.end_minority(locked.connection, address)
        return len(of_age)


def _open(locked: Locked) -> int:
    opening = patients.find_opening(locked.connection, locked.shard, locked.now_ms, STEP)
    for patient in opening:
        address = c.Address(locked.shard, patient)
        opened = profile_after(ProfileStatus.INFORMED, EntryType.PROFILE_OPENED)
        patients.set_status(locked.connection, address, opened)
        append_profile_entry(locked, address, EntryType.PROFILE_OPENED, CLOCK)
    return len(opening)
