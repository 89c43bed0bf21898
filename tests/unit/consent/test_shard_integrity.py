"""What somebody with the database can change, and who finds it: the start, the next write, or the first auditor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.consent.domain import commands as c
from services.errors import AccordError, Reason
from services.tlog.tree import frontier_nodes
from tests.support.ledgers import Bench, build, ins

SIZE = 13


async def fill(bench: Bench, size: int = SIZE) -> None:
    for number in range(len(bench.entries()), size):
        await bench.ledger.open_profile(c.OpenProfile(ins(number + 100)))
    assert len(bench.entries()) == size


def sql(bench: Bench, statement: str, *values: Any) -> None:
    with bench.database.write() as connection:
        changed = connection.exec_driver_sql(statement, values).rowcount
    assert changed == 1


def value(bench: Bench, statement: str) -> Any:
    with bench.database.read() as connection:
        return connection.exec_driver_sql(statement).scalar_one()


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
            update = f"UPDATE node SET hash = ? {place.removeprefix('FROM node ')}"
            sql(bench, update, bytes(changed))
            not_started(bench)
            sql(bench, update, good)
        sql(bench, f"DELETE {place}")
        not_started(bench)
        sql(bench, "INSERT INTO node (shard, level, idx, hash) VALUES (0, ?, ?, ?)", level, index, good)
    bench.ledger.start()


async def test_every_byte_of_the_head_s_root_and_note_is_verified_at_the_start(bench: Bench) -> None:
    await fill(bench, 5)
    root, note = value(bench, "SELECT root FROM head"), value(bench, "SELECT note FROM head")
    for position in range(32):
        changed = bytearray(root)
        changed[position] ^= 1 << position % 8
        sql(bench, "UPDATE head SET root = ?", bytes(changed))
        not_started(bench)
    sql(bench, "UPDATE head SET root = ?", root)
    for position, character in enumerate(note):
        other = chr(ord(character) ^ 1)
        sql(bench, "UPDATE head SET note = ?", note[:position] + other + note[position + 1 :])
        not_started(bench)
    sql(bench, "UPDATE head SET note = ?", note)
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
        "UPDATE entry SET data = CAST(replace(data, 'portal', 'broker') AS BLOB) WHERE idx = 12",
        "DELETE FROM entry WHERE idx = 12",
        "UPDATE entry SET idx = 13 WHERE idx = 12",
        "INSERT INTO entry (shard, idx, data) VALUES (0, 13, x'00')",
    ],
)
async def test_a_head_that_does_not_say_what_the_log_says_does_not_start(bench: Bench, statement: str) -> None:
    await fill(bench)
    sql(bench, statement)
    not_started(bench)


async def test_a_head_that_another_key_signed_does_not_start(bench: Bench, tmp_path: Path) -> None:
    await fill(bench)
    (tmp_path / "other").mkdir()
    other = build(tmp_path / "other", origin="accord.example/ledger/2")
    sql(bench, "UPDATE head SET note = ?", other.ledger.proofs.checkpoints()[0])
    not_started(bench)
    await other.close()


async def test_a_log_rolled_back_beneath_a_running_process_is_noticed_at_its_next_write(
    bench: Bench, tmp_path: Path
) -> None:
    """Entries, nodes and signed head restored together: all of them hold, but the process has seen more."""
    await fill(bench, 5)
    kept = {table: rows(bench, table) for table in ("head", "entry", "node", "opening")}
    await fill(bench, 8)
    for table, old in kept.items():
        with bench.database.write() as connection:
            connection.exec_driver_sql(f"DELETE FROM {table}")
            for row in old:
                connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    with pytest.raises(AccordError) as caught:
        await bench.ledger.open_profile(c.OpenProfile(ins(500)))
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
        forked = rows(fork, table)
        with bench.database.write() as connection:
            connection.exec_driver_sql(f"DELETE FROM {table}")
            for row in forked:
                connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    with pytest.raises(AccordError) as caught:
        await bench.ledger.open_profile(c.OpenProfile(ins(500)))
    assert caught.value.reason is Reason.LEDGER_ROLLED_BACK
    await fork.close()


def rows(bench: Bench, table: str) -> list[tuple[Any, ...]]:
    with bench.database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")]


@pytest.mark.parametrize("tampered", ["node", "head"])
async def test_a_right_edge_that_does_not_hold_is_never_extended(bench: Bench, tampered: str) -> None:
    await fill(bench, 5)
    fresh = bench.logs[0]
    fresh._frontier = None  # as after any failure: the tree is read again
    if tampered == "node":
        sql(bench, "UPDATE node SET hash = ? WHERE level = 2", bytes(32))
    else:
        (note,) = (row[-1] for row in rows(bench, "head"))
        other = "B" if note[-20] == "A" else "A"
        sql(bench, "UPDATE head SET note = ?", note[:-20] + other + note[-19:])
    before = rows(bench, "entry")
    with pytest.raises(AccordError) as caught:
        await bench.ledger.open_profile(c.OpenProfile(ins(500)))
    assert caught.value.reason is Reason.LEDGER_ROLLED_BACK
    assert rows(bench, "entry") == before


def _entry(bench: Bench, index: int) -> Callable[[bytes], None]:
    return lambda data: sql(bench, "UPDATE entry SET data = ? WHERE idx = ?", data, index)


def _node(bench: Bench, level: int, index: int) -> Callable[[bytes], None]:
    return lambda data: sql(bench, "UPDATE node SET hash = ? WHERE level = ? AND idx = ?", data, level, index)


def _opening(bench: Bench, index: int) -> Callable[[bytes], None]:
    return lambda data: sql(bench, "UPDATE opening SET sealed = ? WHERE idx = ?", data, index)


async def test_one_flipped_bit_of_any_entry_node_or_opening_is_found_by_reading_the_whole_log(bench: Bench) -> None:
    """Below the right edge the start does not look; whoever reads every proof and opening does."""
    await fill(bench, 7)
    places = [(data, _entry(bench, index)) for _, index, data in rows(bench, "entry")]
    places += [(hash_, _node(bench, level, index)) for _, level, index, hash_ in rows(bench, "node")]
    places += [(row[4], _opening(bench, row[1])) for row in rows(bench, "opening")]
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
