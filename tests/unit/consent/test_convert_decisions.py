"""Questions about exchanges in, verdicts and explanations out: every violated field is named at once."""

from typing import Any

import pytest
from accord.consent.v1 import consent_service_pb2
from accord.consent.v1 import decision_service_pb2 as pb
from accord.errors.v1 import error_reason_pb2
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.keys import derive
from services.consent.convert import decisions as convert
from services.consent.convert.form import MAX_CATEGORIES, MAX_LABELS, Form
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.decision import Deny, Permit
from services.consent.domain.explain import Explanation, Step
from services.consent.domain.identifiers import Identifiers
from services.consent.domain.vector import Vector
from services.consent.horizon import ANY, LATEST, Consistency
from services.errors import MEANINGS, Reason
from services.formats.rights import Basis, Direction, Purpose
from tests.support.ledgers import RECIPIENT, SENDER, ins
from tests.support.refused import violated

ADDRESS = c.Address(3, 12345)
IDENTIFIERS = Identifiers(lambda audience: derive(b"m" * 32, audience))
NAMES = Names(IDENTIFIERS, allow_test_ins=True)
PSEUDONYM = IDENTIFIERS.encipher(SENDER, 3, 12345)
REVISION = "consents/" + "a" * 32 + "/revisions/1"


def query_message(**changes: Any) -> pb.Query:
    fields: dict[str, Any] = {
        "service": SENDER,
        "patient": PSEUDONYM,
        "direction": registry_pb2.DIRECTION_DEPOSIT,
        "counterparty": RECIPIENT,
        "purpose": registry_pb2.PURPOSE_CARE,
        "categories": ["class:10", "class:42"],
    }
    return pb.Query(**(fields | changes))


def authorize_message(**changes: Any) -> pb.AuthorizeRequest:
    patient = consent_service_pb2.PatientIdentity(root=ins(1).root, matricule=ins(1).matricule)
    fields: dict[str, Any] = {"query": query_message(), "exchange": "e" * 64, "document_patients": [patient]}
    return pb.AuthorizeRequest(**(fields | changes))


def read_query(message: pb.Query) -> c.Query:
    form = Form()
    query = convert.query(message, form, NAMES)
    form.done()
    return query


def test_a_query_is_read_as_it_is_meant() -> None:
    expected = c.Query(SENDER, ADDRESS, Direction.DEPOSIT, RECIPIENT, Purpose.CARE, frozenset({"class:10", "class:42"}))
    assert read_query(query_message()) == expected
    assert read_query(query_message(counterparty="")).counterparty == ""


def test_what_is_known_of_the_data_is_read_too() -> None:
    query = read_query(
        query_message(
            categories=["type:11488-4", "measure:8867-4"],
            labels=["N", "MASQUE_PS"],
            data_start_time=Timestamp(seconds=1),
            data_end_time=Timestamp(seconds=2, nanos=3_999_999),
            basis=pb.BASIS_EMERGENCY,
        )
    )
    assert query.categories == {"type:11488-4", "measure:8867-4"}
    assert query.labels == {"N", "MASQUE_PS"}
    assert (query.data_from_ms, query.data_until_ms, query.basis) == (1000, 2003, Basis.EMERGENCY)
    plain = read_query(query_message())
    assert (plain.data_from_ms, plain.data_until_ms, plain.basis) == (None, None, Basis.CONSENT)
    assert not plain.labels


@pytest.mark.parametrize("patient", ["", "x", PSEUDONYM[:-1], PSEUDONYM.upper(), "0" * 32, "\x00" * 32])
def test_a_patient_that_no_pseudonym_names_is_nobody_and_no_violation(patient: str) -> None:
    """A service must not learn which pseudonyms have the right form."""
    assert read_query(query_message(patient=patient)).address is None


def test_another_service_s_pseudonym_names_nobody() -> None:
    assert read_query(query_message(service=RECIPIENT, counterparty=SENDER)).address is None


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
        ({"categories": ["type:0-0"]}, "query.categories"),
        ({"categories": ["10"]}, "query.categories"),
        ({"labels": ["v"]}, "query.labels"),
        ({"labels": ["V", "V"]}, "query.labels"),
        ({"labels": [chr(65 + place) for place in range(MAX_LABELS + 1)]}, "query.labels"),
        ({"data_start_time": Timestamp(seconds=-1)}, "query.data_start_time"),
        ({"data_end_time": Timestamp(nanos=10**9)}, "query.data_end_time"),
        ({"basis": 99}, "query.basis"),
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

    names = Names(Identifiers(key_for), allow_test_ins=True)
    convert.query(query_message(service="x" * 10_000), Form(), names)
    assert asked == []


def test_every_violated_field_of_an_authorisation_is_named_at_once() -> None:
    assert set(violated(lambda: convert.authorize(pb.AuthorizeRequest(), NAMES, "t"))) == {
        "document_patients",
        "query.service",
        "query.counterparty",
        "query.direction",
        "query.purpose",
        "query.categories",
        "exchange",
    }


