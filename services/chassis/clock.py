"""Time, passed in: a wall clock for what is recorded, a monotonic one for what is measured.

Guarantees one text form for an instant, RFC 3339 in UTC with milliseconds. Leaves to the ledger what to do when the wall
clock is behind it.
"""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", re.ASCII)


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


def rfc3339(ms: int) -> str:
    """An instant in milliseconds since 1970 as `2026-11-23T14:15:28.123Z` (RFC 3339 §5.6)."""
    instant = _EPOCH + ms * _MILLISECOND
    return instant.strftime(f"{instant.year:04d}-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z"


def parse_rfc3339(text: str) -> int:
    """The inverse of `rfc3339`, and of nothing else: one form only, UTC. Raises: ValueError."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("not an RFC 3339 instant in UTC with milliseconds")
    return (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
