"""The ledger's use cases: each finds its shard, joins the batch of that shard, and answers when the batch is durable.

One thread writes (SQLite has one writer), another reads; both serve many calls a trip (`chassis.batch`). What a
caller makes of a decision, its permit above all, is made in the writing thread too, after COMMIT and outside the lock.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Any, TypeVar, cast, overload

from services.chassis.batch import Batcher
from services.chassis.clock import Clock
from services.chassis.db import Database, retrying
from services.chassis.registry import RegistryView, Snapshot
from services.consent.domain import commands as c
from services.consent.handlers import Handler, Handlers
from services.consent.horizon import Horizon
from services.consent.proofs import Proofs, Proven
from services.consent.shard import ShardLog
from services.consent.vault import Vault
from services.errors import AccordError, Reason

T = TypeVar("T")
Finish = Callable[[Any], Any]


def _as_it_is(answer: Any) -> Any:
    return answer


class Ledger:
    """Everything the consent service writes, by shard; and the threads that others read with."""

    def __init__(
        self,
        database: Database,
        logs: Sequence[ShardLog],
        view: RegistryView,
        vault: Vault,
        clock: Clock,
        handlers: Handlers,
    ) -> None:
        self._database, self._logs, self._view = database, logs, view
        self._vault, self._clock, self._handlers = vault, clock, handlers.by_command()
        self.horizon = Horizon(logs[0].epoch, len(logs))
        self.proofs = Proofs(database, vault, [log.origin for log in logs], logs[0].epoch)
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-read")
        self._writers = [
            Batcher[tuple[c.Command[Any], Finish], Any](retrying(self._writer(log)), self._write_thread) for log in logs
        ]
        self._outcomes = Batcher[c.Outcome, list[Proven]](self._prove, self._read_thread)

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return len(self._logs)

    @property
    def epoch(self) -> int:
        """Which life of the logs this is."""
        return self._logs[0].epoch

    @property
    def token(self) -> str:
        """What every change that was answered has been seen by."""
        return self.horizon.token({})

    @property
    def reader(self) -> ThreadPoolExecutor:
        """The thread that reads."""
        return self._read_thread

    def start(self) -> None:
        """Makes what is missing and verifies each head. Raises: AccordError LEDGER_ROLLED_BACK where one does not hold."""
        for log in self._logs:
            log.create()
            log.verify()

    async def do(self, item: c.Command[T]) -> T:
        """Runs a command under the lock of its shard. Raises: AccordError as its handler does."""
        return cast(T, await self._write(self.home(item), item))

    @overload
    async def authorize(self, item: c.Authorize) -> c.Decision: ...

    @overload
    async def authorize(self, item: c.Authorize, finish: Callable[[c.Decision], T]) -> T: ...

    async def authorize(self, item: c.Authorize, finish: Callable[[c.Decision], Any] = _as_it_is) -> Any:
        """Decides and records an exchange; one that names nobody is recorded in the service's shard.

        Answers what `finish` makes of the decision, in the writing thread, after COMMIT and outside the lock: the permits
        of a batch signed in a row take half the time of as many signed between calls.
        """
        return await self._write(self.home(item), item, finish)

    async def record_outcome(self, item: c.RecordOutcome) -> tuple[Proven, Proven]:
        """Records an outcome, and proves authorisation and outcome against one checkpoint."""
        authorization, outcome = await self._outcomes.submit(await self.do(item))
        return authorization, outcome

    async def sweep(self, deadline_ms: int) -> int:
        """Writes down what the clock has decided: UNKNOWN for authorisations older than `deadline_ms` without outcome, and
        what ends or opens by its date. Answers how many entries that were."""
        swept, before_ms = 0, self._clock.wall_ms() - deadline_ms
        for log in self._logs:
            for item in (c.Sweep(log.shard, before_ms), c.SweepConsents(log.shard)):
                while count := await self.do(item):
                    swept += count
        return swept

    async def read(self, function: Callable[[], T]) -> T:
        """Runs a read in the reading thread."""
        return await asyncio.get_running_loop().run_in_executor(self._read_thread, function)

    def home(self, item: c.Command[Any]) -> int:
        """The shard that a command belongs to: its patient's, its identity's, or its service's."""
        match item:
            case c.OpenProfile() | c.ClaimAlias():
                return int.from_bytes(self._vault.ins_hash(item.ins)[:4]) % self.shards
            case c.Authorize():
                return self.route(item.query.address, item.query.service)
            case c.RecordRefusal():
                return self.route(item.address, item.service)
            case c.RequestConsent():
                return self.route(None, item.service)
        shard = getattr(item, "shard", None)
        return cast(int, item.address.shard if shard is None else shard)  # type: ignore[attr-defined]

    def route(self, address: c.Address | None, service: str) -> int:
        """The patient's shard; the service's where nobody is named."""
        if address is not None and self.has_shard(address.shard):
            return address.shard
        return int.from_bytes(hashlib.sha256(service.encode()).digest()[:4]) % self.shards

    def has_shard(self, shard: int) -> bool:
        """Whether there is such a shard."""
        return 0 <= shard < self.shards

    async def close(self) -> None:
        """Finishes what was submitted."""
        await asyncio.gather(*(writer.close() for writer in self._writers))
        await self._outcomes.close()
        self._write_thread.shutdown()
        self._read_thread.shutdown()

    async def _write(self, shard: int, item: c.Command[Any], finish: Finish = _as_it_is) -> Any:
        if not self.has_shard(shard):
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return await self._writers[shard].submit((item, finish))

    def _snapshot(self) -> Snapshot | None:
        try:
            return self._view.current()
        except AccordError:
            return None

    def _writer(self, log: ShardLog) -> Callable[[Sequence[tuple[c.Command[Any], Finish]]], Sequence[Any]]:
        def run(items: Sequence[tuple[c.Command[Any], Finish]]) -> list[Any]:
            answers: list[Any] = []
            with log.locked() as locked:
                # Read under the lock: a lease must not grow too old while it waits.
                locked.snapshot = self._snapshot()
                for kind, group in groupby((item for item, _ in items), type):
                    answers += _handle(self._handlers[kind], locked, list(group))
            self.horizon.reached(log.shard, log.size)
            return [_finished(answer, finish) for answer, (_, finish) in zip(answers, items, strict=True)]

        return run

    def _prove(self, items: Sequence[c.Outcome]) -> list[list[Proven]]:
        return [
            self.proofs.prove(self._logs[item.shard].origin, (item.authorization, item.outcome), openings=True)
            for item in items
        ]


def _handle(handler: Handler, locked: Any, items: list[c.Command[Any]]) -> list[Any]:
    try:
        return handler(locked, items)
    except AccordError as error:
        return [error] * len(items)


def _finished(answer: Any, finish: Finish) -> Any:
    try:
        return answer if isinstance(answer, Exception) else finish(answer)
    except Exception as error:  # a value: what is committed must not be run again
        return error
