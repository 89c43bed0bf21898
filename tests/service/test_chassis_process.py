"""The chassis as the operator meets it: a process that starts from a file, tells its ports, and leaves on SIGTERM."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.chassis.channel import open_channel
from tests.support.certificates import Site
from tests.support.echo import EchoClient, Ping
from tests.support.running import POLICY

SETTINGS = """
listen = "127.0.0.1:0"
health_listen = "127.0.0.1:0"
access_policy = "access.yaml"
notice_s = 0.2
drain_s = 5
[tls]
cert = "registry.crt"
key = "registry.key"
ca = "registry.roots"
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.files("/registry")
    (tmp_path / "access.yaml").write_text(POLICY, encoding="utf-8")
    (tmp_path / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    return site


async def _start(site: Site) -> asyncio.subprocess.Process:
    settings = str(site.folder / "settings.toml")
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.echo_process", settings, stderr=asyncio.subprocess.PIPE
    )


async def _entry(process: asyncio.subprocess.Process, message: str) -> dict[str, Any]:
    """The next log entry with this message. Every line on the way must be JSON."""
    assert process.stderr is not None
    while line := await process.stderr.readline():
        entry: dict[str, Any] = json.loads(line)
        if entry["message"] == message:
            return entry
    raise AssertionError(f"no {message!r}")


async def test_sigterm_under_load_serves_until_the_port_closes_and_ends_well(site: Site) -> None:
    process = await _start(site)
    port = (await _entry(process, "listening"))["rpc_port"]
    codes: list[grpc.StatusCode] = []
    async with open_channel(f"127.0.0.1:{port}", site.files("/portal"), site.identity("/registry")) as channel:
        client = EchoClient(channel)
        assert (await client.echo(Ping(text="up"), timeout=5)).text == "up"
        process.send_signal(signal.SIGTERM)
        while True:
            call = client.echo(Ping(), timeout=5)
            codes.append(await call.code())
            if codes[-1] is not grpc.StatusCode.OK:
                break
    assert (len(codes) > 10, set(codes[:-1])) == (True, {grpc.StatusCode.OK})
    # gRPC's core cancels a call that arrives while the port closes, whatever the grace; later ones find no port.
    assert codes[-1] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    await _entry(process, "stopped")
    assert await process.wait() == 0


async def test_a_policy_that_does_not_list_what_is_served_stops_the_start(site: Site) -> None:
    (site.folder / "access.yaml").write_text("version: 1\nroles: {a: [/a]}\nservers: {other: {x: [a]}}\n")
    process = await _start(site)
    _, errors = await process.communicate()
    assert process.returncode != 0
    assert b"servers.echo: missing" in errors
