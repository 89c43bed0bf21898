"""Authorisations and their outcomes against the log: a row for each, saying what its entry says and how it ended last."""

from typing import Any

from sqlalchemy import select

from services.consent.domain.lifecycle import ProfileStatus
from services.consent.integrity.case import Case, Log, in_log
from services.consent.integrity.entries import Item, Page
from services.consent.locked import NOBODY
from services.consent.shard import ENTRY
from services.consent.store.authorizations import AUTHORIZATION
from services.consent.store.facts import PATIENT
from services.formats.entry import Entry, EntryType, Outcome, parse_entry, sha256_hex


class Exchanges:
    """Follows the entries of one shard; the rows of `authorization` stand in the order of the log."""

    table = "authorization"

    def __init__(self, case: Case) -> None:
        self._case = case

    def follow(self, page: Page) -> None:
        """Compares a page of entries with the rows that they made, or changed."""
        case, log = self._case, page.log
        rows = case.span(AUTHORIZATION, log, page.first, page.end)
        last = self._entries(log, {row.outcome_idx for row in rows.values() if row.outcome_idx is not None})
        for item in page.items:
            if item.entry.type is EntryType.EXCHANGE_AUTHORIZED:
                row = rows.pop(item.index, None)
                if row is None:
                    case.at(AUTHORIZATION, log, item.index, "missing")
                else:
                    self._check(log, item, row, last.get(row.outcome_idx))
        for index in rows:
            case.at(AUTHORIZATION, log, index, "no entry authorised it")
        self._check_outcomes(log, [item for item in page.items if item.entry.outcome is not None])

    def close(self, log: Log) -> None:
        """After a log's last page."""
        self._case.beyond(AUTHORIZATION, log)

    def finish(self) -> None:
        """After the last log."""

    def _entries(self, log: Log, indices: set[int]) -> dict[int, Entry]:
        statement = select(ENTRY.c.idx, ENTRY.c.data).where(*in_log(ENTRY, log), ENTRY.c.idx.in_(indices))
        found = {}
        for row in self._case.connection.execute(statement) if indices else ():
            with self._case.findings.guard(ENTRY.name, log.shard, epoch=log.epoch, index=row.idx):
                found[row.idx] = parse_entry(bytes(row.data))
        return found

    def _check(self, log: Log, item: Item, row: Any, last: Entry | None) -> None:
        entry = item.entry
        said = (entry.exchange, entry.service, entry.counterparty, entry.subject, entry.time_ms)
        if (row.exchange, row.service, row.counterparty, row.subject, row.time_ms) != said:
            self._case.at(AUTHORIZATION, log, item.index, "not what its entry says")
        if item.patient is not None and row.patient != item.patient and not self._forgotten(item.patient, row.patient):
            self._case.at(AUTHORIZATION, log, item.index, "patient: not its opening's")
        outcome = last.outcome if last else None
        if row.outcome_idx is None:
            named = row.result == row.digest == ""
        else:
            named = outcome is not None and (outcome.authorization, outcome.result.value) == (item.index, row.result)
        if not named:
            self._case.at(AUTHORIZATION, log, item.index, "outcome: no entry says so")

    def _forgotten(self, owner: int, named: int) -> bool:
        """An erased patient's authorisations name nobody."""
        where = (PATIENT.c.shard == self._case.shard, PATIENT.c.id == owner)
        status = self._case.connection.execute(select(PATIENT.c.status).where(*where)).scalar()
        return named == NOBODY and status == ProfileStatus.ERASED.value

    def _check_outcomes(self, log: Log, items: list[Item]) -> None:
        named = {item.entry.outcome.authorization for item in items if item.entry.outcome}
        where = (*in_log(AUTHORIZATION, log), AUTHORIZATION.c.idx.in_(named))
        found = self._case.connection.execute(select(AUTHORIZATION).where(*where)).all() if named else ()
        rows = {row.idx: row for row in found}
        for item in items:
            assert item.entry.outcome is not None
            index = item.entry.outcome.authorization
            row = rows.get(index)
            if row is None or row.exchange != item.entry.exchange:
                self._case.at(ENTRY, log, item.index, "an outcome of no authorisation")
            elif row.outcome_idx is None or row.outcome_idx < item.index:
                self._case.at(AUTHORIZATION, log, index, f"outcome: entry {item.index} is a later one")
            elif row.outcome_idx == item.index and item.body is not None and row.digest != _digest(item):
                self._case.at(AUTHORIZATION, log, index, "digest: not its outcome's")


def _digest(item: Item) -> str:
    """What tells two outcomes apart, as `exchanges.record_outcome` makes it; the sweeper's have none."""
    outcome, body = item.entry.outcome, item.body
    assert isinstance(outcome, Outcome)
    assert body is not None
    if item.entry.actor == "ledger":
        return ""
    said = sorted((name, value) for name, value in body.items() if name != "facts")
    return sha256_hex(f"{outcome.result}|{outcome.bytes_sent}|{outcome.first_ms}|{outcome.last_ms}|{said}")
