"""The frames of a bundle on its way in: the manifest first, then chunks."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ManifestFrame:
    """The sender's manifest, a token nobody has verified."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChunkFrame:
    """A piece of the document at a position of the manifest, nothing of it checked."""

    document: int
    data: bytes = field(repr=False)


Frame = ManifestFrame | ChunkFrame
