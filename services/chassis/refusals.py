"""The technical trace of RPCs refused before any decision: strangers, unlisted methods, malformed messages, overload.

Guarantees at most a few lines a second whatever arrives, with a count of the lines left out, and nothing that a stranger
wrote. Leaves refusals by a decision to the ledger.
"""

import logging

from services.chassis.clock import Clock
from services.errors import AccordError, Reason

LINES_PER_SECOND = 10
TRACED = frozenset(
    {
        Reason.IDENTITY_INVALID,
        Reason.RPC_NOT_ALLOWED,
        Reason.METHOD_UNKNOWN,
        Reason.MESSAGE_MALFORMED,
        Reason.DEADLINE_INVALID,
        Reason.OVERLOADED,
    }
)
_log = logging.getLogger(__name__)


class Refusals:
    """Logs refusals at a bounded rate, by windows of one second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._window = clock.monotonic()
        self._written = 0
        self._left_out = 0

    def note(self, error: AccordError, method: str, caller: str | None) -> None:
        """Trace one refusal. `method` is one that is served or a fixed word, `caller` a parsed SPIFFE ID."""
        if error.reason not in TRACED:
            return
        now = self._clock.monotonic()
        if now - self._window >= 1:
            self._window, self._written = now, 0
        if self._written >= LINES_PER_SECOND:
            self._left_out += 1
            return
        self._written += 1
        fields = {"reason": error.reason.value, "method": method, "caller": caller, "left_out": self._left_out}
        self._left_out = 0
        _log.warning("rpc refused", extra={"fields": fields})
