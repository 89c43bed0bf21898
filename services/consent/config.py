"""The settings of the consent service, parsed once from a TOML file (`chassis.config`)."""

from dataclasses import dataclass, field
from pathlib import Path

from services.chassis.server import ServerSettings
from services.chassis.telemetry import TelemetrySettings


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Private keys and secrets: PEM files, and a master secret of 64 hexadecimal digits."""

    log: Path
    permit: Path
    master: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """`database_url` is SQLAlchemy's; `shards` and `epoch` are fixed at creation; `registry` is host:port.

    After `outcome_deadline_s` an authorisation without outcome gets UNKNOWN: longer than any delivery lasts.
    """

    server: ServerSettings
    keys: KeyFiles
    database_url: str
    trust: Path
    trust_domain: str
    registry: str
    shards: int = 1
    epoch: int = 1
    allow_test_ins: bool = False
    clock_leeway_ms: int = 1000
    outcome_deadline_s: int = 900
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)

    def __post_init__(self) -> None:
        """Refuses numbers out of range."""
        if not 1 <= self.shards <= 4096 or self.epoch < 1 or self.clock_leeway_ms < 0:
            raise ValueError("shards must be 1 to 4096, epoch at least 1, clock_leeway_ms not negative")
        if self.outcome_deadline_s < 1:
            raise ValueError("outcome_deadline_s must be at least 1")
