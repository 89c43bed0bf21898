"""A log's files are the same however they were written, and prove every entry; no other file passes for one."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.tlog.proof import consistency_proof, inclusion_proof, verify_consistency, verify_inclusion
from services.tlog.tiles import (
    MAX_ENTRY,
    WIDTH,
    Tile,
    TileError,
    TileReader,
    TileWriter,
    check_export,
    export,
    new_tiles,
    tile_of,
)
from services.tlog.tree import EMPTY_ROOT, Coordinate, Frontier, Read, leaf_hash, node_hash
from tests.unit.tlog import naive_log

SIZES = st.integers(0, 1100) | st.sampled_from([255, 256, 257, 511, 512, 513, 1024])
GROWTHS = st.lists(SIZES, min_size=1, max_size=4).map(sorted)
ENTRIES = [str(index).encode() for index in range(1100)]
"""The leaves of `naive_log`."""

SIZE = 700
ROOT = naive_log.root(0, SIZE)


def files_of(size: int) -> dict[str, bytes]:
    return dict(export(ENTRIES[:size], size, naive_log.root(0, size)))


FILES = files_of(SIZE)


@given(SIZES, SIZES)
def test_what_is_new_in_a_larger_tree_is_what_only_it_has(first: int, second: int) -> None:
    since, size = sorted((first, second))
    grown = [tile.path for tile in new_tiles(size, since)]
    assert len(set(grown)) == len(grown)
    assert set(grown) == paths(size) - paths(since)


def paths(size: int) -> set[str]:
    return {tile.path for tile in new_tiles(size)}


@pytest.mark.parametrize(("size", "since"), [(0, 1), (5, 6), (5, -1), (-1, 0), (-1, -1)])
def test_a_tree_neither_shrinks_nor_begins_below_nothing(size: int, since: int) -> None:
    with pytest.raises(TileError, match="does not grow"):
        new_tiles(size, since)


@settings(max_examples=12)
@given(SIZES)
def test_the_files_of_any_size_prove_every_entry_and_every_older_size(size: int) -> None:
    files, root = files_of(size), naive_log.root(0, size)
    reader = TileReader(size, files.__getitem__)
    assert set(files) == paths(size)
    for index in range(size):
        leaf = leaf_hash(reader.entry(index))
        assert leaf == naive_log.root(index, index + 1)
        verify_inclusion(leaf, index, size, inclusion_proof(index, size, reader.read), root)
    for old in range(1, size + 1, 37):
        proof = consistency_proof(old, size, reader.read)
        verify_consistency(old, naive_log.root(0, old), size, root, proof)


@given(SIZES.filter(bool), st.data())
def test_a_reader_answers_every_complete_subtree(size: int, data: st.DataObject) -> None:
    level = data.draw(st.integers(0, size.bit_length() - 1))
    index = data.draw(st.integers(0, (size >> level) - 1))
    answer = TileReader(size, files_of(size).__getitem__).read([(level, index)])
    assert answer == [naive_log.root(index << level, (index + 1) << level)]


@given(GROWTHS)
def test_a_log_exported_in_many_goes_has_the_files_of_one_exported_at_once(sizes: list[int]) -> None:
    """Each go reads the log's own nodes, hands out only what is new, and rewrites no file."""
    files: dict[str, bytes] = {}
    since = 0
    for size in sizes:
        new = dict(go(size, since, naive_log.Store(since).read))
        assert set(new) == paths(size) - paths(since)
        assert all(files.get(path, data) == data for path, data in new.items())
        files, since = files | new, size
    assert {path: files[path] for path in paths(since)} == files_of(since)


@given(GROWTHS)
def test_an_export_is_continued_from_nothing_but_its_own_files(sizes: list[int]) -> None:
    files: dict[str, bytes] = {}
    since = 0
    for size in sizes:
        files |= go(size, since, TileReader(since, files.__getitem__).read)
        check_export(size, naive_log.root(0, size), files.__getitem__)
        since = size


@given(GROWTHS)
def test_one_writer_kept_open_hands_out_each_new_file_once(sizes: list[int]) -> None:
    writer, given_out = TileWriter(), list[tuple[str, bytes]]()
    for size in sizes:
        given_out += writer.add(ENTRIES[writer.size : size])
        given_out += writer.edge(size, naive_log.root(0, size))
    files = dict(given_out)
    assert len(files) == len(given_out)
    assert {path: files[path] for path in paths(sizes[-1])} == files_of(sizes[-1])


def go(size: int, since: int, read: Read) -> dict[str, bytes]:
    first = since - since % WIDTH
    return dict(export(ENTRIES[first:size], size, naive_log.root(0, size), since=since, read=read))


