"""Requests to a witness: the example of C2SP `tlog-witness`, those of Litewitness's tests, and what is refused."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tlog.add_checkpoint import (
    AddCheckpoint,
    AddCheckpointError,
    format_add_checkpoint,
    parse_add_checkpoint,
)
from services.tlog.canonical import MAX_INTEGER
from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.note import NoteError, Verifier
from services.tlog.proof import ProofError, verify_consistency
from services.tlog.tree import EMPTY_ROOT

SOFA = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
"""

ORIGIN = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
LOG = Verifier(ORIGIN, bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f"))
GROWTH = [
    f"""\
old 0

{ORIGIN}
1
KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

— {ORIGIN} UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=
""",
    f"""\
old 1
KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

{ORIGIN}
3
RcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=

— {ORIGIN} UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=
""",
    f"""\
old 3
KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
KgMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
wgiIFdZfYNv6WU1OllBKsWnLYIS/DBMqt8Uh/S4OukE=
KgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

{ORIGIN}
5
QrtXrQZCCvpIgsSmOsah7HdICzMLLyDfxToMql9WTjY=

— {ORIGIN} UgIomw/EOJmWi0i1FQsOj+etB7F8IccFam/jgd6wzRns4QPVmyEZtdvl1U2KEmLOZ/ASRcWJi0tW90dJWAShei7sDww=
""",
]
"""Each accepted by a witness that accepted the one before it."""

NOTE = GROWTH[0].partition("\n\n")[2]
HASH = "KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"


@pytest.mark.parametrize("body", [SOFA, *GROWTH])
def test_a_published_request_is_read_and_written_back_byte_for_byte(body: str) -> None:
    request = parse_add_checkpoint(body)
    assert parse_add_checkpoint(body.encode()) == request
    assert format_add_checkpoint(request.old_size, request.proof, request.checkpoint_note) == body


def test_the_example_of_the_specification_has_four_hashes_and_two_signatures() -> None:
    request = parse_add_checkpoint(SOFA)
    assert (request.old_size, len(request.proof), request.proof[0][:3].hex()) == (20_852_014, 4, "3e544d")
    assert request.checkpoint_note == SOFA.partition("\n\n")[2]


def test_a_witness_follows_the_published_growth_from_request_to_request() -> None:
    kept = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    for body in GROWTH:
        kept = followed(kept, body)
    assert kept.size == 5


def followed(kept: Checkpoint, body: str) -> Checkpoint:
    request = parse_add_checkpoint(body)
    checkpoint = open_checkpoint(request.checkpoint_note, LOG)
    assert request.old_size == kept.size
    verify_consistency(kept.size, kept.root, checkpoint.size, checkpoint.root, request.proof)
    return checkpoint


def test_the_published_requests_that_a_witness_must_refuse_are_refused() -> None:
    first = followed(Checkpoint(ORIGIN, 0, EMPTY_ROOT), GROWTH[0])
    without_proof = "old 1\n\n" + GROWTH[1].partition("\n\n")[2]
    changed_proof = GROWTH[1].replace("AAAA=\n\n", "ABAA=\n\n")
    for body in (without_proof, changed_proof):
        with pytest.raises(ProofError):
            followed(first, body)
    another_origin = GROWTH[1].replace("e562", "e563")
    with pytest.raises(NoteError, match="no signature by a known key"):
        followed(first, another_origin)
    with pytest.raises(NoteError, match="does not verify"):
        followed(first, GROWTH[1].replace("VbtIcdFbwFA", "VbtIcdFbwFB"))


def test_a_hash_with_bits_set_beyond_its_end_is_refused() -> None:
    with pytest.raises(AddCheckpointError, match="canonical"):
        parse_add_checkpoint(GROWTH[1].replace("AAA=\n\n", "AAB=\n\n"))


@given(st.integers(0, MAX_INTEGER), st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_any_request_is_read_as_what_was_written(old_size: int, proof: list[bytes]) -> None:
    request = AddCheckpoint(old_size, tuple(proof), NOTE)
    body = format_add_checkpoint(old_size, proof, NOTE)
    assert parse_add_checkpoint(body) == request
    assert body.startswith("".join([f"old {old_size}\n", *(b64encode(each).decode() + "\n" for each in proof), "\n"]))


MALFORMED = {
    "empty": "",
    "no old size": "\n\n" + NOTE,
    "a hash for the old size": HASH + "\n" + NOTE,
    "a size alone": "0\n\n" + NOTE,
    "no space": "old0\n\n" + NOTE,
    "two spaces": "old  0\n\n" + NOTE,
    "a tab": "old\t0\n\n" + NOTE,
    "a capital": "Old 0\n\n" + NOTE,
    "no number": "old \n\n" + NOTE,
    "a leading zero": "old 00\n\n" + NOTE,
    "a sign": "old -1\n\n" + NOTE,
    "a plus": "old +1\n\n" + NOTE,
    "another script's digits": "old ١\n\n" + NOTE,
    "a size of 2^63": f"old {2**63}\n\n" + NOTE,
    "something after the size": "old 1 \n\n" + NOTE,
    "a carriage return": "old 1\r\n\r\n" + NOTE,
    "something before": " old 1\n\n" + NOTE,
    "no blank line": "old 1\n" + NOTE,
    "no checkpoint": "old 1\n\n",
    "no blank line after a hash": "old 1\n" + HASH + NOTE,
    "a hash after the blank line": "old 1\n\n" + HASH + "\n" + HASH,
    "a hash too short": "old 1\nKgEA\n\n" + NOTE,
    "a hash too long": "old 1\n" + b64encode(bytes(33)).decode() + "\n\n" + NOTE,
    "a hash without padding": "old 1\n" + HASH.replace("=", "") + "\n" + NOTE,
    "a hash in base64url": "old 1\n" + b64encode(b"\xff" * 32).decode().replace("/", "_") + "\n\n" + NOTE,
    "a hash in hexadecimal": "old 1\n" + "00" * 32 + "\n\n" + NOTE,
    "a space after a hash": "old 1\n" + HASH.replace("\n", " \n") + "\n" + NOTE,
    "64 hashes": "old 1\n" + HASH * 64 + "\n" + NOTE,
    "a text without signatures": "old 0\n\norigin\n1\n" + HASH,
    "an unfinished signature line": "old 0\n\n" + NOTE[:-1],
    "a blank line too many": "old 0\n\n" + NOTE + "\n",
    "a line after the signatures": "old 0\n\n" + NOTE + "x\n",
    "half of a surrogate pair": "old 0\n\n\ud800" + NOTE,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_refused(body: str) -> None:
    with pytest.raises(AddCheckpointError):
        parse_add_checkpoint(body)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_request_raise_nothing_else(data: bytes) -> None:
    for candidate in (data, b"old 0\n\n" + data, b"old 1\n" + data + b"\n\n" + NOTE.encode(), b"\xff" + SOFA.encode()):
        try:
            request = parse_add_checkpoint(candidate)
        except AddCheckpointError:
            continue
        assert format_add_checkpoint(*parts(request)).encode() == candidate


def parts(request: AddCheckpoint) -> tuple[int, tuple[bytes, ...], str]:
    return request.old_size, request.proof, request.checkpoint_note


@pytest.mark.parametrize(
    ("old_size", "proof", "note"),
    [
        (-1, [], NOTE),
        (MAX_INTEGER + 1, [], NOTE),
        (1, [bytes(32)] * 64, NOTE),
        (1, [bytes(31)], NOTE),
        (1, [bytes(33)], NOTE),
        (1, [], ""),
        (1, [], NOTE[:-1]),
        (1, [], "origin\n1\n" + HASH),
    ],
)
def test_no_malformed_request_is_written(old_size: int, proof: list[bytes], note: str) -> None:
    with pytest.raises(AddCheckpointError):
        format_add_checkpoint(old_size, proof, note)
