"""The registry's settings, read once from one TOML file."""

from dataclasses import dataclass, field
from pathlib import Path

from services.chassis.server import ServerSettings
from services.chassis.telemetry import TelemetrySettings


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator decides.

    `database_url` is SQLAlchemy's; `lease_key` a PEM file; `allow_local_endpoints` admits services whose endpoint lies
    inside a network (loopback, private, cluster-local): for one machine and for tests, never where partners register.
    """

    server: ServerSettings
    database_url: str
    trust_domain: str
    lease_key: Path
    allow_local_endpoints: bool = False
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
