"""Messages in and out: every violated field is named at once, and what is accepted is what was meant."""

from typing import Any

import pytest
from accord.consent.v1 import consent_pb2, consent_service_pb2, decision_service_pb2
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.keys import derive
from services.consent.convert import MAX_CATEGORIES, MAX_DOCUMENTS, Convert, Form
from services.consent.domain import commands as c
from services.consent.domain.decision import ConsentState
from services.consent.domain.identifiers import CONSENT, PORTAL, Identifiers
from services.errors import Reason
from services.formats.rights import Direction, Purpose
from tests.support.ledgers import EVERYTHING, NOTICE, RECIPIENT, SENDER, ins
from tests.support.refused import refusal_of, violated

ADDRESS = c.Address(3, 12345)
IDENTIFIERS = Identifiers(lambda audience: derive(b"m" * 32, audience))
CONVERT = Convert(IDENTIFIERS, allow_test_ins=True)
PSEUDONYM = IDENTIFIERS.encipher(SENDER, 3, 12345)
PROFILE = "profiles/" + IDENTIFIERS.encipher(PORTAL, 3, 12345)
HOLDER = consent_pb2.Actor(role=consent_pb2.ACTOR_ROLE_HOLDER, authentication="eidas2")


def query_message(**changes: Any) -> decision_service_pb2.Query:
    fields: dict[str, Any] = {
        "service": SENDER,
        "patient": PSEUDONYM,
        "direction": registry_pb2.DIRECTION_DEPOSIT,
        "counterparty": RECIPIENT,
        "purpose": registry_pb2.PURPOSE_CARE,
        "categories": ["class:10", "class:42"],
    }
    return decision_service_pb2.Query(**(fields | changes))


def grant_message(**changes: Any) -> consent_service_pb2.GrantConsentRequest:
    fields: dict[str, Any] = {
        "service": SENDER,
        "scope": consent_pb2.Scope(
            categories=["class:10"],
            directions=[registry_pb2.DIRECTION_READ],
            purposes=[registry_pb2.PURPOSE_CARE, registry_pb2.PURPOSE_PREVENTION],
        ),
        "start_time": Timestamp(seconds=100, nanos=999_999),
        "end_time": Timestamp(seconds=200, nanos=1_999_999),
        "notice_sha256": NOTICE,
        "actor": HOLDER,
    }
    request = {name: changes.pop(name) for name in ("profile", "request_id") if name in changes}
    good = {"profile": PROFILE, "request_id": "request-1"} | request
    return consent_service_pb2.GrantConsentRequest(consent=consent_pb2.Consent(**(fields | changes)), **good)


def authorize_message(**changes: Any) -> decision_service_pb2.AuthorizeRequest:
    patient = consent_service_pb2.PatientIdentity(root=ins(1).root, matricule=ins(1).matricule)
    fields: dict[str, Any] = {"query": query_message(), "exchange": "e" * 64, "document_patients": [patient]}
    return decision_service_pb2.AuthorizeRequest(**(fields | changes))


def read_query(message: decision_service_pb2.Query) -> c.Query:
    form = Form()
    query = CONVERT.query(message, form)
    form.done()
    return query


def test_a_query_is_read_as_it_is_meant() -> None:
    expected = c.Query(SENDER, ADDRESS, Direction.DEPOSIT, RECIPIENT, Purpose.CARE, frozenset({"class:10", "class:42"}))
    assert read_query(query_message()) == expected
    assert read_query(query_message(counterparty="")).counterparty == ""


@pytest.mark.parametrize("patient", ["", "x", PSEUDONYM[:-1], PSEUDONYM.upper(), "0" * 32, PROFILE, "\x00" * 32])
def test_a_patient_that_no_pseudonym_names_is_nobody_and_no_violation(patient: str) -> None:
    """A service must not learn which pseudonyms have the right form."""
    assert read_query(query_message(patient=patient)).address is None


def test_another_service_s_pseudonym_names_nobody() -> None:
    other = query_message(service=RECIPIENT, counterparty=SENDER)
    assert read_query(other).address is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"service": ""}, "query.service"),
        ({"service": "lumen"}, "query.service"),
        ({"service": "services/" + "x" * 100_000}, "query.service"),
        ({"direction": 0}, "query.direction"),
        ({"direction": 99}, "query.direction"),
        ({"counterparty": "carnet"}, "query.counterparty"),
        ({"counterparty": SENDER}, "query.counterparty"),
        ({"purpose": 0}, "query.purpose"),
        ({"purpose": 99}, "query.purpose"),
        ({"categories": []}, "query.categories"),
        ({"categories": ["class:10", "class:10"]}, "query.categories"),
        ({"categories": ["class:99"]}, "query.categories"),
        ({"categories": ["10"]}, "query.categories"),
    ],
)
def test_a_violated_field_of_a_query_is_named(changes: dict[str, Any], field: str) -> None:
    assert violated(lambda: read_query(query_message(**changes))) == [field]


