"""Channels to the processes that a process calls: few, long-lived, and renewed when this process's certificate is.

Guarantees one channel for each target and expected identity, at most LIMIT of them, that a call under way keeps the
channel it began with, and that files which are unusable for a moment (a rotation writes them one by one) cost no channel.
Leaves deadlines and errors to the callers.
"""

import asyncio
import logging

import grpc

from services.chassis.channel import OURS, Keepalive, open_channel
from services.chassis.config import ConfigError
from services.chassis.identity import Identity
from services.chassis.tls import TlsFiles
from services.errors import AccordError, Reason

LIMIT = 128
"""A channel costs about 2 MB."""
GRACE_S = 600.0
"""Longer than any delivery: a replaced channel ends when its calls have."""
_log = logging.getLogger(__name__)


class Channels:
    """Opens on first use, and again once the certificate file changed."""

    def __init__(self, files: TlsFiles, keepalive: Keepalive = OURS) -> None:
        self._files, self._keepalive = files, keepalive
        self._open: dict[tuple[str, Identity], tuple[int, grpc.aio.Channel]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._warned = False

    def to(self, target: str, expected: Identity) -> grpc.aio.Channel:
        """A channel to `host:port` that trusts only this identity; with unusable files, the one opened before.

        Raises: AccordError STORAGE_UNAVAILABLE where none was opened before; IDENTITY_INVALID.
        """
        key = target, expected
        known = self._open.get(key)
        try:
            leaf = self._files.cert.stat().st_mtime_ns
            if known is None or known[0] != leaf:
                opened = open_channel(target, self._files, expected, keepalive=self._keepalive)
                self._replace(key, (leaf, opened))
            self._warned = False
        except (ConfigError, OSError) as error:
            self._warn(error)
            if known is None:
                raise AccordError(Reason.STORAGE_UNAVAILABLE, "the certificate's files are unusable") from error
        self._open[key] = self._open.pop(key)  # last: the least recently used is the first
        return self._open[key][1]

    async def close(self) -> None:
        """Ends every channel and every call on them."""
        for task in self._closing:
            task.cancel()
        for _, channel in self._open.values():
            await channel.close(None)
        self._open.clear()

    def _replace(self, key: tuple[str, Identity], opened: tuple[int, grpc.aio.Channel]) -> None:
        known = self._open.pop(key, None)
        if known is not None:
            self._retire(known[1])
        self._open[key] = opened
        if len(self._open) > LIMIT:
            self._retire(self._open.pop(next(iter(self._open)))[1])

    def _warn(self, error: Exception) -> None:
        """Once, until the files are usable again: every call comes here."""
        if not self._warned:
            self._warned = True
            _log.warning("new certificate refused, open channels stay", extra={"fields": {"problem": str(error)}})

    def _retire(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.create_task(channel.close(GRACE_S))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
