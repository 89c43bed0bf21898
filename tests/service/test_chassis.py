"""The chassis as a client meets it: calls, deadlines, errors, health and drain, over real mutual TLS."""

import asyncio
import io
import json
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.channel import open_channel
from services.chassis.health import LIVE
from services.chassis.logs import configure_logging
from services.errors import AccordError, Reason, Violation, invalid
from tests.support.certificates import Site
from tests.support.echo import EchoClient, Ping
from tests.support.running import Running, failure, running

INVALID, DEADLINE_EXCEEDED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.DEADLINE_EXCEEDED
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_a_caller_with_a_role_is_served_and_known_by_its_certificate(site: Site) -> None:
    async with running(site) as server, server.client("/service/lumen") as client:
        answer = await client.echo(Ping(text="hello"), timeout=5)
    assert (answer.text, answer.left) == ("hello", "/service/lumen")


async def test_every_cardinality_passes_the_guard(site: Site) -> None:
    pings = [Ping(text="a"), Ping(text="b")]
    async with running(site) as server, server.client() as client:
        uploaded = await client.upload(iter(pings), timeout=5)
        repeated = [answer.text async for answer in client.repeat(pings[0])]
        chatted = [answer.text async for answer in client.chat(iter(pings))]
    assert (uploaded.text, repeated, chatted) == ("['a', 'b']", ["a", "a"], ["a", "b"])


async def test_a_channel_refuses_a_server_of_another_identity(site: Site) -> None:
    async with running(site) as server:
        target = f"127.0.0.1:{server.process.rpc_port}"
        async with open_channel(target, site.files("/portal"), site.identity("/consent")) as channel:
            seen = await failure(EchoClient(channel).echo(Ping(), timeout=5))
    assert seen.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("call", ["echo", "upload"])
async def test_threat_12_a_call_without_deadline_is_refused(site: Site, call: str) -> None:
    async with running(site) as server, server.client() as client:
        request = Ping() if call == "echo" else iter([Ping()])
        seen = await failure(getattr(client, call)(request))
        assert (seen.code, seen.reasons, server.servicer.seen) == (INVALID, ["DEADLINE_INVALID"], 0)


async def test_threat_12_an_absurd_deadline_is_clamped(site: Site) -> None:
    async with running(site, max_deadline_s=0.2) as server, server.client() as client:
        server.servicer.actions["stall"] = lambda _: asyncio.sleep(60)
        seen = await failure(client.echo(Ping(text="stall"), timeout=1_000_000))
    assert (seen.code, seen.reasons) == (DEADLINE_EXCEEDED, ["DEADLINE_INVALID"])


async def test_an_error_carries_its_reason_every_violation_and_the_callers_language(site: Site) -> None:
    async def fail(_: Any) -> None:
        raise invalid([Violation("a", "is empty"), Violation("b", "is too long")])

    async with running(site) as server, server.client() as client:
        server.servicer.actions["fail"] = fail
        seen = await failure(
            client.echo(Ping(text="fail"), timeout=5, metadata=(("accept-language", "fr-FR,en;q=0.5"),))
        )
    assert (seen.code, seen.reasons, seen.fields) == (INVALID, ["FIELD_INVALID"], ["a", "b"])
    assert (seen.local, seen.message) == ("Un champ est invalide.", "a: is empty; b: is too long")


async def test_an_error_says_when_to_retry_and_speaks_english_by_default(site: Site) -> None:
    async def fail(_: Any) -> None:
        raise AccordError(Reason.REGISTRY_STALE, retry_after=1.5)

    async with running(site) as server, server.client() as client:
        server.servicer.actions["fail"] = fail
        seen = await failure(client.echo(Ping(text="fail"), timeout=5))
    assert (seen.code, seen.retry_s, seen.local) == (
        grpc.StatusCode.UNAVAILABLE,
        1.5,
        "The registry lease is too old.",
    )


