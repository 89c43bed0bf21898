"""The two encodings of every C2SP text, base64 and decimal, read in one spelling only.

Guarantees that what decodes encodes back to the same characters, so that no two texts mean the same value and a changed
character is a changed value or an error. Leaves to the caller which values make sense.
"""

import re
from base64 import b64decode, b64encode

from services.tlog.tree import HASH_SIZE

MAX_INTEGER = 2**63 - 1
"""The largest size or index: what a signed 64-bit column holds, and other readers with it."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 §4)."""
    return b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """The bytes that `encode_base64` makes this text of.

    Raises: ValueError for any other text: white space, missing padding, bits set beyond the last byte (RFC 4648 §3.5).
    """
    data = b64decode(text, validate=True)
    if encode_base64(data) != text:
        raise ValueError("base64 in another than its canonical form")
    return data


def decode_hash(text: str) -> bytes:
    """The 32 bytes of a hash in base64.

    Raises: ValueError for base64 that is not canonical, or of another length.
    """
    data = decode_base64(text)
    if len(data) != HASH_SIZE:
        raise ValueError(f"a hash is {HASH_SIZE} bytes long")
    return data


def decode_decimal(text: str) -> int:
    """A size or an index: ASCII digits, no sign, no leading zero, at most 2⁶³ − 1.

    Raises: ValueError for any other text.
    """
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_INTEGER:
        raise ValueError("not a decimal number in its shortest form, below 2^63")
    return int(text)
