"""Deciding again: what an authorisation or a denial was decided on, put to `decide` at the time of its entry.

Guarantees that a decision which passes is the one that the ledger's own rules give for the facts it committed to, and that
those facts are the log's: each consent in them is the newest revision that the entries before made, and of the sender none
is left out. Leaves the reading of entries and openings, proven, to `book`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from services.consent.domain import decision as d
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.replay import read_facts
from services.ctl.audit.folder import Opening, Records
from services.ctl.logbook import split_revision
from services.formats.canonical import FormatError, Members
from services.formats.entry import LIVE, REVISING, Entry, EntryType
from services.formats.lease import ServiceRecord

DECISIONS = frozenset({EntryType.EXCHANGE_AUTHORIZED, EntryType.EXCHANGE_DENIED})
_STATES = {
    **dict.fromkeys(LIVE, ConsentState.ACTIVE),
    EntryType.CONSENT_SUSPENDED: ConsentState.SUSPENDED,
    EntryType.CONSENT_REVOKED: ConsentState.REVOKED,
    EntryType.CONSENT_EXPIRED: ConsentState.EXPIRED,
    EntryType.CONSENT_ENDED: ConsentState.ENDED,
}


class Replay:
    """Replays a log's decisions in log order. `first_epoch`: whether every consent in it was made in it."""

    def __init__(self, records: Records, *, first_epoch: bool) -> None:
        self._records, self._first_epoch = records, first_epoch
        self._standing: dict[str, tuple[str, ConsentState, int | None]] = {}
        self._of_subject: dict[str, set[str]] = {}

    def learn(self, entry: Entry) -> None:
        """Takes an entry that makes a revision of a consent."""
        for resource in entry.resources if entry.type in REVISING else ():
            consent, _ = split_revision(resource)
            self._standing[consent] = (resource, _STATES[entry.type], entry.until_ms)
            self._of_subject.setdefault(entry.subject, set()).add(consent)

    def difference(self, entry: Entry, opening: Opening) -> str:
        """How a decision is not what `decide` gives; empty when it is."""
        try:
            query, facts = self._facts(opening)
        except LookupError as error:
            return str(error.args[0])
        except (FormatError, ValueError, TypeError) as error:
            return f"its facts cannot be read: {error}"
        return next(filter(None, (*self._of_the_log(entry, facts), *_of_the_question(entry, query, facts))), "") or (
            _of_the_verdict(entry, facts)
        )

    def _facts(self, opening: Opening) -> tuple[dict[str, Any], d.Facts]:
        query = opening.body.get("query")
        if opening.facts is None or not isinstance(query, dict):
            raise FormatError("there are none")
        facts = read_facts(Members(query, "query"), Members(opening.facts, "facts"), self._record)
        for party in opening.facts["parties"]:
            if party["record"] and self._records[party["record"]].name != party["service"]:
                raise LookupError(f"it was decided on another service's registry record than {party['service']}'s")
        return query, facts

    def _record(self, hash_: str) -> ServiceRecord | None:
        if hash_ and hash_ not in self._records:
            raise LookupError(f"the registry record {hash_} that it was decided by is not in the export")
        return self._records.get(hash_)

    def _of_the_log(self, entry: Entry, facts: d.Facts) -> Iterator[str]:
        """Whether the consents decided on are those that the log holds."""
        for party in facts.parties:
            yield from (self._known(fact) for fact in party.consents)
        if entry.subject and facts.parties:
            named = {split_revision(fact.revision)[0] for fact in facts.parties[0].consents}
            left_out = self._of_subject.get(entry.subject, set()) - named
            yield f"it was decided without {min(left_out)}" if left_out else ""

    def _known(self, fact: d.ConsentFact) -> str:
        known = self._standing.get(split_revision(fact.revision)[0])
        if known is None:
            return f"it was decided on {fact.revision}, which no entry before it made" if self._first_epoch else ""
        revision, state, until_ms = known
        if (revision, state) != (fact.revision, fact.state):
            return f"it was decided on {fact.revision}, {fact.state.value}, when {revision} was {state.value}"
        same_end = until_ms is None or until_ms == fact.end_ms
        return "" if same_end else f"it was decided on another end of {fact.revision}"


def _of_the_question(entry: Entry, query: dict[str, Any], facts: d.Facts) -> Iterator[str]:
    """Whether question, facts and entry are of one exchange."""
    services = [query.get("service"), *([query["counterparty"]] if query.get("counterparty") else [])]
    asked = services == [party.service for party in facts.parties]
    yield "" if asked else "its facts are of other services than its question"
    same = (query.get("service"), query.get("counterparty")) == (entry.service, entry.counterparty)
    yield "" if same else "its question is of other services than the entry"
    direction = facts.parties[0].direction.value if facts.parties else ""
    yield "" if direction == query.get("direction") else "its facts are of another direction than its question"
    yield "" if facts.basis.value == entry.basis else "its question has another basis than the entry"


def _of_the_verdict(entry: Entry, facts: d.Facts) -> str:
    verdict = d.decide(facts, entry.time_ms)
    if isinstance(verdict, d.Permit):
        derived = replace(
            entry,
            type=EntryType.EXCHANGE_AUTHORIZED,
            reason=None,
            resources=verdict.resources,
            until_ms=verdict.until_s * 1000,
        )
    else:
        derived = replace(
            entry,
            type=EntryType.EXCHANGE_DENIED,
            reason=verdict.reason,
            resources=verdict.resources,
            until_ms=None,
        )
    return "" if derived == entry else f"it is {_said(entry)}, but its facts give {_said(derived)}"


def _said(entry: Entry) -> str:
    parts = [entry.type.value, entry.reason.value if entry.reason else "", *entry.resources]
    return " ".join(filter(None, parts))
