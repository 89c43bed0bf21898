"""A register over a real database, with a clock that stands still until it is moved."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from services.chassis.db import Database
from services.chassis.migrations import migrate
from services.formats.jwk import LocalSigner
from services.registry import store
from services.registry.catalog import Catalog
from services.registry.commits import Commits, run_read
from services.registry.lease import Leases
from services.registry.migrations import FOLDER
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
    migrate(database, FOLDER)
    with database.write() as connection:
        store.prepare(connection)
    return database