@given(st.lists(st.integers(0, 400), max_size=6))
def test_pages_of_any_length_make_the_same_files(pages: list[int]) -> None:
    writer, files = TileWriter(), dict[str, bytes]()
    for page in [*pages, SIZE]:
        files |= writer.add(ENTRIES[writer.size : min(writer.size + page, SIZE)])
    assert files | dict(writer.edge(SIZE, ROOT)) == FILES


def test_a_file_is_handed_out_before_the_entries_after_it_are_asked_for() -> None:
    asked: list[int] = []

    def entries() -> Iterator[bytes]:
        for index in range(SIZE):
            asked.append(index)
            yield ENTRIES[index]

    seen = [(path, len(asked)) for path, _ in export(entries(), SIZE, ROOT)]
    assert seen == [
        ("tile/entries/000", 256),
        ("tile/0/000", 256),
        ("tile/entries/001", 512),
        ("tile/0/001", 512),
        ("tile/entries/002.p/188", 700),
        ("tile/0/002.p/188", 700),
        ("tile/1/000.p/2", 700),
    ]


def test_an_empty_log_has_no_files() -> None:
    assert list(export([], 0, EMPTY_ROOT)) == []
    check_export(0, EMPTY_ROOT, FILES.__getitem__)


def test_a_log_of_three_levels_is_exported_continued_checked_and_proven() -> None:
    """70,000 leaves: the right edge crosses tiles of levels 0, 1 and 2."""
    old, size = 65_537, 70_000
    entries = [index.to_bytes(3, "big") for index in range(size)]
    roots = {each: Frontier.empty().extend(list(map(leaf_hash, entries[:each])))[0].root() for each in (old, size)}
    files = dict(export(entries[:old], old, roots[old]))
    read = TileReader(old, files.__getitem__).read
    new = dict(export(entries[old - 1 :], size, roots[size], since=old, read=read))
    whole = dict(export(entries, size, roots[size]))
    assert set(new) == paths(size) - paths(old)
    assert {path: (files | new)[path] for path in paths(size)} == whole
    check_export(size, roots[size], whole.__getitem__)
    reader = TileReader(size, whole.__getitem__)
    for index in (0, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999):
        proof = inclusion_proof(index, size, reader.read)
        verify_inclusion(leaf_hash(reader.entry(index)), index, size, proof, roots[size])
    verify_consistency(old, roots[old], size, roots[size], consistency_proof(old, size, reader.read))


@pytest.mark.parametrize(
    ("entries", "size", "root"),
    [
        (ENTRIES[:SIZE], SIZE, EMPTY_ROOT),
        (ENTRIES[: SIZE - 1], SIZE, ROOT),
        (ENTRIES[: SIZE + 1], SIZE, ROOT),
        (ENTRIES[:SIZE], SIZE - 1, ROOT),
        ([*ENTRIES[: SIZE - 1], b"other"], SIZE, ROOT),
        ([b"other", *ENTRIES[1:SIZE]], SIZE, ROOT),
        ([], 0, ROOT),
    ],
)
def test_no_edge_is_handed_out_for_entries_that_do_not_lead_to_the_root(
    entries: list[bytes], size: int, root: bytes
) -> None:
    writer = TileWriter()
    writer.add(entries)
    with pytest.raises(TileError):
        writer.edge(size, root)
    with pytest.raises(TileError):
        list(export(entries, size, root))


def test_an_export_continued_from_hashes_of_another_log_is_refused() -> None:
    with pytest.raises(TileError, match="another root"):
        go(SIZE, 600, lambda nodes: [node_hash(b"", b"") for _ in nodes])


def test_an_export_is_not_continued_without_the_hashes_it_has() -> None:
    with pytest.raises(TileError, match="is continued from"):
        TileWriter(256)
    with pytest.raises(ValueError, match="asked for 2 nodes"):
        TileWriter(600, lambda _: [EMPTY_ROOT])
    assert TileWriter(255).size == 0


def test_an_export_does_not_go_back() -> None:
    with pytest.raises(TileError, match="negative"):
        TileWriter(-1)
    writer = TileWriter(600, naive_log.Store(600).read)
    writer.add(ENTRIES[512:599])
    with pytest.raises(TileError, match="do not make"):
        writer.edge(599, naive_log.root(0, 599))


def test_an_entry_too_long_is_not_taken_and_the_next_one_is() -> None:
    writer = TileWriter()
    with pytest.raises(TileError, match="at most 65535"):
        writer.add([ENTRIES[0], bytes(MAX_ENTRY + 1)])
    assert writer.size == 1
    writer.add(ENTRIES[1:3])
    assert dict(writer.edge(3, naive_log.root(0, 3))) == files_of(3)


def test_an_export_that_is_whole_passes_and_reads_each_file_once() -> None:
    read: list[str] = []

    def fetch(path: str) -> bytes:
        read.append(path)
        return FILES[path]

    check_export(SIZE, ROOT, fetch)
    assert sorted(read) == sorted(FILES)


