"""The consent process: `python -m services.consent --config FILE`."""

import gc
import sys

from services.chassis.clock import SystemClock
from services.chassis.config import ConfigError, load_settings
from services.chassis.logs import configure_logging
from services.chassis.schema import parse_arguments
from services.chassis.server import run, serve
from services.chassis.telemetry import build_telemetry
from services.consent.config import Settings
from services.consent.migrations.start import migrate_only
from services.consent.wiring import wired
from services.errors import AccordError

GC_THRESHOLD = 10_000
"""How many new objects make the collector look at them."""


async def consent(settings: Settings) -> None:
    """Serves until asked to stop. Raises: ConfigError, AccordError STORAGE_UNAVAILABLE, ValueError for a broken log."""
    clock = SystemClock()
    telemetry = build_telemetry(settings.telemetry, "consent")
    async with wired(settings, clock) as ledger:
        _settle_memory()
        await serve("consent", settings.server, ledger.endpoints, ledger.probe, telemetry, clock)


def _settle_memory() -> None:
    # What lives as long as the process need not be walked again at every collection: fewer pauses, a tenth of the core.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def main() -> None:
    """Reads the settings and serves; a start that cannot succeed ends with one explanation."""
    arguments = parse_arguments("python -m services.consent", "The consent ledger.")
    configure_logging("consent")
    try:
        settings = load_settings(Settings, arguments.config)
        if arguments.migrate_only:
            migrate_only(settings.database_url, arguments.role)
        else:
            run(consent(settings))
    except (ConfigError, AccordError, OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
