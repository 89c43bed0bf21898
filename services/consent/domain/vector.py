"""How far something has seen the logs: one size for each shard, as text that callers keep and never read."""

import base64
import binascii
from dataclasses import dataclass

from services.formats.canonical import FormatError, Members, dumps, loads_canonical

MAX_TEXT = 65_536


@dataclass(frozen=True, slots=True)
class Vector:
    """So many entries of each shard's log, of one epoch. No snapshot: no two shards were read at one instant."""

    epoch: int
    sizes: tuple[int, ...]

    @property
    def text(self) -> str:
        """The vector as a caller keeps it: base64url of canonical JSON."""
        return base64.urlsafe_b64encode(dumps({"e": self.epoch, "s": list(self.sizes)})).decode().rstrip("=")

    @staticmethod
    def parse(text: str) -> "Vector | None":
        """The vector of such a text; None for any other."""
        if len(text) > MAX_TEXT:
            return None
        try:
            data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            members = Members(loads_canonical(data, MAX_TEXT), "vector")
            sizes = members.items("s", lambda item, what: Members({"size": item}, what).integer("size"))
            vector = Vector(members.integer("e"), sizes)
            members.done()
        except (FormatError, binascii.Error, ValueError):
            return None
        return vector if vector.text == text else None
