"""Places for RPCs, and the bounded trace of refusals."""

import logging
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.admission import Admission
from services.chassis.refusals import LINES_PER_SECOND, Refusals
from services.errors import AccordError, Reason


def _take_all(admission: Admission, caller: str) -> int:
    taken = 0
    while True:
        try:
            admission.enter(caller)
        except AccordError as error:
            assert (error.reason, error.retry_after) == (Reason.OVERLOADED, 1.0)  # noqa: PT017 (the loop's only end)
            return taken
        taken += 1


def test_one_greedy_caller_gets_half_and_a_second_half_of_the_rest() -> None:
    admission = Admission(100)
    assert (_take_all(admission, "a"), _take_all(admission, "b"), _take_all(admission, "c")) == (50, 25, 13)


@given(st.integers(2, 64), st.lists(st.sampled_from("abcdefgh"), max_size=200))
def test_a_newcomer_is_admitted_whatever_the_others_took(places: int, calls: list[str]) -> None:
    admission = Admission(places)
    taken: list[str] = []
    for caller in calls[: places - 1]:
        try:
            admission.enter(caller)
            taken.append(caller)
        except AccordError:
            pass
    if len(taken) < places:
        admission.enter("newcomer")


def test_a_place_given_back_is_free_again() -> None:
    admission = Admission(4)
    for _ in range(3):
        assert _take_all(admission, "a") == 2
        admission.leave("a")
        admission.leave("a")
    assert admission._held == {}


@dataclass
class Hand:
    """A clock set by hand."""

    now: float = 0.0

    def wall_ms(self) -> int:
        return round(self.now * 1000)

    def monotonic(self) -> float:
        return self.now


def test_refusals_are_traced_at_a_bounded_rate_and_the_rest_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = Hand()
    refusals = Refusals(clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            refusals.note(AccordError(Reason.IDENTITY_INVALID), "a.B/C", None)
        assert len(caplog.records) == LINES_PER_SECOND
        clock.now = 1.0
        refusals.note(AccordError(Reason.RPC_NOT_ALLOWED), "a.B/C", "spiffe://td/a")
    fields = vars(caplog.records[-1])["fields"]
    assert fields == {
        "reason": "RPC_NOT_ALLOWED", "method": "a.B/C", "caller": "spiffe://td/a", "left_out": 1000 - LINES_PER_SECOND,
    }  # fmt: skip


def test_a_refusal_by_a_decision_is_not_traced(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Refusals(Hand()).note(AccordError(Reason.CONSENT_REVOKED), "a.B/C", None)
    assert caplog.records == []
