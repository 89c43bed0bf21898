"""A log as static files (C2SP `tlog-tiles`): bundles of entries, tiles of hashes, and every proof made from them.

Guarantees:

- A path has one spelling. A file, once complete, never changes, so that a log exported in any number of goes has the
  files of one exported at once.
- What `TileWriter.edge` or `check_export` accepted is, byte for byte, the tree of that size and root.
- Writing holds one bundle and one tile of each level, whatever the size of the log.

Leaves to the caller where files are kept, that the checkpoint becomes visible last, and who may read which: entries are
in bundles, tiles hold hashes only. `TileReader` believes the files; a proof made from it is worth what verifying it says.

The hashes of one tile are those of `tree`'s level `8 × tile level`; the seven levels above them are computed.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, takewhile
from typing import Self, TypeAlias

from services.tlog.canonical import MAX_INTEGER
from services.tlog.tree import HASH_SIZE, Coordinate, Frontier, Read, leaf_hash, merkle_root, read_nodes

HEIGHT = 8
WIDTH = 1 << HEIGHT
"""Hashes in a full tile, entries in a full bundle."""

MAX_LEVEL = 63
MAX_ENTRY = 65_535

File: TypeAlias = tuple[str, bytes]
"""A path relative to the log's prefix, and the bytes at it."""

Fetch: TypeAlias = Callable[[str], bytes]
"""Answers the bytes at such a path; raises whatever it likes when there are none."""

_LENGTH_SIZE = 2
_PATH = re.compile(r"tile/(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([0-9]{1,3}))?")


class TileError(ValueError):
    """A path or a file of a tiled log that is malformed, or not of the tree that it is said to be of."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One file: a tile of hashes at this level, or with `level` None a bundle of entries; full, or partial if narrower.

    Raises: TileError unless 0 ≤ level ≤ 63, 0 ≤ index < 2⁶³ and 1 ≤ width ≤ 256.
    """

    level: int | None
    index: int
    width: int = WIDTH

    def __post_init__(self) -> None:
        if self.level is not None and not 0 <= self.level <= MAX_LEVEL:
            raise TileError(f"a tile's level is at least 0 and at most {MAX_LEVEL}")
        if not 0 <= self.index <= MAX_INTEGER:
            raise TileError("a tile's index is at least 0 and below 2^63")
        if not 1 <= self.width <= WIDTH:
            raise TileError(f"a tile is 1 to {WIDTH} wide")

    @classmethod
    def parse(cls, path: str) -> Self:
        """Reads `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]` (§ Merkle Tree, § Log entries).

        Raises: TileError for any text that `path` does not write.
        """
        found = _PATH.fullmatch(path)
        if not found:
            raise TileError("not a path of a tile")
        level, index, width = found.groups()
        digits = index.replace("x", "").replace("/", "")
        tile = cls(None if level == "entries" else int(level), int(digits), int(width or WIDTH))
        if tile.path != path:
            raise TileError("a tile's path in another than its canonical form")
        return tile

    @property
    def path(self) -> str:
        """The path, byte for byte what `parse` reads."""
        level = "entries" if self.level is None else self.level
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{_groups(self.index)}{partial}"


def new_tiles(size: int, since: int = 0) -> Iterator[Tile]:
    """What a tree of `size` leaves has and one of `since` leaves has not: bundles, then hashes level by level.

    Specification: § Partial Tiles. Raises: TileError unless 0 ≤ since ≤ size.
    """
    if not 0 <= since <= size:
        raise TileError(f"a tree of {since} leaves does not grow into one of {size}")
    levels = takewhile(lambda level: size >> HEIGHT * level, range(MAX_LEVEL + 1))
    rows = (_row(level, size >> HEIGHT * level, since >> HEIGHT * level) for level in levels)
    return chain(_row(None, size, since), chain.from_iterable(rows))


def tile_of(node: Coordinate, size: int) -> Tile:
    """The tile, as wide as a tree of `size` leaves has it, whose hashes this node is, or is computed from.

    Raises: TileError for a node that is not complete in a tree of this size.
    """
    level, index = node
    if level < 0 or not 0 <= index < size >> level:
        raise TileError(f"no complete subtree {index} at level {level} in a tree of {size}")
    tile_level, height = divmod(level, HEIGHT)
    number = index >> HEIGHT - height
    return Tile(tile_level, number, min(WIDTH, (size >> HEIGHT * tile_level) - number * WIDTH))


