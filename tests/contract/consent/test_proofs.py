"""Reading the log: what is asked for is proven, what is not there is not found, what is opened is what was committed to."""

from functools import partial
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import event

from services.consent.domain import commands as c
from services.errors import Reason
from services.formats.entry import commitment, parse_entry
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from services.tlog.proof import verify_consistency
from tests.contract.consent.behind import change, rows, value
from tests.support.ledgers import PUBLIC_KEY, SENDER, Bench, ins
from tests.support.refused import refusal_of

ORIGIN = "accord.example/ledger/1/0"


async def filled(bench: Bench, size: int = 6) -> Bench:
    for number in range(size):
        await bench.open_profile(c.OpenProfile(ins(number)))
    return bench


async def test_every_entry_is_proven_against_the_latest_checkpoint(bench: Bench) -> None:
    await filled(bench)
    proofs = bench.ledger.proofs
    items = proofs.prove(ORIGIN, range(6), openings=True)
    assert [item.index for item in items] == list(range(6))
    assert [bench.opened(index) for index in range(6)] == [{}] * 6
    assert len({item.proof.partition("\n\n")[2] for item in items}) == 1
    closed = proofs.prove(ORIGIN, [2], openings=False)[0]
    assert closed.opening is None
    assert closed.proof == items[2].proof


@pytest.mark.parametrize("origin", ["", "accord.example/ledger/1/1", "accord.example/ledger/2/0", ORIGIN + "/"])
async def test_another_log_is_not_found(bench: Bench, origin: str) -> None:
    proofs = (await filled(bench, 3)).ledger.proofs
    assert refusal_of(proofs.shard, origin).reason is Reason.RESOURCE_NOT_FOUND
    assert refusal_of(proofs.entries, origin, 0, 1).reason is Reason.RESOURCE_NOT_FOUND
    assert refusal_of(proofs.consistency, origin, 1, 2).reason is Reason.RESOURCE_NOT_FOUND
    assert refusal_of(partial(proofs.prove, openings=False), origin, [0]).reason is Reason.RESOURCE_NOT_FOUND


async def test_an_index_or_size_beyond_the_log_is_not_found(bench: Bench) -> None:
    proofs = (await filled(bench, 3)).ledger.proofs
    for index in (-1, 3, 2**70):
        assert refusal_of(partial(proofs.prove, openings=True), ORIGIN, [0, index]).reason is Reason.RESOURCE_NOT_FOUND
    for old, new in ((0, 1), (-1, 2), (2, 1), (1, 4), (4, 4)):
        assert refusal_of(proofs.consistency, ORIGIN, old, new).reason is Reason.RESOURCE_NOT_FOUND


async def test_any_size_is_proven_to_begin_any_later_one(bench: Bench) -> None:
    proofs, heads = bench.ledger.proofs, []
    for number in range(7):
        await bench.open_profile(c.OpenProfile(ins(number)))
        heads.append(open_checkpoint(proofs.checkpoints()[0], Verifier(ORIGIN, PUBLIC_KEY)))
    for old in heads:
        for new in heads[old.size - 1 :]:
            verify_consistency(old.size, old.root, new.size, new.root, proofs.consistency(ORIGIN, old.size, new.size))


async def test_entries_come_in_log_order_a_page_at_a_time(bench: Bench) -> None:
    await filled(bench)
    proofs = bench.ledger.proofs
    every = proofs.entries(ORIGIN, 0, 100)
    assert [parse_entry(entry) for entry in every] == list(bench.entries())
    assert proofs.entries(ORIGIN, 2, 3) == every[2:5]
    assert proofs.entries(ORIGIN, 5, 3) == every[5:]
    assert proofs.entries(ORIGIN, 6, 3) == []


