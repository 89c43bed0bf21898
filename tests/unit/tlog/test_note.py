"""A note opens to what its known keys signed, and to nothing else."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tlog.note import MAX_NOTE_BYTES, MAX_SIGNATURES, NoteError, NoteSigner, Verifier, open_note, sign_note
from tests.unit.tlog.signing import one_byte_away, signer

LOG, WITNESS, STRANGER = signer("example.org/log"), signer("witness.example"), signer("stranger.example")
TEXT = "first\n\nthird\n"
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.just("\n"), max_size=60).map(
    lambda text: text + "\n"
)


@given(TEXTS)
def test_a_signed_text_opens_to_itself_whatever_its_lines(text: str) -> None:
    opened = open_note(sign_note(text, LOG, WITNESS), [LOG.verifier, WITNESS.verifier])
    assert (opened.text, opened.verified, opened.unknown) == (text, (LOG.verifier, WITNESS.verifier), 0)


def test_a_note_opens_from_bytes_as_from_text() -> None:
    note = sign_note(TEXT, LOG)
    assert open_note(note.encode(), [LOG.verifier]) == open_note(note, [LOG.verifier])


def test_signatures_by_unknown_keys_are_counted_and_not_judged() -> None:
    note = sign_note(TEXT, STRANGER, LOG) + line("odd.example", b"\x00\x01\x02\x03" + bytes(72))
    opened = open_note(note, [LOG.verifier])
    assert (opened.verified, opened.unknown) == ((LOG.verifier,), 2)


def test_another_key_of_the_same_name_is_unknown_not_wrong() -> None:
    opened = open_note(sign_note(TEXT, LOG, signer(LOG.name, seed="other")), [LOG.verifier])
    assert (opened.verified, opened.unknown) == ((LOG.verifier,), 1)


def test_a_key_id_under_another_name_is_unknown_not_wrong() -> None:
    opened = open_note(sign_note(TEXT, LOG) + line("other", LOG.verifier.key_id + bytes(64)), [LOG.verifier])
    assert (opened.verified, opened.unknown) == ((LOG.verifier,), 1)


def test_a_repeated_signature_counts_once() -> None:
    assert open_note(sign_note(TEXT, LOG, LOG), [LOG.verifier, LOG.verifier]).verified == (LOG.verifier,)


def test_a_failed_signature_by_a_known_key_spoils_the_note_even_beside_a_good_one() -> None:
    bad = line(LOG.name, LOG.verifier.key_id + bytes(64))
    for note in (sign_note(TEXT, LOG) + bad, sign_note(TEXT, WITNESS) + bad):
        with pytest.raises(NoteError, match="does not verify"):
            open_note(note, [LOG.verifier, WITNESS.verifier])


def test_a_note_that_no_known_key_signed_is_refused() -> None:
    for known in ([], [WITNESS.verifier]):
        with pytest.raises(NoteError, match="no signature by a known key"):
            open_note(sign_note(TEXT, LOG), known)


def test_two_known_keys_that_share_name_and_id_are_refused() -> None:
    first, second = colliding_keys()
    with pytest.raises(NoteError, match="share an id"):
        open_note(sign_note(TEXT, LOG), [LOG.verifier, first, second])


def colliding_keys() -> tuple[Verifier, Verifier]:
    """Found by trying the public keys 0, 1, 2…: the first two whose ids under this name are equal."""
    return Verifier("c", (44464).to_bytes(32)), Verifier("c", (47398).to_bytes(32))


@pytest.mark.parametrize("note", [sign_note(TEXT, LOG), sign_note("a\n", LOG)])
def test_a_note_with_any_one_byte_changed_is_refused(note: str) -> None:
    for changed in one_byte_away(note.encode()):
        with pytest.raises(NoteError):
            open_note(changed, [LOG.verifier])


@given(st.binary(max_size=200) | TEXTS.map(str.encode))
def test_bytes_that_are_no_note_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    for candidate in (data, data + b"\n\n\xe2\x80\x94 " + data + b"\n", sign_note(TEXT, LOG).encode() + data):
        if candidate != sign_note(TEXT, LOG).encode():
            with pytest.raises(NoteError):
                open_note(candidate, [LOG.verifier])


def line(name: str, data: bytes) -> str:
    return f"— {name} {b64encode(data).decode()}\n"


SIGNED = sign_note(TEXT, LOG)
SIGNATURE = SIGNED.removeprefix(TEXT + "\n")
MALFORMED = {
    "empty": "",
    "no signature": TEXT,
    "no signature after the blank line": TEXT + "\n",
    "no final newline": SIGNED[:-1],
    "no blank line": TEXT + SIGNATURE,
    "a blank line too many at the end": SIGNED + "\n",
    "a blank line between signatures": SIGNED + "\n" + SIGNATURE,
    "a line that is no signature": SIGNED + "signed\n",
    "a hyphen for the dash": SIGNED.replace("—", "-"),
    "two spaces": SIGNED.replace("— ", "—  "),
    "a carriage return": SIGNED[:-1] + "\r\n",
    "a tab in the text": "\t" + SIGNED,
    "an escape in the text": "\x1b" + SIGNED,
    "a lone surrogate": "\ud800" + SIGNED,
    "an empty name": SIGNED + line("", bytes(68)),
    "a plus in a name": SIGNED + line("a+b", bytes(68)),
    "a no-break space in a name": SIGNED + line("a\u00a0b", bytes(68)),
    "a line separator in a name": SIGNED + line("a\u2028b", bytes(68)),
    "a fourth field": SIGNED + line("a", bytes(68)).replace("\n", " x\n"),
    "an id without signature": SIGNED + line("a", bytes(4)),
    "base64 without padding": SIGNED + "— a AAAAAAA\n",
    "base64 with bits to spare": SIGNED + "— a AAAAAAB=\n",
    "too many signatures": TEXT + "\n" + SIGNATURE * (MAX_SIGNATURES + 1),
    "too long": "a" * MAX_NOTE_BYTES + SIGNED,
}


@pytest.mark.parametrize("note", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_note_is_refused_whatever_its_signatures(note: str) -> None:
    with pytest.raises(NoteError):
        open_note(note, [LOG.verifier])


def test_a_signature_of_an_empty_line_is_no_note_without_one() -> None:
    with pytest.raises(NoteError, match="blank line"):
        open_note(sign_note("\n", LOG).lstrip("\n"), [LOG.verifier])


def test_a_note_of_a_million_bytes_is_written_and_read_and_a_longer_one_is_neither() -> None:
    longest = "a" * (1_000_000 - len(SIGNED.encode()) + len(TEXT) - 1) + "\n"
    note = sign_note(longest, LOG)
    assert len(note.encode()) == 1_000_000
    assert open_note(note, [LOG.verifier]).text == longest
    with pytest.raises(NoteError, match="1000000 bytes"):
        sign_note("a" + longest, LOG)
    with pytest.raises(NoteError, match="1000000 bytes"):
        open_note("a" + note, [LOG.verifier])


def test_as_many_signatures_as_allowed_are_written_and_read() -> None:
    opened = open_note(sign_note(TEXT, LOG, *[STRANGER] * (MAX_SIGNATURES - 1)), [LOG.verifier])
    assert opened.unknown == MAX_SIGNATURES - 1


@pytest.mark.parametrize(
    "text", ["", "no newline", "a\tb\n", "a\rb\n", "\0\n", "\ud800\n", "a" * MAX_NOTE_BYTES + "\n"]
)
def test_a_text_that_no_note_can_carry_is_not_signed(text: str) -> None:
    with pytest.raises(NoteError):
        sign_note(text, LOG)


@pytest.mark.parametrize("count", [0, MAX_SIGNATURES + 1])
def test_a_note_has_at_least_one_signer_and_no_more_than_can_be_read(count: int) -> None:
    with pytest.raises(NoteError, match="signatures"):
        sign_note(TEXT, *[LOG] * count)


def test_a_signer_that_answers_no_signature_is_refused() -> None:
    with pytest.raises(NoteError, match="64 bytes"):
        sign_note(TEXT, NoteSigner(LOG.name, lambda _: b"", LOG.public_key))


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\n", "a\0b", "a\x1fb", "a\u3000b", "a\u0085b", "\ud800"])
def test_a_key_name_that_a_signature_line_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(NoteError):
        Verifier(name, bytes(32))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_public_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(NoteError, match="32 bytes"):
        Verifier("a", bytes(length))


@given(st.binary(min_size=32, max_size=32))
def test_a_key_survives_its_text(public_key: bytes) -> None:
    verifier = Verifier("example.org/log", public_key)
    assert Verifier.from_vkey(verifier.vkey) == verifier
