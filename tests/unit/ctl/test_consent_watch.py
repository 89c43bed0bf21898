"""`accord consent watch`: where it goes on after a stream that ended or broke, and when it does not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from accord.consent.v1 import watch_service_pb2 as watch_pb

from services.chassis.identity import Caller, Identity, set_current_caller
from services.consent.servicer.watch import WatchServicer
from services.consent.watching import Tail
from services.ctl.consent import watch
from tests.support.ledgers import SENDER, build

GRANTS = 3


class EnoughError(Exception):
    """Ends a watch that would have no end."""


async def never(_: int) -> None:
    raise AssertionError("no stream broke")


async def test_a_watch_goes_on_where_a_stream_ended_and_leaves_nothing_out(tmp_path: Path) -> None:
    """Streams of the real servicer, each of a tenth of a second, and a grant after each."""
    bench = build(tmp_path)
    tail = Tail(bench.ledger)
    servicer = WatchServicer(bench.ledger, tail, heartbeat_s=0.02, max_age_s=0.1)
    set_current_caller(Caller(Identity("accord.example", "/portal"), "t" * 43, frozenset(), None))
    patient, begun, ended = await bench.patient(), list[str](), asyncio.Event()

    async def streams(cursor: str) -> AsyncIterator[watch_pb.WatchResponse]:
        begun.append(cursor)
        async for answer in servicer.Watch(_asking(cursor), None):  # type: ignore[arg-type]
            yield answer
        ended.set()

    async def grants() -> None:
        for _ in range(GRANTS):
            await ended.wait()
            ended.clear()
            await bench.grant(patient, SENDER)

    granting, heard = asyncio.create_task(grants()), list[int]()
    async for answer in watch.follow(streams, "", never):
        heard += [change.index for change in answer.changes]
        if len(heard) >= GRANTS:
            break
    await granting
    await tail.close()
    types = [entry.type.value for entry in bench.entries()]
    await bench.close()
    assert heard == [index for index, type_ in enumerate(types) if type_ == "consent.granted"]
    assert len(begun) > GRANTS
    assert all(begun[1:])


async def _asking(cursor: str) -> AsyncIterator[watch_pb.WatchRequest]:
    yield watch_pb.WatchRequest(cursor=cursor)


def broken(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())


async def _one(cursor: str, code: grpc.StatusCode, answers: int) -> AsyncIterator[watch_pb.WatchResponse]:
    for number in range(answers):
        yield watch_pb.WatchResponse(cursor=f"{cursor}{number}")
    raise broken(code)


async def test_a_stream_that_breaks_is_followed_by_another_once_one_was_heard() -> None:
    begun: list[str] = []
    paused: list[int] = []
    lengths = iter([1, 0, 0, 2, 0])

    def streams(cursor: str) -> AsyncIterator[watch_pb.WatchResponse]:
        begun.append(cursor)
        return _one(cursor, grpc.StatusCode.UNAVAILABLE, next(lengths, 0))

    async def pause(failures: int) -> None:
        paused.append(failures)
        if len(paused) == 5:
            raise EnoughError

    with pytest.raises(EnoughError):
        async for _ in watch.follow(streams, "x", pause):
            pass
    assert begun == ["x", "x0", "x0", "x0", "x01"]
    assert paused == [1, 2, 3, 1, 2]


@pytest.mark.parametrize(
    ("code", "answers"), [(grpc.StatusCode.UNAVAILABLE, 0), (grpc.StatusCode.PERMISSION_DENIED, 1)]
)
async def test_a_ledger_that_never_answered_or_that_refuses_is_asked_once(code: grpc.StatusCode, answers: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        async for _ in watch.follow(lambda cursor: _one(cursor, code, answers), "x", never):
            pass
    assert ended.value.code() is code
