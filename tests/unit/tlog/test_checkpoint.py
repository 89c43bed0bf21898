"""A checkpoint has one text, and only its own log's key speaks for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tlog.canonical import MAX_INTEGER
from services.tlog.checkpoint import Checkpoint, CheckpointError, open_checkpoint, sign_checkpoint
from services.tlog.note import NoteError, sign_note
from services.tlog.tree import EMPTY_ROOT
from tests.unit.tlog.signing import one_byte_away, signer

LOG = signer("example.org/ledger/1/0")
ROOT = bytes(range(32))
CHECKPOINT = Checkpoint(LOG.name, 42, ROOT)
ROOT_LINE = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_a_checkpoint_is_written_as_origin_size_and_root() -> None:
    assert CHECKPOINT.text() == f"example.org/ledger/1/0\n42\n{ROOT_LINE}\n"


@given(st.integers(1, MAX_INTEGER), st.binary(min_size=32, max_size=32))
def test_a_signed_checkpoint_opens_to_itself(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(LOG.name, size, root)
    assert Checkpoint.parse(checkpoint.text()) == checkpoint
    assert open_checkpoint(sign_checkpoint(checkpoint, LOG), LOG.verifier) == checkpoint


def test_an_empty_log_has_a_checkpoint_with_the_empty_root_only() -> None:
    empty = Checkpoint(LOG.name, 0, EMPTY_ROOT)
    assert open_checkpoint(sign_checkpoint(empty, LOG), LOG.verifier) == empty
    with pytest.raises(CheckpointError):
        Checkpoint(LOG.name, 0, ROOT)


def test_a_checkpoint_that_others_cosigned_opens_with_the_logs_key_alone() -> None:
    note = sign_note(CHECKPOINT.text(), signer("witness.example"), LOG)
    assert open_checkpoint(note, LOG.verifier) == CHECKPOINT


def test_a_checkpoint_signed_by_others_only_is_refused() -> None:
    note = sign_note(CHECKPOINT.text(), signer("witness.example"), signer(LOG.name, seed="other"))
    with pytest.raises(NoteError, match="no signature by a known key"):
        open_checkpoint(note, LOG.verifier)


def test_a_log_cannot_speak_for_another() -> None:
    other = Checkpoint("example.org/ledger/1/1", 42, ROOT)
    with pytest.raises(CheckpointError, match="does not speak for"):
        open_checkpoint(sign_note(other.text(), LOG), LOG.verifier)
    with pytest.raises(CheckpointError, match="does not speak for"):
        sign_checkpoint(other, LOG)


def test_a_checkpoint_with_any_one_byte_changed_is_refused() -> None:
    for changed in one_byte_away(sign_checkpoint(CHECKPOINT, LOG).encode()):
        with pytest.raises(NoteError):
            open_checkpoint(changed, LOG.verifier)


MALFORMED = {
    "empty": "",
    "two lines": "a\n1\n",
    "no final newline": f"a\n1\n{ROOT_LINE}",
    "an empty origin": f"\n1\n{ROOT_LINE}\n",
    "a blank last line": f"a\n1\n{ROOT_LINE}\n\n",
    "an extension": f"a\n1\n{ROOT_LINE}\nextension\n",
    "a leading zero": f"a\n01\n{ROOT_LINE}\n",
    "a sign": f"a\n+1\n{ROOT_LINE}\n",
    "a negative size": f"a\n-1\n{ROOT_LINE}\n",
    "a fullwidth digit": f"a\n１\n{ROOT_LINE}\n",
    "no size": f"a\n\n{ROOT_LINE}\n",
    "a size of 64 bits": f"a\n{2**63}\n{ROOT_LINE}\n",
    "a root of 31 bytes": f"a\n1\n{'A' * 41}A==\n",
    "a root in hexadecimal": f"a\n1\n{ROOT.hex()}\n",
    "a root with bits to spare": f"a\n1\n{ROOT_LINE[:-2]}9=\n",
    "a root without padding": f"a\n1\n{ROOT_LINE[:-1]}\n",
    "a space after the size": f"a\n1 \n{ROOT_LINE}\n",
    "a root of nothing": f"a\n0\n{ROOT_LINE}\n",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_text_that_is_no_checkpoint_is_refused_even_when_signed(text: str) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint.parse(text)


def test_a_signature_does_not_excuse_a_malformed_checkpoint() -> None:
    with pytest.raises(CheckpointError):
        open_checkpoint(sign_note(f"{LOG.name}\n042\n{ROOT_LINE}\n", LOG), LOG.verifier)


def test_extension_lines_are_kept_where_allowed() -> None:
    text = CHECKPOINT.text() + "one\ntwo\n"
    parsed = Checkpoint.parse(text, allow_extensions=True)
    assert (parsed.extensions, parsed.text()) == (("one", "two"), text)


@pytest.mark.parametrize("text", [CHECKPOINT.text() + "\n", CHECKPOINT.text() + "one\n\ntwo\n"])
def test_an_empty_extension_line_is_refused_even_where_allowed(text: str) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint.parse(text, allow_extensions=True)


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [("", 1, ROOT), ("a\nb", 1, ROOT), ("a", -1, ROOT), ("a", 2**63, ROOT), ("a", 1, ROOT[1:]), ("a", 1, b"")],
)
def test_a_value_that_no_text_could_state_is_refused(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint(origin, size, root)