async def test_there_is_a_checkpoint_for_each_shard_in_order(sharded: Bench) -> None:
    notes = sharded.ledger.proofs.checkpoints()
    assert [note.partition("\n")[0] for note in notes] == [log.origin for log in sharded.logs]
    assert [sharded.ledger.proofs.shard(log.origin) for log in sharded.logs] == [0, 1, 2, 3]


async def test_an_opening_whose_key_was_destroyed_is_gone_and_the_proof_still_holds(bench: Bench) -> None:
    address = await bench.patient()
    await bench.grant(address, SENDER)
    index = len(bench.entries()) - 1
    bench.opened(index)
    change(bench, "DELETE FROM data_key WHERE patient = :patient AND year > 0", patient=address.patient)
    (item,) = bench.ledger.proofs.prove(ORIGIN, [index], openings=True)
    assert item.opening is None
    assert parse_entry(item.entry).type == "consent.granted"
    assert len(bench.entries()) == index + 1


async def test_two_openings_swapped_by_somebody_with_the_database_do_not_open(bench: Bench) -> None:
    """Even those of one patient and year, sealed under one key."""
    address = await bench.patient()
    first = await _granted(bench, address)
    second = await _granted(bench, address)
    sealed = {
        index: value(bench, "SELECT sealed FROM opening WHERE idx = :idx", idx=index) for index in (first, second)
    }
    for index, other in ((first, second), (second, first)):
        change(bench, "UPDATE opening SET sealed = :sealed WHERE idx = :idx", sealed=sealed[other], idx=index)
    for index in (first, second):
        with pytest.raises(InvalidTag):
            bench.ledger.proofs.prove(ORIGIN, [index], openings=True)


async def _granted(bench: Bench, address: c.Address) -> int:
    await bench.grant(address, SENDER)
    return len(bench.entries()) - 1


async def test_a_patient_s_data_key_does_not_open_another_s_entries(bench: Bench) -> None:
    await filled(bench, 2)
    one, other = (row.wrapped for row in rows(bench, "data_key") if row.year == 2026)
    change(bench, "UPDATE data_key SET wrapped = :one WHERE wrapped = :other", one=one, other=other)
    opened = []
    for index in range(2):
        try:
            opened.append(bench.ledger.proofs.prove(ORIGIN, [index], openings=True))
        except InvalidTag:
            continue
    assert len(opened) == 1


async def test_no_two_salts_are_the_same(bench: Bench) -> None:
    await filled(bench, 8)
    items = bench.ledger.proofs.prove(ORIGIN, range(8), openings=True)
    openings = [item.opening for item in items if item.opening]
    assert {body for _, body in openings} == {b"{}"}
    assert len({salt for salt, _ in openings}) == len({commitment(*opening) for opening in openings}) == 8


async def test_a_proof_looks_each_hash_up_by_its_whole_key(bench: Bench) -> None:
    """Reading all the nodes of a log for one proof would cost more the longer the log is."""
    await filled(bench)
    plans: list[str] = []

    def explained(connection: Any, _: Any, statement: str, parameters: Any, *__: Any) -> None:
        if "FROM wanted" in statement and not statement.startswith("EXPLAIN"):
            cursor = connection.connection.cursor()
            sqlite = connection.dialect.name == "sqlite"
            if not sqlite:
                cursor.execute("SET LOCAL enable_seqscan = off")  # six entries fit a page: any plan would do
            cursor.execute(("EXPLAIN QUERY PLAN " if sqlite else "EXPLAIN ") + statement, parameters)
            plans.append(" ".join(str(row) for row in cursor.fetchall()))

    event.listen(bench.database._engine, "before_cursor_execute", explained)
    bench.ledger.proofs.prove(ORIGIN, [2], openings=False)
    assert plans
    for plan in plans:
        assert "SCAN node" not in plan
        keyed = "SEARCH node USING PRIMARY KEY (shard=? AND epoch=? AND level=? AND idx=?)"
        assert keyed in plan or all(f"({column} = " in plan for column in ("shard", "epoch", "level", "idx")), plan
