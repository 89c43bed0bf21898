"""Many questions in one call: each answered for itself, in the order asked, those of one shard from one snapshot."""

import asyncio
from typing import Any

import pytest
from accord.consent.v1 import decision_service_pb2 as pb
from accord.registry.v1 import registry_pb2

from services.consent.domain import commands as c
from services.errors import AccordError
from services.formats.rights import Direction, Purpose, Scope
from tests.support.ledgers import RECIPIENT, SENDER, Bench, query
from tests.support.readers import CALL, Readers, calling, reason_name

NARROW = Scope(frozenset({"class:10"}), frozenset({Direction.DEPOSIT}), frozenset({Purpose.CARE}))


def items(*queries: pb.Query) -> list[pb.BatchCheckRequest.Item]:
    return [pb.BatchCheckRequest.Item(correlation_id=f"q{place}", query=asked) for place, asked in enumerate(queries)]


async def batch(readers: Readers, *queries: pb.Query) -> pb.BatchCheckResponse:
    return await readers.decisions.BatchCheck(pb.BatchCheckRequest(items=items(*queries)), CALL)


async def test_items_of_several_shards_are_answered_in_the_order_asked(sharded: Bench) -> None:
    """Each as `Check` answers it alone; half of the patients consent."""
    readers = Readers(sharded)
    calling()
    addresses = [await (sharded.consenting if n % 2 else sharded.patient)(n) for n in range(1, 11)]
    assert len({address.shard for address in addresses}) > 1
    queries = [readers.asking(address) for address in addresses] + [readers.asking(None)]
    answer = await batch(readers, *queries)
    alone = [await readers.decisions.Check(pb.CheckRequest(query=asked), CALL) for asked in queries]
    assert [item.correlation_id for item in answer.items] == [f"q{place}" for place in range(len(queries))]
    assert [item.verdict for item in answer.items] == [one.verdict for one in alone]
    expected = ["", "CONSENT_MISSING"] * 5 + ["NOT_PERMITTED"]
    assert [reason_name(item.verdict) for item in answer.items] == expected


async def test_items_that_differ_in_one_member_alone_are_told_apart(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    address = await bench.patient()
    await bench.grant(address, SENDER, NARROW)
    await bench.grant(address, RECIPIENT)
    basis: Any = pb.BASIS_EMERGENCY
    answer = await batch(
        readers,
        readers.asking(address),
        readers.asking(address, purpose=registry_pb2.PURPOSE_PREVENTION),
        readers.asking(address, categories=["class:11"]),
        readers.asking(address, direction=registry_pb2.DIRECTION_READ),
        readers.asking(address, basis=basis),
        readers.asking(address, counterparty=""),
        readers.asking(address),
    )
    assert [reason_name(item.verdict) for item in answer.items] == [
        "",
        "PURPOSE_NOT_GRANTED",
        "CATEGORY_NOT_GRANTED",
        "DIRECTION_NOT_GRANTED",
        "BASIS_NOT_ALLOWED",
        "",
        "",
    ]


async def test_an_item_for_another_service_is_not_permitted_and_fails_no_other(bench: Bench) -> None:
    readers = Readers(bench)
    address = await bench.consenting()
    own, other = readers.asking(address), readers.asking(address, RECIPIENT)
    calling(SENDER)
    assert [reason_name(item.verdict) for item in (await batch(readers, other, own, other)).items] == [
        "NOT_PERMITTED",
        "",
        "NOT_PERMITTED",
    ]
    assert [reason_name(item.verdict) for item in (await batch(readers, other)).items] == ["NOT_PERMITTED"]
    calling()
    assert [reason_name(item.verdict) for item in (await batch(readers, other, own)).items] == ["", ""]


async def test_all_items_about_a_patient_see_one_instant(bench: Bench) -> None:
    """A hundred times the same question, while the consent is withdrawn and given again: all yes or all no."""
    readers = Readers(bench)
    calling()
    address = await bench.patient()
    await bench.grant(address, RECIPIENT)
    asked = [readers.asking(address)] * 100

    async def change() -> None:
        for _ in range(10):
            await bench.revoke(await bench.grant(address, SENDER))

    async def ask() -> list[set[bool]]:
        return [{item.verdict.permitted for item in (await batch(readers, *asked)).items} for _ in range(10)]

    _, *seen = await asyncio.gather(change(), ask(), ask())
    assert all(len(answers) == 1 for several in seen for answers in several)


async def violated(readers: Readers, asked: list[pb.BatchCheckRequest.Item]) -> list[str]:
    with pytest.raises(AccordError) as caught:
        await readers.decisions.BatchCheck(pb.BatchCheckRequest(items=asked), CALL)
    return [item.field for item in caught.value.violations]


async def test_every_violated_field_names_its_item(bench: Bench) -> None:
    readers = Readers(bench)
    calling()
    good = readers.asking(c.Address(0, 1))
    bad = items(good, readers.asking(c.Address(0, 1), purpose=0), good)
    bad[0].correlation_id, bad[2].correlation_id = "", "x" * 65
    assert await violated(readers, bad) == [
        "items[0].correlation_id",
        "items[2].correlation_id",
        "items[1].query.purpose",
    ]
    assert await violated(readers, []) == ["items"]
    assert await violated(readers, items(*[good] * 101)) == ["items"]
    twice = items(good, good)
    twice[1].correlation_id = twice[0].correlation_id
    assert await violated(readers, twice) == ["items"]


async def test_a_batch_is_advice_like_each_of_its_items(bench: Bench) -> None:
    address = await bench.consenting()
    advised = await bench.advice.advise([c.Check(query(address)), c.Check(query(None))])
    assert list(advised.verdicts) == [
        await bench.advice.check(c.Check(query(address))),
        await bench.advice.check(c.Check(query(None))),
    ]
