"""External identifiers: one enciphered block that routes to a shard and says nothing else.

A block is shard (2 bytes) ‖ zero (6 bytes) ‖ local id (8 bytes), enciphered with AES-256 under a key of its audience (a
service, the portal, …), so that two audiences cannot compare. The zeros make a forged identifier fail: 1 in 2⁴⁸ passes.
"""

import re
import threading
from collections.abc import Callable
from functools import lru_cache

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

CONSENT, PORTAL = "consent", "portal"
"""The audiences that are not services."""

_BLOCK = re.compile(r"[0-9a-f]{32}")
_KEPT = 4096

LOCAL_BITS = 62
"""Local ids are below 2 to the power of this: they fit every database's BIGINT."""
_RANDOM_BITS = 20


def local_id(now_ms: int, random_bits: Callable[[int], int]) -> int:
    """A new local id: the time, in milliseconds since 1970, above random bits.

    In order of time, so that what is new lies together in every table and index; and never the id of what a restored
    database has forgotten. Two of one millisecond may be the same: then the database refuses the second.
    """
    return now_ms << _RANDOM_BITS | random_bits(_RANDOM_BITS)


class Identifiers:
    """Enciphers and deciphers; `key_for(audience)` gives 32 bytes, and is asked again only after many other audiences."""

    def __init__(self, key_for: Callable[[str], bytes]) -> None:
        # ECB is exact here: one block, never a message. Bounded, because callers name audiences that do not exist.
        self._cipher = lru_cache(_KEPT)(lambda audience: Cipher(AES256(key_for(audience)), ECB()))  # noqa: S305
        self._of_thread = threading.local()

    def encipher(self, audience: str, shard: int, local: int) -> str:
        """32 hexadecimal digits for (shard, local id)."""
        block = shard.to_bytes(2) + bytes(6) + local.to_bytes(8)
        return self._encryptor(audience).update(block).hex()

    def _encryptor(self, audience: str) -> CipherContext:
        # Whole blocks leave nothing behind in a context, so one serves for ever; but only one thread at a time.
        known: Callable[[str], CipherContext] | None = getattr(self._of_thread, "encryptor", None)
        if known is None:
            known = self._of_thread.encryptor = lru_cache(_KEPT)(lambda name: self._cipher(name).encryptor())
        return known(audience)

    def decipher(self, audience: str, identifier: str) -> tuple[int, int] | None:
        """(shard, local id) of 32 hexadecimal digits; None for what was never enciphered for this audience."""
        if not _BLOCK.fullmatch(identifier):
            return None
        block = self._cipher(audience).decryptor().update(bytes.fromhex(identifier))
        return (int.from_bytes(block[:2]), int.from_bytes(block[8:])) if not any(block[2:8]) else None

    def revision_name(self, shard: int, consent: int, revision: int | str) -> str:
        """The external name of a consent's revision."""
        return f"consents/{self.encipher(CONSENT, shard, consent)}/revisions/{revision}"
