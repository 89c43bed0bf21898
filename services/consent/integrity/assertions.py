"""Who asserted which revision, and which request ids made consents: rows against the entries that `revisions` has noted."""

from typing import Any

from sqlalchemy import select

from services.consent.integrity.case import Case, Log
from services.consent.integrity.entries import Item, Page
from services.consent.store.consents import ASSERTION, REQUEST
from services.formats import jws
from services.formats.assertion import ASSERTION as TYP
from services.formats.entry import REVISING, sha256_hex

_NOTED = "SELECT consent, assertion, kid, person, time FROM revision WHERE epoch = ? AND idx = ?"
_UNASSERTED = (
    "SELECT revision.epoch, revision.idx FROM revision LEFT JOIN profile ON profile.patient = revision.patient"
    " WHERE assertion <> '' AND asserted = 0 AND coalesce(profile.status, '') <> 'ERASED'"
)


class Assertions:
    """Follows the entries of one shard; comes after `revisions`, whose notes it completes."""

    table = "assertion"

    def __init__(self, case: Case) -> None:
        self._case = case

    def follow(self, page: Page) -> None:
        """Notes the key and the person of each assertion that can be read."""
        if self._case.secrets is None:
            return
        for item in page.items:
            if item.entry.type in REVISING and item.body is not None:
                with self._case.findings.guard("entry", self._case.shard, epoch=page.log.epoch, index=item.index):
                    self._note(page.log, item, item.body)

    def _note(self, log: Log, item: Item, body: dict[str, Any]) -> None:
        token = body.get("assertion", "")
        if item.entry.assertion != (sha256_hex(token) if token else ""):
            raise ValueError("assertion: not the hash of the one that its body holds")
        if token and self._case.secrets is not None:
            kid, person = jws.peek(token, TYP)[1], self._case.secrets.vault.person_hash(body.get("person", ""))
            noted = (kid, person, log.epoch, item.index)
            self._case.scratch.execute("UPDATE revision SET kid = ?, person = ? WHERE epoch = ? AND idx = ?", noted)

    def close(self, log: Log) -> None:
        """After a log's last page."""

    def finish(self) -> None:
        """Compares the rows with what was noted."""
        case = self._case
        statement = select(ASSERTION).where(ASSERTION.c.shard == case.shard)
        for row in case.rows(statement, ASSERTION.c.epoch, ASSERTION.c.idx):
            self._check(row)
        for epoch, index in case.scratch.execute(_UNASSERTED):
            case.findings.add(ASSERTION.name, case.shard, "missing", epoch=epoch, index=index)
        requests = select(REQUEST).where(REQUEST.c.shard == case.shard)
        for row in case.rows(requests, REQUEST.c.patient, REQUEST.c.request_id):
            counted = "UPDATE consent SET requests = requests + 1 WHERE id = ? AND patient = ?"
            if not case.scratch.execute(counted, (row.consent, row.patient)).rowcount:
                case.keyed(REQUEST, "of no consent of this patient", patient=row.patient, consent=row.consent)
        for (consent,) in case.scratch.execute("SELECT id FROM consent WHERE requests <> acts"):
            case.keyed(REQUEST, "not one for each grant and amendment", consent=consent)

    def _check(self, row: Any) -> None:
        case, place = self._case, (row.epoch, row.idx)
        said = case.scratch.execute(_NOTED, place).fetchone()
        problem = "no entry asserts it"
        if said is not None and said[1]:
            case.scratch.execute("UPDATE revision SET asserted = 1 WHERE epoch = ? AND idx = ?", place)
            consent, _, kid, person, time_ms = said
            known = kid is None or (row.kid, row.person) == (kid, person)
            problem = "" if known and (row.consent, row.time_ms) == (consent, time_ms) else "not what its entry says"
        if problem:
            case.findings.add(ASSERTION.name, case.shard, problem, epoch=row.epoch, index=row.idx)
