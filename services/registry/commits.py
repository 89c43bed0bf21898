"""The register's transactions, and what follows each of them.

Guarantees that the lease hands a new snapshot out before the caller has its answer, that a caller who goes away stops
neither, and that after a commit of unknown outcome no snapshot is handed out before the store has been read again. All
work runs in the one thread of `executor`, in the order it was asked.

Crash outcome: before COMMIT nothing happened; after it the change stands, and the next start publishes it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from services.chassis.clock import Clock
from services.chassis.db import Database
from services.errors import AccordError, Reason
from services.registry.domain.snapshot import Snapshot
from services.registry.lease import Leases
from services.registry.locked import Locked
from services.registry.log import RegisterLog

T = TypeVar("T")


Work = Callable[[Locked], T]
"""A write, under the lock."""


class Commits:
    """Runs reads and writes, one after another."""

    def __init__(self, database: Database, executor: Executor, leases: Leases, log: RegisterLog, clock: Clock) -> None:
        self._database, self._executor, self._leases = database, executor, leases
        self._log, self._clock = log, clock
        self._writes: set[asyncio.Task[object]] = set()

    async def write(self, work: Work[T]) -> T:
        """Commits what `work` does, then publishes. Raises: what `work` raises; AccordError STORAGE_UNAVAILABLE."""
        # A task of its own: a cancelled caller must not keep a committed change from the lease.
        task = asyncio.create_task(self._commit_and_publish(work))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` reads. Raises: AccordError STORAGE_UNAVAILABLE."""
        return await run_read(self._database, self._executor, work)

    async def drain(self) -> None:
        """Waits for the writes under way."""
        await asyncio.gather(*self._writes, return_exceptions=True)

    async def _commit_and_publish(self, work: Work[T]) -> T:
        try:
            value, snapshot = await _in(self._executor, partial(self._commit, work))
        except Exception as error:
            if not isinstance(error, AccordError) or error.reason is Reason.STORAGE_UNAVAILABLE:
                await self._leases.withdraw()  # whether the commit happened is not known
            raise
        await self._leases.publish(snapshot)
        return value

    def _commit(self, work: Work[T]) -> tuple[T, Snapshot]:
        with self._database.write() as connection:
            locked = Locked(connection, self._log, self._clock)
            value = work(locked)
            snapshot = locked.flush()
        locked.committed()
        return value, snapshot


async def run_read(database: Database, executor: Executor, work: Callable[[Connection], T]) -> T:
    """What `work` reads in one snapshot of the database. Raises: AccordError STORAGE_UNAVAILABLE."""

    def run() -> T:
        with database.read() as connection:
            return work(connection)

    return await _in(executor, run)


async def run_write(database: Database, executor: Executor, work: Callable[[Connection], T]) -> T:
    """Commits what `work` writes beside the register: no service changes, and no lease. Raises: as `run_read`."""

    def run() -> T:
        with database.write() as connection:
            return work(connection)

    return await _in(executor, run)


async def _in(executor: Executor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, work)
