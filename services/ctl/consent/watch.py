"""`accord consent watch`: what changes in consents and requests, as it changes, over as many streams as that takes.

Guarantees that no change is left out between two streams: each begins where the one before had come to.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Annotated

import grpc
import typer
from accord.consent.v1 import watch_service_pb2 as pb
from accord.consent.v1 import watch_service_pb2_grpc as pb_grpc

from services.ctl.consent.access import (
    DOMAIN,
    LEDGER,
    PORTAL,
    STACK,
    Access,
    AsJson,
    Domain,
    Folder,
    Role,
    Target,
    as_dict,
    console,
    errors,
    explained,
    print_json,
)
from services.ctl.until import until_asked

PAUSE_S = 1.0
"""After a stream that broke: the ledger may be starting again."""
Streams = Callable[[str], AsyncIterable[pb.WatchResponse]]
"""A new stream from a cursor on; from now on where it is empty."""
Pause = Callable[[int], Awaitable[None]]
"""After a stream that broke; told how many did since one was heard."""
LASTING = 3


def register(app: typer.Typer) -> None:
    """Adds `watch`."""
    app.command()(watch)


def watch(
    cursor: Annotated[str, typer.Option(help="Where an earlier watch ended; default: from now on.")] = "",
    role: Role = PORTAL,
    folder: Folder = STACK,
    target: Target = LEDGER,
    trust_domain: Domain = DOMAIN,
    as_json: AsJson = False,
) -> None:
    """Prints changes until Ctrl-C: a service's own as that service, all as the portal. Says at the end where to go on.

    Examples:

    accord consent watch --as lumen-audition

    accord consent watch --as portal --json --cursor eyJl…
    """
    told = Told(cursor, as_json)
    with explained():
        try:
            asyncio.run(until_asked(_watch(Access(folder, role, target, trust_domain), told)))
        finally:
            if told.cursor:
                errors.print(f"go on with --cursor {told.cursor}", highlight=False)


class Told:
    """What was printed, and how far that is."""

    def __init__(self, cursor: str, as_json: bool) -> None:
        self.cursor, self._as_json = cursor, as_json
        self._first = True

    def tell(self, answer: pb.WatchResponse) -> None:
        """Prints an answer's changes; of the first one, that it came."""
        if self._first:
            self._first = False
            errors.print("watching; Ctrl-C ends it", highlight=False)
        if self._as_json and answer.changes:
            print_json(as_dict(answer))
        elif answer.changes:
            console.print("\n".join(map(_line, answer.changes)), highlight=False)
        self.cursor = answer.cursor


def _line(change: pb.WatchResponse.Change) -> str:
    where = f"{change.origin.rpartition('/')[2]}, {change.index}"
    said = (change.time.ToJsonString(), where, change.type, change.service, change.resource)
    return "  ".join(filter(None, said))


async def _watch(access: Access, told: Told) -> None:
    async with access.ledger() as channel:
        stub = pb_grpc.WatchServiceStub(channel)

        def streams(cursor: str) -> AsyncIterable[pb.WatchResponse]:
            return stub.Watch(iter([pb.WatchRequest(cursor=cursor)]))

        async def pause(failures: int) -> None:
            if failures == LASTING:
                errors.print(f"{access.target} does not answer: keeps asking", highlight=False)
            await asyncio.sleep(PAUSE_S)

        async for answer in follow(streams, told.cursor, pause):
            told.tell(answer)


async def follow(streams: Streams, cursor: str, pause: Pause) -> AsyncIterator[pb.WatchResponse]:
    """Every answer from a cursor on, without end: a stream that ends, or breaks once one was heard, is followed by another.

    Raises: grpc.aio.AioRpcError where the ledger refuses, or was never heard.
    """
    heard, failures = False, 0
    while True:
        try:
            async for answer in streams(cursor):
                cursor, heard, failures = answer.cursor, True, 0
                yield answer
        except grpc.aio.AioRpcError as error:
            if not heard or error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            failures += 1
            await pause(failures)
