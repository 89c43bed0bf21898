"""What a consent leaves out of the data itself: types, labels, dates. What is not known is left out."""

from typing import Any

import pytest

from services.errors import Reason
from tests.support.decided import (
    FIRST,
    NOW_MS,
    READER,
    facts,
    limits,
    permitted,
    reason,
)


@pytest.mark.parametrize(
    ("asked", "excepted", "allowed"),
    [
        ({"class:10"}, "type:11488-4", False),  # the class holds the type: doubt means no
        ({"type:11488-4"}, "type:11488-4", False),
        ({"type:34112-3"}, "type:11488-4", True),
        ({"type:34112-3", "type:11488-4"}, "type:11488-4", False),
        ({"class:42"}, "type:11488-4", True),
    ],
)
def test_a_type_left_out_takes_itself_and_the_classes_that_hold_it(
    asked: set[str], excepted: str, allowed: bool
) -> None:
    excepting = limits(exceptions=frozenset({excepted}))(FIRST)
    expected = None if allowed else Reason.DATA_EXCLUDED
    assert reason(facts(excepting, categories=frozenset(asked))) is expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"N"}, None),
        ({"N", "R"}, Reason.LABEL_EXCLUDED),
        ({"MASQUE_PS", "N"}, Reason.LABEL_EXCLUDED),
        (set(), Reason.LABEL_EXCLUDED),  # not known
    ],
)
def test_a_label_left_out_takes_what_bears_it_and_what_bears_no_known_label(
    labels: set[str], expected: Reason | None
) -> None:
    excepting = limits(exceptions=frozenset({"label:R", "label:MASQUE_PS"}))(FIRST)
    assert reason(facts(excepting, labels=frozenset(labels))) is expected


def test_unknown_labels_matter_only_where_some_are_left_out() -> None:
    asked = facts(limits(exceptions=frozenset({"type:57833-6"}))(FIRST), labels=frozenset())
    assert permitted(asked)


def test_what_the_patient_may_not_see_is_read_by_no_service_but_may_be_deposited() -> None:
    hidden: dict[str, Any] = {"labels": frozenset({"N", "INVISIBLE_PATIENT"})}
    assert reason(facts(READER, **hidden)) is Reason.LABEL_EXCLUDED
    assert permitted(facts(FIRST, **hidden))


def test_what_a_minor_keeps_from_representatives_is_not_read_by_a_representative_s_consent() -> None:
    hidden: dict[str, Any] = {"labels": frozenset({"N", "INVISIBLE_REPRESENTANTS_LEGAUX"})}
    by_representative = limits(confirm_ms=NOW_MS + 10**9)
    assert reason(facts(by_representative(READER), **hidden)) is Reason.LABEL_EXCLUDED
    assert permitted(facts(by_representative(READER), labels=frozenset({"N"})))
    assert permitted(facts(by_representative(FIRST), **hidden))
    assert permitted(facts(READER, **hidden))


@pytest.mark.parametrize(
    ("oldest", "newest", "limit", "allowed"),
    [
        (1000, 1999, {"data_from_ms": 1000, "data_until_ms": 2000}, True),
        (999, 1999, {"data_from_ms": 1000, "data_until_ms": 2000}, False),
        (1000, 2000, {"data_from_ms": 1000, "data_until_ms": 2000}, False),
        (None, 1999, {"data_from_ms": 1000}, False),
        (1000, None, {"data_from_ms": 1000}, True),
        (1000, 999, {"data_from_ms": 1000}, False),
        (1000, None, {"data_until_ms": 2000}, False),
        (None, 1999, {"data_until_ms": 2000}, True),
        (2000, 1999, {"data_until_ms": 2000}, False),
        (2500, 500, {"data_from_ms": 1000, "data_until_ms": 2000}, False),
        (None, None, {}, True),
        (0, 0, {"data_from_ms": 0}, True),
        (0, 0, {"data_until_ms": 0}, False),
    ],
)
def test_all_data_must_lie_in_the_period_granted(
    oldest: int | None, newest: int | None, limit: dict[str, int], allowed: bool
) -> None:
    """From, until before; a date that is not known lies in no period."""
    asked = facts(limits(**limit)(FIRST), data_from_ms=oldest, data_until_ms=newest)
    assert reason(asked) is (None if allowed else Reason.DATA_PERIOD_NOT_GRANTED)
