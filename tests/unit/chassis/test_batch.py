"""Batches, counted in an executor that the test holds: order, company, failures, cancellation, limits."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from services.chassis import batch
from services.chassis.batch import Batcher
from services.errors import AccordError, Reason


class HeldExecutor(Executor):
    """Runs a batch when the test releases it, in the caller's thread; `held` are those that wait."""

    def __init__(self) -> None:
        self.held: list[Callable[[], None]] = []
        self.closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        if self.closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[Any] = Future()

        def run() -> None:
            future.set_result(fn(*args, **kwargs))

        self.held.append(run)
        return future

    def release(self) -> None:
        """Lets the oldest batch run."""
        self.held.pop(0)()


class Bench:
    """A batcher over a held executor; `batches` are the items of each run, `fail` says what a run does instead."""

    def __init__(self, **options: Any) -> None:
        self.batches: list[list[Any]] = []
        self.executor = HeldExecutor()
        self.fail: Callable[[list[Any]], Sequence[Any] | None] = lambda items: None
        self.batcher = Batcher[Any, Any](self._run, self.executor, **options)

    def _run(self, items: Sequence[Any]) -> Sequence[Any]:
        self.batches.append(list(items))
        instead = self.fail(list(items))
        return [f"done {item}" for item in items] if instead is None else instead

    def submit(self, *items: Any) -> "list[asyncio.Task[Any]]":
        return [asyncio.ensure_future(self.batcher.submit(item)) for item in items]

    async def held(self, count: int = 1) -> None:
        """Returns once so many batches wait in the executor."""
        for _ in range(100):
            if len(self.executor.held) >= count:
                return
            await asyncio.sleep(0)
        pytest.fail("no batch came")

    async def release_all(self, tasks: "list[asyncio.Task[Any]]") -> list[Any]:
        """Lets batches run until every task has its answer."""
        answers = asyncio.gather(*tasks, return_exceptions=True)
        while not answers.done():
            if self.executor.held:
                self.executor.release()
            await asyncio.sleep(0)
        return await answers


async def test_a_lone_call_goes_at_once_and_alone() -> None:
    """However long the linger: with one call there is nobody to wait for."""
    bench = Bench(linger_s=3600.0)
    tasks = bench.submit("a")
    await bench.held()
    assert await bench.release_all(tasks) == ["done a"]
    assert bench.batches == [["a"]]


async def test_calls_that_are_ready_together_share_a_batch_in_the_order_they_came() -> None:
    bench = Bench()
    tasks = bench.submit("a", "b", "c")
    assert await bench.release_all(tasks) == ["done a", "done b", "done c"]
    assert bench.batches == [["a", "b", "c"]]


async def test_calls_that_come_during_a_batch_make_up_the_next_one() -> None:
    bench = Bench()
    tasks = bench.submit("a")
    await bench.held()
    tasks += bench.submit("b", "c")
    await asyncio.sleep(0)
    assert len(bench.executor.held) == 1  # one batch at a time
    assert await bench.release_all(tasks) == ["done a", "done b", "done c"]
    assert bench.batches == [["a"], ["b", "c"]]


async def test_no_batch_is_larger_than_the_limit_and_none_overtakes() -> None:
    bench = Bench(limit=4, linger_s=3600.0, busy=99)
    tasks = bench.submit(*range(10))
    assert await bench.release_all(tasks) == [f"done {number}" for number in range(10)]
    assert bench.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_up_to_busy_calls_never_linger() -> None:
    bench = Bench(busy=8, linger_s=3600.0)
    tasks = bench.submit(*range(8))
    await bench.release_all(tasks)
    assert bench.batches == [list(range(8))]


async def test_more_than_busy_calls_linger_while_more_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "LULL_S", 0.2)
    bench = Bench(busy=2, limit=5, linger_s=3600.0)
    tasks = bench.submit(*range(3))
    for _ in range(20):
        await asyncio.sleep(0)
    assert bench.executor.held == []
    tasks += bench.submit(3, 4)
    await bench.release_all(tasks)
    assert bench.batches == [[0, 1, 2, 3, 4]]


async def test_a_linger_ends_once_nobody_comes() -> None:
    bench = Bench(busy=2, limit=64, linger_s=3600.0)
    tasks = bench.submit(*range(3))
    assert await bench.release_all(tasks) == ["done 0", "done 1", "done 2"]
    assert bench.batches == [[0, 1, 2]]


async def test_a_linger_ends_though_more_come() -> None:
    bench = Bench(busy=2, limit=64, linger_s=0.0)
    tasks = bench.submit(*range(3))
    assert await bench.release_all(tasks) == ["done 0", "done 1", "done 2"]
    assert bench.batches == [[0, 1, 2]]


async def test_an_item_s_own_failure_is_its_own() -> None:
    bench = Bench()
    refused = AccordError(Reason.CONSENT_MISSING)
    bench.fail = lambda items: [refused if item == "b" else item for item in items]
    assert await bench.release_all(bench.submit("a", "b", "c")) == ["a", refused, "c"]


