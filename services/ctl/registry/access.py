"""Who asks the register, and how long a call may take."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import grpc
import typer

from services.ctl import access
from services.ctl.options import REGISTRY as REGISTRY
from services.errors import Reason

CALL_S = 30.0
Target = Annotated[str, typer.Option(help="The registry, host:port.")]


class Access(access.Access):
    """The register that a command asks."""

    @asynccontextmanager
    async def registry(self) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to the registry. Raises: ConfigError; whatever a call refuses, as AccordError."""
        async with self.channel(self.trust(), "/registry", Reason.REGISTRY_STALE) as channel:
            yield channel
