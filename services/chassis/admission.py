"""How many RPCs run at once, shared so that no caller can take the last place from the others.

Guarantees that a caller is refused once it holds as many places as are still free: alone it gets half of them, two greedy
callers a third each, and there is always room for a newcomer. Leaves queueing to the clients (RetryInfo).
"""

from services.errors import AccordError, Reason

RETRY_AFTER_S = 1.0


class Admission:
    """The places of one server. Used from one event loop only, so that counting needs no lock."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._held: dict[str, int] = {}

    def enter(self, caller: str) -> None:
        """Take a place for a caller's RPC; each success owes one `leave`. Raises: AccordError(OVERLOADED)."""
        held = self._held.get(caller, 0)
        if held >= self._free:
            raise AccordError(Reason.OVERLOADED, retry_after=RETRY_AFTER_S)
        self._held[caller] = held + 1
        self._free -= 1

    def leave(self, caller: str) -> None:
        """Give the place back."""
        self._free += 1
        held = self._held[caller] - 1
        if held:
            self._held[caller] = held
        else:
            del self._held[caller]
