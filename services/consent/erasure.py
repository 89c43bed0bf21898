"""Erasure and retention under the shard's lock: what is kept of a patient, or of a past year, is destroyed and declared.

Guarantees a tombstone in the log for every destruction: its legal basis, when it is effective everywhere (write-ahead logs
and backups of keys have aged out by then), and how many openings can be opened no more, so that an auditor who finds one
that cannot be opened finds what accounts for it. Every proof still verifies. Traces of access outlive the record for three
years (EHDS article 9), unless the legal basis overrides that. Leaves to the database that freed pages hold nothing.
"""

from typing import Any

from services.consent.domain import commands as c
from services.consent.domain.lifecycle import profile_after
from services.consent.locked import IDENTITY_YEAR, Locked, draft
from services.consent.profiles import PROFILE
from services.consent.store import consents, erasure, patients
from services.consent.vault import Use, subject_of
from services.errors import AccordError, Reason
from services.formats.entry import EntryType
from services.formats.times import text_of

RETENTION_YEARS = 3


class ErasureHandlers:
    """What the platform asks for; `delay_ms`: how long a destroyed key may live on in logs and backups of the database."""

    def __init__(self, delay_ms: int) -> None:
        self._delay_ms = delay_ms

    def erase(self, locked: Locked, item: c.Erase) -> tuple[int, int]:
        """Erases a closed profile; answers when it is effective (milliseconds), and how many openings it covers."""
        profile = patients.find_profile(locked.connection, item.address)
        if profile is None:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        effective_ms = locked.now_ms + self._delay_ms
        if profile_after(profile.status, EntryType.PATIENT_ERASED) is profile.status:
            if item.traces_too and erasure.count_sealed(locked.connection, item.address, (Use.TRACE,)):
                raise AccordError(
                    Reason.STATE_CONFLICT, "erased before, without the traces: those end with their years"
                )
            return effective_ms, 0
        if consents.standing_of(locked.connection, item.address):
            raise AccordError(Reason.STATE_CONFLICT, "a consent still stands")
        subject = subject_of(locked.key(item.address.patient, IDENTITY_YEAR), PROFILE)
        uses = (Use.RECORD, Use.TRACE) if item.traces_too else (Use.RECORD,)
        covers = erasure.count_sealed(locked.connection, item.address, uses)
        covers += locked.count_unwritten(item.address.patient, uses)
        erasure.erase_patient(locked.connection, item.address, uses, locked.random(32))
        # The tombstone is nobody's: under the patient's key it could not be opened either.
        clear: dict[str, Any] = {
            "subject": subject,
            "basis": item.legal_basis,
            "until_ms": effective_ms,
            "covers": covers,
        }
        body = {"traces": item.traces_too}
        locked.append(draft(EntryType.PATIENT_ERASED, c.PLATFORM, body, **clear))
        return effective_ms, covers

    def drop_aliases(self, locked: Locked, item: c.DropAliases) -> None:
        """Takes an erased patient's other identities out of this shard of the directory; no entry: the tombstone is it."""
        erasure.drop_aliases(locked.connection, locked.shard, item.address)

    def retain(self, locked: Locked, item: c.Retain) -> int:
        """Drops a past year's traces of one shard; answers how many openings it covers. A repeat covers none: no entry."""
        if item.year + RETENTION_YEARS >= int(text_of(locked.now_ms)[:4]):
            raise AccordError(Reason.STATE_CONFLICT, "the year is not older than its retention")
        covers = erasure.drop_year(locked.connection, locked.shard, item.year)
        if covers:
            clear: dict[str, Any] = {
                "basis": item.legal_basis,
                "until_ms": locked.now_ms + self._delay_ms,
                "covers": covers,
            }
            locked.append(draft(EntryType.RETENTION_APPLIED, c.PLATFORM, {"year": item.year}, **clear))
        return covers
