"""The decision, case by case: what is recorded, and what the asking service is told."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from services.consent.domain.decision import (
    ConsentFact,
    ConsentState,
    Deny,
    Facts,
    Party,
    Permit,
    ProfileStatus,
    Standing,
    decide,
)
from services.errors import Reason
from services.formats.lease import Convention, Status
from services.formats.permit import PERMIT_LIFE_S
from services.formats.rights import Direction, Purpose, Scope
from tests.support.ledgers import DAY_MS, NOW_MS

NOW_S = NOW_MS // 1000
SCOPE = Scope(frozenset({"class:10", "class:42"}), frozenset(Direction), frozenset({Purpose.CARE, Purpose.PREVENTION}))
CONVENTION = Convention(SCOPE, NOW_MS - DAY_MS, NOW_MS + DAY_MS, "a" * 64, ins_in_documents=True)
CONSENT = ConsentFact("consents/1/revisions/1", ConsentState.ACTIVE, SCOPE, NOW_MS - DAY_MS, NOW_MS + DAY_MS)
STANDING = Standing(Status.REFERENCED_WITH_EXCHANGE, CONVENTION)
FIRST = Party("services/lumen", Direction.DEPOSIT, STANDING, True, (CONSENT,))
SECOND = Party(
    "services/carnet", Direction.READ, STANDING, True, (replace(CONSENT, revision="consents/2/revisions/1"),)
)
FACTS = Facts(ProfileStatus.OPEN, (FIRST, SECOND), Purpose.CARE, frozenset({"class:10"}), (True,))
Change = Callable[[Party], Party]


def party(**changes: Any) -> Change:
    return lambda it: replace(it, **changes)


def standing(**changes: Any) -> Change:
    return lambda it: replace(it, standing=replace(STANDING, **changes))


def convention(**changes: Any) -> Change:
    return standing(convention=replace(CONVENTION, **changes))


def consent(**changes: Any) -> Change:
    return lambda it: replace(it, consents=tuple(replace(item, **changes) for item in it.consents))


def narrower(**changes: Any) -> Scope:
    return replace(SCOPE, **changes)


# What is wrong with one party, and the reason that is recorded for it.
FAULTS: dict[str, tuple[Change, Reason]] = {
    "unknown to the registry": (party(standing=None), Reason.SERVICE_NOT_REFERENCED),
    "suspended": (standing(status=Status.SUSPENDED), Reason.SERVICE_SUSPENDED),
    "only applied": (standing(status=Status.APPLIED), Reason.SERVICE_NOT_REFERENCED),
    "referenced without exchange": (
        standing(status=Status.REFERENCED_WITHOUT_EXCHANGE),
        Reason.SERVICE_NOT_REFERENCED,
    ),
    "convention starts later": (convention(start_ms=NOW_MS + 1), Reason.CONVENTION_NOT_IN_FORCE),
    "convention has ended": (convention(end_ms=NOW_MS), Reason.CONVENTION_NOT_IN_FORCE),
    "convention ends within this second": (convention(end_ms=NOW_S * 1000 + 999), Reason.CONVENTION_NOT_IN_FORCE),
    "category beyond the convention": (
        convention(scope=narrower(categories=frozenset({"class:42"}))),
        Reason.CONVENTION_EXCEEDED,
    ),
    "direction beyond the convention": (convention(scope=narrower(directions=frozenset())), Reason.CONVENTION_EXCEEDED),
    "purpose beyond the convention": (
        convention(scope=narrower(purposes=frozenset({Purpose.PREVENTION}))),
        Reason.CONVENTION_EXCEEDED,
    ),
    "no consent": (party(consents=()), Reason.CONSENT_MISSING),
    "category not granted": (
        consent(scope=narrower(categories=frozenset({"class:42"}))),
        Reason.CATEGORY_NOT_GRANTED,
    ),
    "no category granted": (consent(scope=narrower(categories=frozenset())), Reason.CATEGORY_NOT_GRANTED),
    "direction not granted": (consent(scope=narrower(directions=frozenset())), Reason.DIRECTION_NOT_GRANTED),
    "purpose not granted": (
        consent(scope=narrower(purposes=frozenset({Purpose.PREVENTION}))),
        Reason.PURPOSE_NOT_GRANTED,
    ),
    "consent withdrawn": (consent(state=ConsentState.REVOKED), Reason.CONSENT_REVOKED),
    "consent expired": (consent(end_ms=NOW_MS), Reason.CONSENT_EXPIRED),
    "consent ends within this second": (consent(end_ms=NOW_S * 1000 + 999), Reason.CONSENT_EXPIRED),
    "consent starts later": (consent(start_ms=NOW_MS + 1), Reason.CONSENT_NOT_YET_VALID),
}
ABOUT_THE_CONSENT = {
    Reason.CATEGORY_NOT_GRANTED,
    Reason.DIRECTION_NOT_GRANTED,
    Reason.PURPOSE_NOT_GRANTED,
    Reason.CONSENT_REVOKED,
    Reason.CONSENT_EXPIRED,
    Reason.CONSENT_NOT_YET_VALID,
}


def test_everything_in_order_is_permitted_on_both_consents() -> None:
    resources = ("consents/1/revisions/1", "consents/2/revisions/1")
    assert decide(FACTS, NOW_MS) == Permit(resources, NOW_S + PERMIT_LIFE_S)


def test_asking_for_exactly_what_is_granted_is_permitted() -> None:
    exact = (
        Scope(frozenset({"class:10"}), frozenset({it.direction}), frozenset({Purpose.CARE})) for it in (FIRST, SECOND)
    )
    parties = tuple(
        convention(scope=scope)(consent(scope=scope)(it)) for it, scope in zip((FIRST, SECOND), exact, strict=True)
    )
    assert isinstance(decide(replace(FACTS, parties=parties), NOW_MS), Permit)


@pytest.mark.parametrize(("change", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_wrong_with_the_asking_service_is_recorded_and_told(change: Change, reason: Reason) -> None:
    changed = change(FIRST)
    resources = ("consents/1/revisions/1",) if reason in ABOUT_THE_CONSENT else ()
    assert decide(replace(FACTS, parties=(changed, SECOND)), NOW_MS) == Deny(reason, reason, resources)
    assert decide(replace(FACTS, parties=(changed,)), NOW_MS) == Deny(reason, reason, resources)


@pytest.mark.parametrize(("change", "reason"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_wrong_with_the_other_service_is_recorded_and_not_told(change: Change, reason: Reason) -> None:
    resources = ("consents/2/revisions/1",) if reason in ABOUT_THE_CONSENT else ()
    denied = decide(replace(FACTS, parties=(FIRST, change(SECOND))), NOW_MS)
    assert denied == Deny(reason, Reason.RECIPIENT_NOT_PERMITTED, resources)


@pytest.mark.parametrize(("change", "_"), FAULTS.values(), ids=FAULTS.keys())
def test_a_stranger_learns_nothing_whatever_else_is_wrong(change: Change, _: Reason) -> None:
    """Unknown patient, no pairing, no party at all: one and the same answer, that holds no reason and no resource."""
    nothing = Deny(Reason.NOT_PERMITTED, Reason.NOT_PERMITTED)
    unpaired = replace(change(FIRST), paired=False)
    assert decide(replace(FACTS, profile=None, parties=(change(FIRST), SECOND)), NOW_MS) == nothing
    assert decide(replace(FACTS, parties=(unpaired, SECOND)), NOW_MS) == nothing
    assert decide(replace(FACTS, parties=()), NOW_MS) == nothing


def test_a_profile_that_is_not_open_says_so_to_a_paired_service_only() -> None:
    closed: Any = "CLOSED"
    assert decide(replace(FACTS, profile=closed), NOW_MS) == Deny(Reason.PROFILE_NOT_OPEN, Reason.PROFILE_NOT_OPEN)
    stranger = replace(FACTS, profile=closed, parties=(replace(FIRST, paired=False),))
    assert decide(stranger, NOW_MS) == Deny(Reason.NOT_PERMITTED, Reason.NOT_PERMITTED)


def test_a_recipient_that_is_not_paired_is_not_permitted() -> None:
    denied = decide(replace(FACTS, parties=(FIRST, replace(SECOND, paired=False))), NOW_MS)
    assert denied == Deny(Reason.NOT_PERMITTED, Reason.RECIPIENT_NOT_PERMITTED)


def test_what_is_wrong_with_both_is_told_of_the_asking_service() -> None:
    both = (FAULTS["consent withdrawn"][0](FIRST), FAULTS["suspended"][0](SECOND))
    verdict = decide(replace(FACTS, parties=both), NOW_MS)
    assert isinstance(verdict, Deny)
    assert verdict.told is Reason.CONSENT_REVOKED


def test_a_document_of_another_patient_is_refused() -> None:
    for matches in ((False,), (True, False), (False, True)):
        denied = decide(replace(FACTS, documents_match=matches), NOW_MS)
        assert denied == Deny(Reason.PATIENT_MISMATCH, Reason.PATIENT_MISMATCH)


def test_a_document_that_carries_an_ins_goes_only_where_the_convention_allows_it() -> None:
    without = (FIRST, convention(ins_in_documents=False)(SECOND))
    denied = decide(replace(FACTS, parties=without), NOW_MS)
    assert denied == Deny(Reason.INS_NOT_ALLOWED, Reason.INS_NOT_ALLOWED)
    assert isinstance(decide(replace(FACTS, parties=without, documents_match=()), NOW_MS), Permit)


def test_the_sender_s_own_convention_need_not_allow_an_ins() -> None:
    assert isinstance(
        decide(replace(FACTS, parties=(convention(ins_in_documents=False)(FIRST), SECOND)), NOW_MS), Permit
    )


def test_no_category_asked_for_is_no_category_granted() -> None:
    denied = decide(replace(FACTS, categories=frozenset()), NOW_MS)
    assert isinstance(denied, Deny)
    assert denied.reason is Reason.CATEGORY_NOT_GRANTED


def test_one_of_several_consents_is_enough_and_is_the_one_named() -> None:
    other = replace(CONSENT, revision="consents/9/revisions/3")
    consents = (
        replace(CONSENT, state=ConsentState.REVOKED),
        other,
        replace(CONSENT, revision="consents/8/revisions/1"),
    )
    verdict = decide(replace(FACTS, parties=(replace(FIRST, consents=consents),)), NOW_MS)
    assert verdict == Permit((other.revision,), NOW_S + PERMIT_LIFE_S)


def test_two_consents_that_only_together_cover_what_is_asked_are_not_enough() -> None:
    halves = tuple(replace(CONSENT, scope=narrower(categories=frozenset({item}))) for item in ("class:10", "class:42"))
    asked = replace(FACTS, categories=frozenset({"class:10", "class:42"}), parties=(replace(FIRST, consents=halves),))
    verdict = decide(asked, NOW_MS)
    assert isinstance(verdict, Deny)
    assert verdict.reason is Reason.CATEGORY_NOT_GRANTED


def test_the_reason_is_that_of_the_consent_nearest_to_a_right_whatever_the_order() -> None:
    """Missing < direction < purpose < category < revoked < expired < not yet valid."""
    changes = ("direction not granted", "purpose not granted", "category not granted", "consent withdrawn")
    nearness = [FAULTS[name] for name in (*changes, "consent expired", "consent starts later")]
    for position, (change, reason) in enumerate(nearness):
        consents = [other(FIRST).consents[0] for other, _ in nearness[: position + 1]]
        for order in (consents, consents[::-1]):
            named = replace(change(FIRST).consents[0], revision="consents/n/revisions/1")
            told = tuple(named if item == change(FIRST).consents[0] else item for item in order)
            verdict = decide(replace(FACTS, parties=(replace(FIRST, consents=told),)), NOW_MS)
            assert verdict == Deny(reason, reason, ("consents/n/revisions/1",))


@pytest.mark.parametrize("change", [consent, convention])
@pytest.mark.parametrize("position", [0, 1])
def test_a_permit_ends_with_the_earliest_right_it_rests_on(change: Callable[..., Change], position: int) -> None:
    for seconds in range(1, 8):
        parties = [FIRST, SECOND]
        parties[position] = change(end_ms=(NOW_S + seconds) * 1000 + 999)(parties[position])
        verdict = decide(replace(FACTS, parties=tuple(parties)), NOW_MS)
        assert isinstance(verdict, Permit)
        assert verdict.until_s == NOW_S + min(seconds, PERMIT_LIFE_S)


def test_a_consent_is_valid_from_its_first_millisecond() -> None:
    assert isinstance(decide(replace(FACTS, parties=(consent(start_ms=NOW_MS)(FIRST),)), NOW_MS), Permit)
    assert isinstance(decide(replace(FACTS, parties=(consent(start_ms=NOW_MS)(FIRST),)), NOW_MS - 1), Deny)
