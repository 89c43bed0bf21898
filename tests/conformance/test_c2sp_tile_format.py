"""Paths and bundles of C2SP `tlog-tiles` in their one spelling: what is written is read, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tlog.canonical import MAX_INTEGER
from services.tlog.tiles import MAX_ENTRY, WIDTH, Tile, TileError, format_bundle, parse_bundle

TILES = st.builds(Tile, st.none() | st.integers(0, 63), st.integers(0, MAX_INTEGER), st.integers(1, WIDTH))
NEARLY_PATHS = r"tile/(entries|[0-9]{1,2})/(x[0-9]{3}/|[0-9]{3}/){0,7}x?[0-9]{3,4}(\.p/[0-9]{1,3})?"
BAD_PATHS = [
    "",
    "tile/0/000\n",
    " tile/0/000",
    "checkpoint",
    "/tile/0/000",
    "tile/0",
    "tile/0/",
    "tile//000",
    "tile/0/000/",
    "tile/0/0",
    "tile/0/0000",
    "tile/0/1000",
    "tile/0/x000/000",
    "tile/0/x000/x001/000",
    "tile/0/001/000",
    "tile/0/x001",
    "tile/0/x001/x000",
    "tile/0/X001/000",
    "tile/0/-01",
    "tile/0/+01",
    "tile/0/٠٠١",
    "tile/00/000",
    "tile/01/000",
    "tile/64/000",
    "tile/100/000",
    "tile/-1/000",
    "tile/data/000",
    "tile/Entries/000",
    "tile/8/0/000",
    "tile/0/000.p",
    "tile/0/000.p/",
    "tile/0/000.p/0",
    "tile/0/000.p/01",
    "tile/0/000.p/256",
    "tile/0/000.p/1000",
    "tile/0/000.p/1/",
    "tile/0/000.P/1",
    "tile/0/000/p/1",
    "tile/0/x009/x223/x372/x036/x854/x775/808",
    "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
    "tile/0/../000",
]


@given(TILES)
def test_every_path_is_read_as_what_was_written(tile: Tile) -> None:
    assert Tile.parse(tile.path) == tile


@given(st.from_regex(NEARLY_PATHS, fullmatch=True))
def test_a_text_that_is_read_as_a_path_is_that_path(text: str) -> None:
    try:
        tile = Tile.parse(text)
    except TileError:
        return
    assert tile.path == text


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_malformed_path_is_refused(path: str) -> None:
    with pytest.raises(TileError):
        Tile.parse(path)


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, MAX_INTEGER + 1, 1), (0, 0, 0), (None, 0, 257), (None, -1, 1)],
)
def test_no_tile_is_outside_the_format(level: int | None, index: int, width: int) -> None:
    with pytest.raises(TileError):
        Tile(level, index, width)


@given(st.lists(st.binary(max_size=5), min_size=1, max_size=WIDTH))
def test_a_bundle_holds_its_entries_empty_ones_included(entries: list[bytes]) -> None:
    assert parse_bundle(format_bundle(entries), len(entries)) == entries


def test_a_bundle_is_each_length_in_two_bytes_and_the_entry() -> None:
    assert format_bundle([b"", b"abc", bytes(258)]) == b"\x00\x00" + b"\x00\x03abc" + b"\x01\x02" + bytes(258)
    longest = bytes(MAX_ENTRY)
    assert parse_bundle(format_bundle([longest]), 1) == [longest]


@pytest.mark.parametrize("entries", [[], [b""] * (WIDTH + 1), [b"", bytes(MAX_ENTRY + 1)]])
def test_a_bundle_is_not_made_of_too_few_too_many_or_too_long_entries(entries: list[bytes]) -> None:
    with pytest.raises(TileError):
        format_bundle(entries)


@pytest.mark.parametrize(
    ("data", "width"),
    [
        (b"", 1),
        (b"\x00", 1),
        (b"\x00\x01", 1),
        (b"\x00\x02a", 1),
        (b"\x00\x01a", 2),
        (b"\x00\x01a\x00", 2),
        (b"\x00\x01a\x00\x00", 1),
        (b"\x00\x01ab", 1),
        (b"\x00\x00", 0),
    ],
)
def test_a_bundle_with_a_byte_or_an_entry_too_few_or_too_many_is_refused(data: bytes, width: int) -> None:
    with pytest.raises(TileError):
        parse_bundle(data, width)
