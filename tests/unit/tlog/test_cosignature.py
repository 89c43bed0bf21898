"""A cosignature is one witness's dated word about one checkpoint, and nothing else passes for it."""

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tlog.canonical import MAX_INTEGER
from services.tlog.checkpoint import Checkpoint, CheckpointError, open_checkpoint, sign_checkpoint
from services.tlog.cosignature import CosignatureVerifier, Cosigner, cosigned_message
from services.tlog.note import MAX_NOTE_BYTES, MAX_SIGNATURES, NoteError, NoteSigner, Verifier, sign_note
from tests.unit.tlog.signing import one_byte_away, signer

LOG = signer("example.org/ledger/1/0")
CHECKPOINT = Checkpoint(LOG.name, 42, bytes(range(32)))
NOTE = sign_checkpoint(CHECKPOINT, LOG)
TIME = 1_679_315_147


def cosigner(name: str, *, seed: str = "") -> Cosigner:
    key = signer(name, seed=seed)
    return Cosigner(key.name, key.sign, key.public_key)


WITNESS, OTHER = cosigner("witness.example/w1"), cosigner("witness.example/w2")
VERIFIER = WITNESS.verifier


@given(st.integers(1, MAX_INTEGER))
def test_a_cosigned_checkpoint_says_when_and_still_opens_as_the_logs(time_s: int) -> None:
    cosigned = WITNESS.cosign(NOTE, time_s)
    assert VERIFIER.verify(cosigned) == VERIFIER.verify(cosigned.encode()) == time_s
    assert open_checkpoint(cosigned, LOG.verifier) == CHECKPOINT


def test_the_line_is_the_key_id_the_time_and_the_signature_after_those_there_were() -> None:
    message = f"cosignature/v1\ntime {TIME}\n{CHECKPOINT.text()}".encode()
    key_id = sha256(b"witness.example/w1\n\x04" + WITNESS.public_key).digest()[:4]
    payload = key_id + TIME.to_bytes(8, "big") + WITNESS.sign(message)
    line = f"— witness.example/w1 {b64encode(payload).decode()}\n"
    assert cosigned_message(CHECKPOINT.text(), TIME) == message
    assert WITNESS.line(NOTE, TIME) == WITNESS.line(NOTE.encode(), TIME) == line
    assert WITNESS.cosign(NOTE, TIME) == NOTE + line


def test_each_witness_of_many_is_read_by_its_own_key() -> None:
    cosigned = OTHER.cosign(WITNESS.cosign(NOTE, TIME), TIME + 5)
    assert (VERIFIER.verify(cosigned), OTHER.verifier.verify(cosigned)) == (TIME, TIME + 5)


@pytest.mark.parametrize("times", [(TIME, TIME + 9), (TIME + 9, TIME)])
def test_of_several_times_by_one_witness_the_latest_counts(times: tuple[int, int]) -> None:
    cosigned = WITNESS.cosign(WITNESS.cosign(NOTE, times[0]), times[1])
    assert VERIFIER.verify(cosigned) == TIME + 9


def test_extension_lines_are_covered() -> None:
    text = Checkpoint(LOG.name, 42, bytes(32), ("one", "two")).text()
    cosigned = WITNESS.cosign(sign_note(text, LOG), TIME)
    assert VERIFIER.verify(cosigned) == TIME
    for changed in (cosigned.replace("two", "tow"), cosigned.replace("two\n", "")):
        with pytest.raises(NoteError, match="does not verify"):
            VERIFIER.verify(changed)


def test_a_cosigned_checkpoint_with_any_one_byte_changed_is_refused() -> None:
    note = CHECKPOINT.text() + "\n" + WITNESS.line(NOTE, TIME)
    assert VERIFIER.verify(note) == TIME
    for changed in one_byte_away(note.encode()):
        with pytest.raises(NoteError):
            VERIFIER.verify(changed)


def test_a_failed_line_by_a_witness_spoils_its_good_one_but_not_anothers() -> None:
    cosigned = OTHER.cosign(WITNESS.cosign(NOTE, TIME), TIME) + line(WITNESS.name, VERIFIER.key_id + bytes(72))
    with pytest.raises(NoteError):
        VERIFIER.verify(cosigned)
    assert OTHER.verifier.verify(cosigned) == TIME


