"""Consents as FHIR R4 Consent resources."""

import hashlib
from base64 import urlsafe_b64decode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consent.domain.by_clock import by_clock
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import Effect, Limits, Quota
from services.consent.domain.values import Actor, Consent
from services.consent.fhir.bundle import bundle
from services.consent.fhir.codings import Site
from services.consent.fhir.consent import consent_resource, notice_uri
from services.formats.rights import Direction, Purpose, Scope
from services.formats.times import text_of
from tests.support.fhir_r4 import resources
from tests.support.ledgers import DAY_MS, NOW_MS

SITE, PROFILE, NAME = Site("accord.example"), f"profiles/{'1' * 32}", f"consents/{'a' * 32}"
NOTICE = hashlib.sha256(b"notice").hexdigest()
SCOPE = Scope(frozenset({"class:10"}), frozenset({Direction.READ}), frozenset({Purpose.CARE}))
CONSENT = Consent(
    shard=0,
    consent=7,
    patient=9,
    service="services/lumen",
    scope=SCOPE,
    start_ms=NOW_MS,
    end_ms=NOW_MS + 30 * DAY_MS,
    notice_sha256=NOTICE,
    actor=Actor("holder", "eidas2"),
    state=ConsentState.ACTIVE,
    revision=3,
)


def exported(consent: Consent = CONSENT, now_ms: int = NOW_MS) -> Any:
    """The resource of a consent as it stands at an instant, checked."""
    item = consent_resource(SITE, PROFILE, NAME, by_clock(consent, now_ms), NOW_MS - DAY_MS, NOW_MS)
    (resource,) = resources(bundle(SITE, [item], now_ms))
    return resource


@pytest.mark.parametrize("state", [item for item in ConsentState if item is not ConsentState.ACTIVE])
def test_what_does_not_stand_is_never_active(state: ConsentState) -> None:
    resource = exported(replace(CONSENT, state=state))
    assert resource["status"] == "inactive"
    assert resource["extension"][0]["valueCode"] == state.value


def test_what_has_expired_is_inactive_before_the_sweeper_has_been_there() -> None:
    assert exported(now_ms=CONSENT.end_ms - 1)["status"] == "active"
    assert exported(now_ms=CONSENT.end_ms)["status"] == "inactive"


def test_a_representatives_consent_is_inactive_from_majority_and_says_so_before() -> None:
    majority_ms = NOW_MS + DAY_MS
    consent = replace(CONSENT, actor=Actor("representative", "eidas2"), limits=Limits(confirm_ms=majority_ms))
    assert exported(consent)["provision"]["period"]["end"] == text_of(majority_ms - 1)
    assert exported(consent, majority_ms)["status"] == "inactive"


def test_a_representatives_consent_that_starts_after_majority_lasts_no_longer_than_an_instant() -> None:
    period = exported(replace(CONSENT, limits=Limits(confirm_ms=NOW_MS - DAY_MS)), NOW_MS - 2 * DAY_MS)["provision"]
    assert period["period"] == {"start": text_of(NOW_MS), "end": text_of(NOW_MS)}


def test_a_refusal_is_an_active_deny_without_exceptions() -> None:
    limits = Limits(effect=Effect.DENY, exceptions=frozenset({"type:11488-4"}))
    resource = exported(replace(CONSENT, limits=limits))
    assert (resource["status"], resource["provision"]["type"]) == ("active", "deny")
    assert "provision" not in resource["provision"]


def test_a_period_ends_with_its_last_instant() -> None:
    """FHIR's end is included, a consent's is not."""
    period = exported()["provision"]["period"]
    assert period == {"start": text_of(CONSENT.start_ms), "end": text_of(CONSENT.end_ms - 1)}


def test_who_gave_it_when_and_what_they_were_shown() -> None:
    resource = exported()
    assert resource["performer"] == [resource["patient"]]
    assert resource["patient"]["identifier"]["value"] == PROFILE
    assert resource["dateTime"] == text_of(NOW_MS - DAY_MS)
    assert resource["meta"] == {"versionId": "3", "lastUpdated": text_of(NOW_MS)}
    assert resource["policy"] == [{"uri": notice_uri(NOTICE)}]


def test_a_representative_is_no_patient() -> None:
    (performer,) = exported(replace(CONSENT, actor=Actor("representative", "eidas2")))["performer"]
    assert performer == {"type": "RelatedPerson", "display": "Représentant légal"}


def test_the_notice_is_named_by_its_hash() -> None:
    """RFC 6920 §3: base64url without padding."""
    scheme, _, digest = notice_uri(NOTICE).partition(";")
    assert scheme == "ni:///sha-256"
    assert "=" not in digest
    assert urlsafe_b64decode(digest + "=").hex() == NOTICE


