"""Accesses as FHIR R4 AuditEvents of the French profile."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consent.domain.accesses import Access, Asked
from services.consent.fhir.audit_event import audit_events
from services.consent.fhir.bundle import bundle
from services.consent.fhir.codings import Site
from services.errors import MEANINGS, Reason
from services.formats.entry import OutcomeResult
from services.formats.rights import Direction, Purpose
from services.formats.times import text_of
from tests.support.fhir_r4 import resources
from tests.support.ledgers import NOW_MS

SITE, PROFILE = Site("accord.example"), f"profiles/{'1' * 32}"
REVISION = f"consents/{'a' * 32}/revisions/1"
ASKED = Asked(Direction.DEPOSIT, Purpose.CARE, frozenset({"class:10", "class:11"}), frozenset())
ACCESS = Access(
    time_ms=NOW_MS,
    service="services/lumen",
    counterparty="services/carnet",
    asked=ASKED,
    authorized=True,
    reason=None,
    result=OutcomeResult.DELIVERED,
    resources=(REVISION,),
    exchange="e" * 64,
)
DENIED = replace(ACCESS, authorized=False, reason=Reason.CONSENT_REVOKED, result=None)
REFUSED = replace(DENIED, reason=Reason.DOCUMENT_MALFORMED, counterparty="", asked=None, resources=())


def exported(*accesses: Access) -> list[Any]:
    """The resources of these accesses, checked."""
    return resources(bundle(SITE, audit_events(SITE, PROFILE, accesses), NOW_MS))


def test_a_delivered_exchange_is_a_disclosure_that_succeeded() -> None:
    (event,) = exported(ACCESS)
    assert (event["type"]["code"], event["subtype"][0]["code"], event["action"]) == ("110106", "disclose", "R")
    assert (event["outcome"], event["recorded"], event["period"]["start"]) == ("0", text_of(NOW_MS), text_of(NOW_MS))
    assert [item["code"] for item in event["purposeOfEvent"][0]["coding"]] == ["CARE", "TREAT"]


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (OutcomeResult.DELIVERED, "0"),
        (OutcomeResult.PARTIAL, "4"),
        (OutcomeResult.FAILED, "8"),
        (OutcomeResult.DISPUTED, "8"),
        (OutcomeResult.UNKNOWN, None),
        (None, None),
    ],
)
def test_what_is_not_known_has_words_and_no_code(result: OutcomeResult | None, code: str | None) -> None:
    (event,) = exported(replace(ACCESS, result=result))
    assert event.get("outcome") == code
    assert event["outcomeDesc"]


@pytest.mark.parametrize("reason", [Reason.CONSENT_REVOKED, Reason.EXPLICITLY_DENIED])
def test_a_denial_is_a_decision_that_failed_and_says_why_in_french(reason: Reason) -> None:
    (event,) = exported(replace(DENIED, reason=reason))
    assert (event["type"]["code"], event["subtype"][0]["code"], event["action"]) == ("110113", "AuthZ-Consent", "E")
    assert (event["outcome"], event["outcomeDesc"]) == ("8", MEANINGS[reason].french)


def test_the_source_comes_first_and_the_service_asked() -> None:
    (deposit, read) = exported(ACCESS, replace(ACCESS, asked=replace(ASKED, direction=Direction.READ)))
    for event, source in ((deposit, "services/lumen"), (read, "services/carnet")):
        assert [item["type"]["coding"][0]["code"] for item in event["agent"]] == ["110153", "110152"]
        assert event["agent"][0]["who"]["display"] == source
        assert [item["who"]["display"] for item in event["agent"] if item["requestor"]] == ["services/lumen"]


def test_where_nobody_is_named_the_other_side_is_the_ledger() -> None:
    (event,) = exported(REFUSED)
    assert event["agent"][1]["who"] == event["source"]["observer"]


def test_the_patient_the_exchange_and_the_consents_are_entities() -> None:
    (event,) = exported(ACCESS)
    patient, exchange, consent = event["entity"]
    assert patient["what"]["identifier"]["value"] == PROFILE
    assert exchange["what"]["identifier"]["value"] == "e" * 64
    assert [item["valueString"] for item in exchange["detail"]] == ["class:10", "class:11"]
    assert consent["what"]["identifier"]["value"] == REVISION


def test_what_was_erased_is_shown_without_categories_and_purpose() -> None:
    (event,) = exported(replace(ACCESS, asked=None))
    assert "purposeOfEvent" not in event
    assert "detail" not in event["entity"][1]


def test_an_id_outlives_the_outcome_and_the_erasure_of_what_was_asked() -> None:
    later = replace(ACCESS, result=OutcomeResult.DISPUTED, asked=None)
    assert exported(ACCESS)[0]["id"] == exported(later)[0]["id"]


def test_two_accesses_that_say_the_same_are_two_resources() -> None:
    assert len({event["id"] for event in exported(REFUSED, REFUSED)}) == 2


def test_nothing_at_all_is_a_bundle_without_entries() -> None:
    assert exported() == []


@given(
    st.lists(
        st.builds(
            Access,
            time_ms=st.integers(0, NOW_MS),
            service=st.sampled_from(["services/lumen", "services/carnet"]),
            counterparty=st.sampled_from(["", "services/autre"]),
            asked=st.none()
            | st.builds(
                Asked,
                st.sampled_from(Direction),
                st.sampled_from(Purpose),
                st.frozensets(st.sampled_from(["class:10", "measure:8867-4"]), min_size=1),
                st.just(frozenset[str]()),
            ),
            authorized=st.booleans(),
            reason=st.none() | st.sampled_from(Reason),
            result=st.none() | st.sampled_from(OutcomeResult),
            resources=st.sampled_from([(), (REVISION,), (REVISION, REVISION.replace("a", "b"))]),
            exchange=st.sampled_from(["e" * 64, "f" * 64]),
        ),
        max_size=6,
    )
)
def test_any_accesses_are_valid_resources_each_with_an_id_of_its_own(accesses: list[Access]) -> None:
    assert len(exported(*accesses)) == len(accesses)
