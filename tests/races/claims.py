"""Which call made which entry: decisions by the place their caller was told, sweeps by how much they found, the others by
what the entry's body says. No call makes two, and whoever was told of an entry has one."""

from collections.abc import Sequence
from typing import Any

from services.consent.domain import commands as c
from services.formats.entry import EntryType
from tests.races.calls import Call, Lost
from tests.races.history import History, Seen
from tests.races.order import Broken, Turn, window

_DECIDED = frozenset({EntryType.EXCHANGE_AUTHORIZED, EntryType.EXCHANGE_DENIED})


class Claims:
    """The calls of a history that have not had their turn."""

    def __init__(self, history: History) -> None:
        answered = [call for call in history.calls if isinstance(call.answer, c.Decision)]
        self._by_index = {call.answer.appended.index: call for call in answered}
        if len(self._by_index) != len(answered):
            raise Broken("two decisions were told one place")
        self._by_mark = {call.mark: call for call in history.calls if call.mark}
        self._lost = [call for call in history.calls if isinstance(call.answer, Lost)]
        sweeps = (call for call in history.calls if isinstance(call.item, c.SweepConsents | c.Sweep))
        self._sweeps = sorted((call for call in sweeps if call.answer != 0), key=lambda call: call.returned_ns)
        self._before_ms = next((call.item.before_ms for call in history.calls if isinstance(call.item, c.Sweep)), 0)
        self._swept: list[tuple[Any, int, int]] = []

    def claim(self, seen: Seen) -> tuple[Call | None, Any]:
        """The call that made this entry, and what it asked; no call for what some sweep did. Raises: Broken."""
        entry = seen.entry
        if entry.actor == c.LEDGER and entry.type is EntryType.CONSENT_EXPIRED:
            return None, c.SweepConsents(0)
        if entry.actor == c.LEDGER and entry.type is EntryType.EXCHANGE_OUTCOME:
            return None, c.Sweep(0, self._before_ms)
        call = self._decision(seen) if entry.type in _DECIDED else self._by_mark.pop(seen.mark, None)
        if call is None:
            raise Broken(f"entry {seen.index}, {entry.type.value}, is of no call, or of one that had its turn")
        return call, call.item

    def _decision(self, seen: Seen) -> Call | None:
        call = self._by_index.pop(seen.index, None)
        if call is None:
            return self._lost_decision(seen.entry.exchange)
        if call.answer.appended.leaf != seen.leaf:
            raise Broken(f"entry {seen.index} is not the one that its caller was told")
        return call

    def _lost_decision(self, exchange: str) -> Call | None:
        for call in self._lost:
            if isinstance(call.item, c.Authorize) and call.item.exchange == exchange:
                self._lost.remove(call)
                return call
        return None

    def add_swept(self, item: Any, first: int, count: int) -> None:
        """Some sweep wrote these entries."""
        self._swept.append((item, first, first + count))

    def assign(self, turns: Sequence[Turn]) -> list[Turn]:
        """Gives each sweep that found something its entries; of several that fit, to the first to end. Raises: Broken."""
        assigned = []
        for item, first, end in self._swept:
            fitting = [
                call for call in self._sweeps if _fits(call, item, end - first, window(turns, call, 0, end), first)
            ]
            if not fitting:
                raise Broken(f"entry {first}: {end - first} things were swept, and no sweep says so")
            self._sweeps.remove(fitting[0])
            assigned.append(Turn(fitting[0], first, end))
        left = [call.about for call in (*self._sweeps, *self._by_index.values()) if not isinstance(call.answer, Lost)]
        if left:
            raise Broken(f"{left} left no entry")
        return assigned


def _fits(call: Call, item: Any, count: int, within: tuple[int, int], first: int) -> bool:
    known = isinstance(call.answer, Lost) or call.answer == count
    return known and isinstance(call.item, type(item)) and within[0] <= first and first + count <= within[1]
