"""One process from start to drain: the RPC port behind mutual TLS and the guard, the health port, and the way out.

Guarantees that a process serves exactly the RPCs that its access policy lists, that it reports itself unhealthy before it
stops, and that calls under way get their grace. Offers no reflection and no channelz. Leaves the probe of its dependencies
and the closing of its stores to the service.
"""

import asyncio
import logging
import secrets
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from google.protobuf.descriptor import ServiceDescriptor

from services.chassis.acceptor import Acceptor
from services.chassis.access import AccessPolicy
from services.chassis.admission import Admission
from services.chassis.channel import MAX_METADATA_BYTES
from services.chassis.clock import Clock
from services.chassis.health import Health, Probe
from services.chassis.identity import Callers
from services.chassis.interceptors import Guard
from services.chassis.logs import log_loop_errors
from services.chassis.refusals import Refusals
from services.chassis.telemetry import Telemetry
from services.chassis.tls import TlsFiles, leaf_identity, server_credentials

MIN_PING_INTERVAL_MS = 5_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a process listens: addresses are `host:port` (port 0: any free one), times in seconds.

    `notice_s` is how long a draining process still accepts calls, so that load balancers see NOT_SERVING first.
    """

    listen: str
    health_listen: str
    tls: TlsFiles
    access_policy: Path
    max_message_bytes: int = 4 * 1024 * 1024
    max_concurrent_rpcs: int = 512
    max_connection_age_s: float = 300.0
    max_deadline_s: float = 60.0
    notice_s: float = 0.5
    drain_s: float = 20.0

    def __post_init__(self) -> None:
        """Refuse the limits that gRPC would read as "none"."""
        for name in ("max_message_bytes", "max_concurrent_rpcs", "max_connection_age_s", "max_deadline_s", "drain_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        if self.notice_s < 0:
            raise ValueError("notice_s must not be negative")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One gRPC service: its descriptor, and how to add its servicer (`add_…_to_server`) to a server."""

    descriptor: ServiceDescriptor
    add: Callable[[Any], None]

    @property
    def methods(self) -> list[str]:
        """The full names of its methods, `package.Service/Method`."""
        return [f"{self.descriptor.full_name}/{method.name}" for method in self.descriptor.methods]


class Process:
    """A running server: `start`, then `drain`. `rpc_port` and `health_port` are the bound ports."""

    def __init__(
        self,
        name: str,
        settings: ServerSettings,
        endpoints: Sequence[Endpoint],
        probe: Probe,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        """Read certificates and policy; nothing listens yet. Raises: ConfigError."""
        methods = [method for endpoint in endpoints for method in endpoint.methods]
        policy = AccessPolicy.load(settings.access_policy, name, methods)
        self._settings = settings
        self._endpoints = endpoints
        self._credentials = server_credentials(settings.tls)
        self._guard = Guard(
            policy=policy,
            callers=Callers(leaf_identity(settings.tls).trust_domain, policy.roles_of, clock),
            admission=Admission(settings.max_concurrent_rpcs),
            telemetry=telemetry,
            refusals=Refusals(clock),
            max_deadline_s=settings.max_deadline_s,
            incident=lambda: secrets.token_hex(8),
        )
        self._health = Health(probe, [endpoint.descriptor.full_name for endpoint in endpoints])
        self._server: Acceptor | None = None
        self._ends: asyncio.Future[Any] = asyncio.Future()
        self.rpc_port = 0
        self.health_port = 0

    async def start(self) -> None:
        """Listen on both ports. Raises: RuntimeError if one is taken."""
        server = _Guarded(self._guard, _options(self._settings))
        for endpoint in self._endpoints:
            endpoint.add(server)
        self.rpc_port = server.add_secure_port(self._settings.listen, self._credentials)
        await server.start()
        self._server = server
        # Never to be cancelled: grpc.aio would take the cancellation for the shutdown's own.
        self._ends = asyncio.ensure_future(server.wait_for_termination())
        self.health_port = await self._health.start(self._settings.health_listen)
        _log.info("listening", extra={"fields": {"rpc_port": self.rpc_port, "health_port": self.health_port}})

    async def run_until(self, asked: asyncio.Event) -> None:
        """Wait until `asked` is set. Raises: RuntimeError if the server ends by itself, which it never should."""
        asks: asyncio.Future[Any] = asyncio.create_task(asked.wait())
        await asyncio.wait({self._ends, asks}, return_when=asyncio.FIRST_COMPLETED)
        asks.cancel()
        if self._ends.done():
            raise RuntimeError("the server has ended by itself") from self._ends.exception()

    async def drain(self) -> None:
        """Leave without losing a call: NOT_SERVING, a notice, no new calls, a grace for those under way."""
        await self._health.drain()
        await asyncio.sleep(self._settings.notice_s)
        if self._server is not None:
            await self._server.stop(self._settings.drain_s)
            await self._server.settle()
        await self._health.stop()
        _log.info("stopped")


class _Guarded(Acceptor):
    """An acceptor that puts the guard before every handler it is given."""

    def __init__(self, guard: Guard, options: list[tuple[str, object]]) -> None:
        super().__init__(guard.unknown(), options)
        self._guard = guard

    def add_registered_method_handlers(self, service_name: str, method_handlers: dict[str, Any]) -> None:
        """Serve the methods of one service behind the guard."""
        guarded = {
            name: self._guard.wrap(f"{service_name}/{name}", handler) for name, handler in method_handlers.items()
        }
        super().add_registered_method_handlers(service_name, guarded)


async def serve(
    name: str, settings: ServerSettings, endpoints: Sequence[Endpoint], probe: Probe, telemetry: Telemetry, clock: Clock
) -> None:
    """Run a process until SIGTERM or SIGINT, then drain it. Raises: ConfigError, RuntimeError if a port is taken."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    process = Process(name, settings, endpoints, probe, telemetry, clock)
    await process.start()
    await process.run_until(asked)
    await process.drain()
    telemetry.shutdown()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a process's main coroutine on uvloop."""

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(log_loop_errors)
        await main

    uvloop.run(watched())


def _options(settings: ServerSettings) -> list[tuple[str, object]]:
    """A connection ends after its age plus the longest call, so no call is cut and no half-sent body stays for ever."""
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", settings.max_concurrent_rpcs),
        ("grpc.max_connection_age_ms", round(settings.max_connection_age_s * 1000)),
        ("grpc.max_connection_age_grace_ms", round(settings.max_deadline_s * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
    ]