async def test_five_hundred_violations_still_fit_the_clients_metadata_limit(site: Site) -> None:
    async def fail(_: Any) -> None:
        raise invalid([Violation(f"field[{i}]", "é" * 300) for i in range(500)])

    async with running(site) as server, server.client() as client:
        server.servicer.actions["fail"] = fail
        seen = await failure(client.echo(Ping(text="fail"), timeout=5))
    assert (seen.code, seen.reasons, seen.fields[0]) == (INVALID, ["FIELD_INVALID"], "field[0]")


@pytest.mark.parametrize("call", ["echo", "repeat"])
async def test_an_unexpected_failure_shows_an_incident_and_logs_no_message(site: Site, call: str) -> None:
    async def crash(_: Any) -> None:
        raise ValueError("279035121518989")

    stream = io.StringIO()
    configure_logging("echo", stream=stream)
    async with running(site) as server, server.client() as client:
        server.servicer.actions["crash"] = crash
        request = getattr(client, call)(Ping(text="crash"), timeout=5)
        seen = await failure(request if call == "echo" else _all(request))
    logging.getLogger().handlers.clear()
    entry = next(line for line in map(json.loads, stream.getvalue().splitlines()) if line["level"] == "ERROR")
    assert (seen.code, seen.reasons) == (grpc.StatusCode.INTERNAL, ["INTERNAL"])
    assert seen.message == f"incident {entry['incident']}" == f"incident {seen.metadata['incident']}"
    assert entry["error"][0]["type"] == "builtins.ValueError"
    assert "279035121518989" not in stream.getvalue() + repr(seen)


async def test_health_is_not_serving_until_the_probe_agrees_and_again_when_it_does_not(site: Site) -> None:
    async with running(site) as server:
        await _health_becomes(server, SERVING)
        server.problems.append("the disk is full")
        await _health_becomes(server, NOT_SERVING)
        server.problems.clear()
        await _health_becomes(server, SERVING)


@pytest.mark.parametrize("probe", ["hanging", "failing"])
async def test_health_is_live_but_not_serving_while_the_probe_hangs_or_fails(site: Site, probe: str) -> None:
    probed = asyncio.Event()

    async def ask() -> list[str]:
        probed.set()
        if probe == "failing":
            raise OSError
        await asyncio.sleep(60)
        return []

    async with running(site, probe=ask) as server:
        await probed.wait()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.process.health_port}") as channel:
            for service, status in (("", NOT_SERVING), ("accord.test.v1.EchoService", NOT_SERVING), (LIVE, SERVING)):
                request = health_pb2.HealthCheckRequest(service=service)
                answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
                assert answer.status == status


async def test_a_drain_lets_calls_under_way_end_and_reports_not_serving_first(site: Site) -> None:
    release = asyncio.Event()

    async def hold(request: Any) -> Any:
        await release.wait()
        return request

    async with running(site, notice_s=0.5) as server, server.client() as client:
        server.servicer.actions["hold"] = hold
        held = asyncio.ensure_future(client.echo(Ping(text="hold"), timeout=10))
        await server.servicer.entered.wait()
        drain = asyncio.create_task(server.drain())
        await _health_becomes(server, NOT_SERVING)
        during_the_notice = await client.echo(Ping(text="late"), timeout=5)
        release.set()
        assert (await held).text == "hold"
        assert during_the_notice.text == "late"
        await drain


async def test_a_drain_waits_for_the_finally_of_a_call_that_it_cuts(site: Site) -> None:
    ended = asyncio.Event()

    async def hang(_: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            ended.set()

    async with running(site, drain_s=0.1) as server, server.client() as client:
        server.servicer.actions["hang"] = hang
        call = asyncio.ensure_future(client.echo(Ping(text="hang"), timeout=30))
        await server.servicer.entered.wait()
        await server.drain()
        assert ended.is_set()
        assert (await failure(call)).code is not grpc.StatusCode.OK


async def _all(stream: Any) -> list[Any]:
    return [answer async for answer in stream]


async def _health_becomes(server: Running, wanted: int) -> None:
    """Watch health until it says so."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.process.health_port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "accord.test.v1.EchoService"):
            request = health_pb2.HealthCheckRequest(service=service)
            async for answer in stub.Watch(request, timeout=20):
                if answer.status == wanted:
                    break
