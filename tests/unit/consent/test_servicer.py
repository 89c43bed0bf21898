"""The RPCs, called in this process on a real ledger: who is told what, and what is signed."""

import hashlib
import os
from typing import Any

import pytest
from accord.consent.v1 import audit_service_pb2 as audit
from accord.consent.v1 import consent_pb2, decision_service_pb2
from accord.consent.v1 import consent_reader_service_pb2 as reader
from accord.consent.v1 import consent_service_pb2 as consent
from accord.errors.v1 import error_reason_pb2
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.identity import Caller, Identity, set_current_caller
from services.consent.convert import Convert
from services.consent.servicer import (
    DEFAULT_PAGE,
    MAX_PAGE,
    AuditServicer,
    ConsentReaderServicer,
    ConsentServicer,
    DecisionServicer,
)
from services.errors import AccordError, Reason
from services.formats.entry import parse_entry
from services.formats.permit import open_permit
from services.formats.rights import Purpose
from services.tlog.proof import verify_consistency
from services.tlog.tree import leaf_hash
from tests.support.evidence import DOMAIN, signer
from tests.support.ledgers import DAY_MS, NOTICE, NOW_MS, RECIPIENT, SENDER, Bench, ins
from tests.support.refused import reason_of

PERMIT_KEY = signer("permit")
CONTEXT: Any = None  # no handler looks at it: identity, deadline and errors are the interceptor's
CATEGORIES = ["class:10", "class:42"]
DIRECTIONS = [value for value in registry_pb2.Direction.values() if value]
PURPOSES = [value for value in registry_pb2.Purpose.values() if value]


