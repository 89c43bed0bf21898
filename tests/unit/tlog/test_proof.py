"""Every proof is the defined one and verifies; nothing near it does."""

from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.tlog.proof import (
    ProofError,
    consistency_proof,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)
from services.tlog.tree import EMPTY_ROOT, node_hash
from tests.unit.tlog import naive_log

ALL_SIZES = range(1, 133)
"""Two powers of two and what lies around them."""

INCLUSIONS = st.integers(1, 1000).flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size)))
GROWTHS = st.integers(2, 1000).flatmap(lambda new: st.tuples(st.integers(1, new - 1), st.just(new)))
STRANGER = b"\x5a" * 32


def test_every_inclusion_proof_up_to_a_size_is_the_defined_one_and_verifies() -> None:
    for size in ALL_SIZES:
        for index in range(size):
            check_inclusion(index, size)


@given(INCLUSIONS)
def test_an_inclusion_proof_in_a_larger_tree_is_the_defined_one_and_verifies(case: tuple[int, int]) -> None:
    check_inclusion(*case)


def test_every_consistency_proof_up_to_a_size_is_the_defined_one_and_verifies() -> None:
    for new in ALL_SIZES:
        for old in range(1, new + 1):
            check_consistency(old, new)


@given(GROWTHS)
def test_a_consistency_proof_to_a_larger_tree_is_the_defined_one_and_verifies(case: tuple[int, int]) -> None:
    check_consistency(*case)


def check_inclusion(index: int, size: int) -> None:
    store = naive_log.Store(size)
    proof = inclusion_proof(index, size, store.read)
    assert proof == naive_log.path(index, 0, size)
    verify_inclusion(naive_log.root(index, index + 1), index, size, proof, naive_log.root(0, size))
    check_reading(store, size)


def check_consistency(old: int, new: int) -> None:
    store = naive_log.Store(new)
    proof = consistency_proof(old, new, store.read)
    assert proof == naive_log.subproof(old, 0, new)
    verify_consistency(old, naive_log.root(0, old), new, naive_log.root(0, new), proof)
    check_reading(store, new)


def check_reading(store: naive_log.Store, size: int) -> None:
    """Once, complete subtrees only (the store asserts that), and at most two for each level."""
    (asked,) = store.asked
    assert len(asked) <= 2 * size.bit_length()


@given(INCLUSIONS, st.data())
def test_an_inclusion_proof_with_one_bit_of_anything_flipped_is_refused(
    case: tuple[int, int], data: st.DataObject
) -> None:
    index, size = case
    hashes = [naive_log.root(index, index + 1), naive_log.root(0, size), *naive_log.path(index, 0, size)]
    leaf, root, *proof = flip_one_bit(hashes, data)
    with pytest.raises(ProofError):
        verify_inclusion(leaf, index, size, proof, root)


@given(GROWTHS, st.data())
def test_a_consistency_proof_with_one_bit_of_anything_flipped_is_refused(
    case: tuple[int, int], data: st.DataObject
) -> None:
    old, new = case
    hashes = [naive_log.root(0, old), naive_log.root(0, new), *naive_log.subproof(old, 0, new)]
    old_root, new_root, *proof = flip_one_bit(hashes, data)
    with pytest.raises(ProofError):
        verify_consistency(old, old_root, new, new_root, proof)


def flip_one_bit(hashes: list[bytes], data: st.DataObject) -> list[bytes]:
    position, bit = data.draw(st.integers(0, len(hashes) - 1)), data.draw(st.integers(0, 255))
    flipped = (int.from_bytes(hashes[position]) ^ 1 << bit).to_bytes(32)
    return [*hashes[:position], flipped, *hashes[position + 1 :]]


def near(proof: list[bytes], *strangers: bytes) -> Iterator[list[bytes]]:
    """The proof with each hash missing, another anywhere, and each two neighbours exchanged."""
    for position in range(len(proof) + 1):
        before, after = proof[:position], proof[position:]
        yield from ([*before, stranger, *after] for stranger in (*strangers, *proof))
        if after:
            yield [*before, *after[1:]]
            yield [*before, after[0][:31], *after[1:]]
        if len(after) > 1:
            yield [*before, after[1], after[0], *after[2:]]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 8, 11, 16, 21])
def test_an_inclusion_proof_with_a_hash_missing_added_cut_or_moved_is_refused(size: int) -> None:
    root = naive_log.root(0, size)
    for index in range(size):
        leaf = naive_log.root(index, index + 1)
        for proof in near(naive_log.path(index, 0, size), STRANGER, root, leaf):
            with pytest.raises(ProofError):
                verify_inclusion(leaf, index, size, proof, root)


@pytest.mark.parametrize("new", [2, 3, 5, 7, 8, 11, 16, 21])
def test_a_consistency_proof_with_a_hash_missing_added_cut_or_moved_is_refused(new: int) -> None:
    new_root = naive_log.root(0, new)
    for old in range(1, new + 1):
        old_root = naive_log.root(0, old)
        for proof in near(naive_log.subproof(old, 0, new), STRANGER, old_root, new_root):
            with pytest.raises(ProofError):
                verify_consistency(old, old_root, new, new_root, proof)


