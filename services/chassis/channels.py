"""Channels to the processes that a process calls: few, long-lived, and renewed when this process's certificate is.

Guarantees one channel for each target and expected identity, at most LIMIT of them, and that a call under way keeps
the channel it began with. Leaves deadlines and errors to the callers.
"""

import asyncio

import grpc

from services.chassis.channel import open_channel
from services.chassis.identity import Identity
from services.chassis.tls import TlsFiles

LIMIT = 128
"""A channel costs about 2 MB."""
GRACE_S = 600.0
"""Longer than any delivery: a replaced channel ends when its calls have."""


class Channels:
    """Opens on first use, and again once the certificate file changed."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._open: dict[tuple[str, Identity], tuple[int, grpc.aio.Channel]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def to(self, target: str, expected: Identity) -> grpc.aio.Channel:
        """A channel to `host:port` that trusts only this identity. Raises: ConfigError, AccordError IDENTITY_INVALID."""
        key, leaf = (target, expected), self._files.cert.stat().st_mtime_ns
        known = self._open.pop(key, None)
        if known is None or known[0] != leaf:
            if known is not None:
                self._retire(known[1])
            known = leaf, open_channel(target, self._files, expected)
        self._open[key] = known  # last: the least recently used is the first
        if len(self._open) > LIMIT:
            self._retire(self._open.pop(next(iter(self._open)))[1])
        return known[1]

    async def close(self) -> None:
        """Ends every channel and every call on them."""
        for task in self._closing:
            task.cancel()
        for _, channel in self._open.values():
            await channel.close(None)
        self._open.clear()

    def _retire(self, channel: grpc.aio.Channel) -> None:
        task = asyncio.create_task(channel.close(GRACE_S))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
