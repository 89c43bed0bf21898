"""The exchange process: `python -m services.exchange --config FILE`."""

import argparse
import sys
from pathlib import Path

from services.chassis.clock import SystemClock
from services.chassis.config import ConfigError, load_settings
from services.chassis.logs import configure_logging
from services.chassis.server import run, serve
from services.chassis.telemetry import build_telemetry
from services.errors import AccordError
from services.exchange.config import Settings
from services.exchange.wiring import wired


async def exchange(settings: Settings) -> None:
    """Serves until asked to stop. Raises: ConfigError, AccordError STORAGE_UNAVAILABLE, ValueError for a broken TRUST."""
    clock = SystemClock()
    telemetry = build_telemetry(settings.telemetry, "exchange")
    async with wired(settings, clock) as broker:
        await serve("exchange", settings.server, [broker.endpoint], broker.probe, telemetry, clock)


def main() -> None:
    """Reads the settings and serves; a start that cannot succeed ends with one explanation."""
    parser = argparse.ArgumentParser(prog="python -m services.exchange", description="The exchange broker.")
    parser.add_argument("--config", type=Path, required=True, help="settings, a TOML file")
    arguments = parser.parse_args()
    configure_logging("exchange")
    try:
        run(exchange(load_settings(Settings, arguments.config)))
    except (ConfigError, AccordError, OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
