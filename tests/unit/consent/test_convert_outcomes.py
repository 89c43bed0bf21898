"""Outcomes, refusals and verdicts as messages: every violated field is named at once, and nothing is told beyond need."""

from typing import Any

import pytest
from accord.consent.v1 import decision_service_pb2, ledger_pb2
from accord.errors.v1 import error_reason_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.keys import derive
from services.consent.convert import decisions as convert
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.decision import Deny, Permit
from services.consent.domain.identifiers import Identifiers
from services.consent.proofs import Proven
from services.errors import Reason
from services.formats.canonical import MAX_INTEGER
from services.formats.entry import OutcomeResult
from tests.support.ledgers import SENDER
from tests.support.refused import violated

ADDRESS = c.Address(3, 12345)
IDENTIFIERS = Identifiers(lambda audience: derive(b"m" * 32, audience))
NAMES = Names(IDENTIFIERS, allow_test_ins=True)
PSEUDONYM = IDENTIFIERS.encipher(SENDER, 3, 12345)


def outcome_message(**changes: Any) -> decision_service_pb2.RecordOutcomeRequest:
    fields: dict[str, Any] = {
        "authorization": ledger_pb2.EntryRef(origin="x", index=7),
        "exchange": "e" * 64,
        "outcome": decision_service_pb2.OUTCOME_DELIVERED,
        "bytes_sent": 12,
        "first_byte_time": Timestamp(seconds=1),
        "last_byte_time": Timestamp(seconds=2, nanos=3_000_000),
        "acknowledgement_sha256": "a" * 64,
        "manifest_sha256": "b" * 64,
    }
    return decision_service_pb2.RecordOutcomeRequest(**(fields | changes))


@pytest.mark.parametrize("result", OutcomeResult)
def test_an_outcome_is_read_as_it_is_meant(result: OutcomeResult) -> None:
    value = decision_service_pb2.Outcome.Value(f"OUTCOME_{result}")
    expected = c.RecordOutcome(5, 7, "e" * 64, result, 12, 1000, 2003, "a" * 64, "b" * 64)
    assert convert.outcome(outcome_message(outcome=value), 5) == expected


def test_what_is_unset_in_an_outcome_is_absent() -> None:
    message = decision_service_pb2.RecordOutcomeRequest(
        authorization=ledger_pb2.EntryRef(index=7), exchange="e" * 64, outcome=decision_service_pb2.OUTCOME_FAILED
    )
    expected = c.RecordOutcome(0, 7, "e" * 64, OutcomeResult.FAILED, 0, None, None, "", "")
    assert convert.outcome(message, 0) == expected


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"outcome": 0}, "outcome"),
        ({"outcome": 77}, "outcome"),
        ({"bytes_sent": -1}, "bytes_sent"),
        ({"bytes_sent": MAX_INTEGER + 1}, "bytes_sent"),
        ({"authorization": ledger_pb2.EntryRef(index=-1)}, "authorization.index"),
        ({"exchange": ""}, "exchange"),
        ({"acknowledgement_sha256": "x"}, "acknowledgement_sha256"),
        ({"manifest_sha256": "x"}, "manifest_sha256"),
        ({"first_byte_time": Timestamp(seconds=-1)}, "first_byte_time"),
        ({"last_byte_time": Timestamp(nanos=-1)}, "last_byte_time"),
    ],
)
def test_a_violated_field_of_an_outcome_is_named(changes: dict[str, Any], field: str) -> None:
    assert violated(lambda: convert.outcome(outcome_message(**changes), 0)) == [field]


def test_the_largest_number_of_bytes_is_one_that_the_log_can_write() -> None:
    assert convert.outcome(outcome_message(bytes_sent=MAX_INTEGER), 0).bytes_sent == MAX_INTEGER


def test_every_violated_field_of_an_outcome_is_named_at_once() -> None:
    message = outcome_message(bytes_sent=-1, outcome=0, exchange="", manifest_sha256="x")
    assert set(violated(lambda: convert.outcome(message, 0))) == {
        "bytes_sent",
        "outcome",
        "exchange",
        "manifest_sha256",
    }


def test_a_refusal_is_read_as_it_is_meant_and_its_faults_are_named() -> None:
    reason = error_reason_pb2.ERROR_REASON_DOCUMENT_MALFORMED
    message = decision_service_pb2.RecordRefusalRequest(
        service=SENDER, patient=PSEUDONYM, exchange="e" * 64, reason=reason
    )
    assert convert.refusal(message, NAMES) == c.RecordRefusal(SENDER, ADDRESS, "e" * 64, Reason.DOCUMENT_MALFORMED)
    empty = decision_service_pb2.RecordRefusalRequest()
    assert violated(lambda: convert.refusal(empty, NAMES)) == ["service", "exchange", "reason"]


def test_a_verdict_says_only_what_the_asking_service_may_know() -> None:
    assert convert.verdict(Permit((), 1)) == decision_service_pb2.Verdict(permitted=True)
    denied = convert.verdict(Deny(Reason.CONSENT_REVOKED, Reason.RECIPIENT_NOT_PERMITTED, ("consents/x",)))
    assert denied == decision_service_pb2.Verdict(reason=error_reason_pb2.ERROR_REASON_RECIPIENT_NOT_PERMITTED)
    told = convert.verdict(None, Reason.NOT_PERMITTED)
    assert told == decision_service_pb2.Verdict(reason=error_reason_pb2.ERROR_REASON_NOT_PERMITTED)


def test_a_proven_entry_is_written_with_its_opening_where_there_is_one() -> None:
    opened = convert.proven(Proven(7, b"entry", "proof", (b"salt", b"body")))
    assert (opened.index, opened.entry, opened.proof) == (7, b"entry", "proof")
    assert (opened.opening.salt, opened.opening.body) == (b"salt", b"body")
    assert not convert.proven(Proven(7, b"entry", "proof", None)).HasField("opening")
    assert convert.entry_ref(c.Appended("o", 1, b"l")) == ledger_pb2.EntryRef(origin="o", index=1, leaf_hash=b"l")