def format_bundle(entries: Sequence[bytes]) -> bytes:
    """Entries as a bundle: each after its length, two bytes big-endian (§ Log entries).

    Raises: TileError for no entry, more than 256, or one longer than 65,535 bytes.
    """
    if not 0 < len(entries) <= WIDTH:
        raise TileError(f"a bundle has 1 to {WIDTH} entries")
    for entry in entries:
        _check_entry(entry)
    return b"".join(len(entry).to_bytes(_LENGTH_SIZE, "big") + entry for entry in entries)


def parse_bundle(data: bytes, width: int) -> list[bytes]:
    """The entries of a bundle of this width.

    Raises: TileError unless the bytes are exactly that many entries.
    """
    entries, end = [], 0
    for _ in range(width):
        start = end + _LENGTH_SIZE
        end = start + int.from_bytes(data[end:start], "big")
        entries.append(data[start:end])
    if end != len(data):
        raise TileError(f"a bundle that is not exactly {width} entries")
    return entries


def _no_hashes(_: list[Coordinate]) -> list[bytes]:
    raise TileError("a log of more than a tile is continued from the hashes that it has")


class TileWriter:
    """Entries in, in log order; files out, each as soon as it is complete.

    `since` leaves were exported before: `read` answers this log's hashes, asked once and only for the right edge above
    the leaves (the log's own nodes will do, or `TileReader`). The first entry to add is then the first of the last,
    unfinished bundle, which `size` names; nothing is handed out that an export of `since` leaves holds already.

    Raises: TileError for a negative `since`; ValueError for an answer of the wrong shape.
    """

    def __init__(self, since: int = 0, read: Read = _no_hashes) -> None:
        if since < 0:
            raise TileError("a tree has no negative size")
        self._since, self._size = since, since - since % WIDTH
        self._entries: list[bytes] = []
        self._rows = _stored_rows(since, read)

    @property
    def size(self) -> int:
        """The index of the next entry to add."""
        return self._size

    def add(self, entries: Iterable[bytes]) -> list[File]:
        """Takes a page of entries; hands out the full bundles and tiles that they completed.

        Raises: TileError for an entry longer than 65,535 bytes, which is not taken.
        """
        files: list[File] = []
        for entry in entries:
            _check_entry(entry)
            self._entries.append(entry)
            self._size += 1
            if len(self._entries) == WIDTH:
                files += self._complete()
        return files

    def edge(self, size: int, root: bytes) -> list[File]:
        """The partial files of the tree so far, which has this size and root; more entries may then be added.

        Until it returns, nothing says that the files handed out before are this log's.
        Raises: TileError for entries that are fewer or more than `size`, fewer than before, or lead to another root.
        """
        if not self._since <= self._size == size:
            raise TileError(f"{self._size} entries do not make the tree of {size}")
        rows = [[leaf_hash(entry) for entry in self._entries], *self._rows]
        edge = (each for row in reversed(rows) for each in Frontier.empty().extend(row)[0].hashes)
        if Frontier(size, tuple(edge)).root() != root:
            raise TileError(f"the entries lead to another root of {size} leaves")
        contents: dict[int | None, bytes] = {level: b"".join(row) for level, row in enumerate(rows)}
        if self._entries:
            contents[None] = format_bundle(self._entries)
        new = [tile for tile in new_tiles(size, self._since) if tile.width < WIDTH]
        self._since = size
        return [(tile.path, contents[tile.level]) for tile in new]

    def _complete(self) -> list[File]:
        number = self._size // WIDTH - 1
        files = [(Tile(None, number).path, format_bundle(self._entries))]
        row, level = [leaf_hash(entry) for entry in self._entries], 0
        self._entries = []
        while len(row) == WIDTH:
            files.append((Tile(level, number).path, b"".join(row)))
            if level == len(self._rows):
                self._rows.append([])
            above = [*self._rows[level], merkle_root(row)]
            self._rows[level] = above if len(above) < WIDTH else []
            row, level, number = above, level + 1, number // WIDTH
        return files


