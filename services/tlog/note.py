"""Signed notes (C2SP `signed-note`): a text, a blank line, and signature lines by named Ed25519 keys.

Guarantees that an opened note's text was signed, byte for byte, by at least one of the keys given, and that no
signature under a given key's name and id fails. Leaves to the caller which keys to trust, and what the text must say.

Signatures by keys that were not given, of whatever type (witness cosignatures among them), are counted and not judged.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.tlog.canonical import decode_base64, encode_base64

MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
_ED25519 = b"\x01"
_KEY_SIZE, _KEY_ID_SIZE, _SIGNATURE_SIZE = 32, 4, 64
_MARK = "—"


class NoteError(ValueError):
    """A note, a key or a key name that is malformed, or a note that no given key vouches for."""


def key_id(name: str, public_key: bytes) -> bytes:
    """The 4 bytes that tell keys of one name apart: `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)[:4]` (§ Signatures)."""
    return sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:_KEY_ID_SIZE]


@dataclass(frozen=True, slots=True)
class Verifier:
    """A named Ed25519 public key (32 bytes, RFC 8032).

    Raises: NoteError for a name that is empty or holds a space, a plus or a control character, or for a bad key size.
    """

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public_key) != _KEY_SIZE:
            raise NoteError(f"an Ed25519 public key is {_KEY_SIZE} bytes long")

    @classmethod
    def from_vkey(cls, vkey: str) -> Self:
        """Reads `name+hex(key id)+base64(0x01 ‖ public key)`, in that one spelling.

        Raises: NoteError for anything else, an id that is not the key's, or a key of another type.
        """
        name, _, rest = vkey.partition("+")
        _, _, encoded = rest.partition("+")
        verifier = cls(name, _decode(encoded)[len(_ED25519) :])
        if verifier.vkey != vkey:
            raise NoteError("not an Ed25519 verifier key, or its id is not its own")
        return verifier

    @property
    def key_id(self) -> bytes:
        """The key's id within its name, 4 bytes."""
        return key_id(self.name, self.public_key)

    @property
    def vkey(self) -> str:
        """The key as text: `name+hex(key id)+base64(0x01 ‖ public key)`."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(_ED25519 + self.public_key)}"

    def verify(self, message: bytes, signature: bytes) -> None:
        """Returns only if this key made this signature over this message (RFC 8032 §5.1.7).

        Raises: NoteError.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise NoteError(f"the signature of {self.name} does not verify") from error


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A named Ed25519 key that signs: `sign` makes the 64-byte signature of a message, wherever the private key is."""

    name: str
    sign: Callable[[bytes], bytes]
    public_key: bytes

    @property
    def verifier(self) -> Verifier:
        """The key that verifies what this one signs. Raises: NoteError as `Verifier` does."""
        return Verifier(self.name, self.public_key)


@dataclass(frozen=True, slots=True)
class Opened:
    """A note's text, the keys that signed it, each once and in the note's order, and the number of other signatures."""

    text: str
    verified: tuple[Verifier, ...]
    unknown: int


class SignatureLine(NamedTuple):
    """A signature as a note carries it: whose it claims to be, and the bytes that only this type of key understands."""

    name: str
    key_id: bytes
    signature: bytes

    def text(self) -> str:
        """The line, its newline included (§ Signatures)."""
        return f"{_MARK} {self.name} {encode_base64(self.key_id + self.signature)}\n"


def sign_note(text: str, *signers: NoteSigner) -> str:
    """The note of this text with a signature line by each signer in turn.

    Raises: NoteError for a text that no note can carry, no signer, too many, or a signature not 64 bytes long.
    """
    if not 0 < len(signers) <= MAX_SIGNATURES:
        raise NoteError(f"a note has 1 to {MAX_SIGNATURES} signatures")
    _check_text(text)
    message = _encode(text)
    note = text + "\n" + "".join(_signature_line(signer, message) for signer in signers)
    _check_size(note.encode())
    return note


def open_note(note: str | bytes, verifiers: Iterable[Verifier]) -> Opened:
    """The text of a note that at least one of these keys signed.

    Specification: C2SP signed-note § Format, § Signatures. A line by a given key must verify each time it occurs.
    Raises: NoteError for a malformed note, a failed signature by a given key, or no signature by any of them.
    """
    text, signatures = parse_note(note)
    known = _index(verifiers)
    by_known = [(known[name, key], signature) for name, key, signature in signatures if (name, key) in known]
    if not by_known:
        raise NoteError("no signature by a known key")
    for verifier, signature in by_known:
        verifier.verify(text.encode(), signature)
    verified = dict.fromkeys(verifier for verifier, _ in by_known)
    return Opened(text, tuple(verified), len(signatures) - len(by_known))


def parse_note(note: str | bytes) -> tuple[str, list[SignatureLine]]:
    """A note's text, and its signatures as they are written: nothing is verified, so nothing is yet believed.

    Raises: NoteError for a malformed note (§ Format).
    """
    raw = note if isinstance(note, bytes) else _encode(note)
    _check_size(raw)
    try:
        whole = raw.decode()
    except UnicodeDecodeError as error:
        raise NoteError("a note is valid UTF-8") from error
    _check_text(whole)
    body, blank, block = whole.rpartition("\n\n")
    if not blank:
        raise NoteError("a note is a text, a blank line, and signature lines")
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"a note has at most {MAX_SIGNATURES} signatures")
    return body + "\n", [_parse_signature(line) for line in lines]


def _signature_line(signer: NoteSigner, message: bytes) -> str:
    verifier = signer.verifier
    signature = signer.sign(message)
    if len(signature) != _SIGNATURE_SIZE:
        raise NoteError(f"an Ed25519 signature is {_SIGNATURE_SIZE} bytes long")
    return SignatureLine(verifier.name, verifier.key_id, signature).text()


def _index(verifiers: Iterable[Verifier]) -> dict[tuple[str, bytes], Verifier]:
    index: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        # Four bytes collide easily on purpose; a guess between two keys would let one speak for the other.
        if index.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise NoteError(f"two known keys of {verifier.name} share an id")
    return index


def _parse_signature(line: str) -> SignatureLine:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != _MARK:
        raise NoteError("a signature line is an em dash, a key name and base64")
    name, data = parts[1], _decode(parts[2])
    _check_name(name)
    if len(data) <= _KEY_ID_SIZE:
        raise NoteError("a signature line holds a key id and a signature")
    return SignatureLine(name, data[:_KEY_ID_SIZE], data[_KEY_ID_SIZE:])


def _check_size(raw: bytes) -> None:
    if len(raw) > MAX_NOTE_BYTES:
        raise NoteError(f"a note has at most {MAX_NOTE_BYTES} bytes")


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise NoteError("a note, and its text, end in a newline")
    if any(character < " " and character != "\n" for character in text):
        raise NoteError("a note has no control character but newline")


def _check_name(name: str) -> None:
    if not name or any(character.isspace() or character < " " or character == "+" for character in name):
        raise NoteError("a key name is not empty and has no space, plus or control character")
    _encode(name)


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise NoteError("a note is valid UTF-8") from error


def _decode(encoded: str) -> bytes:
    try:
        return decode_base64(encoded)
    except ValueError as error:
        raise NoteError("base64 in another than its canonical form") from error
