"""Inclusion proofs as text (C2SP `tlog-proof`): an index, the proof's hashes, and the checkpoint they lead to.

Guarantees that a text that parses is, character for character, what `format_proof` writes of its parts. Proves nothing:
the caller opens the checkpoint with a key it trusts (`checkpoint.open_checkpoint`), then verifies the leaf against that
size and root (`proof.verify_inclusion`).

The format's optional `extra` line is refused: it is not authenticated, and this log has no use for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.tlog.canonical import MAX_INTEGER, decode_decimal, decode_hash, encode_base64
from services.tlog.proof import ProofError
from services.tlog.tree import HASH_SIZE

HEADER = "c2sp.org/tlog-proof@v1"
MAX_HASHES = MAX_INTEGER.bit_length()
"""No tree of a size that a checkpoint can state is higher."""

_INDEX = "index "


@dataclass(frozen=True, slots=True)
class ProofText:
    """The parts of a proof: the leaf's index, the hashes from its sibling up, and the checkpoint's note, unopened.

    Raises: ProofError for an index that is negative or above 2⁶³ − 1, a hash of another length than 32 bytes, more than
    `MAX_HASHES` of them, or a note that does not end in a newline.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint_note: str

    def __post_init__(self) -> None:
        if not 0 <= self.index <= MAX_INTEGER:
            raise ProofError("an index is at least 0 and below 2^63")
        if len(self.hashes) > MAX_HASHES or any(len(each) != HASH_SIZE for each in self.hashes):
            raise ProofError(f"a proof has at most {MAX_HASHES} hashes, each {HASH_SIZE} bytes long")
        if not self.checkpoint_note.endswith("\n"):
            raise ProofError("a proof ends with a checkpoint's note")


def format_proof(index: int, hashes: Sequence[bytes], checkpoint_note: str) -> str:
    """The proof as text (§ Format), ending with the checkpoint's note, verbatim.

    Raises: ProofError as `ProofText` does.
    """
    parts = ProofText(index, tuple(hashes), checkpoint_note)
    return "\n".join((HEADER, f"{_INDEX}{index}", *map(encode_base64, parts.hashes), "", checkpoint_note))


def parse_proof(text: str) -> ProofText:
    """The parts of a proof; its checkpoint is neither opened nor parsed.

    Raises: ProofError for any text that `format_proof` does not write, one with an `extra` line included.
    """
    head, _, checkpoint_note = text.partition("\n\n")
    header, *lines = head.split("\n")
    if header != HEADER or not lines or not lines[0].startswith(_INDEX):
        raise ProofError(f"a proof begins with {HEADER} and an index")
    try:
        index = decode_decimal(lines[0].removeprefix(_INDEX))
        hashes = tuple(map(decode_hash, lines[1:]))
    except ValueError as error:
        raise ProofError(f"a proof's index or hash: {error}") from error
    return ProofText(index, hashes, checkpoint_note)