class Rpcs:
    """The four servicers of one ledger, and short ways to call them."""

    def __init__(self, bench: Bench) -> None:
        conversions = Convert(bench.identifiers, allow_test_ins=True)
        self.portal = ConsentServicer(bench.ledger, conversions)
        self.reader = ConsentReaderServicer(bench.ledger, conversions)
        self.decisions = DecisionServicer(bench.ledger, conversions, PERMIT_KEY, DOMAIN, os.urandom)
        self.audit = AuditServicer(bench.ledger)
        self.profile = ""

    async def welcome(self) -> dict[str, str]:
        """A patient paired with both services, by pseudonym."""
        request = consent.OpenProfileRequest(patient=identity(1))
        self.profile = (await self.portal.OpenProfile(request, CONTEXT)).profile
        return {name: await self.pair(name) for name in (SENDER, RECIPIENT)}

    async def pair(self, service: str) -> str:
        request = consent.PairPatientRequest(profile=self.profile, service=service)
        return (await self.portal.PairPatient(request, CONTEXT)).patient

    async def grant(self, service: str) -> consent_pb2.Consent:
        wanted = consent_pb2.Consent(
            service=service,
            scope=consent_pb2.Scope(categories=CATEGORIES, directions=DIRECTIONS, purposes=PURPOSES),
            end_time=Timestamp(seconds=(NOW_MS + 30 * DAY_MS) // 1000),
            notice_sha256=NOTICE,
            actor=holder(),
        )
        request = consent.GrantConsentRequest(profile=self.profile, consent=wanted, request_id=os.urandom(8).hex())
        return (await self.portal.GrantConsent(request, CONTEXT)).consent

    async def authorize(self, patient: str) -> decision_service_pb2.AuthorizeResponse:
        request = decision_service_pb2.AuthorizeRequest(
            query=asking(patient), exchange="e" * 64, document_patients=[identity(1)]
        )
        return await self.decisions.Authorize(request, CONTEXT)


def identity(number: int) -> consent.PatientIdentity:
    return consent.PatientIdentity(root=ins(number).root, matricule=ins(number).matricule)


def holder() -> consent_pb2.Actor:
    return consent_pb2.Actor(role=consent_pb2.ACTOR_ROLE_HOLDER, authentication="eidas2")


def asking(patient: str, service: str = SENDER) -> decision_service_pb2.Query:
    return decision_service_pb2.Query(
        service=service,
        patient=patient,
        direction=registry_pb2.DIRECTION_DEPOSIT,
        counterparty=RECIPIENT if service == SENDER else SENDER,
        purpose=registry_pb2.PURPOSE_CARE,
        categories=["class:10"],
    )


def calling(service: str | None = None) -> None:
    """Whoever calls from now on: a service by its id, or one of our own."""
    path = f"/service/{service}" if service else "/exchange"
    set_current_caller(Caller(Identity(DOMAIN, path), "t" * 43, frozenset(), service))


@pytest.fixture
def rpcs(bench: Bench) -> Rpcs:
    return Rpcs(bench)


async def test_a_permit_is_signed_for_exactly_what_was_recorded(bench: Bench, rpcs: Rpcs) -> None:
    calling()
    patients = await rpcs.welcome()
    for service in (SENDER, RECIPIENT):
        await rpcs.grant(service)
    answer = await rpcs.authorize(patients[SENDER])
    entry = bench.entries()[answer.entry.index]
    assert answer.verdict == decision_service_pb2.Verdict(permitted=True)
    assert answer.entry.leaf_hash == leaf_hash(entry.to_bytes())
    permit = open_permit(answer.permit, {PERMIT_KEY.verify_key.kid: PERMIT_KEY.verify_key}.get)
    assert (permit.issuer, permit.sender, permit.recipient) == (DOMAIN, SENDER, RECIPIENT)
    assert (permit.exchange, permit.purpose, permit.thumbprint) == ("e" * 64, Purpose.CARE, "t" * 43)
    assert (permit.origin, permit.index) == (answer.entry.origin, answer.entry.index)
    assert permit.leaf == answer.entry.leaf_hash.hex()
    assert permit.expires_s * 1000 == entry.until_ms
    assert answer.permit_expire_time.seconds == permit.expires_s
    assert answer.counterparty_patient == patients[RECIPIENT]
    opened = hashlib.sha256(answer.counterparty_salt + patients[RECIPIENT].encode()).hexdigest()
    assert permit.subject == opened
    assert len(answer.counterparty_salt) == 32


async def test_a_denial_gives_its_entry_and_nothing_else(rpcs: Rpcs) -> None:
    calling()
    patients = await rpcs.welcome()
    for patient, reason in ((patients[SENDER], "CONSENT_MISSING"), ("0" * 32, "NOT_PERMITTED")):
        answer = await rpcs.authorize(patient)
        told = decision_service_pb2.Verdict(reason=error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}"))
        assert answer.verdict == told
        assert {field.name for field, _ in answer.ListFields()} == {"verdict", "entry"}


async def test_a_service_asks_for_advice_for_itself_only(rpcs: Rpcs) -> None:
    calling()
    patients = await rpcs.welcome()
    own = decision_service_pb2.CheckRequest(query=asking(patients[SENDER]))
    other = decision_service_pb2.CheckRequest(query=asking(patients[RECIPIENT], RECIPIENT))
    calling("lumen")
    assert (await rpcs.decisions.Check(own, CONTEXT)).verdict.reason == error_reason_pb2.ERROR_REASON_CONSENT_MISSING
    assert await reason_of(rpcs.decisions.Check(other, CONTEXT)) is Reason.NOT_PERMITTED
    calling()
    await rpcs.decisions.Check(other, CONTEXT)
    empty = decision_service_pb2.CheckRequest()
    assert await reason_of(rpcs.decisions.Check(empty, CONTEXT)) is Reason.FIELD_INVALID


async def test_a_service_reads_its_own_consents_only(rpcs: Rpcs) -> None:
    calling()
    await rpcs.welcome()
    granted = await rpcs.grant(SENDER)
    request = reader.GetConsentRequest(name=granted.name)
    for caller in (None, "lumen"):
        calling(caller)
        assert (await rpcs.reader.GetConsent(request, CONTEXT)).consent == granted
    calling("carnet")
    assert await reason_of(rpcs.reader.GetConsent(request, CONTEXT)) is Reason.RESOURCE_NOT_FOUND
    unknown = reader.GetConsentRequest(name="consents/" + "0" * 32)
    assert await reason_of(rpcs.reader.GetConsent(unknown, CONTEXT)) is Reason.RESOURCE_NOT_FOUND


async def test_a_withdrawal_names_its_actor_and_its_consent(rpcs: Rpcs) -> None:
    calling()
    await rpcs.welcome()
    granted = await rpcs.grant(SENDER)
    request = consent.RevokeConsentRequest(name=granted.name, actor=holder())
    revoked = (await rpcs.portal.RevokeConsent(request, CONTEXT)).consent
    assert (revoked.name, revoked.revision) == (granted.name, 2)
    assert revoked.state == consent_pb2.CONSENT_STATE_REVOKED
    nameless = consent.RevokeConsentRequest(name=granted.name)
    assert await reason_of(rpcs.portal.RevokeConsent(nameless, CONTEXT)) is Reason.FIELD_INVALID
    unknown = consent.RevokeConsentRequest(name="consents/x", actor=holder())
    assert await reason_of(rpcs.portal.RevokeConsent(unknown, CONTEXT)) is Reason.RESOURCE_NOT_FOUND


async def test_pairing_needs_a_service_s_name(rpcs: Rpcs) -> None:
    calling()
    await rpcs.welcome()
    assert await reason_of(rpcs.pair("lumen")) is Reason.FIELD_INVALID


async def test_an_outcome_comes_back_proven_with_its_authorisation(rpcs: Rpcs) -> None:
    calling()
    patients = await rpcs.welcome()
    for service in (SENDER, RECIPIENT):
        await rpcs.grant(service)
    answer = await rpcs.authorize(patients[SENDER])
    request = decision_service_pb2.RecordOutcomeRequest(
        authorization=answer.entry, exchange="e" * 64, outcome=decision_service_pb2.OUTCOME_FAILED
    )
    recorded = await rpcs.decisions.RecordOutcome(request, CONTEXT)
    assert recorded.authorization.index == answer.entry.index
    assert parse_entry(recorded.outcome.entry).exchange == "e" * 64
    assert recorded.outcome.opening.salt
    request.authorization.origin = "another.example/ledger/1/0"
    assert await reason_of(rpcs.decisions.RecordOutcome(request, CONTEXT)) is Reason.RESOURCE_NOT_FOUND


async def test_a_refusal_comes_back_with_its_place(bench: Bench, rpcs: Rpcs) -> None:
    calling()
    request = decision_service_pb2.RecordRefusalRequest(
        service=SENDER,
        patient="0" * 32,
        exchange="e" * 64,
        reason=error_reason_pb2.ERROR_REASON_DOCUMENT_MALFORMED,
    )
    answer = await rpcs.decisions.RecordRefusal(request, CONTEXT)
    assert bench.entries()[answer.entry.index].reason is Reason.DOCUMENT_MALFORMED


async def test_an_auditor_reads_the_whole_log_a_page_at_a_time_and_no_opening(bench: Bench, rpcs: Rpcs) -> None:
    calling()
    await rpcs.welcome()
    origin = bench.logs[0].origin
    (note,) = (await rpcs.audit.GetCheckpoints(audit.GetCheckpointsRequest(), CONTEXT)).checkpoints
    assert note.startswith(f"{origin}\n4\n")
    pages: list[list[bytes]] = []
    token = ""
    while token or not pages:
        request = audit.ListEntriesRequest(origin=origin, page_size=3, page_token=token)
        page = await rpcs.audit.ListEntries(request, CONTEXT)
        assert page.first_index == sum(len(earlier) for earlier in pages)
        pages.append(list(page.entries))
        token = page.next_page_token
    assert [len(page) for page in pages] == [3, 1]
    assert tuple(parse_entry(entry) for page in pages for entry in page) == bench.entries()
    one = await rpcs.audit.GetEntry(audit.GetEntryRequest(origin=origin, index=2), CONTEXT)
    assert one.entry.entry == pages[0][2]
    assert not one.entry.HasField("opening")
    proof = await rpcs.audit.GetConsistencyProof(
        audit.GetConsistencyProofRequest(origin=origin, old_size=4, new_size=4), CONTEXT
    )
    verify_consistency(4, b"r" * 32, 4, b"r" * 32, list(proof.hashes))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"page_token": "x"}, "page_token"),
        ({"page_token": "-1"}, "page_token"),
        ({"page_token": "１"}, "page_token"),
        ({"page_token": "1" * 16}, "page_token"),
        ({"page_size": -1}, "page_size"),
        ({"page_size": MAX_PAGE + 1}, "page_size"),
    ],
)
async def test_a_page_that_was_never_offered_is_refused(rpcs: Rpcs, changes: dict[str, Any], field: str) -> None:
    request = audit.ListEntriesRequest(origin="accord.example/ledger/1/0", **changes)
    with pytest.raises(AccordError) as caught:
        await rpcs.audit.ListEntries(request, CONTEXT)
    assert [item.field for item in caught.value.violations] == [field]


async def test_a_page_has_a_size_of_its_own_when_none_is_asked_for(bench: Bench, rpcs: Rpcs) -> None:
    for number in range(DEFAULT_PAGE + 5):
        await rpcs.portal.OpenProfile(consent.OpenProfileRequest(patient=identity(number)), CONTEXT)
    page = await rpcs.audit.ListEntries(audit.ListEntriesRequest(origin=bench.logs[0].origin), CONTEXT)
    assert (len(page.entries), page.next_page_token) == (DEFAULT_PAGE, str(DEFAULT_PAGE))
