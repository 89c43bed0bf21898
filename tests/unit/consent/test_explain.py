"""Explanations, case by case: every rule on the caller's side, and no word more than the caller may know."""

from dataclasses import replace

import pytest

from services.consent.domain.decision import decide
from services.consent.domain.explain import Explanation, Step, explain
from services.consent.domain.lifecycle import ConsentState, ProfileStatus
from services.consent.domain.terms import Quota
from services.errors import Reason
from services.formats.lease import Status
from services.formats.rights import Basis
from tests.support.decided import (
    CONSENT,
    FACTS,
    FIRST,
    NOW_MS,
    READER,
    SECOND,
    Change,
    consent,
    convention,
    facts,
    limits,
    only,
    party,
    refusal,
    standing,
)

BEFORE_CONSENTS = [
    "PROFILE_SUSPENDED",
    "PROFILE_NOT_OPEN",
    "BASIS_NOT_ALLOWED",
    "SERVICE_SUSPENDED",
    "SERVICE_NOT_REFERENCED",
    "CONVENTION_NOT_IN_FORCE",
    "CONVENTION_EXCEEDED",
    "NOT_PERMITTED",
    "LABEL_EXCLUDED",
]
OF_A_CONSENT = [
    "DIRECTION_NOT_GRANTED",
    "PURPOSE_NOT_GRANTED",
    "CATEGORY_NOT_GRANTED",
    "CONSENT_REVOKED",
    "CONSENT_ENDED",
    "CONSENT_EXPIRED",
    "CONSENT_SUSPENDED",
    "CONSENT_NOT_YET_VALID",
    "DATA_EXCLUDED",
    "LABEL_EXCLUDED",
    "DATA_PERIOD_NOT_GRANTED",
    "QUOTA_EXHAUSTED",
]
STRANGER = (Step(Reason.NOT_PERMITTED, False),)


def failing(explanation: Explanation) -> list[Reason]:
    return [step.reason for step in explanation.steps if not step.holds]


def test_a_permit_is_explained_by_every_rule_in_order() -> None:
    explanation = explain(FACTS, NOW_MS)
    last = ["RECIPIENT_NOT_PERMITTED", "INS_NOT_ALLOWED", "PATIENT_MISMATCH"]
    expected = [*BEFORE_CONSENTS, "CONSENT_MISSING", *OF_A_CONSENT, *last]
    assert [step.reason.value for step in explanation.steps] == expected
    assert failing(explanation) == []
    assert explanation.verdict == decide(FACTS, NOW_MS)
    named = [step.reason.value for step in explanation.steps if step.resource == "consents/1/revisions/1"]
    assert named == OF_A_CONSENT
    assert {step.resource for step in explanation.steps} == {"", "consents/1/revisions/1"}


def test_each_consent_and_each_refusal_is_named_in_its_steps() -> None:
    later, gone = (replace(CONSENT, revision=f"consents/{i}/revisions/1") for i in "56")
    gone = replace(gone, state=ConsentState.REVOKED, limits=replace(CONSENT.limits, quota=Quota(1)), used=1)
    consents = (refusal("class:42"), later, refusal("class:10", revision="consents/8/revisions/1"), gone)
    steps = explain(facts(replace(FIRST, consents=consents)), NOW_MS).steps[len(BEFORE_CONSENTS) :]
    assert steps[:3] == (
        Step(Reason.EXPLICITLY_DENIED, True, "consents/9/revisions/1"),
        Step(Reason.EXPLICITLY_DENIED, False, "consents/8/revisions/1"),
        Step(Reason.CONSENT_MISSING, True),
    )
    assert [step.resource for step in steps[3:]] == [later.revision] * 12 + [gone.revision] * 12
    assert [step.reason for step in steps[3:] if not step.holds] == [Reason.CONSENT_REVOKED, Reason.QUOTA_EXHAUSTED]


