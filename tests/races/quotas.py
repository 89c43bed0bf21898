"""Quotas as the log alone shows them: never more distinct exchanges than the limit in any window of a consent's.

Reads revisions and authorisations and nothing else: neither the ledger's own counts nor the model's.
"""

from dataclasses import dataclass, field

from services.ctl.logbook import split_revision
from services.formats.entry import REVISING, EntryType
from tests.races.history import Seen


@dataclass
class _Counted:
    start_ms: int
    quota: tuple[int, int] | None
    first: dict[str, int] = field(default_factory=dict)
    """When each exchange was first authorised on this consent."""


class Quotas:
    """Counts entry by entry, in log order."""

    def __init__(self) -> None:
        self._consents: dict[str, _Counted] = {}
        self.exhausted = 0

    def take(self, seen: Seen) -> list[str]:
        """The consents whose quota this entry goes beyond."""
        entry = seen.entry
        if entry.type in REVISING:
            name, _ = split_revision(entry.resources[0])
            self._consents.setdefault(name, _Counted(seen.start_ms, seen.quota)).quota = seen.quota
        if entry.type is not EntryType.EXCHANGE_AUTHORIZED:
            return []
        names = (split_revision(resource)[0] for resource in entry.resources)
        return [f"entry {seen.index}: {name} over quota" for name in names if self._is_over(name, seen)]

    def _is_over(self, name: str, seen: Seen) -> bool:
        counted = self._consents[name]
        if counted.quota is None or seen.entry.exchange in counted.first:
            return False
        counted.first[seen.entry.exchange] = seen.entry.time_ms
        limit, period_s = counted.quota

        def window(time_ms: int) -> int:
            return (time_ms - counted.start_ms) // (1000 * period_s) if period_s else 0

        now = window(seen.entry.time_ms)
        used = sum(window(time_ms) == now for time_ms in counted.first.values())
        self.exhausted += used == limit
        return used > limit
