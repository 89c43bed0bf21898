"""Checkpoints (C2SP `tlog-checkpoint`): a log's origin, size and root, as the text of a signed note.

Guarantees that a parsed checkpoint writes back to the same text, and that an opened one was signed by the key whose
name is its origin. Leaves to the caller whether it is consistent with the checkpoints seen before.
"""

from dataclasses import dataclass
from typing import Self

from services.tlog.canonical import MAX_INTEGER, decode_decimal, decode_hash, encode_base64
from services.tlog.note import NoteError, NoteSigner, Verifier, open_note, sign_note
from services.tlog.tree import EMPTY_ROOT, HASH_SIZE


class CheckpointError(NoteError):
    """A checkpoint that is malformed, or names another log than the key that signed it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits to: its origin, its size in leaves, its 32-byte root, and extension lines, normally none.

    Raises: CheckpointError for an origin or an extension that is not one non-empty line, a size that is negative or
    above 2⁶³ − 1, a root of another length, or a root of no leaves that is not `EMPTY_ROOT`.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(not line or "\n" in line for line in (self.origin, *self.extensions)):
            raise CheckpointError("an origin or an extension is one non-empty line")
        if not 0 <= self.size <= MAX_INTEGER:
            raise CheckpointError("a size is at least 0 and below 2^63")
        if len(self.root) != HASH_SIZE or (self.size == 0 and self.root != EMPTY_ROOT):
            raise CheckpointError(f"a root is {HASH_SIZE} bytes long, and of an empty tree the empty root")

    @classmethod
    def parse(cls, text: str, *, allow_extensions: bool = False) -> Self:
        """Reads a note's text (§ Note text): origin, size and root, a line each, then extensions if allowed.

        Raises: CheckpointError for any other text, or a size or root in another than its canonical form.
        """
        origin, size, root, *extensions = _lines(text)
        if extensions and not allow_extensions:
            raise CheckpointError("extension lines are refused")
        try:
            leaves, head = decode_decimal(size), decode_hash(root)
        except ValueError as error:
            raise CheckpointError(f"a checkpoint's size or root: {error}") from error
        return cls(origin, leaves, head, tuple(extensions))

    def text(self) -> str:
        """The note's text, byte for byte what `parse` reads."""
        return "\n".join((self.origin, str(self.size), encode_base64(self.root), *self.extensions, ""))


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner) -> str:
    """The checkpoint as a note signed by the log's own key.

    Raises: CheckpointError for a key whose name is not the origin; NoteError as `sign_note` does.
    """
    _check_origin(checkpoint, signer.name)
    return sign_note(checkpoint.text(), signer)


def open_checkpoint(note: str | bytes, verifier: Verifier) -> Checkpoint:
    """The checkpoint in a note that this log's key signed; other signatures are allowed and not judged.

    Raises: NoteError as `open_note` does; CheckpointError for a malformed text or another origin than the key's name.
    """
    checkpoint = Checkpoint.parse(open_note(note, [verifier]).text)
    _check_origin(checkpoint, verifier.name)
    return checkpoint


def _check_origin(checkpoint: Checkpoint, name: str) -> None:
    if checkpoint.origin != name:
        raise CheckpointError(f"the key {name} does not speak for the log {checkpoint.origin}")


def _lines(text: str) -> list[str]:
    lines = text.removesuffix("\n").split("\n")
    if not text.endswith("\n") or len(lines) < 3:
        raise CheckpointError("a checkpoint is an origin, a size and a root, a whole line each")
    return lines
