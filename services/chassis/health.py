"""Health over gRPC (`grpc.health.v1`), in clear, on a port of its own.

Guarantees that SERVING means: the probe answered within its time and found no problem; and that the port shows nothing
else. A port of its own because Kubernetes probes in clear, and because load shedding must not shed the probe. Leaves what
is checked to the service. The name `live` says only that the process answers: a restart mends no other process's fault.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

LIVE = "live"
PROBE_INTERVAL_S = 1.0
PROBE_TIMEOUT_S = 5.0
Probe = Callable[[], Awaitable[Sequence[str]]]
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_log = logging.getLogger(__name__)


class Health:
    """The health of one process: NOT_SERVING until a probe finds no problem, and for good once draining."""

    def __init__(self, probe: Probe, services: Sequence[str]) -> None:
        self._probe = probe
        self._services = ("", *services)
        self._servicer = HealthServicer()
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)], maximum_concurrent_rpcs=64)
        self._watch: asyncio.Task[None] | None = None
        self._problems: tuple[str, ...] | None = ("starting",)

    async def start(self, listen: str) -> int:
        """Serve on `listen` (`host:port`) and begin to probe; returns the port. Raises: RuntimeError if it is taken."""
        await self._set(_NOT_SERVING)
        await self._servicer.set(LIVE, _SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, self._server)
        port = self._server.add_insecure_port(listen)
        await self._server.start()
        self._watch = asyncio.create_task(self._keep_true())
        return port

    async def drain(self) -> None:
        """Report NOT_SERVING from now on."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self._servicer.enter_graceful_shutdown()

    async def stop(self) -> None:
        """Close the port."""
        await self._server.stop(0.5)

    async def _keep_true(self) -> None:
        while True:
            problems = await self._problems_now()
            if problems != self._problems:
                self._problems = problems
                _log.log(
                    logging.WARNING if problems else logging.INFO, "health", extra={"fields": {"problems": problems}}
                )
                await self._set(_NOT_SERVING if problems else _SERVING)
            await asyncio.sleep(PROBE_INTERVAL_S)

    async def _problems_now(self) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return tuple(await self._probe())
        except Exception as error:
            return (f"the probe failed: {type(error).__name__}",)

    async def _set(self, status: "health_pb2.HealthCheckResponse.ServingStatus") -> None:
        for service in self._services:
            await self._servicer.set(service, status)
