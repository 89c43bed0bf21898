"""Connections that idle: ours stay open under their own pings, and a partner's server is never pinged without a call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from services.chassis import server as chassis_server
from services.chassis.channel import OURS, PARTNERS, Keepalive, open_channel
from tests.support.certificates import Site
from tests.support.echo import SERVICE, EchoClient, Ping
from tests.support.running import running

IDLE_S = 4.0
"""gRPC pings at most every second, and a server ends a connection at the third ping that it does not allow."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def stays(site: Site, port: int, keepalive: Keepalive) -> bool:
    """Whether a channel that made one call and then idles keeps its connection."""
    target, identity = f"127.0.0.1:{port}", site.identity("/registry")
    async with open_channel(target, site.files("/portal"), identity, keepalive=keepalive) as channel:
        await EchoClient(channel).echo(Ping(text="hello"), timeout=5)
        assert channel.get_state() is grpc.ChannelConnectivity.READY
        try:
            async with asyncio.timeout(IDLE_S):
                await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        except TimeoutError:
            return True
    return False


async def test_a_server_of_the_chassis_lets_its_own_channels_idle(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chassis_server, "MIN_PING_INTERVAL_MS", 20)
    async with running(site) as server:
        assert await stays(site, server.process.rpc_port, Keepalive(100, idle=True))


@asynccontextmanager
async def stock_server(site: Site) -> AsyncIterator[int]:
    """The port of an echo server with gRPC's own settings."""
    files = site.files("/registry")
    pair = (files.key.read_bytes(), files.cert.read_bytes())
    echo = grpc.unary_unary_rpc_method_handler(_echo, Ping.FromString, Ping.SerializeToString)
    server = grpc.aio.server()
    server.add_registered_method_handlers(SERVICE, {"Echo": echo})
    credentials = grpc.ssl_server_credentials([pair], files.ca.read_bytes(), require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def test_a_stock_server_ends_an_idle_connection_only_if_it_pings(site: Site) -> None:
    async with stock_server(site) as port:
        pinging, silent = (stays(site, port, Keepalive(100, idle=idle)) for idle in (True, False))
        kept_pinging, kept_silent = await asyncio.gather(pinging, silent)
    assert (kept_pinging, kept_silent) == (False, True)


def test_our_pings_are_rarer_than_ours_refuse_and_a_partner_s_than_stock_servers_do() -> None:
    assert OURS.every_ms > chassis_server.MIN_PING_INTERVAL_MS
    assert (PARTNERS.every_ms >= 300_000, PARTNERS.idle) == (True, False)


async def _echo(request: Ping, context: object) -> Ping:
    return request
