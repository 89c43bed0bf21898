"""A register over a real database, with a clock that stands still until it is moved."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.db import Database
from services.chassis.migrations import migrate
from services.formats.jwk import LocalSigner
from services.registry import store
from services.registry.catalog import Catalog
from services.registry.commits import Commits, run_read
from services.registry.lease import Leases
from services.registry.log import EPOCH, RegisterLog
from services.registry.migrations import FOLDER
from services.registry.organizations import Organizations
from services.tlog.note import NoteSigner
from tests.support.register import TRUST_DOMAIN, signer

LOG_KEY = signer()


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
        self.log = register_log()
        self.commits = Commits(self.database, self.executor, self.leases, self.log, self.clock)
        self.catalog = Catalog(self.commits, TRUST_DOMAIN)
        self.organizations = Organizations(self.commits)


def register_log() -> RegisterLog:
    """The log of a test's register, as a process that has just started sees it."""
    key = LOG_KEY.private
    assert isinstance(key, Ed25519PrivateKey)
    origin = f"{TRUST_DOMAIN}/register/{EPOCH}"
    return RegisterLog(NoteSigner(origin, key.sign, key.public_key().public_bytes_raw()), os.urandom)


def open_database(url: str) -> Database:
    """The database of a register that has begun."""
    database = Database(url)
    migrate(database, FOLDER)
    with database.write() as connection:
        store.prepare(connection)
        register_log().create(connection)
    return database