def test_too_many_categories_are_refused() -> None:
    many = ["class:10"] * (MAX_CATEGORIES + 1)
    assert violated(lambda: read_query(query_message(categories=many))) == ["query.categories"] * 2


def test_a_name_that_is_no_service_s_derives_no_key() -> None:
    asked: list[str] = []

    def key_for(audience: str) -> bytes:
        asked.append(audience)
        return bytes(32)

    converting = Convert(Identifiers(key_for), allow_test_ins=True)
    converting.query(query_message(service="x" * 10_000), Form())
    assert asked == []


def test_every_violated_field_of_an_authorisation_is_named_at_once() -> None:
    empty = decision_service_pb2.AuthorizeRequest()
    assert set(violated(lambda: CONVERT.authorize(empty, "t"))) == {
        "document_patients",
        "query.service",
        "query.counterparty",
        "query.direction",
        "query.purpose",
        "query.categories",
        "exchange",
    }


def test_an_authorisation_is_read_with_the_identity_of_each_document() -> None:
    message = authorize_message()
    item = CONVERT.authorize(message, "t" * 43)
    assert item == c.Authorize(read_query(query_message()), "e" * 64, (ins(1),), "t" * 43)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"document_patients": []}, "document_patients"),
        ({"document_patients": [consent_service_pb2.PatientIdentity()] * (MAX_DOCUMENTS + 1)}, "document_patients"),
        ({"exchange": "E" * 64}, "exchange"),
        ({"query": query_message(direction=registry_pb2.DIRECTION_READ)}, "query.direction"),
        ({"query": query_message(counterparty="")}, "query.counterparty"),
    ],
)
def test_a_violated_field_of_an_authorisation_is_named(changes: dict[str, Any], field: str) -> None:
    assert violated(lambda: CONVERT.authorize(authorize_message(**changes), "t")) == [field]


def test_an_identity_s_faults_have_reasons_of_their_own() -> None:
    wrong = consent_service_pb2.PatientIdentity(root=ins(1).root, matricule="123456789012345")
    assert refusal_of(lambda: CONVERT.ins(wrong)).reason is Reason.INS_INVALID
    strict = Convert(IDENTIFIERS, allow_test_ins=False)
    test = consent_service_pb2.PatientIdentity(root=ins(1).root, matricule=ins(1).matricule)
    assert refusal_of(lambda: strict.ins(test)).reason is Reason.INS_TEST_REFUSED
    assert CONVERT.ins(test) == ins(1)


def test_a_grant_is_read_as_it_is_meant() -> None:
    item = CONVERT.grant(grant_message())
    assert (item.address, item.service, item.request_id, item.notice_sha256) == (ADDRESS, SENDER, "request-1", NOTICE)
    assert (item.start_ms, item.end_ms) == (100_000, 200_001)
    assert item.actor == c.Actor("holder", "eidas2")
    assert item.scope.purposes == frozenset({Purpose.CARE, Purpose.PREVENTION})
    assert item.scope.directions == frozenset({Direction.READ})


def test_a_grant_without_a_start_begins_now() -> None:
    message = grant_message()
    message.consent.ClearField("start_time")
    assert CONVERT.grant(message).start_ms is None


def test_two_grants_have_one_digest_exactly_when_they_say_the_same() -> None:
    digest = CONVERT.grant(grant_message()).digest
    assert CONVERT.grant(grant_message(request_id="request-2")).digest == digest
    for changes in (
        {"service": RECIPIENT},
        {"notice_sha256": "b" * 64},
        {"end_time": Timestamp(seconds=201)},
        {"actor": consent_pb2.Actor(role=consent_pb2.ACTOR_ROLE_REPRESENTATIVE, authentication="eidas2")},
    ):
        assert CONVERT.grant(grant_message(**changes)).digest != digest


def test_every_violated_field_of_a_grant_is_named_at_once_before_the_profile_is_looked_for() -> None:
    empty = consent_service_pb2.GrantConsentRequest(profile="nobody")
    fields = violated(lambda: CONVERT.grant(empty))
    assert set(fields) == {
        "consent.service",
        "consent.scope.categories",
        "consent.scope.directions",
        "consent.scope.purposes",
        "consent.end_time",
        "consent.notice_sha256",
        "consent.actor.role",
        "consent.actor.authentication",
        "request_id",
    }
    assert refusal_of(lambda: CONVERT.grant(grant_message(profile="nobody"))).reason is Reason.RESOURCE_NOT_FOUND


