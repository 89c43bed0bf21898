"""What a log asks of a witness (C2SP `tlog-witness` § add-checkpoint): the old size, a consistency proof, a checkpoint.

Guarantees that a text that parses is, byte for byte, what `format_add_checkpoint` writes of its parts. Proves nothing.
The witness, in the specification's order: opens the checkpoint with the key that it trusts for the origin, compares the
old size with the checkpoint's and with what it cosigned last, verifies the proof (`proof.verify_consistency`), stores the
checkpoint, and only then answers `cosignature.Cosigner.line`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.tlog.canonical import MAX_INTEGER, decode_decimal, decode_hash, encode_base64
from services.tlog.note import parse_note
from services.tlog.tree import HASH_SIZE

MAX_HASHES = 63
_OLD = "old "


class AddCheckpointError(ValueError):
    """A request to a witness that is malformed."""


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """The parts of a request: the size that the witness is thought to know, the proof's hashes, the note, unopened.

    Raises: AddCheckpointError for a size that is negative or above 2⁶³ − 1, a hash of another length than 32 bytes,
    more than 63 of them, or a malformed note.
    """

    old_size: int
    proof: tuple[bytes, ...]
    checkpoint_note: str

    def __post_init__(self) -> None:
        if not 0 <= self.old_size <= MAX_INTEGER:
            raise AddCheckpointError("an old size is at least 0 and below 2^63")
        if len(self.proof) > MAX_HASHES or any(len(each) != HASH_SIZE for each in self.proof):
            raise AddCheckpointError(f"a proof has at most {MAX_HASHES} hashes, each {HASH_SIZE} bytes long")
        try:
            parse_note(self.checkpoint_note)
        except ValueError as error:
            raise AddCheckpointError(f"a request's checkpoint: {error}") from error


def format_add_checkpoint(old_size: int, proof: Sequence[bytes], checkpoint_note: str) -> str:
    """The request's body, ending with the checkpoint's note, verbatim.

    Raises: AddCheckpointError as `AddCheckpoint` does.
    """
    parts = AddCheckpoint(old_size, tuple(proof), checkpoint_note)
    return "\n".join((f"{_OLD}{old_size}", *map(encode_base64, parts.proof), "", checkpoint_note))


def parse_add_checkpoint(body: str | bytes) -> AddCheckpoint:
    """The parts of a request; its checkpoint is not opened.

    Raises: AddCheckpointError for any bytes that `format_add_checkpoint` does not write.
    """
    try:
        text = body if isinstance(body, str) else body.decode()
        head, _, checkpoint_note = text.partition("\n\n")
        old, *lines = head.split("\n")
        old_size, proof = decode_decimal(old.removeprefix(_OLD)), tuple(map(decode_hash, lines))
    except ValueError as error:
        raise AddCheckpointError(f"a request's old size or hash: {error}") from error
    if not old.startswith(_OLD):
        raise AddCheckpointError("a request begins with an old size")
    return AddCheckpoint(old_size, proof, checkpoint_note)
