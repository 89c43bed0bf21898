"""A signed bundle crosses the three services under consent, is proven, and stops when consent is revoked."""

import pytest

from services.errors import Reason
from services.formats.entry import EntryType
from services.formats.verify import VerificationError, verify
from tests.support.world import RECIPIENT, SENDER, Visit


async def test_a_bundle_under_consent_reaches_its_recipient_and_is_proven(visit: Visit) -> None:
    person = await visit.patient()
    bundle = visit.bundle(person, visit.document(person), visit.document(person))
    case = verify(await visit.send(bundle), visit.world.stack.trust)
    kept = visit.world.inbox / bundle.exchange
    assert {path.read_bytes() for path in kept.glob("*.xml")} == {visit.document(person)}
    assert case.authorization.exchange == bundle.exchange
    assert len(case.authorization.resources) == 2
    types = [entry.type for entry in await visit.entries(bundle.exchange)]
    assert types == [EntryType.EXCHANGE_AUTHORIZED, EntryType.EXCHANGE_OUTCOME]


@pytest.mark.parametrize("service", [SENDER, RECIPIENT])
async def test_withdrawing_either_consent_stops_the_next_bundle_on_the_record(visit: Visit, service: str) -> None:
    person = await visit.patient()
    await visit.send(visit.bundle(person))
    await visit.people.revoke(person.consents[service])
    bundle = visit.bundle(person)
    error = await visit.refused(bundle)
    told = Reason.CONSENT_REVOKED if service == SENDER else Reason.RECIPIENT_NOT_PERMITTED
    assert error.reason is told
    (entry,) = await visit.entries(bundle.exchange)
    assert (entry.type, entry.reason) == (EntryType.EXCHANGE_DENIED, Reason.CONSENT_REVOKED)
    assert not (await visit.log()).violations


async def test_a_suspended_service_sends_nothing_and_the_refusal_is_recorded(visit: Visit) -> None:
    from accord.registry.v1 import registry_service_pb2 as pb

    person = await visit.patient()
    name = f"services/{SENDER}"
    await visit.people.registry.SuspendService(pb.SuspendServiceRequest(name=name, justification="audit"), timeout=10)
    try:
        bundle = visit.bundle(person)
        error = await visit.refused(bundle)
        assert error.reason is Reason.SERVICE_SUSPENDED
        (entry,) = await visit.entries(bundle.exchange)
        assert (entry.type, entry.reason) == (EntryType.EXCHANGE_DENIED, Reason.SERVICE_SUSPENDED)
    finally:
        await visit.people.registry.ReinstateService(pb.ReinstateServiceRequest(name=name), timeout=10)
    await visit.send(visit.bundle(person))


async def test_evidence_with_a_byte_changed_in_any_place_does_not_verify(visit: Visit) -> None:
    evidence = await visit.send(visit.bundle(await visit.patient()))
    for position in range(0, len(evidence), 41):
        changed = bytearray(evidence)
        changed[position] ^= 1
        with pytest.raises(VerificationError):
            verify(bytes(changed), visit.world.stack.trust)


async def test_no_identity_and_no_document_stands_in_a_log_line_an_entry_or_evidence(visit: Visit) -> None:
    person = await visit.patient()
    evidence = await visit.send(visit.bundle(person))
    await visit.refused(visit.bundle(person, b"<not/>" + person.ins.matricule.encode()))
    matricule = person.ins.matricule.encode()
    assert matricule not in evidence
    folder = visit.world.stack.folder
    written = [*(folder / "logs").iterdir(), *(folder / "data").iterdir(), *(folder / "spool").rglob("*")]
    assert not [path for path in written if path.is_file() and matricule in path.read_bytes()]