@pytest.mark.parametrize(
    ("directions", "actions", "roles"),
    [
        ({Direction.READ}, ["access", "collect", "use"], ["IRCP"]),
        ({Direction.DEPOSIT}, ["disclose"], ["CST"]),
        (set(Direction), ["disclose", "access", "collect", "use"], ["CST", "IRCP"]),
    ],
)
def test_directions_are_actions_and_roles(directions: set[Direction], actions: list[str], roles: list[str]) -> None:
    provision = exported(replace(CONSENT, scope=replace(SCOPE, directions=frozenset(directions))))["provision"]
    assert [item["coding"][0]["code"] for item in provision["action"]] == actions
    assert [item["role"]["coding"][0]["code"] for item in provision["actor"]] == roles
    assert {item["reference"]["display"] for item in provision["actor"]} == {"services/lumen"}


def test_categories_are_codes_of_one_element_of_which_any_matches() -> None:
    """Two elements of one rule would both have to match: a class and a measure match nothing."""
    categories = frozenset({"class:10", "type:11488-4", "type:SYNTH", "measure:8867-4"})
    provision = exported(replace(CONSENT, scope=replace(SCOPE, categories=categories)))["provision"]
    assert [
        (item["coding"][0]["system"].rpartition("/")[2], item["coding"][0]["code"]) for item in provision["code"]
    ] == [
        ("TRE-A03-ClasseDocument", "10"),
        ("loinc.org", "8867-4"),
        ("loinc.org", "11488-4"),
        ("urn:oid:1.2.250.1.213.1.1.4.12", "SYNTH"),
    ]
    assert "class" not in provision


def test_every_purpose_has_its_own_code_and_care_is_treatment_too() -> None:
    purposes = exported(replace(CONSENT, scope=replace(SCOPE, purposes=frozenset(Purpose))))["provision"]["purpose"]
    assert {item["code"] for item in purposes} == {*Purpose, "TREAT"}


def test_exceptions_are_denied_in_rules_of_their_own() -> None:
    exceptions = frozenset({"type:11488-4", "label:V", "label:MASQUE_PS"})
    nested = exported(replace(CONSENT, limits=Limits(exceptions=exceptions)))["provision"]["provision"]
    types, labels = nested
    assert (types["type"], labels["type"]) == ("deny", "deny")
    assert [item["coding"][0]["code"] for item in types["code"]] == ["11488-4"]
    assert [item["code"] for item in labels["securityLabel"]] == ["MASQUE_PS", "V"]
    assert set(types) == {"type", "code"}
    assert set(labels) == {"type", "securityLabel"}


def test_what_narrows_without_an_element_is_a_modifier() -> None:
    """Who does not know an extension may ignore it, unless it modifies."""
    limits = Limits(quota=Quota(3, 86_400), erase_ms=NOW_MS + DAY_MS)
    quota, erase = exported(replace(CONSENT, limits=limits))["provision"]["modifierExtension"]
    assert quota["extension"] == [
        {"url": "limit", "valuePositiveInt": 3},
        {"url": "periodSeconds", "valuePositiveInt": 86_400},
    ]
    assert erase["valueDateTime"] == text_of(NOW_MS + DAY_MS)


def test_the_period_of_the_data() -> None:
    limits = Limits(data_from_ms=NOW_MS - DAY_MS, data_until_ms=NOW_MS)
    period = exported(replace(CONSENT, limits=limits))["provision"]["dataPeriod"]
    assert period == {"start": text_of(NOW_MS - DAY_MS), "end": text_of(NOW_MS - 1)}


def some(*items: Any) -> st.SearchStrategy[frozenset[Any]]:
    """One or more of these."""
    return st.frozensets(st.sampled_from(items), min_size=1)


LIMITS = st.builds(
    Limits,
    effect=st.sampled_from(Effect),
    exceptions=st.frozensets(st.sampled_from(["type:11488-4", "type:SYNTH", "label:N", "label:INVISIBLE_PATIENT"])),
    quota=st.none() | st.builds(Quota, st.integers(1, 9), st.sampled_from([0, 60])),
    data_from_ms=st.none() | st.integers(0, NOW_MS),
    data_until_ms=st.none() | st.integers(NOW_MS + 1, NOW_MS + DAY_MS),
    erase_ms=st.none() | st.integers(NOW_MS, NOW_MS + DAY_MS),
    secret=st.booleans(),
)


@given(
    limits=LIMITS,
    state=st.sampled_from(ConsentState),
    scope=st.builds(
        Scope, some("class:10", "type:55115-0", "type:PRESC-BIO", "measure:29463-7"), some(*Direction), some(*Purpose)
    ),
    now_ms=st.integers(NOW_MS, CONSENT.end_ms + 1),
)
def test_any_consent_is_a_valid_resource_and_active_only_while_it_stands(
    limits: Limits, state: ConsentState, scope: Scope, now_ms: int
) -> None:
    resource = exported(replace(CONSENT, limits=limits, state=state, scope=scope), now_ms)
    stands = state is ConsentState.ACTIVE and now_ms < CONSENT.end_ms
    assert (resource["status"] == "active") is stands
    narrowed = limits.effect is Effect.PERMIT and (limits.quota is not None or limits.erase_ms is not None)
    assert ("modifierExtension" in resource["provision"]) is narrowed