def export(
    entries: Iterable[bytes], size: int, root: bytes, *, since: int = 0, read: Read = _no_hashes
) -> Iterator[File]:
    """Every file of the tree with this size and root, or every one that the tree of `since` leaves has not.

    `entries` are those from index `since - since % 256` up to `size`, read as they are needed. The partial files come
    last and only if all leads to the root: write the checkpoint after the last file.
    Raises: TileError, ValueError as `TileWriter` does.
    """
    writer, stream = TileWriter(since, read), iter(entries)
    while page := list(islice(stream, WIDTH)):
        yield from writer.add(page)
    yield from writer.edge(size, root)


def check_export(size: int, root: bytes, fetch: Fetch) -> None:
    """Returns only if the files are, byte for byte, those of the tree with this size and root; reads each one once.

    Raises: TileError for the first that is malformed or differs, or for another root; whatever `fetch` raises.
    """
    writer = TileWriter()
    for bundle in _row(None, size, 0):
        _compare(writer.add(parse_bundle(fetch(bundle.path), bundle.width)), fetch)
    _compare(writer.edge(size, root), fetch)


@dataclass(frozen=True, slots=True)
class TileReader:
    """Entries and hashes of the log of `size` leaves, from its files.

    Where a partial file is gone because the full one took its place, `fetch` may answer the full one.
    """

    size: int
    fetch: Fetch

    def read(self, nodes: list[Coordinate]) -> list[bytes]:
        """The hashes of complete subtrees, as the proofs of `proof` ask for them; fetches each tile once.

        Raises: TileError for a subtree that is not complete, or a tile of another length than its width says.
        """
        wanted = [tile_of(node, self.size) for node in nodes]
        tiles = {tile: _hashes(self.fetch(tile.path), tile) for tile in dict.fromkeys(wanted)}
        return [_subtree(tiles[tile], *node) for tile, node in zip(wanted, nodes, strict=True)]

    def entry(self, index: int) -> bytes:
        """The entry at this index. Raises: TileError for an index outside the log, or a malformed bundle."""
        leaves = tile_of((0, index), self.size)
        data = self.fetch(Tile(None, leaves.index, leaves.width).path)
        try:
            return parse_bundle(data, leaves.width)[index % WIDTH]
        except TileError:
            return parse_bundle(data, WIDTH)[index % WIDTH]


def _groups(index: int) -> str:
    """The index in groups of three digits, each but the last after an x: no file is ever where a folder must be."""
    digits = str(index)
    padded = digits.zfill(-(-len(digits) // 3) * 3)
    *folders, last = (padded[at : at + 3] for at in range(0, len(padded), 3))
    return "".join(f"x{folder}/" for folder in folders) + last


def _row(level: int | None, end: int, start: int) -> Iterator[Tile]:
    full, width = divmod(end, WIDTH)
    yield from (Tile(level, index) for index in range(start // WIDTH, full))
    if width and end != start:
        yield Tile(level, full, width)


def _stored_rows(size: int, read: Read) -> list[list[bytes]]:
    """The hashes of each unfinished tile above the leaves' level, in a tree of this size."""
    counts = [size >> HEIGHT * level for level in range(1, MAX_LEVEL + 1) if size >> HEIGHT * level]
    edges = [
        [(HEIGHT * level, index) for index in range(count - count % WIDTH, count)]
        for level, count in enumerate(counts, 1)
    ]
    nodes = [node for edge in edges for node in edge]
    hashes = iter(read_nodes(nodes, read) if nodes else [])
    return [list(islice(hashes, len(edge))) for edge in edges]


def _subtree(hashes: list[bytes], level: int, index: int) -> bytes:
    height = level % HEIGHT
    first = (index << height) % WIDTH
    return merkle_root(hashes[first : first + (1 << height)])


def _hashes(data: bytes, tile: Tile) -> list[bytes]:
    if len(data) not in (tile.width * HASH_SIZE, WIDTH * HASH_SIZE):
        raise TileError(f"{tile.path} has another length than {tile.width} hashes")
    return [data[at : at + HASH_SIZE] for at in range(0, tile.width * HASH_SIZE, HASH_SIZE)]


def _compare(made: list[File], fetch: Fetch) -> None:
    for path, data in made:
        # A bundle was made from what was fetched a moment ago, in the one form that parses.
        if Tile.parse(path).level is not None and fetch(path) != data:
            raise TileError(f"{path} is not of this tree")


def _check_entry(entry: bytes) -> None:
    if len(entry) > MAX_ENTRY:
        raise TileError(f"an entry has at most {MAX_ENTRY} bytes")