def test_a_time_that_was_not_the_one_signed_is_refused() -> None:
    payload = b64decode(WITNESS.line(NOTE, TIME).split()[-1])
    moved = payload[:4] + (TIME + 1).to_bytes(8, "big") + payload[12:]
    with pytest.raises(NoteError, match="does not verify"):
        VERIFIER.verify(NOTE + line(WITNESS.name, moved))


@pytest.mark.parametrize("time_s", [0, -1, MAX_INTEGER + 1, 2**64])
def test_no_time_outside_the_format_is_cosigned(time_s: int) -> None:
    with pytest.raises(NoteError, match="time"):
        WITNESS.cosign(NOTE, time_s)


@pytest.mark.parametrize("time_s", [0, MAX_INTEGER + 1, 2**64 - 1])
def test_no_time_outside_the_format_is_believed_even_if_it_was_signed(time_s: int) -> None:
    signature = WITNESS.sign(f"cosignature/v1\ntime {time_s}\n{CHECKPOINT.text()}".encode())
    forged = VERIFIER.key_id + time_s.to_bytes(8, "big") + signature
    with pytest.raises(NoteError, match="time"):
        VERIFIER.verify(NOTE + line(WITNESS.name, forged))


@pytest.mark.parametrize("size", [1, 8, 64, 71, 73, 80])
def test_a_cosignature_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(NoteError, match="8 bytes and a signature of 64"):
        VERIFIER.verify(NOTE + line(WITNESS.name, VERIFIER.key_id + bytes(size)))


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_signature_of_another_length_is_not_written(size: int) -> None:
    with pytest.raises(NoteError, match="64 bytes"):
        Cosigner("w", lambda _: bytes(size), WITNESS.public_key).cosign(NOTE, TIME)


def test_a_checkpoint_that_this_witness_did_not_cosign_is_refused() -> None:
    same_name = cosigner(WITNESS.name, seed="other")
    for note in (NOTE, OTHER.cosign(NOTE, TIME), same_name.cosign(NOTE, TIME)):
        with pytest.raises(NoteError, match=r"no cosignature by witness\.example/w1"):
            VERIFIER.verify(note)


def test_a_logs_signature_is_no_cosignature_and_a_cosignature_no_logs_signature() -> None:
    both = signer("witness.example/w1")
    with pytest.raises(NoteError, match="no cosignature"):
        VERIFIER.verify(sign_note(CHECKPOINT.text(), both))
    with pytest.raises(NoteError, match="no signature by a known key"):
        open_checkpoint(WITNESS.cosign(NOTE, TIME), both.verifier)
    assert VERIFIER.key_id != both.verifier.key_id


def test_a_plain_signature_under_a_witnesss_key_id_is_refused() -> None:
    plain = VERIFIER.key_id + TIME.to_bytes(8, "big") + WITNESS.sign(CHECKPOINT.text().encode())
    with pytest.raises(NoteError, match="does not verify"):
        VERIFIER.verify(NOTE + line(WITNESS.name, plain))


@pytest.mark.parametrize(
    "text", ["no checkpoint\n", "origin\n1\n", "origin\n01\n" + "A" * 43 + "=\n", "origin\n0\n" + "A" * 43 + "=\n"]
)
def test_only_a_checkpoint_is_cosigned_or_believed(text: str) -> None:
    note = sign_note(text, NoteSigner(LOG.name, LOG.sign, LOG.public_key))
    with pytest.raises(CheckpointError):
        WITNESS.cosign(note, TIME)
    signed = TIME.to_bytes(8, "big") + WITNESS.sign(f"cosignature/v1\ntime {TIME}\n{text}".encode())
    with pytest.raises(CheckpointError):
        VERIFIER.verify(note + line(WITNESS.name, VERIFIER.key_id + signed))


@pytest.mark.parametrize("note", ["", "origin\n", CHECKPOINT.text(), CHECKPOINT.text() + "\n", NOTE[:-1], NOTE + "x\n"])
def test_a_malformed_note_is_neither_cosigned_nor_read(note: str) -> None:
    with pytest.raises(NoteError):
        WITNESS.cosign(note, TIME)
    with pytest.raises(NoteError):
        VERIFIER.verify(note)


