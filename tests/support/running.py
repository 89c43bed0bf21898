"""A real process of the chassis around the echo service, on loopback, over mutual TLS."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from services.chassis.channel import open_channel
from services.chassis.clock import SystemClock
from services.chassis.health import Probe
from services.chassis.server import Process, ServerSettings
from services.chassis.telemetry import Telemetry
from services.chassis.tls import TlsFiles
from tests.support.certificates import Site
from tests.support.echo import SERVICE, EchoClient, EchoServicer

SERVER_NAME = "registry.mes.example"
POLICY = f"""
version: 1
roles:
  portal: [/portal]
  service: ["/service/*"]
  admin: [/admin]
servers:
  echo:
    {SERVICE}/Echo: [portal, service]
    {SERVICE}/Admin: [admin]
    {SERVICE}/Upload: [portal, service]
    {SERVICE}/Repeat: [portal, service]
    {SERVICE}/Chat: [portal, service]
"""


@dataclass(slots=True)
class Running:
    """A started process, its site, its servicer, and what its health probe will answer."""

    site: Site
    process: Process
    servicer: EchoServicer
    server_files: TlsFiles
    problems: list[str] = field(default_factory=list)
    drained: bool = False

    @asynccontextmanager
    async def client(self, who: str | TlsFiles = "/portal") -> AsyncIterator[EchoClient]:
        """A client with a good leaf for a path, or with given files."""
        files = self.site.files(who) if isinstance(who, str) else who
        channel = open_channel(f"127.0.0.1:{self.process.rpc_port}", files, self.site.identity("/registry"))
        async with channel:
            yield EchoClient(channel)

    async def drain(self) -> None:
        """Drain the process, once."""
        if not self.drained:
            self.drained = True
            await self.process.drain()


@asynccontextmanager
async def running(
    site: Site, *, telemetry: Telemetry | None = None, probe: Probe | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """Run the echo service with any of `ServerSettings` changed."""
    policy = site.folder / "access.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    tls = site.files("/registry")
    values: dict[str, Any] = {"notice_s": 0.0, "drain_s": 5.0, **settings}
    listening = ServerSettings("127.0.0.1:0", "127.0.0.1:0", tls, policy, **values)
    problems: list[str] = []

    async def told() -> Sequence[str]:
        return problems

    servicer = EchoServicer()
    process = Process("echo", listening, [servicer.endpoint()], probe or told, telemetry or Telemetry(), SystemClock())
    await process.start()
    one = Running(site, process, servicer, tls, problems)
    try:
        yield one
    finally:
        await one.drain()


@dataclass(frozen=True, slots=True)
class Failure:
    """What a client sees of a failed call."""

    code: grpc.StatusCode
    message: str
    reasons: list[str]
    metadata: dict[str, str]
    fields: list[str]
    local: str
    retry_s: float | None


async def failure(call: Any) -> Failure:
    """Await a call that must fail, and read its status. A call without `google.rpc.Status` has no reasons."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return read_failure(error)
    raise AssertionError(f"answered {answer!r}")


def read_failure(error: grpc.aio.AioRpcError) -> Failure:
    """The status of an error, unpacked."""
    raw = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    infos: list[Any] = []
    bad, local, retry = BadRequest(), LocalizedMessage(), RetryInfo()
    for detail in Status.FromString(raw).details:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            infos.append(ErrorInfo.FromString(detail.value))
        _ = detail.Unpack(bad) or detail.Unpack(local) or detail.Unpack(retry)
    return Failure(
        error.code(),
        error.details() or "",
        [info.reason for info in infos if info.domain == "accord"],
        dict(infos[0].metadata) if infos else {},
        [violation.field for violation in bad.field_violations],
        local.message,
        retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )
