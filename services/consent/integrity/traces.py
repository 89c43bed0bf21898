"""The trace index against the log: whatever it holds is what its entry says, without a gap up to where it has come."""

from services.consent import tables
from services.consent.integrity.case import Case, Log
from services.consent.integrity.entries import Item, Page

TRACE = tables.table(tables.Trace)


class Traces:
    """Follows the entries of one shard; rows that are not made yet are no finding, for the index comes behind the log."""

    table = "trace"

    def __init__(self, case: Case) -> None:
        self._case = case
        self._missing: list[int] = []

    def follow(self, page: Page) -> None:
        """Compares a page of entries with the rows made from them."""
        rows = self._case.span(TRACE, page.log, page.first, page.end)
        if rows and self._missing:
            self._case.at(TRACE, page.log, self._missing[0], "missing, though later ones are there")
            self._missing.clear()
        last = max(rows, default=-1)
        for item in page.items:
            row = rows.get(item.index)
            if row is not None:
                if tuple(row)[3:] != _row(item):
                    self._case.at(TRACE, page.log, item.index, "not what its entry says")
            elif item.index < last:
                self._case.at(TRACE, page.log, item.index, "missing, though later ones are there")
            elif not self._missing:
                self._missing.append(item.index)

    def close(self, log: Log) -> None:
        """After a log's last page."""
        self._missing.clear()
        self._case.beyond(TRACE, log)

    def finish(self) -> None:
        """After the last log."""


def _row(item: Item) -> tuple[object, ...]:
    entry = item.entry
    said = (entry.time_ms, entry.type.value, entry.actor, entry.subject, entry.service, entry.counterparty)
    return (*said, entry.reason.value if entry.reason else "")
