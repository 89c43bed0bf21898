"""The echo service as a process of its own: `python -m tests.support.echo_process SETTINGS.toml`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from services.chassis.clock import SystemClock
from services.chassis.config import load_settings
from services.chassis.logs import configure_logging
from services.chassis.server import ServerSettings, run, serve
from services.chassis.telemetry import Telemetry
from tests.support.echo import EchoServicer


async def _healthy() -> Sequence[str]:
    return ()


if __name__ == "__main__":
    configure_logging("echo")
    settings = load_settings(ServerSettings, Path(sys.argv[1]))
    run(serve("echo", settings, [EchoServicer().endpoint()], _healthy, Telemetry(), SystemClock()))