@given(st.sampled_from(sorted(FILES)), st.data())
def test_an_export_with_one_bit_flipped_is_refused(path: str, data: st.DataObject) -> None:
    content = FILES[path]
    at, bit = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(0, 7))
    changed = FILES | {path: content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]}
    with pytest.raises(TileError):
        check_export(SIZE, ROOT, changed.__getitem__)


@pytest.mark.parametrize("path", sorted(FILES))
def test_an_export_with_a_file_cut_lengthened_or_exchanged_is_refused(path: str) -> None:
    other = next(data for name, data in FILES.items() if name != path)
    for content in (b"", FILES[path][:-1], FILES[path] + b"\x00", FILES[path] * 2, other):
        with pytest.raises(TileError):
            check_export(SIZE, ROOT, (FILES | {path: content}).__getitem__)


@pytest.mark.parametrize("path", sorted(FILES))
def test_an_export_with_a_file_missing_fails_as_its_reading_does(path: str) -> None:
    rest = {name: data for name, data in FILES.items() if name != path}
    with pytest.raises(KeyError):
        check_export(SIZE, ROOT, rest.__getitem__)


@pytest.mark.parametrize(("size", "root"), [(SIZE - 1, ROOT), (SIZE, EMPTY_ROOT), (SIZE - 1, naive_log.root(0, 699))])
def test_an_export_of_another_size_or_root_is_refused(size: int, root: bytes) -> None:
    with pytest.raises((TileError, KeyError)):
        check_export(size, root, FILES.__getitem__)


def test_a_reader_fetches_each_tile_once_for_a_proof() -> None:
    fetched: list[str] = []

    def fetch(path: str) -> bytes:
        fetched.append(path)
        return FILES[path]

    inclusion_proof(3, SIZE, TileReader(SIZE, fetch).read)
    assert fetched == ["tile/0/000", "tile/1/000.p/2", "tile/0/002.p/188"]


@pytest.mark.parametrize("node", [(0, SIZE), (0, -1), (-1, 0), (8, 2), (10, 0), (64, 0), (10_000, 0)])
def test_a_reader_refuses_a_subtree_that_is_not_complete(node: Coordinate) -> None:
    with pytest.raises(TileError, match="no complete subtree"):
        TileReader(SIZE, FILES.__getitem__).read([node])
    with pytest.raises(TileError, match="no complete subtree"):
        tile_of(node, SIZE)


@pytest.mark.parametrize("index", [-1, SIZE])
def test_a_reader_has_no_entry_outside_the_log(index: int) -> None:
    with pytest.raises(TileError, match="no complete subtree"):
        TileReader(SIZE, FILES.__getitem__).entry(index)


@pytest.mark.parametrize("length", [0, 1, 187 * 32, 188 * 32 - 1, 188 * 32 + 1, 189 * 32, 257 * 32])
def test_a_reader_refuses_a_tile_of_another_length(length: int) -> None:
    with pytest.raises(TileError, match="another length"):
        TileReader(SIZE, lambda _: bytes(length)).read([(0, SIZE - 1)])


@pytest.mark.parametrize("data", [b"", b"\x00", FILES["tile/entries/002.p/188"] + b"\x00\x00"])
def test_a_reader_refuses_a_bundle_of_another_width(data: bytes) -> None:
    with pytest.raises(TileError, match="a bundle"):
        TileReader(SIZE, lambda _: data).entry(SIZE - 1)


def test_a_full_file_serves_where_the_partial_one_is_gone() -> None:
    full = {path: data for path, data in files_of(1024).items() if ".p/" not in path}
    full["tile/1/000"] = FILES["tile/1/000.p/2"]
    reader = TileReader(SIZE, lambda path: full[path.partition(".p/")[0]])
    proof = inclusion_proof(SIZE - 1, SIZE, reader.read)
    verify_inclusion(leaf_hash(reader.entry(SIZE - 1)), SIZE - 1, SIZE, proof, ROOT)


@pytest.mark.parametrize(
    ("node", "size", "tile"),
    [
        ((0, 0), 1, Tile(0, 0, 1)),
        ((0, 255), 256, Tile(0, 0)),
        ((0, 256), 257, Tile(0, 1, 1)),
        ((7, 1), 256, Tile(0, 0)),
        ((7, 2), 400, Tile(0, 1, 144)),
        ((8, 0), 256, Tile(1, 0, 1)),
        ((15, 1), 70_000, Tile(1, 0)),
        ((16, 0), 70_000, Tile(2, 0, 1)),
    ],
)
def test_a_node_lies_in_the_tile_of_its_level_divided_by_eight(node: Coordinate, size: int, tile: Tile) -> None:
    assert tile_of(node, size) == tile
