"""A history: the calls of one storm, the entries that the log gained by it, and what the clock showed."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.formats.entry import Entry
from tests.races.calls import Call, Hand
from tests.races.people import UNSEEN, Fresh


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry where it stands. `mark`: the call that its body names; `quota`: of the revision that it makes.

    `start_ms`: when the consent that it revises began.
    """

    index: int
    entry: Entry
    leaf: bytes
    mark: str = ""
    fresh: Fresh = UNSEEN
    quota: tuple[int, int] | None = None
    start_ms: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """`before_ms`: the time of the last entry before it."""

    calls: Sequence[Call]
    seen: Sequence[Seen]
    hand: Hand
    before_ms: int = 0
