"""What somebody with the database can change, and who finds it: the start, the next write, or the first auditor."""

from collections.abc import Callable
from pathlib import Path

import pytest

from services.consent.domain import commands as c
from services.errors import AccordError, Reason
from services.tlog.tree import frontier_nodes
from tests.contract.consent.behind import change, replace_rows, rows, value
from tests.support.ledgers import Bench, build, ins

SIZE = 13


async def fill(bench: Bench, size: int = SIZE) -> None:
    for number in range(len(bench.entries()), size):
        await bench.open_profile(c.OpenProfile(ins(number + 100)))
    assert len(bench.entries()) == size


def not_started(bench: Bench) -> None:
    """A process that starts on this log refuses it."""
    with pytest.raises(AccordError) as caught:
        bench.ledger.start()
    assert caught.value.reason is Reason.LEDGER_ROLLED_BACK


def test_the_untouched_log_starts(bench: Bench) -> None:
    bench.ledger.start()


async def test_every_byte_of_the_right_edge_is_verified_at_the_start(bench: Bench) -> None:
    await fill(bench)
    for level, index in frontier_nodes(SIZE):
        place = f"FROM node WHERE level = {level} AND idx = {index}"
        good = value(bench, f"SELECT hash {place}")
        for position in range(32):
            changed = bytearray(good)
            changed[position] ^= 1 << position % 8
            update = f"UPDATE node SET hash = :hash {place.removeprefix('FROM node ')}"
            change(bench, update, hash=bytes(changed))
            not_started(bench)
            change(bench, update, hash=good)
        change(bench, f"DELETE {place}")
        not_started(bench)
        insertion = "INSERT INTO node (shard, epoch, level, idx, hash) VALUES (0, 1, :level, :idx, :hash)"
        change(bench, insertion, level=level, idx=index, hash=good)
    bench.ledger.start()


async def test_every_byte_of_the_head_s_root_and_note_is_verified_at_the_start(bench: Bench) -> None:
    await fill(bench, 5)
    root, note = value(bench, "SELECT root FROM head"), value(bench, "SELECT note FROM head")
    for position in range(32):
        changed = bytearray(root)
        changed[position] ^= 1 << position % 8
        change(bench, "UPDATE head SET root = :root", root=bytes(changed))
        not_started(bench)
    change(bench, "UPDATE head SET root = :root", root=root)
    for position, character in enumerate(note):
        changed_note = note[:position] + chr(ord(character) ^ 1) + note[position + 1 :]
        change(bench, "UPDATE head SET note = :note", note=changed_note)
        not_started(bench)
    change(bench, "UPDATE head SET note = :note", note=note)
    bench.ledger.start()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE head SET size = 12",
        "UPDATE head SET size = 14",
        "UPDATE head SET size = -1",
        "UPDATE head SET size = 0",
        "UPDATE head SET time_ms = time_ms - 1",
        "UPDATE head SET time_ms = time_ms + 1",
        "UPDATE head SET registry_sequence = registry_sequence - 1",
        "UPDATE head SET registry_sequence = registry_sequence + 1",
        "UPDATE head SET registry_hash = replace(registry_hash, 'e', 'f')",
        "UPDATE head SET origin = 'accord.example/ledger/1/1'",
        "DELETE FROM head",
        "UPDATE entry SET data = :of_another_actor WHERE idx = 12",
        "DELETE FROM entry WHERE idx = 12",
        "UPDATE entry SET idx = 13 WHERE idx = 12",
        "INSERT INTO entry (shard, epoch, idx, data) VALUES (0, 1, 13, :nul)",
    ],
)
async def test_a_head_that_does_not_say_what_the_log_says_does_not_start(bench: Bench, statement: str) -> None:
    await fill(bench)
    last = value(bench, "SELECT data FROM entry WHERE idx = 12")
    values = {"of_another_actor": last.replace(b"portal", b"broker"), "nul": b"\0"}
    change(bench, statement, **{name: item for name, item in values.items() if f":{name}" in statement})
    not_started(bench)