def test_an_authorisation_is_read_with_the_identity_of_each_document() -> None:
    item = convert.authorize(authorize_message(), NAMES, "t" * 43)
    assert item == c.Authorize(read_query(query_message()), "e" * 64, (ins(1),), "t" * 43)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"document_patients": []}, "document_patients"),
        (
            {"document_patients": [consent_service_pb2.PatientIdentity()] * (convert.MAX_DOCUMENTS + 1)},
            "document_patients",
        ),
        ({"exchange": "E" * 64}, "exchange"),
        ({"query": query_message(direction=registry_pb2.DIRECTION_READ)}, "query.direction"),
        ({"query": query_message(counterparty="")}, "query.counterparty"),
    ],
)
def test_a_violated_field_of_an_authorisation_is_named(changes: dict[str, Any], field: str) -> None:
    assert violated(lambda: convert.authorize(authorize_message(**changes), NAMES, "t")) == [field]


def test_what_an_answer_may_rest_on_is_two_consent_revisions_at_most() -> None:
    def read(*names: str) -> frozenset[str]:
        form = Form()
        found = convert.resources(names, form)
        form.done()
        return found

    assert read() == frozenset()
    assert read(REVISION, REVISION.replace("a", "b")) == {REVISION, REVISION.replace("a", "b")}
    for names in ((REVISION,) * 3, ("consents/x",), (REVISION, "")):
        assert violated(read, *names) == ["resources"]


def read_consistency(message: Any) -> Consistency:
    form = Form()
    found = convert.consistency(message, form)
    form.done()
    return found


def test_how_fresh_is_read_as_it_is_meant() -> None:
    vector = Vector(1, (3, 4))
    for asked, expected in (
        (None, ANY),
        (pb.Consistency(), ANY),
        (pb.Consistency(minimize_latency=True), ANY),
        (pb.Consistency(fully_consistent=True), LATEST),
        (pb.Consistency(at_least_as_fresh=vector.text), Consistency(vector)),
    ):
        for message in (pb.CheckRequest(consistency=asked), pb.BatchCheckRequest(consistency=asked)):
            assert read_consistency(message) == expected
    for wrong in (pb.Consistency(at_least_as_fresh=""), pb.Consistency(at_least_as_fresh="x")):
        fields = violated(read_consistency, pb.CheckRequest(consistency=wrong))
        assert fields == ["consistency.at_least_as_fresh"]


def batch_message(*items: tuple[str, pb.Query]) -> pb.BatchCheckRequest:
    return pb.BatchCheckRequest(items=[pb.BatchCheckRequest.Item(correlation_id=i, query=q) for i, q in items])


def test_a_batch_is_read_in_order() -> None:
    message = batch_message(("é" * 64, query_message()), ("\n", query_message(purpose=registry_pb2.PURPOSE_PREVENTION)))
    queries, consistency = convert.batch(message, NAMES)
    assert [query.purpose for query in queries] == [Purpose.CARE, Purpose.PREVENTION]
    assert consistency == ANY


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (pb.BatchCheckRequest(), ["items"]),
        (batch_message(*[("a", query_message())] * 101), ["items"]),
        (batch_message(("a", query_message()), ("a", query_message())), ["items"]),
        (batch_message(("", query_message())), ["items[0].correlation_id"]),
        (batch_message(("x" * 65, query_message())), ["items[0].correlation_id"]),
        (batch_message(("a", query_message()), ("b", query_message(purpose=0))), ["items[1].query.purpose"]),
    ],
)
def test_a_violated_field_of_a_batch_names_its_item(message: pb.BatchCheckRequest, fields: list[str]) -> None:
    assert violated(convert.batch, message, NAMES) == fields


def test_an_explanation_is_asked_for_now_or_for_an_instant() -> None:
    message = pb.ExplainRequest(query=query_message())
    assert convert.explain(message, NAMES) == (read_query(query_message()), ANY, None)
    message.read_time.FromMilliseconds(5)
    assert convert.explain(message, NAMES) == (read_query(query_message()), ANY, 5)
    message.consistency.fully_consistent = True
    message.read_time.nanos = -1
    assert violated(convert.explain, message, NAMES) == ["read_time", "consistency"]


def test_a_verdict_says_what_is_told_and_nothing_of_what_is_recorded() -> None:
    told = Deny(Reason.CONSENT_REVOKED, Reason.RECIPIENT_NOT_PERMITTED, (REVISION,))
    assert convert.verdict(told) == pb.Verdict(reason=error_reason_pb2.ERROR_REASON_RECIPIENT_NOT_PERMITTED)
    assert convert.verdict(Permit((REVISION,), 5)) == pb.Verdict(permitted=True)
    assert convert.verdict(None, Reason.NOT_PERMITTED).reason == error_reason_pb2.ERROR_REASON_NOT_PERMITTED


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_reason_can_be_explained_in_both_languages(language: str) -> None:
    steps = tuple(Step(reason, holds, REVISION) for reason in Reason for holds in (True, False))
    explanation = Explanation(Deny(Reason.NOT_PERMITTED, Reason.NOT_PERMITTED), steps)
    response = convert.explanation(explanation, "token", language)
    assert response.token == "token"
    assert len(response.rules) == len(steps)
    for rule, step in zip(response.rules, steps, strict=True):
        meaning = MEANINGS[step.reason]
        assert error_reason_pb2.ErrorReason.Name(rule.reason) == f"ERROR_REASON_{step.reason}"
        assert rule.message == (meaning.french if language == "fr" else meaning.english)
        assert (rule.holds, rule.resource, rule.remedy) == (
            step.holds,
            REVISION,
            "" if step.holds else meaning.remedy,
        )
