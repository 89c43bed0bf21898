"""Real time and the log's order: who had ended before who began must stand before them."""

from collections.abc import Sequence
from typing import NamedTuple

from tests.races.calls import Call


class Broken(Exception):  # noqa: N818 (what is broken is the history)
    """No order of the calls explains what was seen."""


class Turn(NamedTuple):
    """A call's place in the log: from `first` until before `end`."""

    call: Call
    first: int
    end: int


def check_real_time(turns: Sequence[Turn]) -> None:
    """No call stands in the log behind one that began after it had ended. Raises: Broken."""
    latest: Turn | None = None
    for turn in turns:
        if latest is not None and turn.call.returned_ns < latest.call.invoked_ns:
            raise Broken(
                f"entry {turn.first}: {turn.call.about} had ended before {latest.call.about} began, entry {latest.first}"
            )
        if latest is None or turn.call.invoked_ns > latest.call.invoked_ns:
            latest = turn


def window(turns: Sequence[Turn], call: Call, first: int, last: int) -> tuple[int, int]:
    """The points of the log, sizes of it from `first` to `last`, that lie within a call."""
    before = (turn.end for turn in turns if turn.call.returned_ns < call.invoked_ns)
    after = (turn.first for turn in turns if turn.call.invoked_ns > call.returned_ns)
    return max(before, default=first), min(after, default=last)
