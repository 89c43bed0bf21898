"""The Merkle tree of RFC 9162 §2.1: hashes, roots, and the right edge that lets a log grow without reading it again.

Guarantees that a `Frontier` always has as many hashes as its size demands, and that growing it in any batches gives the
same root and the same nodes. Leaves to the store that the nodes it hands back are those it was given.

Coordinates: `(level, index)` names the perfect subtree over the leaves from `index << level` up to, not including,
`(index + 1) << level`. Once complete such a node never changes, so these are the only ones worth storing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from itertools import count, repeat
from typing import NamedTuple, Self, TypeAlias

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()
# Never updated, only copied: that costs half of what a new SHA-256 state does.
_LEAF = sha256(b"\x00")
_NODE = sha256(b"\x01")

Coordinate: TypeAlias = tuple[int, int]
Read: TypeAlias = Callable[[list[Coordinate]], Sequence[bytes]]
"""Answers the hashes of perfect subtrees, 32 bytes each, in the order asked; raises when one is missing."""


class Node(NamedTuple):
    """A complete perfect subtree: its level (0 for a leaf), its index within the level, its hash."""

    level: int
    index: int  # type: ignore[assignment]  # a node is never searched, so tuple's method of that name is no loss
    hash: bytes


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf: `SHA-256(0x00 ‖ data)` (RFC 9162 §2.1.1)."""
    state = _LEAF.copy()
    state.update(data)
    return state.digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: `SHA-256(0x01 ‖ left ‖ right)` (RFC 9162 §2.1.1)."""
    state = _NODE.copy()
    state.update(left + right)
    return state.digest()


def merkle_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over these leaf hashes, all at once; `EMPTY_ROOT` for none (RFC 9162 §2.1.1)."""
    row = list(leaf_hashes)
    while len(row) > 1:
        odd_one = row[-1:] if len(row) % 2 else []
        row = _parents(row) + odd_one
    return row[0] if row else EMPTY_ROOT


def frontier_nodes(size: int) -> list[Coordinate]:
    """The perfect subtrees that a tree of `size` leaves consists of, largest and leftmost first.

    Raises: ValueError for a negative size.
    """
    if size < 0:
        raise ValueError("a tree has no negative size")
    return [(level, (size >> level) - 1) for level in reversed(range(size.bit_length())) if size >> level & 1]


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over adjacent perfect subtrees of falling size, given at least one; the hash itself for one."""
    return reduce(lambda right, left: node_hash(left, right), reversed(hashes))


def read_nodes(coordinates: list[Coordinate], read: Read) -> list[bytes]:
    """One call of `read`, with its answer's shape checked.

    Raises: ValueError for another number of hashes than asked, or one that is not 32 bytes long.
    """
    hashes = list(read(coordinates))
    if len(hashes) != len(coordinates):
        raise ValueError(f"asked for {len(coordinates)} nodes, was given {len(hashes)}")
    _check_sizes(hashes)
    return hashes


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree's right edge: its size in leaves, and the hash of each perfect subtree, largest first.

    Raises: ValueError unless there is one 32-byte hash for each subtree of `frontier_nodes(size)`.
    """

    size: int
    hashes: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.size.bit_count():
            raise ValueError(f"{len(self.hashes)} subtrees do not make a tree of {self.size} leaves")
        _check_sizes(self.hashes)

    @classmethod
    def empty(cls) -> Self:
        """The frontier of the tree without leaves."""
        return cls(0, ())

    @classmethod
    def load(cls, size: int, read: Read) -> Self:
        """The frontier of a stored tree of `size` leaves; calls `read` once.

        Raises: ValueError for a negative size or an answer of the wrong shape.
        """
        return cls(size, tuple(read_nodes(frontier_nodes(size), read)))

    def root(self) -> bytes:
        """The tree's root; `EMPTY_ROOT` for no leaves (RFC 9162 §2.1.1)."""
        return fold(self.hashes) if self.hashes else EMPTY_ROOT

    def extend(self, leaf_hashes: Sequence[bytes]) -> tuple[Self, list[Node]]:
        """The frontier after these leaves, and every perfect subtree they completed, level by level, leaves included.

        Raises: ValueError for a leaf hash that is not 32 bytes long.
        """
        _check_sizes(leaf_hashes)
        nodes: list[Node] = []
        kept, edge = list(self.hashes), []
        level, index, row = 0, self.size, list(leaf_hashes)
        # Row by row rather than leaf by leaf: the work per node is one comprehension step.
        while row:
            nodes += map(Node, repeat(level), count(index), row)
            if index % 2:
                row.insert(0, kept.pop())
            if len(row) % 2:
                edge.append(row.pop())
            row = _parents(row)
            level, index = level + 1, index // 2
        return type(self)(self.size + len(leaf_hashes), (*kept, *reversed(edge))), nodes


def _parents(row: list[bytes]) -> list[bytes]:
    """The hashes of each two neighbours; one left over has none."""
    return list(map(node_hash, row[::2], row[1::2]))


def _check_sizes(hashes: Sequence[bytes]) -> None:
    if not {HASH_SIZE}.issuperset(map(len, hashes)):
        raise ValueError(f"a hash is {HASH_SIZE} bytes long")
