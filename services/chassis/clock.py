"""Time, passed in: a wall clock for what is recorded, a monotonic one for what is measured.

Leaves the text of an instant to `formats.times`, and to the ledger what to do when the wall clock is behind it.
"""

import time
from typing import Protocol


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
