"""Work that ends when it is asked to: by itself, or by SIGINT or SIGTERM."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
AGAIN_S = 0.5
"""A cancellation that arrives with a message can be lost within grpcio: it is asked again."""


async def until_asked(work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` returns or raises; None when SIGINT or SIGTERM ends it first."""
    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    working, asks = asyncio.create_task(work), asyncio.create_task(asked.wait())
    await asyncio.wait({working, asks}, return_when=asyncio.FIRST_COMPLETED)
    asks.cancel()
    if working.done():
        return working.result()
    while not working.done():
        working.cancel()
        await asyncio.wait({working}, timeout=AGAIN_S)
    return None
