"""A ledger in trouble: a failing item, a stale lease, several shards, a restart; nothing is half written."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState
from services.errors import AccordError, Reason
from services.formats.rights import Purpose
from tests.support.ledgers import RECIPIENT, SENDER, Bench, build, ins, query, revoking

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
        bench.ledger.do(c.Pair(c.Address(0, 7), SENDER)),
        bench.grant(address, RECIPIENT),
        bench.ledger.do(revoking(0, 7, HOLDER)),
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
    assert bench.find_consent(0, results[2].consent) == results[2]
    assert (await bench.grant(addresses[1], SENDER)).state is ConsentState.ACTIVE


async def test_a_stale_lease_stops_what_rests_on_it_and_nothing_else_in_the_batch(bench: Bench) -> None:
    address = await bench.patient()
    granted = await bench.grant(address, SENDER)
    bench.view.snapshot = None
    authorized, revoked, opened, paired = await settled(
        bench.authorize(query(address)),
        bench.revoke(granted),
        bench.open_profile(c.OpenProfile(ins(50))),
        bench.ledger.do(c.Pair(address, SENDER)),
    )
    assert (authorized.reason, paired.reason) == (Reason.REGISTRY_STALE, Reason.REGISTRY_STALE)
    assert revoked.state is ConsentState.REVOKED
    assert isinstance(opened, c.Address)


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
        assert sharded.rested_on(decision.appended.index, address.shard)["profile"] == "ACTIVE"
    for shard in range(4):
        assert all(entry.shard == shard for entry in sharded.entries(shard))
        sharded.logs[shard].verify()


async def test_each_shard_observes_the_registry_for_itself(sharded: Bench) -> None:
    for number in range(24):
        await sharded.patient(number)
    assert [sharded.kinds(shard).count("registry.observed") for shard in range(4)] == [1] * 4


async def test_the_same_log_is_continued_after_a_restart(database_url: str) -> None:
    first = build(database_url)
    address = await first.patient()
    await first.grant(address, SENDER)
    granted = await first.grant(address, RECIPIENT)
    size = len(first.entries())
    await first.close()
    second = build(database_url)
    assert await second.open_profile(c.OpenProfile(ins(1))) == address
    assert (await second.authorize(query(address))).permit is not None
    await second.revoke(granted)
    assert (await second.authorize(query(address, purpose=Purpose.CARE))).permit is None
    assert len(second.entries()) == size + 3
    await second.close()


async def test_a_closed_ledger_finishes_what_was_submitted_and_takes_nothing_more(database_url: str) -> None:
    bench = build(database_url)
    waiting = [asyncio.ensure_future(bench.open_profile(c.OpenProfile(ins(number)))) for number in range(20)]
    await asyncio.sleep(0)
    await bench.ledger.close()
    assert len({await item for item in waiting}) == 20
    (result,) = await settled(bench.open_profile(c.OpenProfile(ins(99))))
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
