"""Signed notes and keys that others published: Go's `sumdb/note`, C2SP `signed-note`, live logs."""

from base64 import b64decode

import pytest

from services.tlog.note import NoteError, NoteSigner, Verifier, open_note, sign_note

PETER = Verifier.from_vkey("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
ENOCH = Verifier.from_vkey("EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop")
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
NOTE = TEXT + "\n" + PETER_LINE + ENOCH_LINE

VKEYS = [
    PETER.vkey,
    ENOCH.vkey,
    "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
]
BAD_VKEYS = {
    "a key of the wrong length, with the id that it would have": (
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=="
    ),
    "an unknown algorithm, with its id": "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "a witness's cosignature key": "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "an id in upper case": "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "another key's id": "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    "a space in the name": "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
}


@pytest.mark.parametrize("vkey", VKEYS)
def test_a_published_key_is_read_and_written_back(vkey: str) -> None:
    assert Verifier.from_vkey(vkey).vkey == vkey


@pytest.mark.parametrize("vkey", BAD_VKEYS.values(), ids=BAD_VKEYS.keys())
def test_a_published_mangled_key_is_refused(vkey: str) -> None:
    with pytest.raises(NoteError):
        Verifier.from_vkey(vkey)


def test_no_part_and_no_neighbour_of_a_published_key_is_a_key() -> None:
    vkey = PETER.vkey
    parts = {vkey[start:end] for start in range(len(vkey)) for end in range(start, len(vkey) + 1)} - {vkey}
    neighbours = {vkey[:at] + chr(ord(vkey[at]) + 1) + vkey[at + 1 :] for at in range(len(vkey))}
    for mangled in parts | neighbours:
        with pytest.raises(NoteError):
            Verifier.from_vkey(mangled)


@pytest.mark.parametrize(
    ("known", "verified", "unknown"),
    [([PETER], (PETER,), 1), ([ENOCH], (ENOCH,), 1), ([ENOCH, PETER], (PETER, ENOCH), 0)],
)
def test_the_published_note_opens_with_either_key_and_with_both(
    known: list[Verifier], verified: tuple[Verifier, ...], unknown: int
) -> None:
    opened = open_note(NOTE, known)
    assert (opened.text, opened.verified, opened.unknown) == (TEXT, verified, unknown)


def test_the_published_note_is_written_byte_for_byte() -> None:
    signers = [replaying(PETER, PETER_LINE), replaying(ENOCH, ENOCH_LINE)]
    assert sign_note(TEXT, *signers) == NOTE


def replaying(verifier: Verifier, line: str) -> NoteSigner:
    """Answers the published signature, for the published text only."""
    signature = b64decode(line.split()[-1])[4:]

    def sign(message: bytes) -> bytes:
        verifier.verify(message, signature)
        return signature

    return NoteSigner(verifier.name, sign, verifier.public_key)


def test_the_example_of_the_specification_parses_and_is_refused_for_want_of_its_key() -> None:
    note = (
        "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
        "— quasimodo.example/salvatore "
        "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
    )
    with pytest.raises(NoteError, match="no signature by a known key"):
        open_note(note, [PETER])


BAD_NOTES = {
    "no signatures": TEXT,
    "no signature lines": TEXT + "\n",
    "an unfinished line": TEXT + "\n" + PETER_LINE[:-1],
    "a control character": "\x01" + TEXT + "\n" + PETER_LINE,
    "a name with a space": TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Bad Name"),
    "an unexpected line": TEXT + "\n" + PETER_LINE + "Unexpected line.\n",
    "too many signatures": TEXT + "\n" + PETER_LINE * 101,
    "a lengthened signature": TEXT + "\n" + PETER_LINE[:60] + "ABCD" + PETER_LINE[60:],
    "another name": TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "CarmenSandiego"),
    "another key id": TEXT + "\n" + PETER_LINE.replace("x08g", "xxxx"),
}


@pytest.mark.parametrize("note", BAD_NOTES.values(), ids=BAD_NOTES.keys())
def test_a_published_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(NoteError):
        open_note(note, [PETER])


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(NoteError, match="UTF-8"):
        open_note(b"\xff" + NOTE.encode(), [PETER])
