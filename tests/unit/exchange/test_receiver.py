"""The example receiver's checks: nothing is taken under a permit or a manifest that does not hold for this recipient."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accord.exchange.v1 import delivery_service_pb2

from examples.receiver.checks import announced
from examples.receiver.inbox import Inbox, Incoming
from services.formats.canonical import FormatError
from services.formats.entry import sha256_hex
from services.formats.manifest import BrokerManifest, Coded, DeclaredDocument
from services.formats.permit import Permit
from services.formats.rights import Purpose
from services.formats.trust import DatedKey, KeyRole, Trust
from tests.support.register import signer

LEDGER, BROKER = signer(), signer()
TRUST = Trust(
    "mes.example",
    (),
    (DatedKey(KeyRole.PERMIT, LEDGER.verify_key, 0), DatedKey(KeyRole.BROKER, BROKER.verify_key, 0)),
)
PEER, SALT, PATIENT, NOW_S = "p" * 43, b"s" * 32, "b" * 32, 1000
DATA = b"a document"
DOCUMENTS = tuple(
    DeclaredDocument(Coded("c", "1.2"), (), len(data), hashlib.sha256(data).hexdigest()) for data in (DATA, b"", DATA)
)
PERMIT = Permit(
    issuer="mes.example",
    recipient="services/carnet",
    subject=hashlib.sha256(SALT + PATIENT.encode()).hexdigest(),
    issued_s=NOW_S,
    expires_s=NOW_S + 5,
    exchange="e" * 64,
    origin="mes.example/ledger/1/0",
    index=3,
    leaf="f" * 64,
    sender="services/lumen",
    purpose=Purpose.CARE,
    thumbprint=PEER,
)
MANIFEST = BrokerManifest(
    "mes.example", "services/carnet", NOW_S, "e" * 64, "", "services/lumen", Purpose.CARE, DOCUMENTS
)


def header(
    permit: dict[str, Any] | None = None, manifest: dict[str, Any] | None = None, **fields: Any
) -> delivery_service_pb2.DeliveryHeader:
    token = replace(PERMIT, **(permit or {})).sign(LEDGER)
    said = replace(MANIFEST, permit_sha256=sha256_hex(token))
    values: dict[str, Any] = {
        "permit": token,
        "manifest": replace(said, **(manifest or {})).sign(BROKER),
        "patient": PATIENT,
        "patient_salt": SALT,
    }
    return delivery_service_pb2.DeliveryHeader(**(values | fields))


def take(header: delivery_service_pb2.DeliveryHeader, *, peer: str = PEER, now_ms: int = NOW_S * 1000) -> Any:
    return announced(header, "services/carnet", TRUST, peer, now_ms)


def test_a_header_that_holds_announces_its_documents_and_patient() -> None:
    found = take(header())
    assert (found.manifest.documents, found.patient, found.permit) == (DOCUMENTS, PATIENT, PERMIT)


@pytest.mark.parametrize(
    "wrong",
    [
        {"permit": {"recipient": "services/other"}},
        {"permit": {"issuer": "other.example"}},
        {"permit": {"exchange": "d" * 64}},
        {"permit": {"sender": "services/other"}},
        {"permit": {"purpose": Purpose.PREVENTION}},
        {"permit": {"subject": "0" * 64}},
        {"manifest": {"recipient": "services/other"}},
        {"manifest": {"issuer": "other.example"}},
        {"manifest": {"permit_sha256": "0" * 64}},
        {"manifest": {"exchange": "d" * 64}},
        {"patient": "c" * 32},
        {"patient_salt": SALT[:31]},
    ],
)
def test_a_header_of_something_else_is_refused(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {name: value for name, value in wrong.items() if isinstance(value, (str, bytes))}
    changed = {name: value for name, value in wrong.items() if isinstance(value, dict)}
    with pytest.raises(FormatError):
        take(header(**changed, **fields))


def test_threat_16_a_permit_used_through_another_certificate_is_refused() -> None:
    with pytest.raises(FormatError, match="certificate"):
        take(header(), peer="q" * 43)


def test_a_permit_that_has_ended_is_refused() -> None:
    take(header(), now_ms=NOW_S * 1000 + 4999)
    with pytest.raises(FormatError, match="ended"):
        take(header(), now_ms=NOW_S * 1000 + 5000)


def test_threat_19_a_token_of_one_sort_never_passes_for_another() -> None:
    crossed = header()
    crossed.permit, crossed.manifest = crossed.manifest, crossed.permit
    with pytest.raises(FormatError, match="typ"):
        take(crossed)


@pytest.fixture
def incoming(tmp_path: Path) -> Incoming:
    return Inbox(tmp_path).incoming(take(header()))


def test_a_bundle_appears_whole_and_only_once(tmp_path: Path) -> None:
    for is_new in (True, False):
        one = Inbox(tmp_path).incoming(take(header()))
        one.add(0, DATA[:3])
        one.add(0, DATA[3:])
        one.add(2, DATA)
        assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == ([] if is_new else ["e" * 64])
        assert one.keep() is is_new
    assert [path.name for path in tmp_path.iterdir()] == ["e" * 64]
    names = sorted(path.name for path in (tmp_path / ("e" * 64)).iterdir())
    assert names == ["0.xml", "1.xml", "2.xml", "bundle.json"]


@pytest.mark.parametrize(
    "chunks", [[(0, b"x" * 10), (2, DATA)], [(0, DATA)], [(0, DATA + b"x")], [(2, DATA)], [(3, b"x")], [(-1, b"x")]]
)
def test_other_bytes_than_announced_are_not_kept(
    incoming: Incoming, tmp_path: Path, chunks: list[tuple[int, bytes]]
) -> None:
    with pytest.raises(FormatError):
        _fill(incoming, chunks)
    incoming.discard()
    assert list(tmp_path.iterdir()) == []


def test_what_was_discarded_takes_nothing_more(incoming: Incoming, tmp_path: Path) -> None:
    incoming.discard()
    with pytest.raises(FormatError):
        incoming.add(0, DATA)
    assert list(tmp_path.iterdir()) == []


def _fill(incoming: Incoming, chunks: list[tuple[int, bytes]]) -> None:
    for position, data in chunks:
        incoming.add(position, data)
    incoming.keep()
