"""What a caller saw of a call: what it asked, what came back, and when by the machine's one monotonic clock.

A call without an answer (`Lost`) may have happened, then or later: nothing is expected of it but that it happened once.
"""

import threading
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from services.consent.domain import commands as c
from services.errors import AccordError, Reason
from tests.support.ledgers import NOW_MS, HeldClock

FOR_EVER = 1 << 63
_LOST = frozenset({Reason.STORAGE_UNAVAILABLE, Reason.OVERLOADED})


class Lost(NamedTuple):
    """There was no answer."""

    reason: Reason


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call. `mark`: what its entries' bodies name it by; `patient`: whom it is about, None when about nobody alone."""

    mark: str
    item: Any
    patient: int | None
    invoked_ns: int
    returned_ns: int
    answer: Any
    skew_ms: int = 0

    @property
    def about(self) -> str:
        """What is asked, in a word."""
        to = getattr(self.item, "to", None)
        name = self.mark or getattr(self.item, "exchange", "")[:8]
        return f"{type(self.item).__name__}{f' to {to.value}' if to else ''} {name}".rstrip()

    def overlaps(self, other: "Call") -> bool:
        """Whether both were under way at one moment."""
        return self.invoked_ns < other.returned_ns and other.invoked_ns < self.returned_ns


class Hand:
    """The hand of all replicas' clocks: moves forward only, by whichever thread. What it showed, and when, is kept."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self._lock = threading.Lock()
        self.now_ms = now_ms
        self._moves: list[tuple[int, int, int]] = [(0, 0, now_ms)]

    def move(self, by_ms: int) -> None:
        """Moves it."""
        with self._lock:
            before = time.perf_counter_ns()
            self.now_ms += by_ms
            self._moves.append((before, time.perf_counter_ns(), self.now_ms))

    def shown(self, call: Call) -> list[int]:
        """What the clock of a call's replica may have shown while the call was under way."""
        ends = [after for _, after, _ in self._moves[1:]] + [FOR_EVER]
        return [
            now_ms + call.skew_ms
            for (since, _, now_ms), end in zip(self._moves, ends, strict=True)
            if since <= call.returned_ns and call.invoked_ns <= end
        ]

    def forget(self) -> None:
        """Begins a new history: what was shown before does not matter any more."""
        self._moves = [(0, 0, self.now_ms)]


@dataclass
class Skewed(HeldClock):
    """A replica's clock: the hand's time, and this replica's error."""

    hand: Hand = field(default_factory=Hand)
    skew_ms: int = 0

    def wall_ms(self) -> int:
        return self.hand.now_ms + self.skew_ms


@dataclass
class Recorder:
    """Keeps every call, of whichever thread."""

    calls: list[Call] = field(default_factory=list)

    async def record(
        self, call: Awaitable[Any], item: Any, *, mark: str = "", patient: int | None = None, skew_ms: int = 0
    ) -> Any:
        """Awaits a call, keeps it, and gives its answer: what it returned, or the reason of its refusal."""
        invoked = time.perf_counter_ns()
        try:
            answer = await call
        except AccordError as error:
            answer = Lost(error.reason) if error.reason in _LOST else error.reason
        returned = FOR_EVER if isinstance(answer, Lost) else time.perf_counter_ns()
        self.calls.append(Call(mark, item, patient, invoked, returned, answer, skew_ms))
        return answer


class Interleavings(NamedTuple):
    """Authorisations under way together with another call about the same patient; and with one that changes a right."""

    with_any: int
    with_change: int


_READ_OR_DECIDE = (c.Authorize, c.Check)


def count_interleavings(calls: Sequence[Call]) -> Interleavings:
    """An interleaving is an authorisation that was under way at the same time as another call about the same patient."""
    of_patient: dict[int, list[Call]] = {}
    for call in calls:
        if call.patient is not None and not isinstance(call.answer, Lost):
            of_patient.setdefault(call.patient, []).append(call)
    with_any = with_change = 0
    for together in of_patient.values():
        for call in together:
            if isinstance(call.item, c.Authorize):
                others = [other for other in together if other is not call and call.overlaps(other)]
                with_any += bool(others)
                with_change += any(not isinstance(other.item, _READ_OR_DECIDE) for other in others)
    return Interleavings(with_any, with_change)
