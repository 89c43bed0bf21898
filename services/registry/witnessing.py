"""The registry as a witness of the consent ledger: it follows the logs beside its own work, and never waits for them.

Guarantees that the highest checkpoint of each log is kept in the registry's own database, and that `require` refuses from
the first contradiction on. Without the setting `ledger`, and until a first look succeeds, nothing is refused: the registry
starts before the ledger does, which decides nothing without a lease. Leaves to `lease` what is refused.

Trust, beside the table: `checkpoint` holds signed notes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from services.chassis.channels import Channels
from services.chassis.config import ConfigError
from services.chassis.db import Database
from services.chassis.identity import Identity
from services.chassis.ledger import CONSENT_PATH, LedgerLogs
from services.chassis.witness import Witness
from services.formats.trust import Trust, parse_trust
from services.registry import store
from services.registry.commits import run_read, run_write
from services.registry.config import Settings

Require = Callable[[], None]
"""Returns while the ledger is believed. Raises: AccordError LEDGER_ROLLED_BACK."""


class Checkpoints:
    """The witness's memory, in the register's database; each call in the one thread of `executor`."""

    def __init__(self, database: Database, executor: Executor) -> None:
        self._database, self._executor = database, executor

    async def checkpoints(self) -> dict[str, str]:
        """The kept note of each log, by origin. Raises: AccordError STORAGE_UNAVAILABLE."""
        return await run_read(self._database, self._executor, store.checkpoints)

    async def keep(self, origin: str, note: str) -> None:
        """Replaces the kept note of a log. Raises: AccordError STORAGE_UNAVAILABLE."""
        await run_write(self._database, self._executor, partial(store.keep_checkpoint, origin=origin, note=note))


@asynccontextmanager
async def witnessing(settings: Settings, database: Database, executor: Executor) -> AsyncIterator[Require]:
    """Follows the ledger that the settings name, if any. Raises: ConfigError; AccordError STORAGE_UNAVAILABLE."""
    if not settings.ledger:
        yield lambda: None
        return
    trust, channels = _trust(settings), Channels(settings.server.tls)
    consent = partial(channels.to, settings.ledger, Identity(settings.trust_domain, CONSENT_PATH))
    witness = Witness(LedgerLogs(consent), Checkpoints(database, executor), trust)
    try:
        await witness.start()
    except ValueError as error:
        raise ConfigError(f"trust: does not explain a checkpoint that was kept: {error}") from error
    following = asyncio.create_task(witness.follow())
    try:
        yield witness.require_uncontradicted
    finally:
        following.cancel()
        await asyncio.wait([following])
        await channels.close()


def _trust(settings: Settings) -> Trust:
    path = settings.trust or Path()
    try:
        trust = parse_trust(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"trust: {error}") from error
    if trust.trust_domain != settings.trust_domain:
        raise ConfigError("trust: is of another trust domain")
    return trust
