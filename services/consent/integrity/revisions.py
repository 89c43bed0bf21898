"""Consents and their revisions against the log: each revising entry made one row, and a consent is what its last one says.

With the secrets, every term is compared with what the entry commits to; without them, what stands in clear. Leaves to
`assertions` who asserted what, and to `quotas` what was counted: both read the places that are noted here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import and_, select

from services.consent.domain.lifecycle import FINAL, ConsentState
from services.consent.domain.values import HOLDER, REPRESENTATIVE
from services.consent.integrity.case import Case, Log, row_of
from services.consent.integrity.entries import BY_KEY, OPENING, Page
from services.consent.locked import DATA_KEY
from services.consent.shard import ENTRY
from services.consent.store.consents import REVISION
from services.consent.store.facts import CONSENT
from services.consent.vault import Use
from services.formats.canonical import dumps, loads
from services.formats.entry import LIVE, REVISING, Entry, EntryType, parse_entry
from services.formats.times import instant_of

_TABLES = """
CREATE TABLE revision (epoch INTEGER, idx INTEGER, patient INTEGER, consent INTEGER, assertion TEXT, kid TEXT, person TEXT,
                       asserted INTEGER DEFAULT 0, time INTEGER, PRIMARY KEY (epoch, idx));
CREATE TABLE consent (id INTEGER PRIMARY KEY, name TEXT, patient INTEGER, acts INTEGER, requests INTEGER DEFAULT 0);
CREATE INDEX consent_by_name ON consent (name);
CREATE TABLE acknowledged (name TEXT PRIMARY KEY, time INTEGER);
"""
_STATES = {
    EntryType.CONSENT_SUSPENDED: ConsentState.SUSPENDED,
    EntryType.CONSENT_REVOKED: ConsentState.REVOKED,
    EntryType.CONSENT_EXPIRED: ConsentState.EXPIRED,
    EntryType.CONSENT_ENDED: ConsentState.ENDED,
} | dict.fromkeys(LIVE, ConsentState.ACTIVE)
_ACTS = frozenset({EntryType.CONSENT_GRANTED, EntryType.CONSENT_AMENDED})
_PERSONS = frozenset({HOLDER, REPRESENTATIVE})
_PLACE = "epoch = ? AND idx = ?"
_REVISIONS = (
    select(REVISION, ENTRY.c.data, OPENING.c.patient, OPENING.c.year, OPENING.c.use, OPENING.c.sealed)
    .add_columns(DATA_KEY.c.wrapped)
    .outerjoin(
        ENTRY,
        and_(ENTRY.c.shard == REVISION.c.shard, ENTRY.c.epoch == REVISION.c.epoch, ENTRY.c.idx == REVISION.c.idx),
    )
    .outerjoin(
        OPENING,
        and_(OPENING.c.shard == ENTRY.c.shard, OPENING.c.epoch == ENTRY.c.epoch, OPENING.c.idx == ENTRY.c.idx),
    )
    .outerjoin(DATA_KEY, BY_KEY)
)


@dataclass(slots=True)
class Story:
    """What the revisions of one consent say, up to the last: entries, and bodies where they can be had."""

    name: str
    patient: int
    last: Entry
    number: int
    body: dict[str, Any] | None = None
    person: tuple[str, dict[str, Any] | None] = ("", None)
    acts: int = 0


class Consents:
    """Follows the entries of one shard, then reads its consents."""

    table = "consent"

    def __init__(self, case: Case) -> None:
        self._case = case
        case.scratch.executescript(_TABLES)

    def follow(self, page: Page) -> None:
        """Notes where revisions were made, and ends acknowledged."""
        for item in page.items:
            entry, scratch = item.entry, self._case.scratch
            if entry.type in REVISING:
                place = (page.log.epoch, item.index, item.patient, entry.assertion, entry.time_ms)
                scratch.execute(
                    "INSERT INTO revision (epoch, idx, patient, assertion, time) VALUES (?, ?, ?, ?, ?)", place
                )
            elif entry.type is EntryType.REVOCATION_ACKNOWLEDGED and entry.resources:
                noted = (_consent_of(entry.resources[0]), entry.time_ms)
                scratch.execute("INSERT OR REPLACE INTO acknowledged VALUES (?, ?)", noted)

    def close(self, log: Log) -> None:
        """After a log's last page."""

    def finish(self) -> None:
        """Compares revisions and consents with the entries."""
        case = self._case
        statement = _REVISIONS.where(REVISION.c.shard == case.shard)
        rows = case.rows(statement, REVISION.c.consent, REVISION.c.revision)
        for consent, revisions in groupby(rows, lambda row: row.consent):
            story = self._told(revisions)
            if story is not None:
                self._check_consent(consent, story)
        made = select(REVISION.c.revision).where(REVISION.c.shard == case.shard, REVISION.c.consent == CONSENT.c.id)
        orphans = select(CONSENT).where(CONSENT.c.shard == case.shard, ~made.exists())
        for row in case.rows(orphans, CONSENT.c.patient, CONSENT.c.service, CONSENT.c.id):
            case.keyed(CONSENT, "no entry made it", id=row.id)
        for epoch, index in self._missing():
            case.findings.add(REVISION.name, case.shard, "missing: its entry is there", epoch=epoch, index=index)

    def _missing(self) -> Iterable[tuple[int, int]]:
        """Entries whose revision no row holds; an erased patient's are gone with the patient."""
        return self._case.scratch.execute(
            "SELECT revision.epoch, revision.idx FROM revision LEFT JOIN profile ON profile.patient = revision.patient"
            " WHERE revision.consent IS NULL AND coalesce(profile.status, '') <> 'ERASED'"
        )

    def _told(self, rows: Iterator[Any]) -> Story | None:
        story, place = None, (0, -1)
        for row in rows:
            key = row_of(consent=row.consent, revision=row.revision)
            with self._case.findings.guard(REVISION.name, self._case.shard, epoch=row.epoch, index=row.idx, row=key):
                entry = self._entry(row, story, place)
                story, place = self._next(row, entry, story), (row.epoch, row.idx)
        return story

    def _entry(self, row: Any, story: Story | None, place: tuple[int, int]) -> Entry:
        """The entry that made a revision. Raises: ValueError for a row that is not what it says."""
        marked = f"UPDATE revision SET consent = ? WHERE {_PLACE} AND consent IS NULL"  # noqa: S608
        if not self._case.scratch.execute(marked, (row.consent, row.epoch, row.idx)).rowcount:
            raise ValueError("no entry made it, or made another too")
        entry = parse_entry(bytes(row.data))
        name = f"{_consent_of(entry.resources[0])}/revisions/{row.revision}"
        if self._case.secrets is not None:
            name = self._case.secrets.identifiers.revision_name(row.shard, row.consent, row.revision)
        if entry.resources != (name,) or (row.state, row.time_ms) != (_STATES[entry.type].value, entry.time_ms):
            raise ValueError("not what its entry says")
        first = entry.type is EntryType.CONSENT_GRANTED
        if row.revision != (story.number + 1 if story else 1) or first is not (row.revision == 1):
            raise ValueError("not the one after the one before")
        same = story is None or (story.name, story.patient) == (_consent_of(name), row.patient)
        if (row.epoch, row.idx) <= place or not same:
            raise ValueError("not after the one before, or of another consent")
        return entry

    def _next(self, row: Any, entry: Entry, story: Story | None) -> Story:
        body = self._body(row)
        story = story or Story(_consent_of(entry.resources[0]), row.patient, entry, 0)
        if story.number and (entry.service, entry.subject) != (story.last.service, story.last.subject):
            raise ValueError("service or subject: another than before")
        story.last, story.number, story.body = entry, row.revision, body
        story.acts += entry.type in _ACTS
        if entry.actor in _PERSONS:
            story.person = (entry.actor, body)
        return story

    def _body(self, row: Any) -> dict[str, Any] | None:
        """What a revision commits to; that it is just that, `entries` has found out. Raises: InvalidTag."""
        if self._case.secrets is None or row.wrapped is None:
            return None
        vault = self._case.secrets.vault
        key = vault.unwrap(bytes(row.wrapped), row.shard, row.patient, row.year, Use(row.use))
        body = loads(vault.open_opening(key, bytes(row.sealed), f"{self._case.origin(row.epoch)}|{row.idx}")[1])
        return body if isinstance(body, dict) else None

    def _check_consent(self, consent: int, story: Story) -> None:
        case = self._case
        noted = (consent, story.name, story.patient, story.acts)
        case.scratch.execute("INSERT INTO consent (id, name, patient, acts) VALUES (?, ?, ?, ?)", noted)
        where = (CONSENT.c.shard == case.shard, CONSENT.c.id == consent)
        row = case.connection.execute(select(CONSENT).where(*where)).first()
        if row is None:
            case.keyed(CONSENT, "missing: it has revisions", id=consent)
            return
        with case.findings.guard(CONSENT.name, case.shard, row=row_of(id=consent)):
            known = case.scratch.execute("SELECT time FROM acknowledged WHERE name = ?", (story.name,)).fetchone()
            said = dict(_said(story)) | {"acknowledged_ms": known[0] if known else None}
            case.differ(CONSENT, row, said, {"id": consent}, "its last entry")


def _consent_of(revision: str) -> str:
    return revision.partition("/revisions/")[0]


def _said(story: Story) -> Iterator[tuple[str, Any]]:
    """What the columns of a consent must hold, as far as its entries can be read."""
    entry, state = story.last, _STATES[story.last.type]
    yield from {"state": state.value, "standing": state not in FINAL, "cause": entry.cause}.items()
    yield from {"revision": story.number, "service": entry.service, "patient": story.patient}.items()
    if entry.type in LIVE:
        yield "end_ms", entry.until_ms
    if story.body is not None:
        limits = story.body.get("limits")
        yield from {
            "scope": dumps(story.body["scope"]).decode(),
            "limits": dumps(limits).decode() if limits else "",
        }.items()
        yield from {name: instant_of(story.body[name.removesuffix("_ms")]) for name in ("start_ms", "end_ms")}.items()
        yield "notice_sha256", story.body["notice_sha256"]
    role, body = story.person
    yield "actor_role", role
    if body is not None:
        yield "authentication", body["authentication"]
