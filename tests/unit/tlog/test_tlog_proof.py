"""A proof's text round-trips, and no change to it goes unnoticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tlog.canonical import MAX_INTEGER
from services.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from services.tlog.proof import ProofError, inclusion_proof, verify_inclusion
from services.tlog.tlog_proof import MAX_HASHES, ProofText, format_proof, parse_proof
from tests.unit.tlog import naive_log
from tests.unit.tlog.signing import one_byte_away, signer

LOG = signer("example.org/ledger/1/0")
HASH = bytes(range(32))
HASH_LINE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
NOTES = st.text(st.characters(codec="utf-8"), max_size=40).map(lambda text: text + "\n")


def proof_text(index: int, size: int) -> str:
    note = sign_checkpoint(Checkpoint(LOG.name, size, naive_log.root(0, size)), LOG)
    return format_proof(index, inclusion_proof(index, size, naive_log.Store(size).read), note)


def verify(text: str, index: int) -> None:
    """What a reader does: it knows the log's key and the leaf, and expects it at this index."""
    proof = parse_proof(text)
    if proof.index != index:
        raise ProofError("another index")
    checkpoint = open_checkpoint(proof.checkpoint_note, LOG.verifier)
    leaf = naive_log.root(index, index + 1)
    verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root)


def test_a_proof_is_written_as_header_index_hashes_and_checkpoint() -> None:
    assert format_proof(7, [HASH], "note\n") == f"c2sp.org/tlog-proof@v1\nindex 7\n{HASH_LINE}\n\nnote\n"


def test_the_proof_of_the_only_leaf_has_no_hashes() -> None:
    assert format_proof(0, [], "note\n") == "c2sp.org/tlog-proof@v1\nindex 0\n\nnote\n"
    verify(proof_text(0, 1), 0)


def test_a_proof_may_be_as_high_as_the_largest_tree() -> None:
    assert parse_proof(format_proof(0, [HASH] * 63, "note\n")).hashes == (HASH,) * 63


@given(st.integers(0, MAX_INTEGER), st.lists(st.binary(min_size=32, max_size=32), max_size=MAX_HASHES), NOTES)
def test_a_proof_survives_its_text(index: int, hashes: list[bytes], note: str) -> None:
    assert parse_proof(format_proof(index, hashes, note)) == ProofText(index, tuple(hashes), note)


@given(st.text(alphabet="index 01=\n" + HASH_LINE, max_size=120))
def test_a_text_that_parses_at_all_is_the_one_that_its_parts_are_written_as(rest: str) -> None:
    for text in (rest, "c2sp.org/tlog-proof@v1\n" + rest, f"c2sp.org/tlog-proof@v1\nindex 1\n{HASH_LINE}\n" + rest):
        try:
            proof = parse_proof(text)
        except ProofError:
            continue
        assert format_proof(proof.index, proof.hashes, proof.checkpoint_note) == text


@pytest.mark.parametrize(("index", "size"), [(0, 1), (2, 3), (5, 8), (9, 11)])
def test_a_proof_with_any_one_byte_changed_is_refused_somewhere(index: int, size: int) -> None:
    text = proof_text(index, size)
    verify(text, index)
    for changed in one_byte_away(text.encode()):
        with pytest.raises(ValueError):
            verify(changed.decode(), index)


def test_a_proof_in_another_index_than_its_own_is_refused_by_the_hashes_alone() -> None:
    proof = parse_proof(proof_text(5, 8))
    for index in set(range(8)) - {5}:
        with pytest.raises(ProofError):
            verify_inclusion(naive_log.root(5, 6), index, 8, proof.hashes, naive_log.root(0, 8))


MALFORMED = {
    "empty": "",
    "another version": f"c2sp.org/tlog-proof@v2\nindex 0\n{HASH_LINE}\n\nnote\n",
    "header only": "c2sp.org/tlog-proof@v1\n",
    "no index": f"c2sp.org/tlog-proof@v1\n{HASH_LINE}\n\nnote\n",
    "an extra line": "c2sp.org/tlog-proof@v1\nextra QQ==\nindex 0\n\nnote\n",
    "an extra line after the index": "c2sp.org/tlog-proof@v1\nindex 0\nextra QQ==\n\nnote\n",
    "a leading zero": "c2sp.org/tlog-proof@v1\nindex 00\n\nnote\n",
    "a negative index": "c2sp.org/tlog-proof@v1\nindex -1\n\nnote\n",
    "an index of 64 bits": f"c2sp.org/tlog-proof@v1\nindex {2**63}\n\nnote\n",
    "two spaces": "c2sp.org/tlog-proof@v1\nindex  1\n\nnote\n",
    "a short hash": "c2sp.org/tlog-proof@v1\nindex 0\nQQ==\n\nnote\n",
    "a hash with bits to spare": f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH_LINE[:-2]}9=\n\nnote\n",
    "a space after a hash": f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH_LINE} \n\nnote\n",
    "carriage returns": f"c2sp.org/tlog-proof@v1\r\nindex 0\r\n{HASH_LINE}\r\n\r\nnote\r\n",
    "no blank line": f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH_LINE}\n",
    "no checkpoint": f"c2sp.org/tlog-proof@v1\nindex 0\n{HASH_LINE}\n\n",
    "a cut checkpoint": "c2sp.org/tlog-proof@v1\nindex 0\n\nnote",
    "too many hashes": "c2sp.org/tlog-proof@v1\nindex 0\n" + (HASH_LINE + "\n") * (MAX_HASHES + 1) + "\nnote\n",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_proof_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        parse_proof(text)


@pytest.mark.parametrize(
    ("index", "hashes", "note"),
    [(-1, [], "n\n"), (2**63, [], "n\n"), (0, [b"short"], "n\n"), (0, [HASH] * 64, "n\n"), (0, [], ""), (0, [], "n")],
)
def test_parts_that_no_proof_can_have_are_not_written(index: int, hashes: list[bytes], note: str) -> None:
    with pytest.raises(ProofError):
        format_proof(index, hashes, note)
