"""Keeps the trace index behind the log: off the append path, in transactions of its own, in a thread of its own.

Guarantees that the rows of a log are always those of its first entries, without a gap, so that it goes on where any process
stopped; that several processes may do this at once; and that after `catch_up` every entry below the sizes given has its row.
No lock of a head is taken. Leaves to `fsck` whether entries and rows still agree; `rebuild` makes them agree.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from services.chassis.db import Database, retrying
from services.consent.store import traces
from services.consent.store.traces import Log
from services.errors import AccordError, Reason
from services.formats.times import instant_of

BATCH = 256
"""Rows of one transaction: SQLite's writers wait for one another."""
FOLLOW_S = 1.0
IDLE_SHARE = 4.0
"""How long it rests for each second that it works while nobody waits for it: decisions want the same core and lock."""
Advance = Callable[[Log, int], None]
"""Hears of each log how many of its rows are there now."""
_CLEAR = ("type", "actor", "subject", "service", "counterparty", "reason")
_log = logging.getLogger(__name__)


class Indexer:
    """Follows the heads of all logs of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-index")
        self._step_once = retrying(self._step)

    async def follow(self) -> None:
        """For ever; what fails now is tried again at the next turn."""
        while True:
            try:
                await self.catch_up(await self._run(self.logs), idle_share=IDLE_SHARE)
            except (AccordError, ValueError) as error:
                _log.warning("the trace index waits", extra={"fields": {"problem": type(error).__name__}})
            await asyncio.sleep(FOLLOW_S)

    def logs(self) -> list[Log]:
        """Every log, as large as it is now."""
        with self._database.read() as connection:
            return traces.logs(connection)

    async def catch_up(self, logs: Iterable[Log], *, idle_share: float = 0.0, advance: Advance | None = None) -> None:
        """Returns once each log's rows have reached the size given. Raises: AccordError, ValueError for no entry at all."""
        for log in logs:
            reached = 0
            while reached < log.size:
                began = time.perf_counter()
                reached = await self._run(lambda log=log: self._step_once(log))
                if advance is not None:
                    advance(log, reached)
                if reached < log.size:
                    await asyncio.sleep((time.perf_counter() - began) * idle_share)

    async def rebuild(self, log: Log, advance: Advance | None = None) -> None:
        """Makes all rows of a log anew. Searches meanwhile wait for them."""
        await self._run(lambda: self._forget(log))
        await self.catch_up([log], advance=advance)

    async def close(self) -> None:
        """Ends its thread."""
        await asyncio.to_thread(self._thread.shutdown)

    async def _run(self, function: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _step(self, log: Log) -> int:
        """Adds the next rows, at most BATCH; answers how many there are now."""
        with self._database.read() as connection:
            first = traces.reached(connection, log)
            found = traces.entries(connection, log, first, min(first + BATCH, log.size))
        if first >= log.size:
            return first
        if not found or found[0][0] != first or found[-1][0] != first + len(found) - 1:
            raise AccordError(Reason.LEDGER_ROLLED_BACK, f"{log.origin}: an entry is gone")
        rows = [log.key | {"idx": index} | row_of(entry) for index, entry in found]
        with self._database.write() as connection:
            traces.add(connection, rows)
        return first + len(found)

    def _forget(self, log: Log) -> None:
        # From the end: were it cut short, the rest would still be the rows of the log's first entries.
        with self._database.read() as connection:
            end = traces.reached(connection, log)
        for first in range(max(0, end - 8 * BATCH), -1, -8 * BATCH):
            with self._database.write() as connection:
                traces.forget(connection, log, first)
        with self._database.write() as connection:
            traces.forget(connection, log)


def row_of(entry: bytes) -> dict[str, Any]:
    """What the index keeps of an entry, its place apart. Raises: ValueError for bytes that are no entry."""
    members = json.loads(entry)
    if not isinstance(members, dict) or not isinstance(members.get("time"), str):
        raise ValueError("no entry")
    return {"time_ms": instant_of(members["time"])} | {name: members.get(name, "") for name in _CLEAR}
