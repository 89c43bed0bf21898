"""Profiles, pairings and representatives against the log: each stands where its entries left it, and none is missing.

With the secrets, subjects and representatives are computed again. Leaves identities to `identities`.
"""

from typing import Any

from sqlalchemy import select

from services.consent.domain.lifecycle import PROFILE_MOVES, ProfileStatus, profile_after
from services.consent.integrity.case import Case, Log
from services.consent.integrity.entries import Item, Page
from services.consent.locked import NOBODY
from services.consent.profiles import OPT_OUT_MS
from services.consent.store.facts import PAIRING, PATIENT
from services.consent.store.patients import REPRESENTATIVE
from services.errors import AccordError
from services.formats.entry import EntryType

_TABLES = """
CREATE TABLE profile (patient INTEGER PRIMARY KEY, subject TEXT, status TEXT, opens INTEGER, aliases INTEGER DEFAULT 0,
                      seen INTEGER DEFAULT 0);
CREATE INDEX profile_by_subject ON profile (subject);
CREATE TABLE pairing (patient INTEGER, service TEXT, subject TEXT, seen INTEGER DEFAULT 0, PRIMARY KEY (patient, service));
CREATE TABLE representative (patient INTEGER, person TEXT, allowed INTEGER, seen INTEGER DEFAULT 0,
                             PRIMARY KEY (patient, person));
"""
_REPRESENTATIVE = {EntryType.REPRESENTATIVE_ADDED: 1, EntryType.REPRESENTATIVE_REMOVED: 0}
_MOVE = (
    "INSERT INTO profile (patient, subject, status, opens) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (patient) DO UPDATE SET status = excluded.status, opens = excluded.opens"
)
_ALLOW = (
    "INSERT INTO representative (patient, person, allowed) VALUES (?, ?, ?)"
    " ON CONFLICT (patient, person) DO UPDATE SET allowed = excluded.allowed"
)
ERASED = "SELECT 1 FROM profile WHERE patient = ? AND status = 'ERASED'"


class Profiles:
    """Follows the entries of one shard, then reads its patients."""

    table = "patient"

    def __init__(self, case: Case) -> None:
        self._case = case
        case.scratch.executescript(_TABLES)

    def follow(self, page: Page) -> None:
        """Notes what a page's entries say of profiles."""
        for item in page.items:
            with self._case.findings.guard("entry", self._case.shard, epoch=page.log.epoch, index=item.index):
                self._follow(item)

    def close(self, log: Log) -> None:
        """After a log's last page."""

    def finish(self) -> None:
        """Compares what stands with what the entries said."""
        case = self._case
        for row in case.rows(select(PATIENT).where(PATIENT.c.shard == case.shard), PATIENT.c.id):
            self._check_patient(row)
        for row in case.rows(
            select(PAIRING).where(PAIRING.c.shard == case.shard), PAIRING.c.patient, PAIRING.c.service
        ):
            self._check_pairing(row)
        if case.secrets is not None:
            self._check_representatives()
        for (patient,) in case.scratch.execute("SELECT patient FROM profile WHERE seen = 0"):
            case.keyed(PATIENT, "missing: the log speaks of it", id=patient)
        for patient, service in self._unseen("SELECT patient, service FROM pairing WHERE seen = 0"):
            case.keyed(PAIRING, "missing: the log speaks of it", patient=patient, service=service)

    def _follow(self, item: Item) -> None:
        entry, scratch = item.entry, self._case.scratch
        if entry.type is EntryType.PATIENT_ERASED:
            scratch.execute("UPDATE profile SET status = 'ERASED', opens = NULL WHERE subject = ?", (entry.subject,))
        if item.patient is None or item.patient == NOBODY:
            return
        if entry.type in PROFILE_MOVES:
            said = scratch.execute("SELECT status FROM profile WHERE patient = ?", (item.patient,)).fetchone()
            status = _after(ProfileStatus(said[0]) if said else None, entry.type)
            opens = entry.time_ms + OPT_OUT_MS if status is ProfileStatus.INFORMED else None
            scratch.execute(_MOVE, (item.patient, entry.subject, status.value, opens))
        elif entry.type is EntryType.PROFILE_ALIASED:
            scratch.execute("UPDATE profile SET aliases = aliases + 1 WHERE patient = ?", (item.patient,))
        elif entry.type is EntryType.PAIRING_CREATED:
            pairing = (item.patient, entry.service, entry.subject)
            scratch.execute("INSERT OR IGNORE INTO pairing (patient, service, subject) VALUES (?, ?, ?)", pairing)
        elif entry.type in _REPRESENTATIVE and item.body is not None and self._case.secrets is not None:
            person = self._case.secrets.vault.person_hash(item.body.get("person", ""))
            scratch.execute(_ALLOW, (item.patient, person, _REPRESENTATIVE[entry.type]))

    def _check_patient(self, row: Any) -> None:
        case = self._case
        said = case.scratch.execute(
            "SELECT status, opens, aliases FROM profile WHERE patient = ?", (row.id,)
        ).fetchone()
        if said is None:
            case.keyed(PATIENT, "no entry speaks of it", id=row.id)
            return
        case.scratch.execute("UPDATE profile SET seen = 1 WHERE patient = ?", (row.id,))
        status, opens, aliases = said
        erased = status == ProfileStatus.ERASED.value
        columns = {"status": status, "opens_ms": opens, "aliases": 0 if erased else aliases}
        case.differ(
            PATIENT, row, columns | ({"majority_ms": None, "ins_sealed": b""} if erased else {}), {"id": row.id}
        )

    def _check_pairing(self, row: Any) -> None:
        case, key = self._case, {"patient": row.patient, "service": row.service}
        found = "SELECT subject FROM pairing WHERE patient = ? AND service = ?"
        said = case.scratch.execute(found, tuple(key.values())).fetchone()
        if said is None or self._erased(row.patient):
            case.keyed(PAIRING, "no entry made it, or its patient was erased", **key)
            return
        case.scratch.execute("UPDATE pairing SET seen = 1 WHERE patient = ? AND service = ?", tuple(key.values()))
        case.differ(PAIRING, row, {"subject": said[0]}, key)

    def _check_representatives(self) -> None:
        case, key = self._case, (REPRESENTATIVE.c.patient, REPRESENTATIVE.c.person)
        for row in case.rows(select(REPRESENTATIVE).where(REPRESENTATIVE.c.shard == case.shard), *key):
            marked = "UPDATE representative SET seen = 1 WHERE patient = ? AND person = ? AND allowed = 1"
            if not case.scratch.execute(marked, (row.patient, row.person)).rowcount or self._erased(row.patient):
                case.keyed(REPRESENTATIVE, "no entry added this person", patient=row.patient)
        for patient, _ in self._unseen("SELECT patient, person FROM representative WHERE seen = 0 AND allowed = 1"):
            case.keyed(REPRESENTATIVE, "missing: the log added a person", patient=patient)

    def _unseen(self, statement: str) -> list[tuple[int, str]]:
        """What the log speaks of and no row holds, erased patients apart."""
        return [found for found in self._case.scratch.execute(statement) if not self._erased(found[0])]

    def _erased(self, patient: int) -> bool:
        return self._case.scratch.execute(ERASED, (patient,)).fetchone() is not None


def _after(status: ProfileStatus | None, move: EntryType) -> ProfileStatus:
    try:
        return profile_after(status, move)
    except AccordError as error:
        raise ValueError(error.detail) from None
