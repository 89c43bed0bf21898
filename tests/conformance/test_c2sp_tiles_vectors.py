"""Tiled logs that others wrote: the examples of C2SP `tlog-tiles`, Tessera's test log, Sunlight's mirrored log."""

from hashlib import sha256

import pytest

from services.tlog.checkpoint import Checkpoint, open_checkpoint
from services.tlog.note import Verifier
from services.tlog.proof import consistency_proof, inclusion_proof, verify_consistency, verify_inclusion
from services.tlog.tiles import (
    Tile,
    TileError,
    TileReader,
    TileWriter,
    check_export,
    export,
    new_tiles,
    parse_bundle,
    tile_of,
)
from services.tlog.tree import Coordinate, leaf_hash

PATHS = [
    ("tile/0/x001/x234/067", Tile(0, 1_234_067)),
    ("tile/0/x001/x234/067.p/89", Tile(0, 1_234_067, 89)),
    ("tile/63/x999/x999/x999/x999/x999/999.p/255", Tile(63, 999_999_999_999_999_999, 255)),
    ("tile/0/001", Tile(0, 1)),
    ("tile/0/000", Tile(0, 0)),
    ("tile/0/000.p/255", Tile(0, 0, 255)),
    ("tile/1/000", Tile(1, 0)),
    ("tile/15/x455/667", Tile(15, 455_667)),
    ("tile/15/x123/x456/789.p/41", Tile(15, 123_456_789, 41)),
    ("tile/entries/000", Tile(None, 0)),
    ("tile/entries/000.p/8", Tile(None, 0, 8)),
    ("tile/entries/255.p/253", Tile(None, 255, 253)),
    ("tile/entries/x123/x456/789", Tile(None, 123_456_789)),
]
BAD_PATHS = [
    "tile/0/x001/x234/067.p/",
    "tile/0/x001/x234/067.p",
    "tile/0/x001/x234/",
    "tile/0/x001/x234",
    "tile/0/x001/",
    "tile/0/x001",
    "tile/1/x001/.p/abc",
    "tile/64/x001/002",
    "tile/-1/x001/002",
    "tile/abc/x001/002",
    "tile/8/001/002",
    "tile/8/x001/0002",
    "tile/8/x001/-002",
    "tile/8/x001/002.p/256",
    "tile/63/x999/x999/x999/x999/x999/x999/999.p/255",
    "tile/3/5/123/456/078",
    "tile/3/-1/123/456/078",
    "tile/1/data/x003/x057/500",
]