async def test_a_head_that_another_key_signed_does_not_start(bench: Bench, tmp_path: Path) -> None:
    await fill(bench)
    (tmp_path / "other").mkdir()
    other = build(tmp_path / "other", origin="accord.example/ledger/2")
    change(bench, "UPDATE head SET note = :note", note=other.ledger.proofs.checkpoints()[0])
    not_started(bench)
    await other.close()


async def test_a_log_rolled_back_beneath_a_running_process_is_noticed_at_its_next_write(bench: Bench) -> None:
    """Entries, nodes and signed head restored together: all of them hold, but the process has seen more."""
    await fill(bench, 5)
    kept = {table: rows(bench, table) for table in ("head", "entry", "node", "opening")}
    await fill(bench, 8)
    for table, old in kept.items():
        replace_rows(bench, table, old)
    with pytest.raises(AccordError) as caught:
        await bench.open_profile(c.OpenProfile(ins(500)))
    assert caught.value.reason is Reason.LEDGER_ROLLED_BACK
    bench.ledger.start()  # a new process cannot know: the witnesses do (services/exchange/witness.py)


async def test_another_log_of_the_same_length_beneath_a_running_process_is_noticed(
    bench: Bench, tmp_path: Path
) -> None:
    await fill(bench, 5)
    (tmp_path / "fork").mkdir()
    fork = build(tmp_path / "fork")
    await fill(fork, 5)
    for table in ("head", "entry", "node"):
        replace_rows(bench, table, rows(fork, table))
    with pytest.raises(AccordError) as caught:
        await bench.open_profile(c.OpenProfile(ins(500)))
    assert caught.value.reason is Reason.LEDGER_ROLLED_BACK
    await fork.close()


@pytest.mark.parametrize("tampered", ["node", "head"])
async def test_a_right_edge_that_does_not_hold_is_never_extended(bench: Bench, tampered: str) -> None:
    await fill(bench, 5)
    fresh = bench.logs[0]
    fresh._frontier = None  # as after any failure: the tree is read again
    if tampered == "node":
        change(bench, "UPDATE node SET hash = :hash WHERE level = 2", hash=bytes(32))
    else:
        note = value(bench, "SELECT note FROM head")
        other = "B" if note[-20] == "A" else "A"
        change(bench, "UPDATE head SET note = :note", note=note[:-20] + other + note[-19:])
    before = rows(bench, "entry")
    with pytest.raises(AccordError) as caught:
        await bench.open_profile(c.OpenProfile(ins(500)))
    assert caught.value.reason is Reason.LEDGER_ROLLED_BACK
    assert rows(bench, "entry") == before


def _entry(bench: Bench, index: int) -> Callable[[bytes], None]:
    return lambda data: change(bench, "UPDATE entry SET data = :data WHERE idx = :idx", data=data, idx=index)


def _node(bench: Bench, level: int, index: int) -> Callable[[bytes], None]:
    update = "UPDATE node SET hash = :hash WHERE level = :level AND idx = :idx"
    return lambda data: change(bench, update, hash=data, level=level, idx=index)


def _opening(bench: Bench, index: int) -> Callable[[bytes], None]:
    return lambda data: change(bench, "UPDATE opening SET sealed = :sealed WHERE idx = :idx", sealed=data, idx=index)


async def test_one_flipped_bit_of_any_entry_node_or_opening_is_found_by_reading_the_whole_log(bench: Bench) -> None:
    """Below the right edge the start does not look; whoever reads every proof and opening does."""
    await fill(bench, 7)
    places = [(row.data, _entry(bench, row.idx)) for row in rows(bench, "entry")]
    places += [(row.hash, _node(bench, row.level, row.idx)) for row in rows(bench, "node")]
    places += [(row.sealed, _opening(bench, row.idx)) for row in rows(bench, "opening")]
    assert len(places) == 7 + 11 + 7
    for number, (good, write) in enumerate(places):
        for bit in (number, 8 * (len(good) // 2) + 3, 8 * len(good) - 1):
            changed = bytearray(good)
            changed[bit // 8] ^= 1 << bit % 8
            write(bytes(changed))
            assert not _holds(bench)
        write(good)
        assert _holds(bench)


def _holds(bench: Bench) -> bool:
    try:
        for index in range(len(bench.entries())):
            bench.opened(index)
    except Exception:
        return False
    return True
