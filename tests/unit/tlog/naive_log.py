"""The definitions of RFC 9162 §2.1, word for word: recursive, slow, and sharing no code with what they judge.

The leaves are fixed (the decimal numbers 0, 1, 2…), so that every subtree is computed once for all tests.
"""

from functools import cache
from hashlib import sha256


@cache
def root(start: int, end: int) -> bytes:
    """MTH over the leaves from `start` up to, not including, `end` (§2.1.1)."""
    if start == end:
        return sha256(b"").digest()
    if end - start == 1:
        return sha256(b"\x00" + str(start).encode()).digest()
    middle = start + largest_power_below(end - start)
    return sha256(b"\x01" + root(start, middle) + root(middle, end)).digest()


def leaves(size: int) -> list[bytes]:
    """The leaf hashes of the log of this size."""
    return [root(index, index + 1) for index in range(size)]


def path(index: int, start: int, end: int) -> list[bytes]:
    """PATH, with indices counted from the log's beginning (§2.1.3.1)."""
    if end - start == 1:
        return []
    middle = start + largest_power_below(end - start)
    if index < middle:
        return [*path(index, start, middle), root(middle, end)]
    return [*path(index, middle, end), root(start, middle)]


def subproof(old: int, start: int, end: int, *, whole: bool = True) -> list[bytes]:
    """SUBPROOF, with `old` counted from the log's beginning (§2.1.4.1)."""
    if old == end:
        return [] if whole else [root(start, end)]
    middle = start + largest_power_below(end - start)
    if old <= middle:
        return [*subproof(old, start, middle, whole=whole), root(middle, end)]
    return [*subproof(old, middle, end, whole=False), root(start, middle)]


def largest_power_below(size: int) -> int:
    """The largest power of two smaller than `size`, itself at least 2."""
    power = 1
    while power * 2 < size:
        power *= 2
    return power


class Store:
    """Answers perfect subtrees of a log of this size, refuses any other, and keeps what it was asked."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[list[tuple[int, int]]] = []

    def read(self, coordinates: list[tuple[int, int]]) -> list[bytes]:
        self.asked.append(coordinates)
        assert all((index + 1) << level <= self.size for level, index in coordinates), "an incomplete subtree"
        return [root(index << level, (index + 1) << level) for level, index in coordinates]
