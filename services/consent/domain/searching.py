"""What an auditor looks for among entries, and what is found: plain values, already parsed."""

from dataclasses import dataclass

from services.consent.domain.values import Address
from services.errors import Reason
from services.formats.entry import EntryType
from services.formats.times import text_of


@dataclass(frozen=True, slots=True)
class Filter:
    """All of what is set must hold; instants in milliseconds since 1970, `end_ms` excluded.

    `patient`: this patient with `service`. `profile`: this patient, whatever the service. `consent`: shard and local id
    of the consent that entries call `consent_name`.
    """

    patient: Address | None = None
    profile: Address | None = None
    service: str = ""
    actor: str = ""
    types: frozenset[EntryType] = frozenset()
    reason: Reason | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    consent: tuple[int, int] | None = None
    consent_name: str = ""
    exchange: str = ""

    @property
    def in_entries(self) -> bool:
        """Whether the entries themselves must be read: the index knows neither consents nor exchanges."""
        return bool(self.consent_name or self.exchange)

    def matches(self, entry: bytes) -> bool:
        """Whether an entry names what the index does not know. Canonical JSON spells each member in one way."""
        named = not self.consent_name or f'"{self.consent_name}/revisions/'.encode() in entry
        return named and (not self.exchange or f'"exchange":"{self.exchange}"'.encode() in entry)

    def asked(self) -> dict[str, str]:
        """What may be written down of it: everything but how the patient was named."""
        members = {
            "service": self.service,
            "actor": self.actor,
            "types": ",".join(sorted(self.types)),
            "reason": self.reason.value if self.reason else "",
            "start_time": text_of(self.start_ms) if self.start_ms is not None else "",
            "end_time": text_of(self.end_ms) if self.end_ms is not None else "",
            "consent": self.consent_name,
            "exchange": self.exchange,
            "by": "patient" if self.patient else "profile" if self.profile else "",
        }
        return {name: value for name, value in members.items() if value}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a page of a search goes on: a log, an index, and the size that the log had when the search came to it."""

    shard: int
    epoch: int
    index: int
    end: int


@dataclass(frozen=True, slots=True)
class Search:
    """A page asked for; with `origin` one log only, between two indices. `limit`: at most so many entries."""

    filter: Filter
    limit: int
    origin: str = ""
    first: int = 0
    end: int | None = None
    place: Place | None = None

    def asked(self) -> dict[str, str]:
        """What may be written down of it."""
        members = {"origin": self.origin, "start_index": str(self.first) if self.first else ""}
        members |= {"end_index": str(self.end) if self.end is not None else ""}
        members |= {"from": str(self.place.index) if self.place else ""}
        return self.filter.asked() | {name: value for name, value in members.items() if value}


@dataclass(frozen=True, slots=True)
class Item:
    """An entry found: its log's origin, its index, its exact bytes."""

    origin: str
    index: int
    entry: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """What was found, in log order, and where to go on; None at the end."""

    items: tuple[Item, ...]
    place: Place | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many entries have month (YYYY-MM, UTC), service, type and reason in common."""

    month: str
    service: str
    type: str
    reason: str
    count: int
