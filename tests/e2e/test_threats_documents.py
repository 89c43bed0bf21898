"""Threats 11 and 24 through the real three services: documents that attack the parser, or are another patient's."""

import pytest

from services.errors import MEANINGS, Kind, Reason
from services.formats.entry import EntryType
from services.formats.manifest import Coded, DeclaredDocument
from tests.support.bad_documents import BAD_DOCUMENTS
from tests.support.world import SENDER, Visit

HERE = {name: bad for name, bad in BAD_DOCUMENTS.items() if bad.allow_test}
HOSTILE = {name for name, bad in HERE.items() if bad.reason in (Reason.DOCUMENT_UNSAFE, Reason.DOCUMENT_MALFORMED)}


async def refused_on_the_record(visit: Visit, content: bytes, reason: Reason) -> None:
    """Sends one document that must be refused with `reason`, recorded, and never sent."""
    person = await visit.patient()
    bundle = visit.bundle(person, content)
    error = await visit.refused(bundle)
    assert error.reason is reason
    assert error.kind is Kind.INVALID
    (entry,) = await visit.entries(bundle.exchange)
    assert (entry.type, entry.reason) == (EntryType.EXCHANGE_REFUSED, reason)


@pytest.mark.parametrize("name", sorted(HOSTILE))
async def test_threat_11_a_hostile_document_is_refused_and_recorded(visit: Visit, name: str) -> None:
    good = visit.document(await visit.patient())
    await refused_on_the_record(visit, HERE[name].build(good), HERE[name].reason)


@pytest.mark.parametrize("name", sorted(HERE.keys() - HOSTILE))
async def test_threat_24_a_document_of_nobody_or_of_two_patients_is_refused_and_recorded(
    visit: Visit, name: str
) -> None:
    good = visit.document(await visit.patient())
    await refused_on_the_record(visit, HERE[name].build(good), HERE[name].reason)


async def test_threat_24_another_patients_document_is_refused_by_the_decision(visit: Visit) -> None:
    person, stranger = await visit.patient(), await visit.patient()
    bundle = visit.bundle(person, visit.document(stranger))
    error = await visit.refused(bundle)
    assert error.reason is Reason.PATIENT_MISMATCH
    assert error.kind is Kind.INVALID
    (entry,) = await visit.entries(bundle.exchange)
    assert (entry.type, entry.reason) == (EntryType.EXCHANGE_DENIED, Reason.PATIENT_MISMATCH)


async def test_threat_24_one_foreign_document_refuses_the_whole_bundle(visit: Visit) -> None:
    person, stranger = await visit.patient(), await visit.patient()
    bundle = visit.bundle(person, visit.document(person), visit.document(stranger))
    assert (await visit.refused(bundle)).reason is Reason.PATIENT_MISMATCH


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": Coded("11502-2", "2.16.840.1.113883.6.1")}, Reason.DOCUMENT_TYPE_MISMATCH),
        ({"type": Coded("75492-9", "1.2.250.1.213.1.1.4.12")}, Reason.DOCUMENT_TYPE_MISMATCH),
        ({"authors": ()}, Reason.AUTHOR_MISMATCH),
        ({"authors": (("1.2.250.1.71.4.2.1", "899700218896"),)}, Reason.AUTHOR_MISMATCH),
        ({"sha256": "0" * 64}, Reason.DIGEST_MISMATCH),
        ({"size": 17}, Reason.DIGEST_MISMATCH),
    ],
)
async def test_threat_24_what_the_sender_declares_is_compared_and_never_believed(
    visit: Visit, change: dict[str, object], reason: Reason
) -> None:
    from dataclasses import replace

    from examples.sender.bundles import Bundle
    from services.chassis.keys import load_signer
    from services.formats.manifest import open_manifest

    person = await visit.patient()
    honest = visit.bundle(person)
    signer = load_signer(visit.world.key(SENDER))
    manifest = open_manifest(honest.token, lambda _: signer.verify_key)
    lie: DeclaredDocument = replace(manifest.documents[0], **change)  # type: ignore[arg-type]
    bundle = Bundle(replace(manifest, documents=(lie,)).sign(signer), honest.files)
    error = await visit.refused(bundle)
    assert error.reason in (reason, Reason.BUNDLE_TOO_LARGE)
    assert MEANINGS[error.reason].kind is Kind.INVALID
    assert [entry.type for entry in await visit.entries(bundle.exchange)] == [EntryType.EXCHANGE_REFUSED]