async def test_a_batch_that_breaks_is_run_again_item_by_item_and_only_the_broken_one_fails() -> None:
    bench = Bench()

    def broken(items: list[Any]) -> None:
        if "b" in items:
            raise ZeroDivisionError

    bench.fail = broken
    answers = await bench.release_all(bench.submit("a", "b", "c"))
    assert (answers[0], answers[2]) == ("done a", "done c")
    assert isinstance(answers[1], ZeroDivisionError)
    assert bench.batches == [["a", "b", "c"], ["a"], ["b"], ["c"]]


async def test_a_storage_that_fails_fails_every_call_of_the_batch_and_is_not_asked_again() -> None:
    bench = Bench()

    def unavailable(_: list[Any]) -> None:
        raise AccordError(Reason.STORAGE_UNAVAILABLE)

    bench.fail = unavailable
    answers = await bench.release_all(bench.submit("a", "b", "c"))
    assert [item.reason for item in answers] == [Reason.STORAGE_UNAVAILABLE] * 3
    assert bench.batches == [["a", "b", "c"]]
    bench.fail = lambda items: None
    assert await bench.release_all(bench.submit("d")) == ["done d"]


async def test_a_caller_that_goes_away_takes_nothing_with_it() -> None:
    """Cancelled before its batch or during it: the item runs, its mates are answered, and later calls too."""
    bench = Bench()
    running = bench.submit("a", "b")
    await bench.held()
    waiting = bench.submit("c", "d")
    await asyncio.sleep(0)
    running[0].cancel()
    waiting[0].cancel()
    answers = await bench.release_all(running + waiting)
    assert (answers[1], answers[3]) == ("done b", "done d")
    assert isinstance(answers[0], asyncio.CancelledError)
    assert isinstance(answers[2], asyncio.CancelledError)
    assert bench.batches == [["a", "b"], ["c", "d"]]
    assert await bench.release_all(bench.submit("e")) == ["done e"]


async def test_when_every_caller_goes_away_the_batch_still_runs() -> None:
    bench = Bench()
    tasks = bench.submit("a", "b")
    await bench.held()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    bench.executor.release()
    await bench.batcher.close()
    assert bench.batches == [["a", "b"]]


async def test_too_many_waiting_calls_are_refused_and_the_others_are_served() -> None:
    bench = Bench(queue_limit=3, limit=2)
    first = bench.submit("a")
    await bench.held()
    tasks = bench.submit("b", "c", "d", "e")
    await asyncio.sleep(0)
    answers = await bench.release_all(first + tasks)
    assert answers[:4] == ["done a", "done b", "done c", "done d"]
    assert isinstance(answers[4], AccordError)
    assert (answers[4].reason, answers[4].retry_after) == (Reason.OVERLOADED, 0.1)
    assert [item for batch in bench.batches for item in batch] == ["a", "b", "c", "d"]


async def test_closing_runs_what_waits_and_accepts_nothing_more() -> None:
    bench = Bench(limit=2)
    tasks = bench.submit("a", "b", "c")
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(bench.batcher.close())
    assert await bench.release_all(tasks) == ["done a", "done b", "done c"]
    await closing
    with pytest.raises(AccordError) as caught:
        await bench.batcher.submit("d")
    assert caught.value.reason is Reason.OVERLOADED
    await bench.batcher.close()


async def test_closing_an_idle_batcher_ends_at_once() -> None:
    await Bench().batcher.close()


@pytest.mark.parametrize("answers", [[], ["one"], ["one", "two", "three"]])
async def test_a_run_that_answers_too_few_or_too_many_fails_every_call(answers: list[str]) -> None:
    """Whose answer is whose is not known then; and nobody waits for ever."""
    bench = Bench()
    bench.fail = lambda items: answers
    assert all(isinstance(item, ValueError) for item in await bench.release_all(bench.submit("a", "b")))
    bench.fail = lambda items: None
    assert await bench.release_all(bench.submit("c")) == ["done c"]


async def test_an_executor_that_is_gone_fails_every_call() -> None:
    bench = Bench()
    bench.executor.closed = True
    answers = await bench.release_all(bench.submit("a", "b"))
    assert [type(item) for item in answers] == [RuntimeError, RuntimeError]
    bench.executor.closed = False
    assert await bench.release_all(bench.submit("c")) == ["done c"]


async def test_a_thousand_calls_over_a_real_thread_are_each_answered_once() -> None:
    seen: list[int] = []
    batches: list[int] = []

    def run(items: Sequence[int]) -> Sequence[int]:
        batches.append(len(items))
        seen.extend(items)
        return [item * 2 for item in items]

    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher[int, int](run, executor)
        answers = await asyncio.gather(*(batcher.submit(number) for number in range(1000)))
        await batcher.close()
    assert answers == [number * 2 for number in range(1000)]
    assert seen == list(range(1000))
    assert max(batches) == 64
