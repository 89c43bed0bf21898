"""The writing and deciding RPCs, called in this process on a real ledger: who is told what, and what is signed."""

import hashlib

import pytest
from accord.consent.v1 import consent_pb2, decision_service_pb2
from accord.consent.v1 import consent_service_pb2 as pb
from accord.errors.v1 import error_reason_pb2

from services.consent.answers import Answers
from services.consent.servicer.requests import POLL_S
from services.errors import Reason
from services.formats.entry import parse_entry
from services.formats.permit import open_permit
from services.formats.rights import Purpose
from services.tlog.tree import leaf_hash
from tests.support.evidence import DOMAIN
from tests.support.ledgers import RECIPIENT, SENDER, Bench
from tests.support.portals import CONTEXT, HOLDER, Portal, calling, identity
from tests.support.readers import PERMIT_KEY, Readers
from tests.support.refused import reason_of

EXCHANGE = "e" * 64


@pytest.fixture
def portal(bench: Bench) -> Portal:
    calling()
    return Portal(bench)


@pytest.fixture
def readers(bench: Bench) -> Readers:
    return Readers(bench)


async def welcome(portal: Portal, *grants: str) -> dict[str, str]:
    """A patient paired with both services, who consents to some: the pseudonyms."""
    profile = await portal.open()
    pseudonyms = {name: await portal.pair(profile, name) for name in (SENDER, RECIPIENT)}
    for name in grants:
        await portal.grant(profile, portal.consent(service=name))
    return pseudonyms


async def decided(readers: Readers, patient: str) -> decision_service_pb2.AuthorizeResponse:
    """What the broker hears of a deposit."""
    query = readers.asking(None, patient=patient)
    request = decision_service_pb2.AuthorizeRequest(query=query, exchange=EXCHANGE, document_patients=[identity(1)])
    return await readers.decisions.Authorize(request, CONTEXT)


async def test_a_permit_is_signed_for_exactly_what_was_recorded(bench: Bench, portal: Portal, readers: Readers) -> None:
    patients = await welcome(portal, SENDER, RECIPIENT)
    answer = await decided(readers, patients[SENDER])
    entry = bench.entries()[answer.entry.index]
    assert answer.verdict == decision_service_pb2.Verdict(permitted=True)
    assert answer.entry.leaf_hash == leaf_hash(entry.to_bytes())
    permit = open_permit(answer.permit, {PERMIT_KEY.verify_key.kid: PERMIT_KEY.verify_key}.get)
    assert (permit.issuer, permit.sender, permit.recipient) == (DOMAIN, SENDER, RECIPIENT)
    assert (permit.exchange, permit.purpose, permit.thumbprint) == (EXCHANGE, Purpose.CARE, "t" * 43)
    assert (permit.origin, permit.index) == (answer.entry.origin, answer.entry.index)
    assert permit.leaf == answer.entry.leaf_hash.hex()
    assert permit.expires_s * 1000 == entry.until_ms
    assert answer.permit_expire_time.seconds == permit.expires_s
    assert answer.counterparty_patient == patients[RECIPIENT]
    opened = hashlib.sha256(answer.counterparty_salt + patients[RECIPIENT].encode()).hexdigest()
    assert permit.subject == opened
    assert len(answer.counterparty_salt) == 32


async def test_a_denial_gives_its_entry_and_nothing_of_a_permit(portal: Portal, readers: Readers) -> None:
    patients = await welcome(portal)
    for patient, reason in ((patients[SENDER], "CONSENT_MISSING"), ("0" * 32, "NOT_PERMITTED")):
        answer = await decided(readers, patient)
        told = decision_service_pb2.Verdict(reason=error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}"))
        assert answer.verdict == told
        assert {field.name for field, _ in answer.ListFields()} <= {"verdict", "entry", "token"}


