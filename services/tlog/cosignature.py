"""Cosignatures (C2SP `tlog-cosignature`, Ed25519): a witness's dated word that a log it follows reached a checkpoint.

Guarantees that only a checkpoint is ever cosigned, and that a time returned was signed together with every line of the
note's text. Leaves to the signer to have seen the log's own signature and a consistency proof first, and never to
cosign a smaller or other tree afterwards; to the verifier, to open the checkpoint with the log's own key
(`checkpoint.open_checkpoint`) and to judge how old, or how far ahead of its clock, the time is.

A cosignature says nothing about extension lines, though it covers them. ML-DSA-44 cosignatures (0x06) are not read.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from services.tlog.canonical import MAX_INTEGER, decode_base64, encode_base64
from services.tlog.checkpoint import Checkpoint
from services.tlog.note import NoteError, SignatureLine, Verifier, parse_note

_HEADER = "cosignature/v1"
_KIND = b"\x04"
_KEY_ID_SIZE, _TIME_SIZE, _SIGNATURE_SIZE = 4, 8, 64


def cosigned_message(text: str, time_s: int) -> bytes:
    """What is signed: a header, the time in seconds since 1970, and a checkpoint's whole text (§ Ed25519 signed message).

    Raises: NoteError for a text that is no checkpoint, or unless 1 ≤ time_s < 2⁶³.
    """
    # Zero stands for no time at all (C2SP tlog-witness § add-checkpoint), and then nothing is said.
    if not 1 <= time_s <= MAX_INTEGER:
        raise NoteError("a cosignature's time is at least 1 and below 2^63")
    Checkpoint.parse(text, allow_extensions=True)
    return f"{_HEADER}\ntime {time_s}\n{text}".encode()


@dataclass(frozen=True, slots=True)
class CosignatureVerifier:
    """A named Ed25519 public key (32 bytes) that speaks as a witness; as a log's key it would be another.

    Raises: NoteError for a name or a key size that `note.Verifier` refuses.
    """

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        Verifier(self.name, self.public_key)

    @classmethod
    def from_vkey(cls, vkey: str) -> Self:
        """Reads `name+hex(key id)+base64(0x04 ‖ public key)`, in that one spelling.

        Raises: NoteError for anything else, an id that is not the key's, or a key of another type.
        """
        name, _, rest = vkey.partition("+")
        _, _, encoded = rest.partition("+")
        try:
            verifier = cls(name, decode_base64(encoded)[len(_KIND) :])
        except NoteError:
            raise
        except ValueError as error:
            raise NoteError("base64 in another than its canonical form") from error
        if verifier.vkey != vkey:
            raise NoteError("not a verifier key for Ed25519 cosignatures, or its id is not its own")
        return verifier

    @property
    def key_id(self) -> bytes:
        """The 4 bytes `SHA-256(name ‖ 0x0A ‖ 0x04 ‖ public key)[:4]` (§ Format)."""
        return sha256(self.name.encode() + b"\n" + _KIND + self.public_key).digest()[:_KEY_ID_SIZE]

    @property
    def vkey(self) -> str:
        """The key as text: `name+hex(key id)+base64(0x04 ‖ public key)`."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(_KIND + self.public_key)}"

    def verify(self, note: str | bytes) -> int:
        """When this key cosigned the checkpoint, in seconds since 1970: the latest time, if it did so more than once.

        Signatures by other keys, the log's own among them, are not judged. A line by this key must verify each time it
        occurs. Raises: NoteError for a malformed note or checkpoint, a failed cosignature, or none by this key.
        """
        text, signatures = parse_note(note)
        own = [line.signature for line in signatures if (line.name, line.key_id) == (self.name, self.key_id)]
        if not own:
            raise NoteError(f"no cosignature by {self.name}")
        return max(self._verify(text, signature) for signature in own)

    def _verify(self, text: str, signature: bytes) -> int:
        if len(signature) != _TIME_SIZE + _SIGNATURE_SIZE:
            raise NoteError("a cosignature is a time of 8 bytes and a signature of 64")
        time_s = int.from_bytes(signature[:_TIME_SIZE], "big")
        Verifier(self.name, self.public_key).verify(cosigned_message(text, time_s), signature[_TIME_SIZE:])
        return time_s


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A named Ed25519 key that cosigns: `sign` makes the 64-byte signature of a message, wherever the private key is."""

    name: str
    sign: Callable[[bytes], bytes]
    public_key: bytes

    @property
    def verifier(self) -> CosignatureVerifier:
        """The key that verifies what this one cosigns. Raises: NoteError as `CosignatureVerifier` does."""
        return CosignatureVerifier(self.name, self.public_key)

    def line(self, note: str | bytes, time_s: int) -> str:
        """The signature line alone: what a witness answers (C2SP tlog-witness § add-checkpoint).

        Raises: NoteError for a note that is malformed or no checkpoint's, a time outside 1 to 2⁶³ − 1, or a signature
        not 64 bytes long.
        """
        text, _ = parse_note(note)
        signature = self.sign(cosigned_message(text, time_s))
        if len(signature) != _SIGNATURE_SIZE:
            raise NoteError(f"an Ed25519 signature is {_SIGNATURE_SIZE} bytes long")
        dated = time_s.to_bytes(_TIME_SIZE, "big") + signature
        return SignatureLine(self.name, self.verifier.key_id, dated).text()

    def cosign(self, note: str, time_s: int) -> str:
        """The note with this key's line after those that it has; whoever calls has opened it with the log's key.

        Raises: NoteError as `line`, or if the note would have too many signatures or bytes.
        """
        cosigned = note + self.line(note, time_s)
        parse_note(cosigned)
        return cosigned
