"""The settings of the consent service, parsed once from a TOML file (`chassis.config`)."""

from dataclasses import dataclass, field
from pathlib import Path

from services.chassis.server import ServerSettings
from services.chassis.telemetry import TelemetrySettings

DAY_MS = 86_400_000
SERVER_DELAY_DAYS = 30
"""How long a server's write-ahead log and backups are kept unless the operator says otherwise."""
MAX_ERASURE_DELAY_DAYS = 3650


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Private keys and secrets: PEM files, and a master secret of 64 hexadecimal digits."""

    log: Path
    permit: Path
    master: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """`database_url` is SQLAlchemy's; `shards` and `epoch` are fixed at creation; `registry` is host:port.

    `replica_url`: a replica of that database, which may lag, for advice that need not be fresher; empty: there is none.

    After `outcome_deadline_s` an authorisation without outcome gets UNKNOWN: longer than any delivery lasts.
    `erasure_delay_days`: how long a destroyed key may live on in logs and backups of the database; by default 0 with SQLite,
    30 with PostgreSQL.
    """

    server: ServerSettings
    keys: KeyFiles
    database_url: str
    trust: Path
    trust_domain: str
    registry: str
    shards: int = 1
    epoch: int = 1
    replica_url: str = ""
    allow_test_ins: bool = False
    clock_leeway_ms: int = 1000
    outcome_deadline_s: int = 900
    erasure_delay_days: int | None = None
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)

    def __post_init__(self) -> None:
        """Refuses numbers out of range."""
        if not 1 <= self.shards <= 4096 or self.epoch < 1 or self.clock_leeway_ms < 0:
            raise ValueError("shards must be 1 to 4096, epoch at least 1, clock_leeway_ms not negative")
        if self.outcome_deadline_s < 1:
            raise ValueError("outcome_deadline_s must be at least 1")
        if self.erasure_delay_days is not None and not 0 <= self.erasure_delay_days <= MAX_ERASURE_DELAY_DAYS:
            raise ValueError(f"erasure_delay_days must be 0 to {MAX_ERASURE_DELAY_DAYS}")

    @property
    def erasure_delay_ms(self) -> int:
        """How long after its tombstone an erasure is effective everywhere."""
        days = self.erasure_delay_days
        if days is None:
            days = 0 if self.database_url.startswith("sqlite") else SERVER_DELAY_DAYS
        return days * DAY_MS
