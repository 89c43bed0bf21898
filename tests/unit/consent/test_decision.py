"""The decision, party by party: what is recorded, what the asking service is told, and when a permit ends."""

from dataclasses import replace

import pytest

from services.consent.domain.decision import Deny, Permit, decide, document_rules, resting_on
from services.consent.domain.lifecycle import ConsentState, ProfileStatus
from services.errors import Reason
from services.formats.lease import Status
from services.formats.permit import PERMIT_LIFE_S
from services.formats.rights import Basis, Direction, Purpose, Scope
from tests.support.decided import (
    CONSENT,
    FACTS,
    FIRST,
    NOW_MS,
    NOW_S,
    READER,
    SECOND,
    Change,
    consent,
    convention,
    facts,
    limits,
    narrower,
    only,
    party,
    permitted,
    reason,
    refusal,
    standing,
    told,
)

NOTHING = Deny(Reason.NOT_PERMITTED, Reason.NOT_PERMITTED)

# What is wrong with one party whatever its consents are, and the reason that is recorded for it.
FAULTS: dict[str, tuple[Change, Reason]] = {
    "unknown to the registry": (party(standing=None), Reason.SERVICE_NOT_REFERENCED),
    "suspended": (standing(status=Status.SUSPENDED), Reason.SERVICE_SUSPENDED),
    "only applied": (standing(status=Status.APPLIED), Reason.SERVICE_NOT_REFERENCED),
    "without exchange": (standing(status=Status.REFERENCED_WITHOUT_EXCHANGE), Reason.SERVICE_NOT_REFERENCED),
    "convention starts later": (convention(start_ms=NOW_MS + 1), Reason.CONVENTION_NOT_IN_FORCE),
    "convention has ended": (convention(end_ms=NOW_MS), Reason.CONVENTION_NOT_IN_FORCE),
    "convention ends within this second": (convention(end_ms=NOW_S * 1000 + 999), Reason.CONVENTION_NOT_IN_FORCE),
    "category beyond it": (convention(scope=only("class:42")), Reason.CONVENTION_EXCEEDED),
    "class beyond its type": (convention(scope=only("type:11488-4")), Reason.CONVENTION_EXCEEDED),
    "direction beyond it": (convention(scope=narrower(directions=frozenset())), Reason.CONVENTION_EXCEEDED),
    "purpose beyond it": (
        convention(scope=narrower(purposes=frozenset({Purpose.PREVENTION}))),
        Reason.CONVENTION_EXCEEDED,
    ),
    "no consent": (party(consents=()), Reason.CONSENT_MISSING),
    "nothing but a refusal of something else": (party(consents=(refusal("class:42"),)), Reason.CONSENT_MISSING),
}


def test_everything_in_order_is_permitted_on_both_consents() -> None:
    resources = ("consents/1/revisions/1", "consents/2/revisions/1")
    assert decide(FACTS, NOW_MS) == Permit(resources, NOW_S + PERMIT_LIFE_S)


def test_asking_for_exactly_what_is_granted_is_permitted() -> None:
    exact = (
        Scope(frozenset({"class:10"}), frozenset({it.direction}), frozenset({Purpose.CARE})) for it in (FIRST, SECOND)
    )
    parties = (
        convention(scope=scope)(consent(scope=scope)(it)) for it, scope in zip((FIRST, SECOND), exact, strict=True)
    )
    assert permitted(facts(*parties))


