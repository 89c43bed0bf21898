"""Pages of a list (AIP-158): how many items, after which one, and the text that a caller sends back for the next.

Guarantees that a token goes on only in the list it was given out for: it binds who asked, and for what. It holds nothing
that the caller was not told, and gives no right: whoever asks for a page is checked as for the first.
"""

import base64
import binascii
from dataclasses import dataclass

from services.formats.canonical import FormatError, Members, dumps, loads_canonical
from services.formats.entry import sha256_hex

DEFAULT, MOST = 50, 100
MAX_TOKEN = 1024
Position = tuple[str | int, ...]
"""What places an item in its list: the first page begins after ()."""


@dataclass(frozen=True, slots=True)
class Page:
    """At most `size` items after `after`; `asked` stands for the list."""

    size: int
    asked: str
    after: Position = ()

    def following(self, *last: str | int) -> str:
        """The token of the page that begins after the item at `last`: base64url of canonical JSON."""
        return _text(self.asked, last)


def digest(*asked: str) -> str:
    """What stands for a list: the question, and who asks."""
    return sha256_hex(dumps(list(asked)))[:32]


def read_token(text: str, asked: str, form: tuple[type, ...]) -> Position | None:
    """The position that a token states, of values of these types; None for one that was not given out for this list."""
    if len(text) > MAX_TOKEN:
        return None
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        members = Members(loads_canonical(data, MAX_TOKEN), "page")
        position: Position = members.items("a", lambda item, _: item)
    except (FormatError, binascii.Error, ValueError):
        return None
    # One spelling of one position in this one list.
    return position if tuple(map(type, position)) == form and _text(asked, position) == text else None


def _text(asked: str, position: Position) -> str:
    return base64.urlsafe_b64encode(dumps({"a": list(position), "q": asked})).decode().rstrip("=")