TESSERA = Verifier.from_vkey("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
TESSERA_CHECKPOINT = """\
example.com/log/testdata
15
rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=

— example.com/log/testdata M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/uEWP6zdkdIQzd/fmwlM/dlPWF74ewI=
"""
TESSERA_BUNDLE = (
    b"\0\3one\0\3two\0\5three\0\4four\0\4five\0\3six\0\5seven\0\3eit\0\4nain\0\3ten"
    b"\0\6ileven\0\5twelf\0\10threeten\0\7fourten\0\6fivten"
)
TESSERA_TILES = {
    1: "ccfdec58d220e811be8903398a8867fde33e93bba97faecad3315bd7c753bd2f",
    7: "7294908b09b009d5a476bcd8c2086466c4794ceacbc40f556b32280e1a012db4",
    15: "93593af14d2cce39867d2e73fe4ca400a38581605c5c4501a03e752d9b51a130",
}
TESSERA_ROOTS = [
    "0Nc2CrefWKseHj/mStd+LqC8B+NrX0btIiPt2SmN+ek=",
    "T1X2GdkhUjV3iyufF9b0kVsWFxIU0VI4EpNml2Teci4=",
    "Wqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKk=",
    "zY1lN35vrXYAPixXSd59LsU29xUJtuW4o2dNNg5Y2Co=",
    "gy5gl3aksFyiCO95a/1vLXz88A3dRq+0l9Sxte8ZqZQ=",
    "a6sWvsc2eEzmj72vah7mZ5dwFltivehh2b11qwlp5Jg=",
    "IrSXADBqJ7EQoUODSDKROySgNveeL6CFhik2w/+fS7U=",
    "bC+VwvrJbalNVjfkdI8kUgs7mJoXrqiXCE7bgnD28pY=",
    "CvhHViE3S9E3htHLR+25mapWoGCJ3WckMq1UtC3VmEY=",
    "y8/gZsZCtitsMan09tY+k8I7Qpr7Y5fbO2tLi9GQnfU=",
    "Yok1cS5VdokGLBy73BC2I16b3atss6KBN9jnIi6Fz/A=",
    "uZo6M+IhVna+CLgWCrJs0xBPUHbozHkYTQASduHSLME=",
    "av0kLH0VkkVDrTuZzBGIx7d9z5G1l/GlKz/nAV/8woQ=",
    "SvCd38yNade7xEPY1a/aAc1M3A2AHYVF8lIiUnsH1ao=",
    "rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=",
]

SUNLIGHT = Checkpoint.parse("rome2026h1.example.org\n300\ngw31yQrqZZCcEOPrzX+bpy3nJ6QgngTKn8G1m0i62uU=\n")
SUNLIGHT_ENTRIES = [f"record {index}".encode() for index in range(300)]
SUNLIGHT_TILES = {
    "tile/0/000": "66a1d43136a854a5776d5bce14bf101c925fc7d4b32f1be23b658f636ebfcddb",
    "tile/0/001.p/44": "699f078d937f13343d71ad39321757de3ecf391e8d7a1b2015ad38bd36f5d60a",
}
SUNLIGHT_TOP = "dc9349f9787ed0086da6d97f679c51a5198f98e456e95b1d87fa3abc012fec31"


@pytest.mark.parametrize(("path", "tile"), PATHS)
def test_a_published_path_is_read_and_written_back(path: str, tile: Tile) -> None:
    assert (Tile.parse(path), tile.path) == (tile, path)


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_published_bad_path_is_refused(path: str) -> None:
    with pytest.raises(TileError):
        Tile.parse(path)


@pytest.mark.parametrize(
    ("index", "size", "path"),
    [
        (0, 256, "tile/entries/000"),
        (255, 256, "tile/entries/000"),
        (251, 255, "tile/entries/000.p/255"),
        (256, 512, "tile/entries/001"),
        (3, 257, "tile/entries/000"),
        (256, 257, "tile/entries/001.p/1"),
        (123_456_789 * 256, 123_456_790 * 256, "tile/entries/x123/x456/789"),
    ],
)
def test_an_entry_is_looked_for_at_the_published_path(index: int, size: int, path: str) -> None:
    asked: list[str] = []

    def fetch(path: str) -> bytes:
        asked.append(path)
        raise FileNotFoundError

    with pytest.raises(FileNotFoundError):
        TileReader(size, fetch).entry(index)
    assert asked == [path]


@pytest.mark.parametrize(
    ("node", "tile"), [((0, 0), (0, 0)), ((0, 255), (0, 0)), ((0, 256), (0, 1)), ((1, 0), (0, 0)), ((8, 0), (1, 0))]
)
def test_a_node_lies_in_the_published_tile(node: Coordinate, tile: tuple[int, int]) -> None:
    found = tile_of(node, 1000)
    assert (found.level, found.index) == tile


def test_the_trees_of_the_specification_have_the_tiles_it_counts() -> None:
    assert [tile.path for tile in new_tiles(256)] == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]
    tiles = [tile for tile in new_tiles(70_000) if tile.level is not None]
    assert [tile.path for tile in tiles[273:]] == [
        "tile/0/273.p/112",
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert all(tile == Tile(0, index) for index, tile in enumerate(tiles[:273]))


def test_tesseras_log_is_written_byte_for_byte_at_each_size_that_it_had() -> None:
    """Tessera's test log grew entry by entry, with a checkpoint and a partial bundle and tile each time."""
    entries = parse_bundle(TESSERA_BUNDLE, 15)
    writer = TileWriter()
    for size, root in enumerate(TESSERA_ROOTS, 1):
        writer.add(entries[writer.size : size])
        bundle, tile = writer.edge(size, Checkpoint.parse(f"o\n{size}\n{root}\n").root)
        end = sum(2 + len(entry) for entry in entries[:size])
        assert bundle == (f"tile/entries/000.p/{size}", TESSERA_BUNDLE[:end])
        assert tile == (f"tile/0/000.p/{size}", b"".join(map(leaf_hash, entries[:size])))
        assert sha256(tile[1]).hexdigest() == TESSERA_TILES.get(size, sha256(tile[1]).hexdigest())


def test_tesseras_signed_checkpoint_is_proven_from_its_files() -> None:
    checkpoint = open_checkpoint(TESSERA_CHECKPOINT, TESSERA)
    files = dict(export(parse_bundle(TESSERA_BUNDLE, 15), checkpoint.size, checkpoint.root))
    check_export(checkpoint.size, checkpoint.root, files.__getitem__)
    reader = TileReader(checkpoint.size, files.__getitem__)
    assert reader.entry(7) == b"eit"
    for index in range(15):
        proof = inclusion_proof(index, 15, reader.read)
        verify_inclusion(leaf_hash(reader.entry(index)), index, 15, proof, checkpoint.root)
        old = Checkpoint.parse(f"o\n{index + 1}\n{TESSERA_ROOTS[index]}\n")
        verify_consistency(old.size, old.root, 15, checkpoint.root, consistency_proof(old.size, 15, reader.read))


def test_sunlights_mirror_is_written_byte_for_byte() -> None:
    files = dict(export(SUNLIGHT_ENTRIES, SUNLIGHT.size, SUNLIGHT.root))
    assert {path: sha256(files[path]).hexdigest() for path in SUNLIGHT_TILES} == SUNLIGHT_TILES
    assert files["tile/1/000.p/1"].hex() == SUNLIGHT_TOP
    assert sorted(files) == [*sorted(SUNLIGHT_TILES), "tile/1/000.p/1", "tile/entries/000", "tile/entries/001.p/44"]
