"""A ledger in trouble: a failing item, a full disk, a locked database, several shards; nothing is half written."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from services.chassis.db import Database
from services.consent.domain import commands as c
from services.consent.domain.decision import ConsentState
from services.errors import AccordError, Reason
from services.formats.rights import Purpose
from tests.support.ledgers import RECIPIENT, SENDER, Bench, build, ins, query

HOLDER = c.Actor("holder", "eidas2")


async def settled(*calls: Any) -> list[Any]:
    """Results and exceptions, in order, of calls that were submitted together."""
    return await asyncio.gather(*calls, return_exceptions=True)


@contextmanager
def failing_insert(bench: Bench, marker: str) -> Iterator[None]:
    """A ledger in which storing a consent that holds this value breaks."""

    def before(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> None:
        if marker in str(parameters) and statement.startswith("INSERT INTO consent "):
            raise LookupError("a broken invariant")

    event.listen(bench.database._engine, "before_cursor_execute", before)
    yield
    event.remove(bench.database._engine, "before_cursor_execute", before)


async def test_an_item_refused_for_its_own_reason_leaves_its_batch_mates_alone(bench: Bench) -> None:
    address = await bench.patient()
    size = len(bench.entries())
    results = await settled(
        bench.grant(address, SENDER),
        bench.ledger.pair(c.Pair(c.Address(0, 7), SENDER)),
        bench.grant(address, RECIPIENT),
        bench.ledger.revoke(c.Revoke(0, 7, HOLDER)),
        bench.authorize(query(address)),
    )
    reasons = [item.reason for item in results if isinstance(item, AccordError)]
    assert reasons == [Reason.RESOURCE_NOT_FOUND] * 2
    assert results[4].permit is not None
    assert bench.kinds()[size:] == ["consent.granted", "consent.granted", "exchange.authorized"]


async def test_an_item_that_breaks_the_transaction_is_left_out_and_the_others_stand_once(bench: Bench) -> None:
    addresses = [await bench.patient(number) for number in range(3)]
    size = len(bench.entries())
    with failing_insert(bench, str(addresses[1].patient)):
        results = await settled(*(bench.grant(address, SENDER) for address in addresses))
    assert [isinstance(item, LookupError) for item in results] == [False, True, False]
    assert bench.kinds()[size:] == ["consent.granted"] * 2
    bench.logs[0].verify()
    assert bench.ledger.find_consent(0, results[2].consent) == results[2]
    assert (await bench.grant(addresses[1], SENDER)).state is ConsentState.ACTIVE


async def test_a_stale_lease_stops_what_rests_on_it_and_nothing_else_in_the_batch(bench: Bench) -> None:
    address = await bench.patient()
    granted = await bench.grant(address, SENDER)
    bench.view.snapshot = None
    authorized, revoked, opened, paired = await settled(
        bench.authorize(query(address)),
        bench.revoke(granted),
        bench.ledger.open_profile(c.OpenProfile(ins(50))),
        bench.ledger.pair(c.Pair(address, SENDER)),
    )
    assert (authorized.reason, paired.reason) == (Reason.REGISTRY_STALE, Reason.REGISTRY_STALE)
    assert revoked.state is ConsentState.REVOKED
    assert isinstance(opened, c.Address)


@contextmanager
def full(database: Database, spare_pages: int) -> Iterator[None]:
    """A disk with room for some pages more; SQLite's own limit, set on every connection that is used."""
    with database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one() + spare_pages

    def limit(raw: Any, _: Any, __: Any) -> None:
        raw.execute(f"PRAGMA max_page_count = {pages}")

    def lift(raw: Any, _: Any, __: Any) -> None:
        raw.execute("PRAGMA max_page_count = 1073741823")

    event.listen(database._engine, "checkout", limit)
    yield
    event.remove(database._engine, "checkout", limit)
    event.listen(database._engine, "checkout", lift)


@pytest.mark.parametrize("spare_pages", range(3))
async def test_a_full_disk_refuses_writes_until_there_is_space_and_half_writes_nothing(
    bench: Bench, spare_pages: int
) -> None:
    address = await bench.patient()
    await bench.grant(address, SENDER)
    await bench.grant(address, RECIPIENT)
    done, refused = 0, 0
    size = len(bench.entries())
    with full(bench.database, spare_pages):
        for _ in range(60):
            (result,) = await settled(bench.authorize(query(address)))
            if isinstance(result, AccordError):
                assert result.reason is Reason.STORAGE_UNAVAILABLE
                refused += 1
            else:
                done += 1
            assert len(bench.entries()) == size + done
            if refused == 3:
                break
    assert refused == 3
    bench.logs[0].verify()
    decision = await bench.authorize(query(address))
    assert decision.permit is not None
    assert decision.appended.index == size + done
    assert bench.rested_on(decision.appended.index)["profile"] == "OPEN"


