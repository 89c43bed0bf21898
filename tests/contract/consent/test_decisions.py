"""The broker's RPCs: a permit for exactly what was recorded, a denial and nothing else, outcomes that come back proven."""

import hashlib

import pytest
from accord.consent.v1 import consent_service_pb2
from accord.consent.v1 import decision_service_pb2 as pb
from accord.errors.v1 import error_reason_pb2

from services.consent.domain import commands as c
from services.errors import Reason
from services.formats.entry import parse_entry
from services.formats.permit import open_permit
from services.formats.rights import Purpose
from services.tlog.tree import leaf_hash
from tests.support.evidence import DOMAIN
from tests.support.ledgers import RECIPIENT, SENDER, Bench, ins
from tests.support.readers import CALL, PERMIT_KEY, Readers, calling, reason_name
from tests.support.refused import reason_of

EXCHANGE = "e" * 64


async def authorize(readers: Readers, address: c.Address | None) -> pb.AuthorizeResponse:
    patient = consent_service_pb2.PatientIdentity(root=ins(1).root, matricule=ins(1).matricule)
    request = pb.AuthorizeRequest(query=readers.asking(address), exchange=EXCHANGE, document_patients=[patient])
    return await readers.decisions.Authorize(request, CALL)


async def test_a_permit_is_signed_for_exactly_what_was_recorded(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    address = await bench.consenting()
    answer = await authorize(readers, address)
    entry, recipient = bench.entries()[answer.entry.index], readers.names.pseudonym(RECIPIENT, address)
    assert answer.verdict == pb.Verdict(permitted=True)
    assert answer.entry.leaf_hash == leaf_hash(entry.to_bytes())
    permit = open_permit(answer.permit, {PERMIT_KEY.verify_key.kid: PERMIT_KEY.verify_key}.get)
    assert (permit.issuer, permit.sender, permit.recipient) == (DOMAIN, SENDER, RECIPIENT)
    assert (permit.exchange, permit.purpose, permit.thumbprint) == (EXCHANGE, Purpose.CARE, "t" * 43)
    assert (permit.origin, permit.index) == (answer.entry.origin, answer.entry.index)
    assert permit.leaf == answer.entry.leaf_hash.hex()
    assert permit.expires_s * 1000 == entry.until_ms
    assert answer.permit_expire_time.seconds == permit.expires_s
    assert answer.counterparty_patient == recipient
    assert permit.subject == hashlib.sha256(answer.counterparty_salt + recipient.encode()).hexdigest()
    assert len(answer.counterparty_salt) == 32
    assert tuple(answer.resources) == entry.resources


@pytest.mark.parametrize(("known", "reason"), [(True, "CONSENT_MISSING"), (False, "NOT_PERMITTED")])
async def test_a_denial_gives_its_entry_and_nothing_else(bench: Bench, known: bool, reason: str) -> None:
    readers = Readers(bench)
    calling()
    address = await bench.patient()
    answer = await authorize(readers, address if known else None)
    assert reason_name(answer.verdict) == reason
    assert {field.name for field, _ in answer.ListFields()} == {"verdict", "entry", "token"}


async def test_a_service_asks_for_advice_for_itself_only(bench: Bench) -> None:
    readers = Readers(bench)
    address = await bench.patient()
    own, other = (pb.CheckRequest(query=readers.asking(address, name)) for name in (SENDER, RECIPIENT))
    calling(SENDER)
    assert reason_name((await readers.decisions.Check(own, CALL)).verdict) == "CONSENT_MISSING"
    assert await reason_of(readers.decisions.Check(other, CALL)) is Reason.NOT_PERMITTED
    assert await reason_of(readers.decisions.Check(pb.CheckRequest(), CALL)) is Reason.FIELD_INVALID
    calling()
    assert reason_name((await readers.decisions.Check(other, CALL)).verdict) == "CONSENT_MISSING"


async def test_an_outcome_comes_back_proven_with_its_authorisation(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    answer = await authorize(readers, await bench.consenting())
    request = pb.RecordOutcomeRequest(authorization=answer.entry, exchange=EXCHANGE, outcome=pb.OUTCOME_FAILED)
    recorded = await readers.decisions.RecordOutcome(request, CALL)
    assert recorded.authorization.index == answer.entry.index
    assert parse_entry(recorded.outcome.entry).exchange == EXCHANGE
    assert recorded.outcome.opening.salt
    request.authorization.origin = "another.example/ledger/1/0"
    assert await reason_of(readers.decisions.RecordOutcome(request, CALL)) is Reason.RESOURCE_NOT_FOUND


async def test_a_refusal_comes_back_with_its_place(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    reason = error_reason_pb2.ERROR_REASON_DOCUMENT_MALFORMED
    request = pb.RecordRefusalRequest(service=SENDER, patient="0" * 32, exchange=EXCHANGE, reason=reason)
    answer = await readers.decisions.RecordRefusal(request, CALL)
    assert bench.entries()[answer.entry.index].reason is Reason.DOCUMENT_MALFORMED
