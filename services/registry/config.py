"""The registry's settings, read once from one TOML file."""

from dataclasses import dataclass, field
from pathlib import Path

from services.chassis.server import ServerSettings
from services.chassis.telemetry import TelemetrySettings


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator decides.

    `database_url` is SQLAlchemy's; `lease_key` and `log_key` are PEM files; `allow_local_endpoints` admits services whose
    endpoint lies inside a network (loopback, private, cluster-local): for one machine and for tests, never where partners
    register.
    `ledger` is the consent ledger (host:port) whose logs, listed in `trust`, the registry witnesses; empty: none.
    """

    server: ServerSettings
    database_url: str
    trust_domain: str
    lease_key: Path
    log_key: Path
    allow_local_endpoints: bool = False
    ledger: str = ""
    trust: Path | None = None
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)

    def __post_init__(self) -> None:
        """Refuses a ledger whose logs nobody named."""
        if self.ledger and self.trust is None:
            raise ValueError("ledger needs trust, the TRUST file that lists its logs")
