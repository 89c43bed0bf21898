"""Time, passed in: a wall clock for what is recorded, a monotonic one for what is measured.

Leaves the text of an instant to `formats.times`.
"""

import time
from typing import Protocol

from services.errors import AccordError, Reason


class Clock(Protocol):
    """The two clocks of a process."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z."""

    def monotonic(self) -> float:
        """Seconds that only grow, from an arbitrary start."""


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that only grow, from an arbitrary start."""
        return time.monotonic()


def time_after(clock: Clock, last_ms: int, leeway_ms: int) -> int:
    """The later of wall clock and a log's newest entry, in milliseconds since 1970: entries' times never decrease.

    Raises: AccordError CLOCK_BEHIND when the clock is behind that entry by more than the leeway.
    """
    now_ms = clock.wall_ms()
    if now_ms + leeway_ms < last_ms:
        raise AccordError(Reason.CLOCK_BEHIND, retry_after=5.0)
    return max(now_ms, last_ms)
