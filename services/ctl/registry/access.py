"""Who asks the register, with what certificate, and whom they believe."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import grpc
import typer

from services.chassis.channel import open_channel
from services.chassis.identity import Identity
from services.chassis.status import accord_error
from services.ctl.audit.access import read_trust
from services.ctl.options import REGISTRY as REGISTRY
from services.ctl.options import leaf
from services.errors import Reason
from services.formats.trust import Trust

CALL_S = 30.0
Target = Annotated[str, typer.Option(help="The registry, host:port.")]


@dataclass(frozen=True, slots=True)
class Access:
    """The register that a command asks."""

    folder: Path
    role: str
    target: str
    trust_file: Path | None

    def trust(self) -> Trust:
        """TRUST. Raises: FormatError, OSError."""
        return read_trust(self.trust_file or self.folder / "trust.json")

    @asynccontextmanager
    async def channel(self, trust: Trust) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to the registry. Raises: ConfigError; whatever a call refuses, as AccordError."""
        files = leaf(self.folder, self.role)
        async with open_channel(self.target, files, Identity(trust.trust_domain, "/registry")) as channel:
            try:
                yield channel
            except grpc.aio.AioRpcError as error:
                raise accord_error(error, Reason.REGISTRY_STALE, trusted=True) from error
