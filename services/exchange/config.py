"""The settings of the exchange service, parsed once from a TOML file (`chassis.config`)."""

from dataclasses import dataclass, field
from pathlib import Path

from services.chassis.server import ServerSettings
from services.chassis.telemetry import TelemetrySettings
from services.exchange.domain.bundle import Limits, Rules

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator decides; sizes in bytes.

    `consent` and `registry` are host:port. `spool` is this process's own folder: it is emptied at start. `instance` names
    the process across restarts; the rows of `database_url` that it wrote are its own. `signing_key` is the broker key that
    TRUST lists. `check_author_identifiers` refuses national identifiers with a wrong form or check digit.
    """

    server: ServerSettings
    trust_domain: str
    trust: Path
    spool: Path
    database_url: str
    signing_key: Path
    consent: str
    registry: str
    allow_test_ins: bool = False
    check_author_identifiers: bool = True
    instance: str = "exchange-0"
    max_bundle_bytes: int = 256 * MIB
    max_document_bytes: int = 128 * MIB
    max_in_flight: int = 64
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)

    def __post_init__(self) -> None:
        """Refuses numbers out of range."""
        if not 0 < self.max_document_bytes <= self.max_bundle_bytes or self.max_in_flight < 2:
            raise ValueError("max_document_bytes must be 1 to max_bundle_bytes, max_in_flight at least 2")

    @property
    def limits(self) -> Limits:
        """How much a bundle may hold."""
        return Limits(self.max_bundle_bytes, self.max_document_bytes)

    @property
    def rules(self) -> Rules:
        """What documents must be like."""
        return Rules(self.allow_test_ins, self.check_author_identifiers)
