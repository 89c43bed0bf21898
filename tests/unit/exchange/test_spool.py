"""The spool: exactly the declared bytes, in order, in a private folder, and gone afterwards."""

import hashlib
import resource
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from services.errors import AccordError, Reason
from services.exchange.spool import MAX_CHUNK, Spool, SpooledBundle
from services.formats.manifest import Coded, DeclaredDocument

GOOD = Path("examples/documents/depistage-auditif.xml").read_bytes()
EXCHANGE = "e" * 64


def declared(data: bytes, sha256: str = "") -> DeclaredDocument:
    return DeclaredDocument(Coded("c", "1.2"), (), len(data), sha256 or hashlib.sha256(data).hexdigest())


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    one = Spool(tmp_path / "spool")
    one.prepare()
    return one


def refused(work: Callable[[], object]) -> Reason:
    with pytest.raises(AccordError) as caught:
        work()
    return caught.value.reason


def test_documents_come_back_as_they_went_in_with_their_headers(spool: Spool) -> None:
    documents = [GOOD, GOOD.replace(b"</text>", b"x" * MAX_CHUNK * 2 + b"</text>", 1), GOOD]
    bundle = spool.open(EXCHANGE, tuple(map(declared, documents)))
    for position, data in enumerate(documents):
        for start in range(0, len(data), 1000):
            bundle.add(position, data[start : start + 1000])
    assert [header.type.code for header in bundle.close()] == ["75492-9"] * 3
    found = [b"", b"", b""]
    for position, data in bundle.read():
        assert 0 < len(data) <= MAX_CHUNK
        found[position] += data
    assert found == documents


def test_only_the_owner_can_read_what_is_spooled(spool: Spool, tmp_path: Path) -> None:
    spool.open(EXCHANGE, (declared(GOOD),)).add(0, GOOD)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "spool", *(tmp_path / "spool").rglob("*")]]
    assert modes == [0o700, 0o700, 0o600]


def test_a_deleted_bundle_leaves_nothing_and_takes_nothing_more(spool: Spool, tmp_path: Path) -> None:
    bundle = spool.open(EXCHANGE, (declared(GOOD),))
    bundle.add(0, GOOD[:100])
    bundle.delete()
    assert refused(lambda: bundle.add(0, GOOD[100:])) is Reason.STORAGE_UNAVAILABLE
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_start_deletes_what_a_crash_left(spool: Spool, tmp_path: Path) -> None:
    spool.open(EXCHANGE, (declared(GOOD),)).add(0, GOOD)
    (tmp_path / "spool" / "file").write_bytes(b"left")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "spool" / "link").symlink_to(tmp_path / "elsewhere")
    spool.prepare()
    assert list((tmp_path / "spool").iterdir()) == []
    assert (tmp_path / "elsewhere").exists()


def feed(bundle: SpooledBundle, *chunks: tuple[int, bytes]) -> None:
    for position, data in chunks:
        bundle.add(position, data)
    bundle.close()


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([(0, GOOD)], Reason.DIGEST_MISMATCH),
        ([(0, GOOD[:-1]), (1, GOOD)], Reason.DIGEST_MISMATCH),
        ([(0, GOOD), (1, GOOD), (1, b"x")], Reason.DIGEST_MISMATCH),
        ([(0, GOOD + b"x")], Reason.DIGEST_MISMATCH),
        ([(1, GOOD), (0, GOOD)], Reason.DIGEST_MISMATCH),
        ([(0, GOOD), (1, GOOD), (0, b"x")], Reason.DIGEST_MISMATCH),
        ([(0, GOOD), (1, GOOD.replace(b"2025", b"2024"))], Reason.DIGEST_MISMATCH),
        ([], Reason.DIGEST_MISMATCH),
        ([(0, b"")], Reason.FIELD_INVALID),
        ([(-1, b"x")], Reason.FIELD_INVALID),
        ([(2, b"x")], Reason.FIELD_INVALID),
        ([(0, b"x" * (MAX_CHUNK + 1))], Reason.BUNDLE_TOO_LARGE),
    ],
)
def test_anything_but_the_declared_bytes_in_order_is_refused(
    spool: Spool, chunks: list[tuple[int, bytes]], reason: Reason
) -> None:
    bundle = spool.open(EXCHANGE, (declared(GOOD), declared(GOOD)))
    assert refused(lambda: feed(bundle, *chunks)) is reason


def test_of_bytes_that_nobody_signed_only_that_is_said(spool: Spool) -> None:
    broken = GOOD.replace(b"<author>", b"<athor>", 1) + b" "
    bundle = spool.open(EXCHANGE, (declared(broken, "0" * 64),))
    assert refused(lambda: feed(bundle, (0, broken))) is Reason.DIGEST_MISMATCH
    bundle = spool.open(EXCHANGE, (declared(broken),))
    assert refused(lambda: feed(bundle, (0, broken))) is Reason.DOCUMENT_MALFORMED


def test_an_empty_document_needs_no_chunk_and_is_no_document(spool: Spool) -> None:
    bundle = spool.open(EXCHANGE, (declared(b""), declared(GOOD)))
    assert refused(lambda: feed(bundle, (1, GOOD))) is Reason.DOCUMENT_MALFORMED


def test_threat_30_a_disk_that_takes_no_more_is_unavailable(spool: Spool, tmp_path: Path) -> None:
    long = GOOD.replace(b"</text>", b"x" * 100_000 + b"</text>", 1)
    bundle = spool.open(EXCHANGE, (declared(long),))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file of this process may grow beyond this: writing fails half way, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        assert refused(lambda: bundle.add(0, long)) is Reason.STORAGE_UNAVAILABLE
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    bundle.delete()
    assert list((tmp_path / "spool").iterdir()) == []
