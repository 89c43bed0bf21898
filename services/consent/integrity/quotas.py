"""What quotas have counted against the authorisations: one use for each exchange that a consent's quota was to count.

Which those are is among the facts of the decision; where they cannot be opened, a use may be there, and need not.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from services.consent.integrity.case import Case, Log
from services.consent.integrity.entries import Item, Page
from services.consent.store.facts import QUOTA_USE
from services.formats.entry import EntryType

_TABLES = """
CREATE TABLE used (name TEXT, exchange TEXT, time INTEGER, patient INTEGER, certain INTEGER, seen INTEGER DEFAULT 0,
                   PRIMARY KEY (name, exchange, time));
"""
_MARK = "UPDATE used SET seen = 1 WHERE name = (SELECT name FROM consent WHERE id = ?) AND exchange = ? AND time = ?"
_UNSEEN = (
    "SELECT consent.id, used.time FROM used LEFT JOIN consent ON consent.name = used.name"
    " LEFT JOIN profile ON profile.patient = used.patient"
    " WHERE used.certain AND NOT used.seen AND coalesce(profile.status, '') <> 'ERASED'"
)


class Quotas:
    """Follows the entries of one shard; comes after `revisions`, which knows the consents' names."""

    table = "quota_use"

    def __init__(self, case: Case) -> None:
        self._case = case
        case.scratch.executescript(_TABLES)

    def follow(self, page: Page) -> None:
        """Notes the uses that a page's authorisations made."""
        for item in page.items:
            if item.entry.type is EntryType.EXCHANGE_AUTHORIZED:
                with self._case.findings.guard("entry", self._case.shard, epoch=page.log.epoch, index=item.index):
                    self._note(item)

    def _note(self, item: Item) -> None:
        certain = item.facts is not None
        for name in set(_counting(item.facts, item.entry.resources)) if item.facts else set(item.entry.resources):
            use = (name.partition("/revisions/")[0], item.entry.exchange, item.entry.time_ms, item.patient, certain)
            statement = "INSERT OR IGNORE INTO used (name, exchange, time, patient, certain) VALUES (?, ?, ?, ?, ?)"
            self._case.scratch.execute(statement, use)

    def close(self, log: Log) -> None:
        """After a log's last page."""

    def finish(self) -> None:
        """Compares the rows with what was noted."""
        case = self._case
        statement = select(QUOTA_USE).where(QUOTA_USE.c.shard == case.shard)
        for row in case.rows(statement, QUOTA_USE.c.consent, QUOTA_USE.c.exchange):
            if not case.scratch.execute(_MARK, (row.consent, row.exchange, row.time_ms)).rowcount:
                case.keyed(QUOTA_USE, "no authorisation counts it", consent=row.consent, exchange=row.exchange)
        for consent, _ in case.scratch.execute(_UNSEEN):
            case.keyed(QUOTA_USE, "missing: an authorisation was to be counted", consent=consent)


def _counting(facts: dict[str, Any], resources: tuple[str, ...]) -> Iterator[str]:
    """The revisions that an authorisation rests on and whose quota it was the first to count it in."""
    for party in facts["parties"]:
        for consent in party["consents"]:
            limited = "quota" in consent.get("limits", {})
            if limited and not consent["counted"] and consent["revision"] in resources:
                yield consent["revision"]
