"""The tree against its definition, grown in any batches and reloaded from any store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tlog.tree import EMPTY_ROOT, Frontier, Node, frontier_nodes, leaf_hash, merkle_root
from tests.unit.tlog import naive_log

SIZES = range(201)
BATCHES = st.lists(st.integers(0, 40), max_size=8)


def test_a_root_made_at_once_is_the_defined_one_for_every_size() -> None:
    assert [merkle_root(naive_log.leaves(size)) for size in SIZES] == [naive_log.root(0, size) for size in SIZES]


def test_a_frontier_grown_leaf_by_leaf_has_the_defined_root_at_every_size() -> None:
    frontier = Frontier.empty()
    for size in SIZES:
        assert (frontier.size, frontier.root()) == (size, naive_log.root(0, size))
        frontier, _ = frontier.extend([naive_log.root(size, size + 1)])


@given(BATCHES)
def test_any_batches_give_the_same_frontier_and_each_complete_subtree_exactly_once(batches: list[int]) -> None:
    frontier, nodes = Frontier.empty(), list[Node]()
    for batch in batches:
        end = frontier.size + batch
        frontier, completed = frontier.extend(naive_log.leaves(end)[frontier.size :])
        nodes += completed
    size = sum(batches)
    assert frontier == Frontier.empty().extend(naive_log.leaves(size))[0]
    assert frontier.root() == naive_log.root(0, size)
    assert sorted(nodes) == complete_subtrees(size)


def complete_subtrees(size: int) -> list[Node]:
    return [
        Node(level, index, naive_log.root(index << level, (index + 1) << level))
        for level in range(size.bit_length())
        for index in range(size >> level)
    ]


@given(st.integers(0, 200), st.integers(0, 60))
def test_a_frontier_loaded_from_a_store_in_one_read_grows_like_the_one_that_was_kept(size: int, more: int) -> None:
    store = naive_log.Store(size)
    loaded = Frontier.load(size, store.read)
    assert len(store.asked) == 1
    assert loaded == Frontier.empty().extend(naive_log.leaves(size))[0]
    assert loaded.extend(naive_log.leaves(size + more)[size:])[0].root() == naive_log.root(0, size + more)


def test_the_perfect_subtrees_of_a_size_stand_largest_first() -> None:
    assert frontier_nodes(0b1011) == [(3, 0), (1, 4), (0, 10)]
    assert frontier_nodes(0) == []


def test_a_frontier_is_a_value_that_growing_leaves_as_it_was() -> None:
    frontier, _ = Frontier.empty().extend(naive_log.leaves(5))
    frontier.extend(naive_log.leaves(9)[5:])
    assert frontier.root() == naive_log.root(0, 5)


def test_growing_by_nothing_changes_nothing() -> None:
    frontier, _ = Frontier.empty().extend(naive_log.leaves(5))
    assert frontier.extend([]) == (frontier, [])


@pytest.mark.parametrize("hashes", [[b""], [b"x" * 31], [b"x" * 33], [b"x" * 32, b"x" * 64]])
def test_a_leaf_hash_of_another_length_is_refused(hashes: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Frontier.empty().extend(hashes)


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 0), (3, 1), (3, 3), (-1, 1), (-1, 0)])
def test_a_frontier_with_another_number_of_hashes_than_its_size_demands_is_refused(size: int, count: int) -> None:
    with pytest.raises(ValueError, match="do not make a tree"):
        Frontier(size, (leaf_hash(b""),) * count)


@pytest.mark.parametrize("answer", [[], [EMPTY_ROOT], [EMPTY_ROOT] * 3, [EMPTY_ROOT, b"short"]])
def test_a_store_that_answers_too_few_too_many_or_cut_hashes_is_refused(answer: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"nodes|bytes"):
        Frontier.load(3, lambda _: answer)


def test_a_negative_size_has_no_subtrees() -> None:
    with pytest.raises(ValueError, match="negative"):
        frontier_nodes(-1)
