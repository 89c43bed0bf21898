"""Explicit refusals: what they touch, when they bite, and that nothing given outweighs them."""

from dataclasses import replace
from typing import Any

import pytest

from services.consent.domain.decision import ConsentFact, Deny, Facts, decide
from services.consent.domain.lifecycle import FINAL, ConsentState
from services.consent.domain.terms import Effect, Limits, Quota
from services.errors import Reason
from services.formats.rights import Direction, Purpose
from tests.support.decided import (
    CONSENT,
    FIRST,
    NOW_MS,
    NOW_S,
    SECOND,
    consent,
    convention,
    facts,
    narrower,
    only,
    permitted,
    reason,
    refusal,
)

WIDE = only("class:10", "class:42", "measure:8867-4")


def against(refused: ConsentFact, **changes: Any) -> Facts:
    """What the sender asks where everything is given to it but for this refusal."""
    given = convention(scope=WIDE)(consent(scope=WIDE)(FIRST))
    return facts(replace(given, consents=(*given.consents, refused)), **changes)


@pytest.mark.parametrize(
    ("asked", "refused", "bites"),
    [
        ({"class:10"}, "class:10", True),
        ({"type:11488-4"}, "class:10", True),
        ({"class:10"}, "type:11488-4", True),
        ({"type:11488-4"}, "type:11488-4", True),
        ({"type:34112-3"}, "type:11488-4", False),
        ({"class:42"}, "class:10", False),
        ({"class:42", "type:11488-4"}, "class:10", True),
        ({"measure:8867-4"}, "measure:8867-4", True),
        ({"measure:8867-4"}, "type:8867-4", False),
        ({"class:10"}, "measure:8867-4", False),
    ],
)
def test_a_refusal_bites_wherever_it_touches_what_is_asked(asked: set[str], refused: str, bites: bool) -> None:
    expected = Reason.EXPLICITLY_DENIED if bites else None
    assert reason(against(refusal(refused), categories=frozenset(asked))) is expected


def test_a_refusal_is_told_and_its_revision_recorded_whatever_the_order() -> None:
    expected = Deny(Reason.EXPLICITLY_DENIED, Reason.EXPLICITLY_DENIED, ("consents/9/revisions/1",))
    for order in ((CONSENT, refusal("class:10")), (refusal("class:10"), CONSENT), (refusal("class:10"),)):
        assert decide(facts(replace(FIRST, consents=order)), NOW_MS) == expected


def test_a_refusal_on_the_other_side_bites_and_is_not_told() -> None:
    second = replace(SECOND, consents=(*SECOND.consents, refusal("class:10")))
    expected = Deny(Reason.EXPLICITLY_DENIED, Reason.RECIPIENT_NOT_PERMITTED, ("consents/9/revisions/1",))
    assert decide(facts(FIRST, second), NOW_MS) == expected


@pytest.mark.parametrize(
    "scope",
    [
        narrower(directions=frozenset({Direction.READ})),
        narrower(purposes=frozenset({Purpose.PREVENTION})),
        narrower(directions=frozenset()),
        narrower(purposes=frozenset()),
        only(),
    ],
)
def test_a_refusal_of_another_direction_purpose_or_of_nothing_does_not_bite(scope: Any) -> None:
    assert permitted(against(refusal(scope=scope)))


@pytest.mark.parametrize("state", ConsentState)
def test_a_refusal_stands_until_it_is_withdrawn_or_ends_and_a_pause_does_not_lift_it(state: ConsentState) -> None:
    assert permitted(against(refusal("class:10", state=state))) == (state in FINAL)


def test_a_refusal_bites_from_the_second_of_its_start_until_before_its_end() -> None:
    """No permit could end within the second in which it was given."""
    for start_ms in (NOW_MS, NOW_MS + 1, NOW_S * 1000 + 999):
        assert not permitted(against(refusal("class:10", start_ms=start_ms)))
    assert permitted(against(refusal("class:10", start_ms=(NOW_S + 1) * 1000)))
    assert not permitted(against(refusal("class:10", end_ms=NOW_MS + 1)))
    assert permitted(against(refusal("class:10", end_ms=NOW_MS)))


@pytest.mark.parametrize(
    "limit",
    [
        {"exceptions": frozenset({"type:11488-4"})},
        {"quota": Quota(1)},
        {"data_until_ms": 5},
        {"confirm_ms": NOW_MS - 1},
        {"erase_ms": NOW_MS - 1},
        {"secret": True},
    ],
)
def test_no_limit_makes_a_refusal_smaller(limit: dict[str, Any]) -> None:
    small = refusal("class:10", limits=Limits(effect=Effect.DENY, **limit), used=1)
    assert not permitted(against(small, categories=frozenset({"type:11488-4"}), data_from_ms=9, data_until_ms=9))


def test_a_refusal_gives_no_right() -> None:
    assert reason(facts(replace(FIRST, consents=(refusal("class:42"),)))) is Reason.CONSENT_MISSING
