"""A register over a real SQLite file, with a clock that stands still until it is moved."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from services.chassis.db import Database
from services.formats.jwk import LocalSigner
from services.registry import store
from services.registry.catalog import Catalog
from services.registry.commits import Commits, run_read
from services.registry.lease import Leases
from services.registry.tables import METADATA
from tests.support.register import TRUST_DOMAIN, signer


@dataclass
class StillClock:
    """A clock that moves when a test says so."""

    ms: int = 1_800_000_000_000

    def wall_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000


@dataclass
class Register:
    """A catalog, its leases, and what lies beneath."""

    database: Database
    url: str
    key: LocalSigner = field(default_factory=signer)
    clock: StillClock = field(default_factory=StillClock)
    executor: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def __post_init__(self) -> None:
        load = partial(run_read, self.database, self.executor, store.snapshot)
        self.leases = Leases(self.key, TRUST_DOMAIN, self.clock, load)
        self.commits = Commits(self.database, self.executor, self.leases)
        self.catalog = Catalog(self.commits, TRUST_DOMAIN, self.clock)


def open_database(url: str) -> Database:
    """The database of a register, with its tables and its first head."""
    database = Database(url)
    database.create(METADATA)
    with database.write() as connection:
        store.prepare(connection)
    return database


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_database(url)
    yield opened
    opened.close()


@pytest.fixture
async def register(database: Database, url: str) -> AsyncIterator[Register]:
    made = Register(database, url)
    yield made
    await made.commits.drain()
    made.executor.shutdown()
