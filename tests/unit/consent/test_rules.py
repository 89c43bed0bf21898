"""The rules of one consent: each boundary, each exception, each refusal, and which failure is the one told."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from services.consent.domain.decision import ConsentFact, Deny, Permit, decide, rules, shortfall
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.rules import lasts
from services.consent.domain.terms import Effect, Limits, Quota
from services.errors import Reason
from services.formats.rights import Direction, Purpose
from tests.support.decided import (
    CONSENT,
    FIRST,
    NOW_MS,
    NOW_S,
    READER,
    SCOPE,
    Change,
    consent,
    facts,
    limits,
    narrower,
    only,
    permitted,
    reason,
)

DATED: dict[str, Any] = {"data_from_ms": 1000, "data_until_ms": 2000}
# What is wrong with a consent, from the farthest from a right to the nearest, and the reason for it.
FAULTS: dict[str, tuple[Change, Reason]] = {
    "direction": (consent(scope=narrower(directions=frozenset({Direction.READ}))), Reason.DIRECTION_NOT_GRANTED),
    "no direction": (consent(scope=narrower(directions=frozenset())), Reason.DIRECTION_NOT_GRANTED),
    "purpose": (consent(scope=narrower(purposes=frozenset({Purpose.PREVENTION}))), Reason.PURPOSE_NOT_GRANTED),
    "no purpose": (consent(scope=narrower(purposes=frozenset())), Reason.PURPOSE_NOT_GRANTED),
    "category": (consent(scope=only("class:42")), Reason.CATEGORY_NOT_GRANTED),
    "no category": (consent(scope=only()), Reason.CATEGORY_NOT_GRANTED),
    "no more than a type": (consent(scope=only("type:11488-4")), Reason.CATEGORY_NOT_GRANTED),
    "withdrawn": (consent(state=ConsentState.REVOKED), Reason.CONSENT_REVOKED),
    "ended with the profile": (consent(state=ConsentState.ENDED), Reason.CONSENT_ENDED),
    "expired": (consent(state=ConsentState.EXPIRED), Reason.CONSENT_EXPIRED),
    "past its end": (consent(end_ms=NOW_MS), Reason.CONSENT_EXPIRED),
    "ends within this second": (consent(end_ms=NOW_S * 1000 + 999), Reason.CONSENT_EXPIRED),
    "suspended": (consent(state=ConsentState.SUSPENDED), Reason.CONSENT_SUSPENDED),
    "not confirmed at majority": (limits(confirm_ms=NOW_MS), Reason.CONSENT_SUSPENDED),
    "majority within this second": (limits(confirm_ms=NOW_S * 1000 + 999), Reason.CONSENT_SUSPENDED),
    "starts later": (consent(start_ms=NOW_MS + 1), Reason.CONSENT_NOT_YET_VALID),
    "type left out": (limits(exceptions=frozenset({"type:11488-4"})), Reason.DATA_EXCLUDED),
    "label left out": (limits(exceptions=frozenset({"label:V"})), Reason.LABEL_EXCLUDED),
    "period": (limits(data_from_ms=1001), Reason.DATA_PERIOD_NOT_GRANTED),
    "quota": (consent(limits=Limits(quota=Quota(3)), used=3), Reason.QUOTA_EXHAUSTED),
}
ASKED = {"labels": frozenset({"N", "V"}), **DATED}


@pytest.mark.parametrize(("change", "expected"), FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_of_a_consent_has_its_reason_and_names_the_revision(change: Change, expected: Reason) -> None:
    assert permitted(facts(FIRST, **ASKED))
    denied = decide(facts(change(FIRST), **ASKED), NOW_MS)
    assert denied == Deny(expected, expected, ("consents/1/revisions/1",))


def test_the_reason_is_that_of_the_consent_nearest_to_a_right_whatever_the_order() -> None:
    for (far, _), (near, expected) in combinations(FAULTS.values(), 2):
        named = replace(near(FIRST).consents[0], revision="consents/n/revisions/1")
        other = far(FIRST).consents[0]
        for order in ((named, other), (other, named)):
            verdict = decide(facts(replace(FIRST, consents=order), **ASKED), NOW_MS)
            assert isinstance(verdict, Deny)
            assert verdict.reason is expected


def test_of_two_that_are_as_near_the_first_is_named() -> None:
    two = tuple(replace(CONSENT, state=ConsentState.REVOKED, revision=f"consents/{i}/revisions/1") for i in "78")
    verdict = decide(facts(replace(FIRST, consents=two)), NOW_MS)
    assert verdict == Deny(Reason.CONSENT_REVOKED, Reason.CONSENT_REVOKED, ("consents/7/revisions/1",))


@pytest.mark.parametrize("state", ConsentState)
def test_only_an_active_consent_gives_a_right(state: ConsentState) -> None:
    assert permitted(facts(consent(state=state)(FIRST))) == (state is ConsentState.ACTIVE)


def test_a_consent_without_fault_falls_short_of_nothing() -> None:
    assert shortfall(CONSENT, Direction.READ, facts(), NOW_MS) is None
    assert all(holds for _, holds in rules(CONSENT, Direction.READ, facts(), NOW_MS))
    place, _ = shortfall(replace(CONSENT, state=ConsentState.REVOKED), Direction.READ, facts(), NOW_MS) or (None, None)
    assert place == 3


def test_one_of_several_consents_is_enough_and_is_the_first_that_carries() -> None:
    others = (replace(CONSENT, revision=f"consents/{i}/revisions/3") for i in "98")
    consents = (replace(CONSENT, state=ConsentState.REVOKED), *others)
    verdict = decide(facts(replace(FIRST, consents=consents)), NOW_MS)
    assert isinstance(verdict, Permit)
    assert verdict.resources == ("consents/9/revisions/3",)


def test_two_consents_that_only_together_cover_what_is_asked_are_not_enough() -> None:
    halves = tuple(replace(CONSENT, scope=only(item)) for item in ("class:10", "class:42"))
    asked = facts(replace(FIRST, consents=halves), categories=frozenset({"class:10", "class:42"}))
    assert reason(asked) is Reason.CATEGORY_NOT_GRANTED


def test_nothing_asked_for_is_covered_by_nothing() -> None:
    assert reason(facts(categories=frozenset())) is Reason.CONVENTION_EXCEEDED
    assert shortfall(CONSENT, Direction.READ, facts(categories=frozenset()), NOW_MS) == (2, Reason.CATEGORY_NOT_GRANTED)


def test_a_consent_is_valid_from_its_first_millisecond_to_its_last_whole_second() -> None:
    started = facts(consent(start_ms=NOW_MS)(FIRST))
    assert [permitted(started, NOW_MS), permitted(started, NOW_MS - 1)] == [True, False]
    for change in (consent(end_ms=NOW_S * 1000), limits(confirm_ms=NOW_S * 1000)):
        ending = facts(change(FIRST))
        assert [permitted(ending, NOW_S * 1000 - 1), permitted(ending, NOW_S * 1000)] == [True, False]


def test_an_instant_lasts_while_it_lies_in_a_later_second() -> None:
    assert [lasts(2000, now_ms) for now_ms in (0, 1999, 2000, 2999, 3000)] == [True, True, False, False, False]
    assert not lasts(2999, 2000)


@pytest.mark.parametrize(("used", "counted", "allowed"), [(2, False, True), (3, False, False), (3, True, True)])
def test_a_quota_is_used_up_by_other_exchanges_only(used: int, counted: bool, allowed: bool) -> None:
    limited = consent(limits=Limits(quota=Quota(3)), used=used, counted=counted)(FIRST)
    assert permitted(facts(limited)) == allowed


def test_what_must_have_been_erased_is_not_received_any_more() -> None:
    spent = limits(erase_ms=NOW_S * 1000)
    asked = facts(spent(READER))
    assert [reason(asked, NOW_S * 1000 - 1), reason(asked, NOW_S * 1000)] == [None, Reason.CONSENT_EXPIRED]
    assert permitted(facts(spent(FIRST)))


def test_a_secret_consent_is_as_good_as_any() -> None:
    assert permitted(facts(limits(secret=True)(FIRST)))
    assert not permitted(facts(limits(secret=True, effect=Effect.DENY)(FIRST)))


def test_a_rule_holds_or_does_not_hold_and_is_nothing_in_between() -> None:
    by_representative = Limits(exceptions=frozenset({"label:V"}), confirm_ms=NOW_MS + 10**9)
    hidden = "INVISIBLE_REPRESENTANTS_LEGAUX"
    for labels in ({"N"}, {"V"}, {hidden}, set[str]()):
        asked = facts(labels=frozenset(labels))
        assert {
            type(holds) for _, holds in rules(replace(CONSENT, limits=by_representative), Direction.READ, asked, NOW_MS)
        } == {bool}


def test_no_exchange_is_counted_before_one_was() -> None:
    fact = ConsentFact("consents/1/revisions/1", ConsentState.ACTIVE, SCOPE, 0, 1)
    assert (fact.used, fact.counted, fact.limits) == (0, False, Limits())
