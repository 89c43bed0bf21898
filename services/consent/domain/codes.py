"""The short code of a request, as a patient types it: random consonants that spell no word (RFC 8628 §6.1), then the shard.

Eight letters of twenty give 34 bits, for codes that live for minutes; who guesses one may only decide over their own data.
"""

import re
from collections.abc import Callable

ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
LENGTH = 8
_BASE = len(ALPHABET)
_BITS = 64


def make_code(shard: int, shards: int, random_bits: Callable[[int], int]) -> str:
    """A new code; `random_bits(n)` gives n random bits."""
    number = random_bits(_BITS)
    letters = [ALPHABET[number // _BASE**place % _BASE] for place in range(LENGTH)]
    return "".join(letters) + _shard_letters(shard, shards)


def shard_of(code: str, shards: int) -> int | None:
    """The shard that a code leads to; None for what is no code."""
    rest = code[LENGTH:]
    if len(code) != LENGTH + _shard_places(shards) or not set(code) <= set(ALPHABET):
        return None
    shard = 0
    for letter in rest:
        shard = shard * _BASE + ALPHABET.index(letter)
    return shard if shard < shards else None


def typed(text: str) -> str:
    """What a patient typed, without hyphens and spaces, in capitals; at most 40 characters of it."""
    return re.sub(r"[\s-]", "", text[:40]).upper()


def shown(code: str) -> str:
    """The code in groups of four."""
    return "-".join(code[i : i + 4] for i in range(0, len(code), 4))


def _shard_places(shards: int) -> int:
    places = 0
    while _BASE**places < shards:
        places += 1
    return places


def _shard_letters(shard: int, shards: int) -> str:
    places = range(_shard_places(shards))
    return "".join(reversed([ALPHABET[shard // _BASE**place % _BASE] for place in places]))