async def test_an_outcome_comes_back_proven_with_its_authorisation(portal: Portal, readers: Readers) -> None:
    patients = await welcome(portal, SENDER, RECIPIENT)
    answer = await decided(readers, patients[SENDER])
    request = decision_service_pb2.RecordOutcomeRequest(
        authorization=answer.entry, exchange=EXCHANGE, outcome=decision_service_pb2.OUTCOME_FAILED
    )
    recorded = await readers.decisions.RecordOutcome(request, CONTEXT)
    assert recorded.authorization.index == answer.entry.index
    assert parse_entry(recorded.outcome.entry).exchange == EXCHANGE
    assert recorded.outcome.opening.salt
    request.authorization.origin = "another.example/ledger/1/0"
    assert await reason_of(readers.decisions.RecordOutcome(request, CONTEXT)) is Reason.RESOURCE_NOT_FOUND


async def test_a_refusal_comes_back_with_its_place(bench: Bench, readers: Readers) -> None:
    request = decision_service_pb2.RecordRefusalRequest(
        service=SENDER,
        patient="0" * 32,
        exchange=EXCHANGE,
        reason=error_reason_pb2.ERROR_REASON_DOCUMENT_MALFORMED,
    )
    answer = await readers.decisions.RecordRefusal(request, CONTEXT)
    assert bench.entries()[answer.entry.index].reason is Reason.DOCUMENT_MALFORMED


async def test_a_profile_is_opened_with_its_name_and_state(portal: Portal) -> None:
    opened = await portal.consents.OpenProfile(pb.OpenProfileRequest(patient=identity(1)), CONTEXT)
    assert opened.state == consent_pb2.PROFILE_STATE_ACTIVE
    assert portal.names.profile(opened.profile)
    wrong = pb.OpenProfileRequest(patient=pb.PatientIdentity(root="1.2", matricule="3"))
    assert await reason_of(portal.consents.OpenProfile(wrong, CONTEXT)) is Reason.INS_INVALID


async def test_a_withdrawal_names_its_actor_and_its_consent(portal: Portal) -> None:
    granted = await portal.grant(await portal.paired())
    revoked = await portal.revoke(granted.name)
    assert (revoked.name, revoked.revision) == (granted.name, 2)
    assert revoked.state == consent_pb2.CONSENT_STATE_REVOKED
    nameless = pb.RevokeConsentRequest(name=granted.name)
    assert await reason_of(portal.consents.RevokeConsent(nameless, CONTEXT)) is Reason.FIELD_INVALID
    unknown = pb.RevokeConsentRequest(name="consents/x", actor=HOLDER)
    assert await reason_of(portal.consents.RevokeConsent(unknown, CONTEXT)) is Reason.RESOURCE_NOT_FOUND


async def test_pairing_needs_a_service_s_name(portal: Portal) -> None:
    assert await reason_of(portal.pair(await portal.open(), "lumen")) is Reason.FIELD_INVALID


async def test_the_portal_never_learns_a_pseudonym_from_a_request_and_its_service_always_does(portal: Portal) -> None:
    asked = await portal.ask()
    profile = await portal.open()
    await portal.grant(profile, request=asked.name)
    assert (await portal.poll(asked.name)).patient == portal.names.pseudonym(SENDER, portal.address(profile))
    other = await portal.ask()
    assert (await portal.look_up(other.user_code)).patient == ""


async def test_a_service_is_told_how_often_to_ask_again(portal: Portal) -> None:
    calling(SENDER)
    answer = await portal.requests.RequestConsent(portal.asking(), CONTEXT)
    assert answer.poll_seconds == POLL_S > 0


async def test_whoever_is_no_service_has_no_requests(bench: Bench, portal: Portal) -> None:
    asked = await portal.ask()
    calling()
    refused = portal.requests.RequestConsent(portal.asking(), CONTEXT)
    assert await reason_of(refused) is Reason.NOT_PERMITTED
    view = bench.view
    answers = Answers(bench.database, bench.ledger, bench.across, view, bench.vault, bench.clock)  # type: ignore[arg-type]
    place = portal.names.request(asked.name)
    assert await reason_of(answers.own("services/", *place)) is Reason.RESOURCE_NOT_FOUND
