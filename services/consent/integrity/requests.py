"""Services' requests for consent against the log: each stands as its entry commits to it, and refusals are counted.

An entry names no request, so a row is matched by all that its entry commits to. Leaves unverified what stands in no entry:
the request's own ids and its code.
"""

from typing import Any

from sqlalchemy import select

from services.consent.domain.values import RequestState
from services.consent.integrity.case import Case, Log
from services.consent.integrity.entries import Item, Page
from services.consent.locked import NOBODY
from services.consent.store.facts import PATIENT
from services.consent.store.requests import CONSENT_REQUEST
from services.formats.canonical import dumps, loads
from services.formats.entry import EntryType, sha256_hex
from services.formats.times import text_of

_TABLES = """
CREATE TABLE requested (service TEXT, time INTEGER, body TEXT, remaining INTEGER, PRIMARY KEY (service, time, body));
CREATE TABLE rejected (service TEXT PRIMARY KEY, remaining INTEGER);
CREATE TABLE recovered (time INTEGER PRIMARY KEY);
"""
_ASKED = "INSERT INTO requested VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET remaining = remaining + 1"
_REJECTED = "INSERT INTO rejected VALUES (?, 1) ON CONFLICT DO UPDATE SET remaining = remaining + 1"
_MATCH = "UPDATE requested SET remaining = remaining - 1 WHERE remaining > 0 AND service = ? AND time = ? AND body = ?"
_MATCH_CUT = (
    "UPDATE requested SET remaining = remaining - 1 WHERE rowid ="
    " (SELECT rowid FROM requested WHERE remaining > 0 AND service = ? AND time = ? LIMIT 1)"
)
_STATES = frozenset({RequestState.PENDING.value, RequestState.GRANTED.value, RequestState.REJECTED.value})


class Requests:
    """Follows the entries of one shard, then reads its requests."""

    table = "consent_request"

    def __init__(self, case: Case) -> None:
        self._case = case
        case.scratch.executescript(_TABLES)

    def follow(self, page: Page) -> None:
        """Notes what was asked and rejected, and when a recovery let requests end."""
        for item in page.items:
            self._follow(item)

    def _follow(self, item: Item) -> None:
        entry, scratch = item.entry, self._case.scratch
        if entry.type is EntryType.CONSENT_REQUESTED and item.body is not None:
            noted = (entry.service, entry.time_ms, _digest(item.body))
            scratch.execute(_ASKED, noted)
        elif entry.type is EntryType.CONSENT_REJECTED:
            scratch.execute(_REJECTED, (entry.service,))
        elif entry.type is EntryType.LEDGER_RECOVERED:
            scratch.execute("INSERT OR IGNORE INTO recovered VALUES (?)", (entry.time_ms,))

    def close(self, log: Log) -> None:
        """After a log's last page."""

    def finish(self) -> None:
        """Compares the rows with what was noted."""
        case, table = self._case, CONSENT_REQUEST
        for row in case.rows(select(table).where(table.c.shard == case.shard), table.c.id):
            with case.findings.guard(table.name, case.shard, row=f"id={row.id}"):
                self._check_state(row)
                if case.secrets is not None and not self._asked(row):
                    case.keyed(table, "no entry commits to it", id=row.id)
        for service, _ in case.scratch.execute("SELECT service, remaining FROM rejected WHERE remaining <> 0"):
            case.keyed(table, "state: not as many are rejected as the log says", service=service)
        for service, time_ms in case.scratch.execute("SELECT service, time FROM requested WHERE remaining > 0"):
            case.keyed(table, "missing: the log speaks of it", service=service, time=text_of(time_ms))

    def _check_state(self, row: Any) -> None:
        claimed = row.claimed_shard is not None and row.claimed_patient is not None
        if row.state not in _STATES or claimed is (row.state == RequestState.PENDING.value):
            self._case.keyed(CONSENT_REQUEST, "state or claim: not of a request", id=row.id)
        if claimed and row.claimed_patient != NOBODY:  # nobody's: of who was erased
            where = (PATIENT.c.shard == row.claimed_shard, PATIENT.c.id == row.claimed_patient)
            if self._case.connection.execute(select(PATIENT.c.id).where(*where)).first() is None:
                self._case.keyed(CONSENT_REQUEST, "claimed for no patient", id=row.id)
        if row.state == RequestState.REJECTED.value:
            counted = "UPDATE rejected SET remaining = remaining - 1 WHERE service = ?"
            if not self._case.scratch.execute(counted, (row.service,)).rowcount:
                self._case.keyed(CONSENT_REQUEST, "state: no entry rejects it", id=row.id)

    def _asked(self, row: Any) -> bool:
        """Whether an entry asks for this. What waited when the ledger was recovered ended then, before its entry says."""
        scratch, key = self._case.scratch, (row.service, row.created_ms)
        if scratch.execute(_MATCH, (*key, _digest(_body(row, row.expires_ms)))).rowcount:
            return True
        cut = scratch.execute("SELECT 1 FROM recovered WHERE time = ?", (row.expires_ms,)).fetchone()
        return cut is not None and bool(scratch.execute(_MATCH_CUT, key).rowcount)


def _body(row: Any, expires_ms: int) -> dict[str, Any]:
    """What the entry of a request commits to (docs/formats.md), from its row."""
    body = {"end": text_of(row.end_ms), "scope": loads(row.scope), "expires": text_of(expires_ms)}
    body |= {"start": text_of(row.start_ms)} if row.start_ms is not None else {}
    return body | ({"limits": loads(row.limits)} if row.limits else {})


def _digest(body: dict[str, Any]) -> str:
    return sha256_hex(dumps(body))