async def test_on_a_full_disk_every_call_of_the_batch_hears_it_and_none_stands(bench: Bench) -> None:
    address = await bench.patient()
    before = bench.entries()
    with full(bench.database, 0):
        results = await settled(*(bench.grant(address, SENDER) for _ in range(40)))
    assert {item.reason for item in results} == {Reason.STORAGE_UNAVAILABLE}
    assert bench.entries() == before


async def test_a_database_locked_by_somebody_else_is_unavailable(tmp_path: Path) -> None:
    bench = build(tmp_path)
    event.listen(bench.database._engine, "checkout", lambda raw, _, __: raw.execute("PRAGMA busy_timeout = 10"))
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    (result,) = await settled(bench.ledger.open_profile(c.OpenProfile(ins(1))))
    assert isinstance(result, AccordError)
    assert result.reason is Reason.STORAGE_UNAVAILABLE
    assert result.retry_after
    other.execute("ROLLBACK")
    other.close()
    await bench.ledger.open_profile(c.OpenProfile(ins(1)))
    assert bench.kinds() == ["profile.opened"]
    await bench.close()


async def test_patients_spread_over_the_shards_and_stay_there(sharded: Bench) -> None:
    addresses = [await sharded.patient(number) for number in range(24)]
    assert {address.shard for address in addresses} == {0, 1, 2, 3}
    assert [await sharded.patient(number) for number in range(24)] == addresses
    for address in addresses:
        await sharded.grant(address, SENDER)
        await sharded.grant(address, RECIPIENT)
    decisions = await asyncio.gather(*(sharded.authorize(query(address)) for address in addresses))
    assert all(decision.permit is not None for decision in decisions)
    for address, decision in zip(addresses, decisions, strict=True):
        assert decision.appended.origin == sharded.logs[address.shard].origin
        assert sharded.rested_on(decision.appended.index, address.shard)["profile"] == "OPEN"
    for shard in range(4):
        assert all(entry.shard == shard for entry in sharded.entries(shard))
        sharded.logs[shard].verify()


async def test_each_shard_observes_the_registry_for_itself(sharded: Bench) -> None:
    for number in range(24):
        await sharded.patient(number)
    assert [sharded.kinds(shard).count("registry.observed") for shard in range(4)] == [1] * 4


async def test_the_same_log_is_continued_after_a_restart(tmp_path: Path) -> None:
    first = build(tmp_path)
    address = await first.patient()
    await first.grant(address, SENDER)
    granted = await first.grant(address, RECIPIENT)
    size = len(first.entries())
    await first.close()
    second = build(tmp_path)
    assert await second.ledger.open_profile(c.OpenProfile(ins(1))) == address
    assert (await second.authorize(query(address))).permit is not None
    await second.revoke(granted)
    assert (await second.authorize(query(address, purpose=Purpose.CARE))).permit is None
    assert len(second.entries()) == size + 3
    await second.close()


async def test_a_closed_ledger_finishes_what_was_submitted_and_takes_nothing_more(tmp_path: Path) -> None:
    bench = build(tmp_path)
    waiting = [asyncio.ensure_future(bench.ledger.open_profile(c.OpenProfile(ins(number)))) for number in range(20)]
    await asyncio.sleep(0)
    await bench.ledger.close()
    assert len({await item for item in waiting}) == 20
    (result,) = await settled(bench.ledger.open_profile(c.OpenProfile(ins(99))))
    assert isinstance(result, AccordError)
    assert len(bench.entries()) == 20
    bench.database.close()


async def test_a_caller_that_goes_away_undoes_nothing(bench: Bench) -> None:
    """A withdrawal whose caller hung up still stands: the next authorisation meets it."""
    address = await bench.patient()
    granted = await bench.grant(address, SENDER)
    call = asyncio.ensure_future(bench.revoke(granted))
    await asyncio.sleep(0)
    call.cancel()
    assert (await bench.authorize(query(address))).told is Reason.CONSENT_REVOKED
