"""Whether every call took effect at one point between its invocation and its response, and the log is their order.

The log is the witness: commands are applied to the model in its order, each must foretell exactly the entries that stand
there and the answer that its caller had, and no call stands before one that had ended when it began. A call that left no
entry, a repeat, a refusal or a question, needs some point of its time where the model answers as its caller was answered;
and such points must not go backwards from one call to a later one.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from services.consent.domain import commands as c
from services.formats.entry import EntryType
from tests.races.calls import Call, Lost
from tests.races.claims import Claims
from tests.races.history import History, Seen
from tests.races.order import Broken, Turn, check_real_time, window
from tests.races.world import AT_ONCE, Place, Step, World, answer_of, line_of, step


class Linear:
    """Judges histories of one log, one after the other: the model goes on where the last one ended."""

    def __init__(self, world: World) -> None:
        self.world = world

    def take(self, history: History) -> list[str]:
        """What is wrong with the next history; the model is of no further use once something is."""
        try:
            witness = Witness(history, self.world)
            self.world = witness.world
            witness.place_the_rest()
        except Broken as broken:
            return [str(broken)]
        return []


class Witness:
    """The log of one history, applied to the model. Raises: Broken."""

    def __init__(self, history: History, world: World) -> None:
        self.world, self._history, self._turns = world, history, list[Turn]()
        self._sizes, self._worlds = [history.seen[0].index if history.seen else 0], [world]
        claims, position = Claims(history), 0
        while position < len(history.seen):
            position += self._turn(claims, position)
        self._turns += claims.assign(self._turns)
        self._turns.sort(key=lambda turn: turn.first)
        check_real_time(self._turns)

    def _turn(self, claims: Claims, position: int) -> int:
        seen = self._history.seen[position]
        if seen.entry.type is EntryType.REGISTRY_OBSERVED:
            return 1
        call, item = claims.claim(seen)
        foretold = self._foretell(item, position)
        here = self._history.seen[position : position + len(foretold.lines)]
        _compare(foretold, here, call.about if call else "a sweep")
        if call is None:
            claims.add_swept(item, seen.index, len(here))
        else:
            _compare_answer(foretold, call)
            self._turns.append(Turn(call, seen.index, seen.index + len(here)))
        self.world = foretold.world
        self._sizes.append(seen.index + len(here))
        self._worlds.append(foretold.world)
        return len(here)

    def _foretell(self, item: Any, position: int) -> Step:
        seen = self._history.seen[position]
        following = self._history.seen[position : position + AT_ONCE] if isinstance(item, c.Sweep) else ()
        settled = tuple(other.entry.outcome.authorization for other in following if other.entry.outcome)
        return step(self.world, item, seen.entry.time_ms, Place(seen.index, seen.fresh, settled))

    def place_the_rest(self) -> None:
        """Each call without entry at the first point where its answer is right: later calls are the freer for it."""
        in_log = {turn.call for turn in self._turns}
        rest = [call for call in self._history.calls if call not in in_log and not isinstance(call.answer, Lost)]
        placed: list[tuple[int, int]] = []
        for call in sorted(rest, key=lambda call: call.invoked_ns):
            low, high = window(self._turns, call, self._sizes[0], self._sizes[-1])
            earlier = [point for returned, point in placed if returned < call.invoked_ns]
            placed.append((call.returned_ns, self._find_point(call, max([low, *earlier]), high)))

    def _find_point(self, call: Call, low: int, high: int) -> int:
        shown = self._history.hand.shown(call)
        asked: set[tuple[int, int]] = set()
        for point in range(low, high + 1):
            world = self._worlds[bisect_right(self._sizes, point) - 1]
            known = id(world if call.patient is None else world.people[call.patient])
            for now_ms in {max(time_ms, self._time_before(point)) for time_ms in shown}:
                if (known, now_ms) not in asked and _answers(call, world, now_ms):
                    return point
                asked.add((known, now_ms))
        raise Broken(f"{call.about} was answered {call.answer}, which was right at no point from {low} to {high}")

    def _time_before(self, point: int) -> int:
        first = self._sizes[0]
        return self._history.seen[point - first - 1].entry.time_ms if point > first else self._history.before_ms


def _answers(call: Call, world: World, now_ms: int) -> bool:
    try:
        found = step(world, call.item, now_ms)
    except KeyError:
        return False  # about a consent that does not exist yet
    return not found.lines and found.answer == answer_of(call.answer)


def _compare(foretold: Step, here: Sequence[Seen], about: str) -> None:
    if not foretold.lines:
        raise Broken(f"{about} made an entry, and should have been answered {foretold.answer}")
    lines = tuple(line_of(seen.entry) for seen in here)
    # A profile's consents move in no order that anybody is promised.
    if lines[:1] != foretold.lines[:1] or sorted(map(repr, lines)) != sorted(map(repr, foretold.lines)):
        raise Broken(f"entry {here[0].index}: {about} made {lines}, not {foretold.lines}")
    if len({seen.entry.time_ms for seen in here}) > 1:
        raise Broken(f"entry {here[0].index}: what {about} did bears two times")


def _compare_answer(foretold: Step, call: Call) -> None:
    if not isinstance(call.answer, Lost) and answer_of(call.answer) != foretold.answer:
        raise Broken(f"{call.about} was answered {call.answer}, not {foretold.answer}")
