"""Group commit and group read: many calls share one trip to a worker thread.

Guarantees: calls run in the order they came; a lone call never waits; one failing item never fails another. `run` answers an
item's own failure as a value. Where it raises instead, nothing of the batch may have happened: an AccordError (the storage
failed) goes to every item, any other exception makes each item run again alone. Once more than `busy` calls are waiting, a
batch lingers while more of them come, up to `linger_s`. Whatever fails, every call is answered. The caller's cancellation
does not undo what its batch does: an item that was submitted is run.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

from services.errors import AccordError, Reason

LULL_S = 0.001
"""So long without a call, and nobody is waited for any more; uvloop's clock ticks no finer."""
Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Runs `run(items)` in `executor`, one batch at a time; `run` returns a result or an exception for each item."""

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        executor: Executor,
        *,
        limit: int = 64,
        busy: int = 8,
        linger_s: float = 0.02,
        queue_limit: int = 4096,
    ) -> None:
        self._run = run
        self._executor = executor
        self._limit, self._busy, self._linger_s, self._queue_limit = limit, busy, linger_s, queue_limit
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, item: Item) -> Result:
        """The result of one item. Raises: what `run` gave for it; AccordError OVERLOADED when too many wait."""
        if self._closed or len(self._waiting) >= self._queue_limit:
            raise AccordError(Reason.OVERLOADED, retry_after=0.1)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return await future

    async def close(self) -> None:
        """Runs what waits, then accepts nothing more."""
        self._closed = True
        if self._task is not None:
            await self._task

    async def _drain(self) -> None:
        # One turn of the loop lets the calls that became ready together share their batch.
        await asyncio.sleep(0)
        while self._waiting:
            if len(self._waiting) > self._busy:
                await self._linger()
            batch, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
            await self._run_batch(batch)
        self._task = None

    async def _linger(self) -> None:
        loop, before = asyncio.get_running_loop(), 0
        end = loop.time() + self._linger_s
        while before < len(self._waiting) < self._limit and loop.time() < end:
            before = len(self._waiting)
            await asyncio.sleep(LULL_S)

    async def _run_batch(self, batch: list[tuple[Item, "asyncio.Future[Result]"]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            outcomes = await loop.run_in_executor(self._executor, self._attempt, [item for item, _ in batch])
            answers = list(zip(batch, outcomes, strict=True))
        except Exception as error:  # an executor that is gone, an answer too few: nobody may wait for ever
            answers = [(waiting, error) for waiting in batch]
        for (_, future), outcome in answers:
            if future.cancelled():
                continue  # its caller is gone; what it asked for is done all the same
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _attempt(self, items: list[Item]) -> Sequence[Result | Exception]:
        try:
            return self._run(items)
        except AccordError as error:
            return [error] * len(items)
        except Exception as error:
            if len(items) == 1:
                return [error]
            return [outcome for item in items for outcome in self._attempt([item])]
