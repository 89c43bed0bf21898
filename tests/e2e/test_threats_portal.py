"""Threat 34 through the real three services: a portal that is not the patients' hand."""

import secrets
from typing import Any

import grpc
import pytest
from accord.consent.v1 import consent_pb2, consent_service_pb2, platform_service_pb2, platform_service_pb2_grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.chassis.status import accord_error
from services.ctl.people import NOTICE, everything, holder
from services.ctl.portal import PortalHand
from services.errors import AccordError, Kind, Reason
from services.formats.entry import EntryType, sha256_hex
from tests.support.evidence import signer
from tests.support.world import RECIPIENT, SENDER, Person, Visit


def consent_of(person: str) -> consent_pb2.Consent:
    """Everything for a day, by a person whom the portal names."""
    actor = holder()
    actor.person = person
    consent = consent_pb2.Consent(
        service=f"services/{SENDER}", scope=everything(), notice_sha256=sha256_hex(NOTICE), actor=actor
    )
    consent.end_time.GetCurrentTime()
    consent.end_time.seconds += 86_400
    return consent


async def granted_by(visit: Visit, person: str) -> Person:
    """A patient in whose name this person granted to the sender, and who gave the recipient theirs."""
    patient = await visit.patient(RECIPIENT)
    patient.consents[SENDER] = await visit.people.consent(patient.profile, consent_of(person))
    return patient


async def platform(visit: Visit, method: str, request: Any) -> Any:
    async with visit.world.channel("platform", "consent") as channel:
        stub = platform_service_pb2_grpc.PlatformServiceStub(channel)
        return await getattr(stub, method)(request, timeout=15)


async def test_threat_34_the_portal_s_certificate_alone_gives_no_right(visit: Visit) -> None:
    patient = await visit.patient(RECIPIENT)
    consent, request_id = consent_of("intruder"), secrets.token_hex(16)
    stolen = PortalHand(signer("another"), visit.world.stack.trust_domain, visit.people.hand.now_s)
    for word in (stolen.grant(consent, patient.profile, request_id), "x.y.z"):
        request = consent_service_pb2.GrantConsentRequest(
            profile=patient.profile, consent=consent, request_id=request_id, assertion=word
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await visit.people.portal.GrantConsent(request, timeout=15)
        error: AccordError = accord_error(caught.value, Reason.INTERNAL, trusted=True)
        assert (error.reason, error.kind) == (Reason.ASSERTION_INVALID, Kind.UNAUTHENTICATED)
    refusal = await visit.refused(visit.bundle(patient))
    assert refusal.reason is Reason.CONSENT_MISSING


async def test_threat_34_what_a_person_granted_is_listed_and_withdrawn_in_bulk(visit: Visit) -> None:
    intruder = f"intruder-{secrets.token_hex(4)}"
    victims = [await granted_by(visit, intruder) for _ in range(3)]
    other = await granted_by(visit, "somebody-else")
    await visit.send(visit.bundle(victims[0]))
    times = {"start_time": Timestamp(seconds=1), "end_time": Timestamp(seconds=4_000_000_000)}
    wanted = platform_service_pb2.AssertionFilter(person=intruder, **times)  # type: ignore[arg-type]
    listed = await platform(visit, "ListAssertions", platform_service_pb2.ListAssertionsRequest(filter=wanted))
    assert {item.consent for item in listed.items} == {victim.consents[SENDER] for victim in victims}
    assert {item.kid for item in listed.items} == {visit.people.hand.signer.verify_key.kid}
    revoke = platform_service_pb2.RevokeAssertionsRequest(filter=wanted, justification="an account was stolen")
    answer = await platform(visit, "RevokeAssertions", revoke)
    assert (answer.revoked, answer.ended_before) == (3, 0)
    for victim in victims:
        bundle = visit.bundle(victim)
        assert (await visit.refused(bundle)).reason is Reason.CONSENT_REVOKED
        (entry,) = await visit.entries(bundle.exchange)
        assert entry.type is EntryType.EXCHANGE_DENIED
    await visit.send(visit.bundle(other))
    assert not (await visit.log()).violations
