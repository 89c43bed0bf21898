"""Inclusion and consistency proofs (RFC 9162 §2.1.3, §2.1.4): made from stored perfect subtrees, verified without any.

Guarantees that making a proof reads once, O(log n) nodes, all of them complete; and that verifying one raises unless it
has exactly the hashes it needs and they lead to every root given.

Leaves to the caller that sizes and roots come from a checkpoint it trusts. Sizes must: a proof that holds for a root
and its size may also hold for that root and some other size, so a size from beside the proof means nothing.
"""

from collections.abc import Sequence

from services.tlog.tree import EMPTY_ROOT, HASH_SIZE, Coordinate, Read, fold, frontier_nodes, node_hash, read_nodes


class ProofError(ValueError):
    """A proof that is malformed, or does not prove what it is said to prove."""


def inclusion_nodes(index: int, size: int) -> list[list[Coordinate]]:
    """What to read for an inclusion proof: for each of its hashes, leaf to root, the perfect subtrees it folds.

    Specification: PATH, RFC 9162 §2.1.3.1. Raises: ValueError unless 0 ≤ index < size.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    start, end, siblings = 0, size, []
    while end - start > 1:
        split = _split(start, end)
        if index < split:
            siblings.append(_cover(split, end))
            end = split
        else:
            siblings.append(_cover(start, split))
            start = split
    return siblings[::-1]


def consistency_nodes(old: int, new: int) -> list[list[Coordinate]]:
    """What to read for a consistency proof: for each of its hashes, in order, the perfect subtrees it folds.

    Specification: SUBPROOF, RFC 9162 §2.1.4.1; empty for old = 0 and old = new, where there is nothing to prove.
    Raises: ValueError unless 0 ≤ old ≤ new.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} leaves does not grow into one of {new}")
    if old == 0:
        return []
    start, end, parts = 0, new, []
    while end != old:
        split = _split(start, end)
        if old <= split:
            parts.append(_cover(split, end))
            end = split
        else:
            parts.append(_cover(start, split))
            start = split
    if start:
        # Else this part is the whole old tree, whose root the verifier holds.
        parts.append(_cover(start, end))
    return parts[::-1]


def inclusion_proof(index: int, size: int, read: Read) -> list[bytes]:
    """The hashes that prove leaf `index` in the tree of `size` leaves, sibling first; calls `read` once.

    Raises: ValueError unless 0 ≤ index < size, or for an answer of the wrong shape.
    """
    return _resolve(inclusion_nodes(index, size), read)


def consistency_proof(old: int, new: int, read: Read) -> list[bytes]:
    """The hashes that prove the tree of `old` leaves to be the beginning of that of `new`; calls `read` once.

    Raises: ValueError unless 0 ≤ old ≤ new, or for an answer of the wrong shape.
    """
    return _resolve(consistency_nodes(old, new), read)


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Returns only if `leaf_hash` is leaf `index` of the tree with this root and size (RFC 9162 §2.1.3.2).

    Raises: ProofError.
    """
    _check_hashes(leaf_hash, root, *proof)
    if not 0 <= index < size:
        raise ProofError(f"no leaf {index} in a tree of {size}")
    position, last, computed = index, size - 1, leaf_hash
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof has too many hashes")
        if position % 2 or position == last:
            computed = node_hash(sibling, computed)
            position, last = _skip_only_children(position, last)
        else:
            computed = node_hash(computed, sibling)
        position, last = position // 2, last // 2
    if last:
        raise ProofError("the inclusion proof has too few hashes")
    if computed != root:
        raise ProofError("the inclusion proof leads to another root")


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Returns only if the tree with the new root begins with the leaves of that with the old root (RFC 9162 §2.1.4.2).

    Of size 0 every tree is a continuation, by an empty proof, but only `EMPTY_ROOT` is its root.
    Raises: ProofError.
    """
    _check_hashes(old_root, new_root, *proof)
    if not 0 <= old_size <= new_size:
        raise ProofError(f"a tree of {old_size} leaves does not grow into one of {new_size}")
    if old_size in (0, new_size):
        _verify_trivial(old_size, old_root, new_size, new_root, proof)
        return
    if not proof:
        raise ProofError("the consistency proof is empty")
    if old_size & (old_size - 1) == 0:
        proof = [old_root, *proof]
    computed = _climb(old_size - 1, new_size - 1, proof)
    if computed[0] != old_root:
        raise ProofError("the consistency proof leads to another old root")
    if computed[1] != new_root:
        raise ProofError("the consistency proof leads to another new root")


def _climb(position: int, last: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Steps 4 to 6 of RFC 9162 §2.1.4.2: the old and the new root that the path leads to."""
    while position % 2:
        position, last = position // 2, last // 2
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError("the consistency proof has too many hashes")
        if position % 2 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            position, last = _skip_only_children(position, last)
        else:
            new = node_hash(new, sibling)
        position, last = position // 2, last // 2
    if last:
        raise ProofError("the consistency proof has too few hashes")
    return old, new


def _verify_trivial(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    if proof:
        raise ProofError("a consistency proof between equal trees, or from the empty one, has no hashes")
    if old_size == new_size and old_root != new_root:
        raise ProofError(f"two roots for one tree of {old_size} leaves")
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise ProofError("the empty tree has another root")


def _skip_only_children(position: int, last: int) -> tuple[int, int]:
    """At the right edge a node without sibling stands for its parent: climb to the first that is a right child."""
    while position and position % 2 == 0:
        position, last = position // 2, last // 2
    return position, last


def _split(start: int, end: int) -> int:
    """Where the tree over [start, end) divides: the largest power of two below its size, from `start`."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _cover(start: int, end: int) -> list[Coordinate]:
    """The perfect subtrees that make up [start, end), for a `start` aligned as every part of a split is."""
    return [(level, (start >> level) + index) for level, index in frontier_nodes(end - start)]


def _resolve(parts: list[list[Coordinate]], read: Read) -> list[bytes]:
    hashes = iter(read_nodes([coordinate for part in parts for coordinate in part], read))
    return [fold([next(hashes) for _ in part]) for part in parts]


def _check_hashes(*hashes: bytes) -> None:
    if any(len(each) != HASH_SIZE for each in hashes):
        raise ProofError(f"a hash is {HASH_SIZE} bytes long")