@pytest.mark.parametrize(("change", "expected"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_wrong_with_the_asking_service_is_recorded_and_told(change: Change, expected: Reason) -> None:
    assert decide(facts(change(FIRST), SECOND), NOW_MS) == Deny(expected, expected)
    assert decide(facts(change(FIRST)), NOW_MS) == Deny(expected, expected)


@pytest.mark.parametrize(("change", "expected"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_wrong_with_the_other_service_is_recorded_and_not_told(change: Change, expected: Reason) -> None:
    assert decide(facts(FIRST, change(SECOND)), NOW_MS) == Deny(expected, Reason.RECIPIENT_NOT_PERMITTED)


@pytest.mark.parametrize(("change", "_"), FAULTS.values(), ids=FAULTS.keys())
def test_a_stranger_learns_nothing_whatever_else_is_wrong(change: Change, _: Reason) -> None:
    """Unknown patient, no pairing, no party at all: one and the same answer, that holds no reason and no resource."""
    unpaired = replace(change(FIRST), paired=False)
    for profile in (ProfileStatus.ACTIVE, ProfileStatus.SUSPENDED, ProfileStatus.ERASED):
        for basis in Basis:
            assert decide(facts(unpaired, SECOND, profile=profile, basis=basis), NOW_MS) == NOTHING
    assert decide(facts(change(FIRST), SECOND, profile=None), NOW_MS) == NOTHING
    assert decide(replace(FACTS, parties=()), NOW_MS) == NOTHING


def test_a_stranger_is_told_nothing_of_a_refusal() -> None:
    unpaired = replace(FIRST, paired=False, consents=(refusal("class:10"),))
    assert decide(facts(unpaired, documents_match=(False,)), NOW_MS) == NOTHING


@pytest.mark.parametrize("status", ProfileStatus)
def test_only_an_active_profile_takes_part(status: ProfileStatus) -> None:
    expected = {ProfileStatus.ACTIVE: None, ProfileStatus.SUSPENDED: Reason.PROFILE_SUSPENDED}
    asked = facts(profile=status)
    assert reason(asked) is told(asked) is expected.get(status, Reason.PROFILE_NOT_OPEN)


@pytest.mark.parametrize("basis", [Basis.CARE_TEAM, Basis.EMERGENCY])
def test_no_service_rests_on_anything_but_consent(basis: Basis) -> None:
    assert decide(facts(basis=basis), NOW_MS) == Deny(Reason.BASIS_NOT_ALLOWED, Reason.BASIS_NOT_ALLOWED)


def test_a_recipient_that_is_not_paired_is_not_permitted() -> None:
    denied = decide(facts(FIRST, replace(SECOND, paired=False)), NOW_MS)
    assert denied == Deny(Reason.NOT_PERMITTED, Reason.RECIPIENT_NOT_PERMITTED)


def test_what_is_wrong_with_both_is_told_of_the_asking_service() -> None:
    both = (consent(state=ConsentState.REVOKED)(FIRST), standing(status=Status.SUSPENDED)(SECOND))
    assert told(facts(*both)) is Reason.CONSENT_REVOKED


def test_the_revision_that_came_nearest_is_recorded_on_either_side() -> None:
    withdrawn = consent(state=ConsentState.REVOKED)
    expected = Deny(Reason.CONSENT_REVOKED, Reason.CONSENT_REVOKED, ("consents/1/revisions/1",))
    assert decide(facts(withdrawn(FIRST), SECOND), NOW_MS) == expected
    expected = Deny(Reason.CONSENT_REVOKED, Reason.RECIPIENT_NOT_PERMITTED, ("consents/2/revisions/1",))
    assert decide(facts(FIRST, withdrawn(SECOND)), NOW_MS) == expected


def test_a_document_of_another_patient_is_refused() -> None:
    for matches in ((False,), (True, False), (False, True)):
        denied = decide(facts(documents_match=matches), NOW_MS)
        assert denied == Deny(Reason.PATIENT_MISMATCH, Reason.PATIENT_MISMATCH)


def test_a_document_that_carries_an_ins_goes_only_where_the_convention_allows_it() -> None:
    """Whether it is the patient's is not told then: else any INS could be tried."""
    without = (FIRST, convention(ins_in_documents=False)(SECOND))
    for matches in ((True,), (False,)):
        denied = decide(facts(*without, documents_match=matches), NOW_MS)
        assert denied == Deny(Reason.INS_NOT_ALLOWED, Reason.INS_NOT_ALLOWED)
    assert permitted(facts(*without, documents_match=()))


def test_no_document_with_an_ins_may_go_to_who_has_no_convention() -> None:
    (_, allowed), _ = document_rules(facts(FIRST, replace(SECOND, standing=None)))
    assert not allowed


def test_the_sender_s_own_convention_need_not_allow_an_ins() -> None:
    assert permitted(facts(convention(ins_in_documents=False)(FIRST), SECOND))


def test_whether_a_document_is_the_patient_s_is_told_to_nobody_without_a_right() -> None:
    for lacking in ((party(consents=())(FIRST), SECOND), (FIRST, party(consents=())(SECOND))):
        match, mismatch = (decide(facts(*lacking, documents_match=(item,)), NOW_MS) for item in (True, False))
        assert match == mismatch


def test_a_reader_is_not_told_that_something_masked_exists() -> None:
    """Masking has no reason of its own (R1111-49); who sends knows the labels of what it sends."""
    hidden = facts(READER, labels=frozenset({"INVISIBLE_PATIENT"}))
    assert decide(hidden, NOW_MS) == Deny(Reason.LABEL_EXCLUDED, Reason.DATA_EXCLUDED)
    excepting = limits(exceptions=frozenset({"label:V"}))
    read = decide(facts(excepting(READER), labels=frozenset({"V"})), NOW_MS)
    assert read == Deny(Reason.LABEL_EXCLUDED, Reason.DATA_EXCLUDED, ("consents/1/revisions/1",))
    sent = decide(facts(excepting(FIRST), labels=frozenset({"V"})), NOW_MS)
    assert sent == Deny(Reason.LABEL_EXCLUDED, Reason.LABEL_EXCLUDED, ("consents/1/revisions/1",))


def test_a_decision_renewed_on_its_consents_sees_no_other_right_but_every_refusal() -> None:
    two = (CONSENT, replace(CONSENT, revision="consents/3/revisions/4"))
    asked = facts(replace(FIRST, consents=two))
    verdict = decide(resting_on(asked, frozenset({"consents/3/revisions/1"})), NOW_MS)
    assert isinstance(verdict, Permit)
    assert verdict.resources == ("consents/3/revisions/4",)
    assert reason(resting_on(asked, frozenset({"consents/4/revisions/1"}))) is Reason.CONSENT_MISSING
    refused = facts(replace(FIRST, consents=(*two, refusal("class:10"))))
    assert reason(resting_on(refused, frozenset({"consents/3/revisions/1"}))) is Reason.EXPLICITLY_DENIED


def test_each_direction_needs_the_right_of_its_own_party() -> None:
    one_way = consent(scope=narrower(directions=frozenset({Direction.READ})))
    assert permitted(facts(FIRST, one_way(SECOND)))
    assert reason(facts(one_way(FIRST), SECOND)) is Reason.DIRECTION_NOT_GRANTED
