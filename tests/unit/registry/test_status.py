"""The stages of a referencing, and every way between them."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import AccordError, Reason
from services.formats.lease import Status
from services.registry.domain.status import APPLIED, Standing, reference, reinstate, suspend

WITH = Standing(Status.REFERENCED_WITH_EXCHANGE)
WITHOUT = Standing(Status.REFERENCED_WITHOUT_EXCHANGE)
SUSPENDED_WITH = Standing(Status.SUSPENDED, Status.REFERENCED_WITH_EXCHANGE)
SUSPENDED_WITHOUT = Standing(Status.SUSPENDED, Status.REFERENCED_WITHOUT_EXCHANGE)
Move = Callable[[Standing], Standing]
with_exchange: Move = partial(reference, with_exchange=True)
without_exchange: Move = partial(reference, with_exchange=False)
MOVES = {
    "with_exchange": with_exchange,
    "without_exchange": without_exchange,
    "suspend": suspend,
    "reinstate": reinstate,
}

TABLE: list[tuple[Standing, str, Standing | None]] = [
    (APPLIED, "with_exchange", WITH),
    (APPLIED, "without_exchange", WITHOUT),
    (APPLIED, "suspend", None),
    (APPLIED, "reinstate", None),
    (WITH, "with_exchange", WITH),
    (WITH, "without_exchange", WITHOUT),
    (WITH, "suspend", SUSPENDED_WITH),
    (WITH, "reinstate", WITH),
    (WITHOUT, "with_exchange", WITH),
    (WITHOUT, "without_exchange", WITHOUT),
    (WITHOUT, "suspend", SUSPENDED_WITHOUT),
    (WITHOUT, "reinstate", WITHOUT),
    (SUSPENDED_WITH, "with_exchange", None),
    (SUSPENDED_WITH, "without_exchange", None),
    (SUSPENDED_WITH, "suspend", SUSPENDED_WITH),
    (SUSPENDED_WITH, "reinstate", WITH),
    (SUSPENDED_WITHOUT, "with_exchange", None),
    (SUSPENDED_WITHOUT, "without_exchange", None),
    (SUSPENDED_WITHOUT, "suspend", SUSPENDED_WITHOUT),
    (SUSPENDED_WITHOUT, "reinstate", WITHOUT),
]


@pytest.mark.parametrize(("start", "move", "end"), TABLE)
def test_each_move_leads_where_the_table_says_or_is_a_state_conflict(
    start: Standing, move: str, end: Standing | None
) -> None:
    if end is not None:
        assert MOVES[move](start) == end
        return
    with pytest.raises(AccordError) as raised:
        MOVES[move](start)
    assert raised.value.reason is Reason.STATE_CONFLICT


def test_the_table_names_every_stage_with_every_move() -> None:
    stages = {APPLIED, WITH, WITHOUT, SUSPENDED_WITH, SUSPENDED_WITHOUT}
    assert {(start, move) for start, move, _ in TABLE} == {(stage, move) for stage in stages for move in MOVES}
    assert {stage.status for stage in stages} == set(Status)


@given(st.lists(st.sampled_from(sorted(MOVES))), st.sampled_from(sorted(MOVES)))
def test_a_repeated_move_changes_nothing(history: list[str], last: str) -> None:
    standing = APPLIED
    for name in [*history, last]:
        try:
            standing = MOVES[name](standing)
        except AccordError:
            continue
        assert MOVES[name](standing) == standing


@pytest.mark.parametrize(
    ("status", "before"),
    [
        (Status.SUSPENDED, None),
        (Status.SUSPENDED, Status.APPLIED),
        (Status.SUSPENDED, Status.SUSPENDED),
        (Status.APPLIED, Status.REFERENCED_WITH_EXCHANGE),
        (Status.REFERENCED_WITH_EXCHANGE, Status.REFERENCED_WITH_EXCHANGE),
    ],
)
def test_a_stored_standing_that_no_history_explains_is_refused(status: Status, before: Status | None) -> None:
    with pytest.raises(ValueError, match="stood referenced before"):
        Standing(status, before)
