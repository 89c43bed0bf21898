"""What the broker refuses of a bundle whose manifest was valid: recorded before it is told, and nothing of it sent."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from accord.exchange.v1 import exchange_pb2

from services.chassis.channel import open_channel
from services.formats.manifest import Coded
from tests.support.bad_documents import BAD_DOCUMENTS
from tests.support.exchanges import CHUNK, SENDER, Bundle, Request, big_document, document, platform, refused
from tests.support.running import failure

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("shift", [-400, 200])
async def test_an_expired_or_future_manifest_is_refused_and_recorded(tmp_path: Path, shift: int) -> None:
    async with platform(tmp_path) as one:
        now_s = one.clock.wall_ms() // 1000
        bundle = one.bundle(document(), issued_s=now_s + shift, expires_s=now_s + shift + 300)
        assert await refused(one, bundle) == (INVALID, ["MANIFEST_EXPIRED"])
        assert one.ledger.refusals == ["MANIFEST_EXPIRED"]


async def test_threats_11_and_24_every_bad_document_is_refused_recorded_and_forgotten(tmp_path: Path) -> None:
    names = {name: bad for name, bad in BAD_DOCUMENTS.items() if bad.allow_test}
    async with platform(tmp_path) as one:
        for name, bad in names.items():
            data = bad.build(document())
            code, reasons = await refused(one, one.bundle(data))
            assert (code, reasons) == (INVALID, [bad.reason.value]), name
        assert one.ledger.refusals == [bad.reason.value for bad in names.values()]
        assert one.ledger.called("Authorize") == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": Coded("60591-5", "2.16.840.1.113883.6.1")}, "DOCUMENT_TYPE_MISMATCH"),
        ({"authors": (("1.2.250.1.71.4.2.1", "899700218896"),)}, "AUTHOR_MISMATCH"),
        ({"authors": ()}, "AUTHOR_MISMATCH"),
        ({"sha256": "0" * 64}, "DIGEST_MISMATCH"),
    ],
)
async def test_threat_24_a_lie_about_a_document_is_refused_and_recorded(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    async with platform(tmp_path) as one:
        bundle = one.bundle(document(), documents=(one.declared(document(), **changes),))
        assert await refused(one, bundle) == (INVALID, [reason])
        assert await refused(one, bundle) == (INVALID, [reason])
        assert (one.ledger.refusals, one.ledger.called("Authorize")) == ([reason], [])


async def test_a_test_identity_is_refused_where_none_is_allowed(tmp_path: Path) -> None:
    async with platform(tmp_path, allow_test_ins=False) as one:
        assert await refused(one, one.bundle(document())) == (INVALID, ["INS_TEST_REFUSED"])


async def test_chunks_out_of_order_too_long_or_missing_are_refused_and_recorded(tmp_path: Path) -> None:
    data = big_document(2 * CHUNK)
    async with platform(tmp_path) as one:

        def altered(change: Any) -> Bundle:
            bundle = one.bundle(data, document())
            change(bundle.frames)
            return bundle

        def chunk(position: int, size: int) -> Request:
            return Request(chunk=exchange_pb2.Chunk(document=position, data=b"x" * size))

        cases = [
            (lambda frames: frames.pop(), "DIGEST_MISMATCH"),
            (lambda frames: frames.append(chunk(1, 1)), "DIGEST_MISMATCH"),
            (lambda frames: frames.reverse() or frames.insert(0, frames.pop()), "DIGEST_MISMATCH"),
            (lambda frames: frames.insert(1, chunk(0, CHUNK + 1)), "BUNDLE_TOO_LARGE"),
            (lambda frames: frames.insert(1, chunk(2, 1)), "FIELD_INVALID"),
            (lambda frames: frames.insert(1, chunk(0, 0)), "FIELD_INVALID"),
            (lambda frames: frames.append(frames[0]), "MESSAGE_MALFORMED"),
            (lambda frames: frames.append(Request()), "MESSAGE_MALFORMED"),
        ]
        for change, reason in cases:
            assert await refused(one, altered(change)) == (INVALID, [reason])
        assert one.ledger.refusals == [reason for _, reason in cases]


@pytest.mark.parametrize("tail", [b"\x18\x01", b"\x0a\x01a", b"\xff"])
async def test_threat_8_a_frame_with_anything_beside_its_field_is_refused_and_recorded(
    tmp_path: Path, tail: bytes
) -> None:
    async with platform(tmp_path) as one:
        bundle = one.bundle(document())
        frames = [frame.SerializeToString() for frame in bundle.frames]
        assert one.process is not None
        target, identity = f"127.0.0.1:{one.process.rpc_port}", one.site.identity("/exchange")
        async with open_channel(target, one.files(f"/service/{SENDER}"), identity) as channel:
            send: Any = channel.stream_unary("/accord.exchange.v1.ExchangeService/SendBundle")
            seen = await failure(send(iter([frames[0], frames[1] + tail]), timeout=10))
        assert (seen.code, seen.reasons) == (INVALID, ["MESSAGE_MALFORMED"])
        assert (one.ledger.refusals, one.received()) == (["MESSAGE_MALFORMED"], [])


async def test_a_bundle_beyond_the_limits_is_refused_before_a_byte_of_it_is_read(tmp_path: Path) -> None:
    async with platform(tmp_path, max_document_bytes=9000, max_bundle_bytes=15000) as one:
        for documents in ([document("synthese-medicale"), document()], [document("plan-prevention")]):
            bundle = one.bundle(*documents)
            assert await refused(one, Bundle("", bundle.frames[:1])) == (INVALID, ["BUNDLE_TOO_LARGE"])
