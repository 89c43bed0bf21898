"""Whom a command asks, with what certificate, and whom it believes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from services.chassis.channel import open_channel
from services.chassis.identity import Identity
from services.chassis.status import accord_error
from services.ctl.options import leaf
from services.errors import Reason
from services.formats.canonical import FormatError
from services.formats.trust import Trust, parse_trust


@dataclass(frozen=True, slots=True)
class Access:
    """A server, and the role whose leaf speaks to it from a stack's folder."""

    folder: Path
    role: str
    target: str
    trust_file: Path | None

    def trust(self) -> Trust:
        """TRUST. Raises: FormatError, OSError."""
        return read_trust(self.trust_file or self.folder / "trust.json")

    @asynccontextmanager
    async def channel(self, trust: Trust, path: str, unreachable: Reason) -> AsyncIterator[grpc.aio.Channel]:
        """A channel to the server of this identity's path.

        Raises: ConfigError; whatever a call refuses, as AccordError, `unreachable` where nobody answers.
        """
        files = leaf(self.folder, self.role)
        async with open_channel(self.target, files, Identity(trust.trust_domain, path)) as channel:
            try:
                yield channel
            except grpc.aio.AioRpcError as error:
                raise accord_error(error, unreachable, trusted=True) from error


def read_trust(path: Path) -> Trust:
    """TRUST from a file. Raises: FormatError, OSError."""
    try:
        return parse_trust(path.read_bytes())
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