@given(INCLUSIONS, st.integers(-2, 1001))
def test_a_leaf_is_refused_at_any_index_but_its_own(case: tuple[int, int], other: int) -> None:
    index, size = case
    assume(other != index)
    with pytest.raises(ProofError):
        verify_inclusion(
            naive_log.root(index, index + 1), other, size, naive_log.path(index, 0, size), naive_log.root(0, size)
        )


@given(INCLUSIONS, st.integers(0, 999))
def test_another_leaf_is_refused_at_an_index(case: tuple[int, int], other: int) -> None:
    index, size = case
    assume(other != index)
    with pytest.raises(ProofError):
        verify_inclusion(
            naive_log.root(other, other + 1), index, size, naive_log.path(index, 0, size), naive_log.root(0, size)
        )


def test_an_old_root_is_refused_as_that_of_any_other_size() -> None:
    for new in range(2, 40):
        for old in range(1, new):
            proof, old_root = naive_log.subproof(old, 0, new), naive_log.root(0, old)
            for other in set(range(-1, new + 2)) - {old}:
                with pytest.raises(ProofError):
                    verify_consistency(other, old_root, new, naive_log.root(0, new), proof)


def test_an_inclusion_proof_is_refused_when_only_its_length_is_wrong_for_the_size() -> None:
    """The hashes do lead to the root given, so that nothing but the height tells."""
    leaf, proof, root = naive_log.root(0, 1), naive_log.path(0, 0, 4), naive_log.root(0, 4)
    for size in (1, 2, 5, 8, 1000):
        with pytest.raises(ProofError, match=r"too (many|few) hashes"):
            verify_inclusion(leaf, 0, size, proof, root)
    with pytest.raises(ProofError, match="too few"):
        verify_inclusion(root, 0, 4, [], root)
    with pytest.raises(ProofError, match="too many"):
        verify_inclusion(leaf, 0, 1, [STRANGER], node_hash(STRANGER, leaf))


def test_a_consistency_proof_is_refused_when_only_its_length_is_wrong_for_the_sizes() -> None:
    """The hashes do lead to both roots given, so that nothing but the height tells."""
    old_root, new_root, proof = naive_log.root(0, 3), naive_log.root(0, 4), naive_log.subproof(3, 0, 4)
    with pytest.raises(ProofError, match="too few"):
        verify_consistency(3, old_root, 1000, new_root, proof)
    with pytest.raises(ProofError, match="too many"):
        verify_consistency(3, node_hash(STRANGER, old_root), 4, node_hash(STRANGER, new_root), [*proof, STRANGER])


def test_a_tree_whose_past_was_rewritten_has_no_proof_from_its_old_root() -> None:
    old_root = naive_log.root(0, 6)
    rewritten = [naive_log.root(4, 6), naive_log.root(6, 8), STRANGER]
    new_root = EMPTY_ROOT
    with pytest.raises(ProofError, match="old root"):
        verify_consistency(6, old_root, 8, new_root, rewritten)


def test_every_tree_continues_the_empty_one_by_an_empty_proof() -> None:
    assert consistency_proof(0, 5, naive_log.Store(5).read) == []
    verify_consistency(0, EMPTY_ROOT, 5, naive_log.root(0, 5), [])
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])


@pytest.mark.parametrize(
    ("old", "old_root", "new", "new_root", "proof"),
    [
        (0, STRANGER, 5, naive_log.root(0, 5), []),
        (0, STRANGER, 0, STRANGER, []),
        (0, EMPTY_ROOT, 0, STRANGER, []),
        (0, EMPTY_ROOT, 5, naive_log.root(0, 5), [STRANGER]),
        (5, naive_log.root(0, 5), 5, naive_log.root(0, 5), [STRANGER]),
        (5, naive_log.root(0, 5), 5, STRANGER, []),
        (4, naive_log.root(0, 4), 5, naive_log.root(0, 5), []),
        (3, naive_log.root(0, 3), 5, naive_log.root(0, 5), []),
        (5, naive_log.root(0, 5), 4, naive_log.root(0, 4), []),
        (-1, EMPTY_ROOT, 4, naive_log.root(0, 4), []),
        (4, b"short", 4, b"short", []),
    ],
)  # fmt: skip
def test_what_has_nothing_to_prove_is_still_checked(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]
) -> None:
    with pytest.raises(ProofError):
        verify_consistency(old, old_root, new, new_root, proof)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (5, 3), (0, -1)])
def test_no_proof_is_made_or_verified_for_a_leaf_outside_the_tree(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(index, size, naive_log.Store(8).read)
    with pytest.raises(ProofError, match="no leaf"):
        verify_inclusion(EMPTY_ROOT, index, size, [], EMPTY_ROOT)


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3), (1, 0)])
def test_no_proof_is_made_that_a_tree_shrinks(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="does not grow"):
        consistency_proof(old, new, naive_log.Store(8).read)


def test_a_store_that_answers_fewer_nodes_than_asked_makes_no_proof() -> None:
    with pytest.raises(ValueError, match="asked for"):
        inclusion_proof(0, 8, lambda coordinates: [STRANGER] * (len(coordinates) - 1))
