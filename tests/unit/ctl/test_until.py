"""Work ends when it is asked to, even where the first cancellation is lost on the way."""

import asyncio
import os
import signal

import pytest

from services.ctl.until import until_asked


async def test_what_ends_by_itself_answers() -> None:
    async def work() -> int:
        return 7

    assert await until_asked(work()) == 7


async def test_what_fails_by_itself_raises() -> None:
    async def work() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        await until_asked(work())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_though_a_cancellation_is_swallowed(number: signal.Signals) -> None:
    swallowed = 0

    async def work() -> int:
        nonlocal swallowed
        os.kill(os.getpid(), number)
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if swallowed:
                    raise
                swallowed += 1

    assert await until_asked(work()) is None
    assert swallowed == 1