def test_a_stranger_s_explanation_is_one_step_and_nothing_else() -> None:
    unpaired = replace(FIRST, paired=False, consents=(refusal("class:10"),))
    assert explain(facts(unpaired, SECOND), NOW_MS).steps == STRANGER
    assert explain(facts(profile=None), NOW_MS).steps == STRANGER
    assert explain(replace(FACTS, parties=()), NOW_MS).steps == STRANGER
    assert explain(facts(FIRST, replace(SECOND, paired=False)), NOW_MS, side=1).steps == STRANGER
    assert explain(facts(), NOW_MS, side=2) == explain(facts(), NOW_MS, side=-1)
    assert explain(facts(), NOW_MS, side=2).steps == STRANGER


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (party(standing=None), ["SERVICE_NOT_REFERENCED", "CONVENTION_NOT_IN_FORCE", "CONVENTION_EXCEEDED"]),
        (standing(status=Status.SUSPENDED), ["SERVICE_SUSPENDED", "SERVICE_NOT_REFERENCED"]),
        (convention(scope=only("class:42"), end_ms=0), ["CONVENTION_NOT_IN_FORCE", "CONVENTION_EXCEEDED"]),
        (party(consents=()), ["CONSENT_MISSING"]),
        (party(consents=(refusal("class:10"),)), ["EXPLICITLY_DENIED", "CONSENT_MISSING"]),
        (consent(state=ConsentState.ENDED, end_ms=0), ["CONSENT_ENDED", "CONSENT_EXPIRED"]),
    ],
)
def test_all_that_is_wrong_on_one_s_own_side_is_told(change: Change, expected: list[str]) -> None:
    assert failing(explain(facts(change(FIRST), SECOND), NOW_MS)) == expected
    assert failing(explain(facts(FIRST, change(SECOND)), NOW_MS, side=1)) == expected


def test_profile_and_basis_are_told_first() -> None:
    asked = facts(replace(FIRST, consents=()), profile=ProfileStatus.SUSPENDED, basis=Basis.EMERGENCY)
    expected = [Reason.PROFILE_SUSPENDED, Reason.BASIS_NOT_ALLOWED, Reason.CONSENT_MISSING]
    assert failing(explain(asked, NOW_MS)) == expected
    assert failing(explain(facts(profile=ProfileStatus.CLOSED), NOW_MS)) == [Reason.PROFILE_NOT_OPEN]


@pytest.mark.parametrize("change", [party(consents=()), party(paired=False), party(standing=None)])
def test_of_the_other_side_one_hears_only_that_it_may_not(change: Change) -> None:
    steps = explain(facts(FIRST, change(SECOND), documents_match=(False,)), NOW_MS).steps
    assert steps[-1] == Step(Reason.RECIPIENT_NOT_PERMITTED, False)
    assert all(step.holds for step in steps[:-1])
    assert {step.resource for step in steps} == {"", "consents/1/revisions/1"}


def test_of_several_others_one_that_may_not_is_enough() -> None:
    failing_one = replace(SECOND, consents=())
    for others in ((SECOND, failing_one), (failing_one, SECOND)):
        assert failing(explain(facts(FIRST, *others), NOW_MS)) == [Reason.RECIPIENT_NOT_PERMITTED]


def test_whether_the_other_side_may_is_not_told_before_one_s_own_side_holds() -> None:
    """Else any paired service could find out which other services the patient uses."""
    for own in (facts(replace(FIRST, consents=()), SECOND), facts(basis=Basis.CARE_TEAM)):
        others = (SECOND, replace(SECOND, consents=()))
        explanations = [explain(replace(own, parties=(own.parties[0], it)), NOW_MS).steps for it in others]
        assert explanations[0] == explanations[1]
        assert Reason.RECIPIENT_NOT_PERMITTED not in {step.reason for step in explanations[0]}


def test_whether_a_document_is_the_patient_s_is_told_only_where_nothing_else_fails() -> None:
    assert failing(explain(facts(documents_match=(False,)), NOW_MS)) == [Reason.PATIENT_MISMATCH]
    barred = facts(FIRST, convention(ins_in_documents=False)(SECOND), documents_match=(False,))
    assert [step.reason for step in explain(barred, NOW_MS).steps[-2:]] == [
        Reason.RECIPIENT_NOT_PERMITTED,
        Reason.INS_NOT_ALLOWED,
    ]
    assert failing(explain(barred, NOW_MS)) == [Reason.INS_NOT_ALLOWED]


def test_a_service_that_exchanges_with_the_record_hears_of_no_other_side() -> None:
    assert Reason.RECIPIENT_NOT_PERMITTED not in {step.reason for step in explain(facts(FIRST), NOW_MS).steps}


def test_a_reader_hears_of_masking_as_of_any_data_left_out() -> None:
    masked = facts(limits(exceptions=frozenset({"label:V"}))(READER), labels=frozenset({"V", "INVISIBLE_PATIENT"}))
    explanation = explain(masked, NOW_MS)
    assert failing(explanation) == [Reason.DATA_EXCLUDED, Reason.DATA_EXCLUDED]
    assert Reason.LABEL_EXCLUDED not in {step.reason for step in explanation.steps}


def test_the_second_party_s_explanation_is_as_if_it_had_asked() -> None:
    turned = explain(facts(SECOND, FIRST), NOW_MS)
    assert explain(facts(FIRST, SECOND), NOW_MS, side=1) == turned
    withdrawn = facts(consent(state=ConsentState.REVOKED)(FIRST), SECOND)
    assert failing(explain(withdrawn, NOW_MS, side=1)) == [Reason.RECIPIENT_NOT_PERMITTED]
