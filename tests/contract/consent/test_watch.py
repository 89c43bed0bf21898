"""Watching: every change after one's place, in order, to whom it may concern; pings answered after what preceded them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from accord.consent.v1 import watch_service_pb2 as pb

from services.chassis.identity import Caller, Identity, set_current_caller
from services.consent.domain.vector import Vector
from services.consent.servicer.watch import WatchServicer
from services.consent.watching import KEPT, PAGE, Tail
from services.errors import AccordError, Reason
from tests.support.ledgers import RECIPIENT, SENDER, Bench, build, query

CONTEXT: Any = None
WAIT_S = 30.0


def be(path: str) -> None:
    """The caller, from here on in this test."""
    service = path.removeprefix("/service/") if path.startswith("/service/") else None
    set_current_caller(Caller(Identity("accord.example", path), "t" * 43, frozenset(), service))


class Stream:
    """One Watch stream: what the caller says, and what it hears."""

    def __init__(self, servicer: WatchServicer, first: pb.WatchRequest) -> None:
        self._said: asyncio.Queue[pb.WatchRequest] = asyncio.Queue()
        self._said.put_nowait(first)
        self.answers: Any = servicer.Watch(self._requests(), CONTEXT)
        self.cursor = ""

    async def _requests(self) -> AsyncIterator[pb.WatchRequest]:
        while True:
            yield await self._said.get()

    def say(self, **fields: Any) -> None:
        self._said.put_nowait(pb.WatchRequest(**fields))

    async def hear(self) -> pb.WatchResponse:
        """The next answer."""
        async with asyncio.timeout(WAIT_S):
            answer: pb.WatchResponse = await anext(self.answers)
        self.cursor = answer.cursor
        return answer

    async def changes(self, count: int) -> list[tuple[str, int]]:
        """The next so many changes: type and index."""
        found: list[tuple[str, int]] = []
        while len(found) < count:
            found += [(item.type, item.index) for item in (await self.hear()).changes]
        return found

    async def pong(self, ping: int) -> list[str]:
        """The types of all changes heard until this ping is answered."""
        found: list[str] = []
        while True:
            answer = await self.hear()
            found += [item.type for item in answer.changes]
            if answer.pong >= ping:
                return found


@asynccontextmanager
async def watching(bench: Bench, caller: str = "/exchange", **first: Any) -> AsyncIterator[Stream]:
    be(caller)
    tail = Tail(bench.ledger)
    stream = Stream(WatchServicer(bench.ledger, tail), pb.WatchRequest(**first))
    try:
        yield stream
    finally:
        await stream.answers.aclose()
        await tail.close()


async def test_a_watcher_hears_what_changes_from_now_on_and_where(bench: Bench) -> None:
    address = await bench.consenting()
    async with watching(bench) as stream:
        await stream.hear()
        granted = await bench.grant(address, SENDER)
        await bench.authorize(query(address))
        await bench.revoke(granted)
        assert [item for item, _ in await stream.changes(2)] == ["consent.granted", "consent.revoked"]


async def test_a_change_names_service_revision_place_and_time(bench: Bench) -> None:
    address = await bench.patient()
    async with watching(bench) as stream:
        await stream.hear()
        granted = await bench.grant(address, SENDER)
        change = (await stream.hear()).changes[0]
    entry = bench.entries()[change.index]
    assert (change.type, change.service, change.resource) == ("consent.granted", SENDER, entry.resources[0])
    assert change.origin == bench.logs[0].origin
    assert change.time.ToMilliseconds() == granted.start_ms


async def test_a_service_hears_of_its_own_consents_only(bench: Bench) -> None:
    address = await bench.patient()
    async with watching(bench, "/service/lumen") as stream:
        await stream.hear()
        await bench.grant(address, RECIPIENT)
        own = await bench.grant(address, SENDER)
        stream.say(ping=1)
        assert await stream.pong(1) == ["consent.granted"]
        await bench.revoke(own)
        assert [item for item, _ in await stream.changes(1)] == ["consent.revoked"]


async def test_what_is_not_a_service_s_own_is_not_even_a_message(bench: Bench) -> None:
    address = await bench.patient()
    async with watching(bench, "/service/lumen") as stream:
        await stream.hear()
        for _ in range(3):
            await bench.revoke(await bench.grant(address, RECIPIENT))
        own = await bench.grant(address, SENDER)
        answer = await stream.hear()
        assert [(item.type, item.service) for item in answer.changes] == [("consent.granted", SENDER)]
        assert own.service == SENDER


async def test_a_stream_goes_on_from_any_cursor_without_loss_or_repetition(bench: Bench) -> None:
    address = await bench.patient()
    async with watching(bench) as stream:
        beginning = (await stream.hear()).cursor
    granted = [await bench.grant(address, SENDER) for _ in range(3)]
    async with watching(bench, cursor=beginning) as stream:
        heard = await stream.changes(3)
        middle = stream.cursor
    await bench.revoke(granted[0])
    async with watching(bench, cursor=middle) as stream:
        heard += await stream.changes(1)
    assert heard == [(e.type.value, i) for i, e in enumerate(bench.entries()) if e.type.value.startswith("consent.")]


async def test_the_beginning_of_the_log_is_a_cursor_too(bench: Bench) -> None:
    address = await bench.patient()
    for _ in range(4):
        await bench.revoke(await bench.grant(address, SENDER))
    async with watching(bench, cursor=Vector(1, (0,)).text) as stream:
        assert len(await stream.changes(8)) == 8
        stream.say(ping=1)
        assert await stream.pong(1) == []


async def test_one_who_is_far_behind_reads_the_log_page_by_page(bench: Bench) -> None:
    address = await bench.patient()
    granted = await bench.grant(address, SENDER)
    for _ in range(PAGE // 8 + 1):
        await asyncio.gather(*(bench.authorize(query(address)) for _ in range(16)))
    await bench.revoke(granted)
    assert len(bench.entries()) > 2 * PAGE
    async with watching(bench, cursor=Vector(1, (0,)).text) as stream:
        assert [item for item, _ in await stream.changes(2)] == ["consent.granted", "consent.revoked"]


async def test_a_ping_is_answered_after_every_change_that_preceded_it(bench: Bench) -> None:
    address = await bench.patient()
    async with watching(bench) as stream:
        await stream.hear()
        for ping in range(1, 20):
            await bench.revoke(await bench.grant(address, SENDER))
            stream.say(ping=ping)
            assert await stream.pong(ping) == ["consent.granted", "consent.revoked"]


async def test_a_ping_is_answered_from_what_another_replica_wrote(database_url: str) -> None:
    first = build(database_url)
    second = build(database_url, clock=first.clock, view=first.view)
    second.ids = first.ids
    try:
        address = await first.patient()
        async with watching(first) as stream:
            await stream.hear()
            await second.revoke(await second.grant(address, SENDER))
            stream.say(ping=7)
            assert await stream.pong(7) == ["consent.granted", "consent.revoked"]
    finally:
        await first.close()
        await second.close()


async def test_all_shards_are_heard_and_each_in_its_own_order(sharded: Bench) -> None:
    patients = [await sharded.patient(number) for number in range(8)]
    assert len({address.shard for address in patients}) > 1
    async with watching(sharded) as stream:
        beginning = (await stream.hear()).cursor
        for address in patients:
            await sharded.revoke(await sharded.grant(address, SENDER))
        stream.say(ping=1)
        assert len(await stream.pong(1)) == 16
    async with watching(sharded, cursor=beginning) as stream:
        places: list[tuple[str, int]] = []
        while len(places) < 16:
            places += [(item.origin, item.index) for item in (await stream.hear()).changes]
    for origin in {origin for origin, _ in places}:
        indices = [index for name, index in places if name == origin]
        assert indices == sorted(set(indices))


async def test_the_tail_forgets_old_changes_and_no_watcher_notices(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KEPT > 4
    monkeypatch.setattr("services.consent.watching.KEPT", 4)
    address = await bench.patient()
    be("/exchange")
    tail = Tail(bench.ledger)
    servicer = WatchServicer(bench.ledger, tail)
    slow, quick = (Stream(servicer, pb.WatchRequest()) for _ in range(2))
    try:
        await slow.hear()
        await quick.hear()
        for _ in range(6):
            await bench.revoke(await bench.grant(address, SENDER))
            assert len(await quick.changes(2)) == 2
        assert len(await slow.changes(12)) == 12
    finally:
        await slow.answers.aclose()
        await quick.answers.aclose()
        await tail.close()


async def test_silence_is_broken_by_heartbeats_whose_cursor_moves_on(bench: Bench) -> None:
    address = await bench.consenting()
    be("/exchange")
    tail = Tail(bench.ledger)
    stream = Stream(WatchServicer(bench.ledger, tail, heartbeat_s=0.05), pb.WatchRequest())
    try:
        first = await stream.hear()
        await bench.authorize(query(address))
        await stream.hear()
        later = await stream.hear()
        assert not later.changes
        assert later.cursor != first.cursor
    finally:
        await stream.answers.aclose()
        await tail.close()


async def test_a_stream_ends_at_its_maximum_age(bench: Bench) -> None:
    be("/exchange")
    tail = Tail(bench.ledger)
    stream = Stream(WatchServicer(bench.ledger, tail, heartbeat_s=0.01, max_age_s=0.1), pb.WatchRequest())
    answers = [answer async for answer in stream.answers]
    await tail.close()
    assert answers
    assert all(answer.cursor for answer in answers)


@pytest.mark.parametrize(
    ("first", "later", "reason"),
    [
        ({"cursor": "rubbish"}, {}, Reason.FIELD_INVALID),
        ({"cursor": Vector(2, (0,)).text}, {}, Reason.FIELD_INVALID),
        ({"cursor": Vector(1, (0, 0)).text}, {}, Reason.FIELD_INVALID),
        ({"cursor": Vector(1, (1_000_000,)).text}, {}, Reason.NOT_YET_CONSISTENT),
        ({"ping": -1}, {}, Reason.FIELD_INVALID),
        ({}, {"ping": 0}, Reason.FIELD_INVALID),
        ({"ping": 5}, {"ping": 5}, Reason.FIELD_INVALID),
        ({}, {"cursor": "x", "ping": 9}, Reason.FIELD_INVALID),
    ],
)
async def test_what_breaks_the_rules_ends_the_stream(bench: Bench, first: Any, later: Any, reason: Reason) -> None:
    async with watching(bench, **first) as stream:
        if later:
            await stream.hear()
            stream.say(**later)
        with pytest.raises(AccordError) as caught:
            await stream.pong(1_000_000)
    assert caught.value.reason is reason
