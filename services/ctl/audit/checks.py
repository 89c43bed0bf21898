"""What must hold of a log's entries one after the other, whoever signed them: each rule takes them in log order, once.

Each answers how an entry breaks it, or the empty string; an entry that breaks one is taken as it is by the next.
"""

from typing import ClassVar, Protocol

from services.ctl.logbook import FINAL, Promise, split_revision
from services.formats.entry import LIVE, REVISING, Entry, EntryType, OutcomeResult

T = EntryType
_AFTER_LIVE = frozenset({T.CONSENT_AMENDED, T.CONSENT_SUSPENDED}) | FINAL
_NEXT: dict[EntryType, frozenset[EntryType]] = {
    **dict.fromkeys(LIVE, _AFTER_LIVE),
    T.CONSENT_SUSPENDED: frozenset({T.CONSENT_RESUMED}) | FINAL,
    **dict.fromkeys(FINAL, frozenset()),
}
_NAMING = frozenset({T.NOTICE_SENT, T.REVOCATION_ACKNOWLEDGED, T.EXCHANGE_DENIED})


class Check(Protocol):
    """A rule; `kind` is what it is called in a report."""

    kind: ClassVar[str]

    def take(self, index: int, entry: Entry) -> str:
        """How the next entry breaks the rule; empty when it does not."""


class Times:
    """No entry is older than the one before it."""

    kind: ClassVar[str] = "times"

    def __init__(self) -> None:
        self._last = 0

    def take(self, _: int, entry: Entry) -> str:
        """Compares with the entry before."""
        earlier, self._last = entry.time_ms < self._last, max(self._last, entry.time_ms)
        return "older than the entry before it" if earlier else ""


class Pins:
    """The registry snapshot changes by `registry.observed` alone, to a higher sequence."""

    kind: ClassVar[str] = "registry"

    def __init__(self) -> None:
        self._pin: tuple[int, str] | None = None

    def take(self, index: int, entry: Entry) -> str:
        """Compares with the pin before; the first entry of a log may have any."""
        before, self._pin = self._pin, (entry.registry.sequence, entry.registry.hash)
        if before is None or self._pin == before:
            return ""
        observed = entry.type is T.REGISTRY_OBSERVED and self._pin[0] > before[0]
        return "" if observed else "pins another registry snapshot, which no entry observed"


class Consents:
    """Each consent's revisions count up by one, from a grant, and none follows its end; who and with whom stays the same."""

    kind: ClassVar[str] = "consents"

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._known: dict[str, tuple[int, EntryType, str, str]] = {}

    def take(self, _: int, entry: Entry) -> str:
        """Follows each consent that the entry names."""
        if entry.type in REVISING:
            if len(entry.resources) != 1:
                return "does not name the one revision that it makes"
            return self._revise(entry, *split_revision(entry.resources[0]))
        if entry.type in _NAMING:
            return next(filter(None, (self._name(*split_revision(item)) for item in entry.resources)), "")
        return ""

    def _revise(self, entry: Entry, consent: str, number: int) -> str:
        known = self._known.get(consent)
        self._known[consent] = (number, entry.type, entry.subject, entry.service)
        if known is None:
            # What an earlier epoch granted begins here with what it became.
            granted = (entry.type is T.CONSENT_GRANTED) is (number == 1)
            return (
                "" if granted and (number == 1 or self._epoch > 1) else f"revision {number} of {consent} is its first"
            )
        revision, type_, subject, service = known
        if number != revision + 1:
            return f"revision {number} of {consent} follows revision {revision}"
        if entry.type not in _NEXT[type_]:
            return f"{consent} is {entry.type.value} after {type_.value}"
        same = (subject, service) == (entry.subject, entry.service)
        return "" if same else f"{consent} was another's"

    def _name(self, consent: str, number: int) -> str:
        known = self._known.get(consent)
        exists = self._epoch > 1 if known is None else number <= known[0]
        return "" if exists else f"names revision {number} of {consent}, which no entry before it made"


class Outcomes:
    """Each outcome is of an authorisation before it, and the only one, but that one UNKNOWN may be superseded."""

    kind: ClassVar[str] = "outcomes"

    def __init__(self) -> None:
        self._open: dict[int, tuple[str, str, str, str]] = {}
        self._unknown: set[int] = set()
        self.unsettled = 0

    def take(self, index: int, entry: Entry) -> str:
        """Follows authorisations to their outcomes."""
        about = (entry.exchange, entry.service, entry.counterparty, entry.subject)
        if entry.type is T.EXCHANGE_AUTHORIZED:
            self._open[index] = about
            self.unsettled += 1
            return ""
        if entry.type is not T.EXCHANGE_OUTCOME:
            return ""
        if entry.outcome is None:
            return "says no outcome"
        return self._settle(entry.outcome.authorization, entry.outcome.result, about)

    def _settle(self, authorization: int, result: OutcomeResult, about: tuple[str, str, str, str]) -> str:
        if authorization not in self._open:
            return f"of entry {authorization}, which is no authorisation without outcome"
        if self._open[authorization] != about:
            return f"of another exchange than its authorisation, entry {authorization}"
        again, unknown = authorization in self._unknown, result is OutcomeResult.UNKNOWN
        self.unsettled -= 0 if again else 1
        if unknown:
            self._unknown.add(authorization)
            return f"a second UNKNOWN of entry {authorization}" if again else ""
        del self._open[authorization]
        return ""


class Kept:
    """Promise 2, as `logbook` states it."""

    kind: ClassVar[str] = "promise"

    def __init__(self) -> None:
        self._promise = Promise()

    def take(self, index: int, entry: Entry) -> str:
        """Asks the promise."""
        return self._promise.take(index, entry)


def checks(origin: str) -> list[Check]:
    """Every rule, for the log of this origin."""
    return [Times(), Pins(), Consents(epoch_of(origin)), Outcomes(), Kept()]


def epoch_of(origin: str) -> int:
    """The epoch that an origin names; 1 for one that names none."""
    parts = origin.split("/")
    return int(parts[-2]) if len(parts) > 2 and parts[-2].isdecimal() else 1


def shard_of(origin: str) -> str:
    """The shard that an origin names."""
    return origin.rpartition("/")[2]