def scope_message(**changes: Any) -> consent_pb2.Scope:
    fields: dict[str, Any] = {
        "categories": ["class:10"],
        "directions": [registry_pb2.DIRECTION_READ],
        "purposes": [registry_pb2.PURPOSE_CARE],
    }
    return consent_pb2.Scope(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "consents/x"}, "consent"),
        ({"state": consent_pb2.CONSENT_STATE_ACTIVE}, "consent"),
        ({"revision": 1}, "consent"),
        ({"service": "lumen"}, "consent.service"),
        ({"notice_sha256": "A" * 64}, "consent.notice_sha256"),
        ({"end_time": Timestamp(seconds=-1)}, "consent.end_time"),
        ({"end_time": Timestamp(seconds=253_402_300_800)}, "consent.end_time"),
        ({"start_time": Timestamp(seconds=1, nanos=-1)}, "consent.start_time"),
        ({"start_time": Timestamp(seconds=1, nanos=10**9)}, "consent.start_time"),
        ({"scope": scope_message(categories=["class:77"])}, "consent.scope.categories"),
        ({"scope": scope_message(directions=[1, 1])}, "consent.scope.directions"),
        ({"scope": scope_message(directions=[77])}, "consent.scope.directions"),
        ({"scope": scope_message(purposes=[])}, "consent.scope.purposes"),
        ({"scope": scope_message(purposes=[0])}, "consent.scope.purposes"),
        ({"actor": consent_pb2.Actor(authentication="x")}, "consent.actor.role"),
        ({"actor": consent_pb2.Actor(role=HOLDER.role, authentication="X" * 41)}, "consent.actor.authentication"),
        ({"request_id": "short"}, "request_id"),
        ({"request_id": "x" * 65}, "request_id"),
        ({"request_id": "with space"}, "request_id"),
    ],
)
def test_a_violated_field_of_a_grant_is_named(changes: dict[str, Any], field: str) -> None:
    assert violated(lambda: CONVERT.grant(grant_message(**changes))) == [field]


@pytest.mark.parametrize(
    "name",
    ["", "profiles/", PROFILE.removeprefix("profiles/"), PROFILE + "0", PROFILE.upper(), "profiles/" + PSEUDONYM],
)
def test_a_profile_s_name_is_one_that_was_given_out(name: str) -> None:
    assert refusal_of(lambda: CONVERT.profile(name)).reason is Reason.RESOURCE_NOT_FOUND


def test_names_read_back_for_their_own_audience_only() -> None:
    assert CONVERT.profile(CONVERT.profile_name(ADDRESS)) == ADDRESS
    assert CONVERT.patient(SENDER, CONVERT.pseudonym(SENDER, ADDRESS)) == ADDRESS
    assert CONVERT.patient(RECIPIENT, CONVERT.pseudonym(SENDER, ADDRESS)) is None
    consent = "consents/" + IDENTIFIERS.encipher(CONSENT, 1, 2)
    assert CONVERT.consent(consent) == c.Address(1, 2)
    assert (
        refusal_of(lambda: CONVERT.consent(PROFILE.replace("profiles", "consents"))).reason is Reason.RESOURCE_NOT_FOUND
    )


@pytest.mark.parametrize("state", ConsentState)
@pytest.mark.parametrize("role", ["holder", "representative"])
def test_a_consent_is_written_as_it_stands(state: ConsentState, role: str) -> None:
    consent = c.Consent(3, 9, 12345, SENDER, EVERYTHING, 1001, 2002, NOTICE, c.Actor(role, "eidas2"), state, 4)
    message = CONVERT.consent_message(consent)
    assert CONVERT.consent(message.name) == c.Address(3, 9)
    assert (message.service, message.revision, message.notice_sha256) == (SENDER, 4, NOTICE)
    assert consent_pb2.ConsentState.Name(message.state) == f"CONSENT_STATE_{state}"
    assert consent_pb2.ActorRole.Name(message.actor.role) == f"ACTOR_ROLE_{role.upper()}"
    assert message.start_time == Timestamp(seconds=1, nanos=1_000_000)
    assert message.end_time == Timestamp(seconds=2, nanos=2_000_000)
    assert list(message.scope.categories) == sorted(EVERYTHING.categories)
    form = Form()
    assert frozenset(form.purpose(item, "x") for item in message.scope.purposes) == EVERYTHING.purposes
    assert frozenset(form.direction(item, "x") for item in message.scope.directions) == EVERYTHING.directions
    assert "12345" not in str(message)
