"""Named Ed25519 keys for tests, each from its name alone, and every way to change one byte of a text."""

from collections.abc import Iterator
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.tlog.note import NoteSigner

_SUBSTITUTES = b"\x00\x1f \n+-/=09Az\x7f\xff"


def signer(name: str, *, seed: str = "") -> NoteSigner:
    """The signer of this name; another seed gives another key."""
    private = Ed25519PrivateKey.from_private_bytes(sha256(f"{name} {seed}".encode()).digest())
    return NoteSigner(name, private.sign, private.public_key().public_bytes_raw())


def one_byte_away(data: bytes) -> Iterator[bytes]:
    """Every text that differs by a flipped bit, a telling substitute, a removed byte or a doubled or inserted one."""
    for position, byte in enumerate(data):
        before, after = data[:position], data[position + 1 :]
        substitutes = {byte ^ 1 << bit for bit in range(8)} | set(_SUBSTITUTES)
        yield from (before + bytes([other]) + after for other in substitutes - {byte})
        yield before + after
        yield from (before + bytes([extra, byte]) + after for extra in (byte, *b" \n="))