def test_a_note_that_is_full_takes_no_cosignature() -> None:
    signature = NOTE.removeprefix(CHECKPOINT.text() + "\n")
    with pytest.raises(NoteError, match="at most 100 signatures"):
        WITNESS.cosign(NOTE + signature * (MAX_SIGNATURES - 1), TIME)
    long = line("a" * (MAX_NOTE_BYTES - len(NOTE.encode()) - 110), bytes(68))
    with pytest.raises(NoteError, match="bytes"):
        WITNESS.cosign(NOTE + long, TIME)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_note_raise_nothing_else(data: bytes) -> None:
    for candidate in (data, NOTE.encode() + data, data + b"\n\n\xe2\x80\x94 w " + b64encode(data) + b"\n"):
        with pytest.raises(NoteError):
            VERIFIER.verify(candidate)


@given(st.text(max_size=20), st.binary(max_size=40))
def test_a_key_reads_back_as_itself_or_is_no_key(name: str, key: bytes) -> None:
    try:
        verifier = CosignatureVerifier(name, key)
    except NoteError:
        return
    assert CosignatureVerifier.from_vkey(verifier.vkey) == verifier


def test_a_witnesss_key_as_text_is_its_name_its_id_and_itself_after_a_4() -> None:
    encoded = b64encode(b"\x04" + WITNESS.public_key).decode()
    assert VERIFIER.vkey == f"witness.example/w1+{VERIFIER.key_id.hex()}+{encoded}"
    assert CosignatureVerifier.from_vkey(VERIFIER.vkey) == VERIFIER


BAD_VKEYS = {
    "empty": "",
    "a log's key": Verifier(WITNESS.name, WITNESS.public_key).vkey,
    "an id in upper case": VERIFIER.vkey.replace(VERIFIER.key_id.hex(), VERIFIER.key_id.hex().upper()),
    "another id": VERIFIER.vkey.replace(VERIFIER.key_id.hex(), "00000000"),
    "no id": f"{WITNESS.name}+{b64encode(bytes([4]) + WITNESS.public_key).decode()}",
    "another name": VERIFIER.vkey.replace("w1", "w2"),
    "an empty name": VERIFIER.vkey.removeprefix(WITNESS.name),
    "a space in the name": VERIFIER.vkey.replace("example/", "example "),
    "base64 that is none": VERIFIER.vkey[:-1] + "!",
    "base64 without its padding": VERIFIER.vkey.rstrip("=") + "A",
    "a key too short": CosignatureVerifier("w", bytes(32)).vkey[:-4],
    "a line more": VERIFIER.vkey + "\n",
}


@pytest.mark.parametrize("vkey", BAD_VKEYS.values(), ids=BAD_VKEYS.keys())
def test_a_malformed_or_foreign_key_is_refused(vkey: str) -> None:
    with pytest.raises(NoteError):
        CosignatureVerifier.from_vkey(vkey)


@pytest.mark.parametrize("kind", [0, 1, 2, 5, 6, 255])
def test_a_key_of_another_type_is_refused_even_with_the_id_it_would_have(kind: int) -> None:
    key = bytes([kind]) + WITNESS.public_key
    key_id = sha256(WITNESS.name.encode() + b"\n" + key).digest()[:4].hex()
    with pytest.raises(NoteError, match="not a verifier key for Ed25519 cosignatures"):
        CosignatureVerifier.from_vkey(f"{WITNESS.name}+{key_id}+{b64encode(key).decode()}")


@pytest.mark.parametrize(("name", "key"), [("", bytes(32)), ("a b", bytes(32)), ("a+b", bytes(32)), ("a", bytes(31))])
def test_a_key_of_another_size_or_with_a_name_that_no_line_carries_is_refused(name: str, key: bytes) -> None:
    with pytest.raises(NoteError):
        CosignatureVerifier(name, key)
    with pytest.raises(NoteError):
        Cosigner(name, lambda _: bytes(64), key).cosign(NOTE, TIME)


def line(name: str, data: bytes) -> str:
    return f"— {name} {b64encode(data).decode()}\n"
