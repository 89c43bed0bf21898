"""The client: a closed loop of calls over bytes, the same code whatever answers."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import grpc

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """A unary method of a channel, and whether an answer to a request is the hoped-for one."""

    channel: grpc.aio.Channel
    method: str
    is_good: Callable[[bytes, bytes], bool]


@dataclass(slots=True)
class Run:
    """What one run saw: seconds each call took, in any order, and how many answers were not the hoped-for one."""

    seconds: float
    latencies: list[float]
    others: int = 0

    @property
    def rps(self) -> float:
        """Calls a second."""
        return len(self.latencies) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The latency that `percent` of the calls did not exceed, in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000


async def load(target: Target, requests: Sequence[bytes], in_flight: int, warm_up_s: float, seconds: float) -> Run:
    """Keeps `in_flight` calls under way for `seconds` after the warm-up. Raises: AioRpcError when a call fails."""
    run = Run(seconds, [])
    start = time.perf_counter() + warm_up_s
    call: Any = target.channel.unary_unary(target.method)
    following = cycle(requests)
    workers = (_work(call, target, following, run, start, start + seconds) for _ in range(in_flight))
    await asyncio.gather(*workers)
    return run


async def _work(call: Any, target: Target, requests: Iterator[bytes], run: Run, start: float, end: float) -> None:
    while (asked := time.perf_counter()) < end:
        request = next(requests)
        answer = await call(request, timeout=TIMEOUT_S)
        answered = time.perf_counter()
        if start <= answered <= end:
            run.latencies.append(answered - asked)
            run.others += not target.is_good(request, answer)


async def lone(target: Target, requests: Sequence[bytes]) -> Run:
    """One call after another."""
    call: Any = target.channel.unary_unary(target.method)
    run = Run(0.0, [])
    for request in requests:
        asked = time.perf_counter()
        answer = await call(request, timeout=TIMEOUT_S)
        run.latencies.append(time.perf_counter() - asked)
        run.others += not target.is_good(request, answer)
    run.seconds = sum(run.latencies)
    return run
