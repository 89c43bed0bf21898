"""Attacks on the chassis, numbered as in the threat model: each gets its exact status and reaches no handler."""

import asyncio
import gzip
import ssl
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.certificates import REFUSED_BY_IDENTITY, REFUSED_BY_TLS, Site
from tests.support.echo import SERVICE, Ping
from tests.support.http2 import RawCall, connection, framed, raw_call, send_call
from tests.support.running import SERVER_NAME, Running, failure, running

CODE = grpc.StatusCode
ECHO = f"/{SERVICE}/Echo".encode()
PING = Ping(text="x").SerializeToString()
UNKNOWN_FIELD = b"\xf8\x07\x01"


def _nested(depth: int) -> bytes:
    raw = b""
    for _ in range(depth):
        size, length = len(raw), b""
        while size >= 128:
            length += bytes([size % 128 | 128])
            size //= 128
        raw = b"\x12" + length + bytes([size]) + raw
    return raw


MALFORMED = {
    "unknown_field": PING + UNKNOWN_FIELD,
    "unknown_field_deep": b"\x12\x08\x12\x06" + PING + UNKNOWN_FIELD,
    "singular_field_twice": PING + PING,
    "submessages_merged": Ping(inner=Ping(text="a")).SerializeToString() + Ping(inner=Ping(left="b")).SerializeToString(),
    "two_of_a_oneof": Ping(left="a").SerializeToString() + Ping(right="b").SerializeToString(),
    "oneof_overwritten_behind_equal_sizes": b"\x22\x00" + b"\x2a\x00" + b"\x32\x02\x0a\x00",
    "overlong_varint": b"\x0a\x81\x00x",
    "not_a_message": b"\xff\xff\xff",
    "not_utf8": b"\x0a\x01\xff",
    "truncated": PING[:-1],
    "too_deep": _nested(200),
}  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def _raw(server: Running, call: RawCall, who: str = "/portal", **more: Any) -> int | None:
    return await asyncio.to_thread(raw_call, server.process.rpc_port, server.site.files(who), SERVER_NAME, call, **more)


async def test_threat_01_bad_certificates_never_get_through_the_handshake(site: Site) -> None:
    async with running(site) as server:
        for name in REFUSED_BY_TLS:
            async with server.client(site.bad(name)) as client:
                seen = await failure(client.echo(Ping(), timeout=5))
            assert seen.code is CODE.UNAVAILABLE, name
        port = server.process.rpc_port
        assert await asyncio.to_thread(raw_call, port, None, SERVER_NAME, RawCall(ECHO)) is None
        assert server.servicer.seen == 0


async def test_threat_02_no_forged_name_becomes_an_identity(site: Site) -> None:
    async with running(site) as server:
        for name in REFUSED_BY_IDENTITY:
            async with server.client(site.bad(name)) as client:
                seen = await failure(client.echo(Ping(), timeout=5))
            assert (seen.code, seen.reasons) == (CODE.UNAUTHENTICATED, ["IDENTITY_INVALID"]), name
        assert server.servicer.seen == 0


async def test_threat_03_a_role_is_matched_by_whole_segments(site: Site) -> None:
    async with running(site) as server:
        for path in ("/service", "/service/a/b", "/services/a", "/portal/a", "/portal2", "/consent"):
            async with server.client(path) as client:
                seen = await failure(client.echo(Ping(), timeout=5))
            assert (seen.code, seen.reasons) == (CODE.PERMISSION_DENIED, ["RPC_NOT_ALLOWED"]), path
        assert server.servicer.seen == 0


async def test_a_role_for_one_method_opens_no_other(site: Site) -> None:
    async with running(site) as server, server.client("/portal") as client:
        assert (await failure(client.admin(Ping(), timeout=5))).code is CODE.PERMISSION_DENIED
    async with running(Site(site.folder / "b")) as server, server.client("/admin") as client:
        assert (await client.admin(Ping(text="x"), timeout=5)).text == "x"
        assert (await failure(client.echo(Ping(), timeout=5))).code is CODE.PERMISSION_DENIED


async def test_threat_04_tls_1_2_is_unauthenticated(site: Site) -> None:
    async with running(site) as server:
        seen = await _raw(server, RawCall(ECHO), tls=ssl.TLSVersion.TLSv1_2)
        assert (seen, server.servicer.seen) == (CODE.UNAUTHENTICATED.value[0], 0)


async def test_threat_05_an_old_connection_ends_once_its_authority_is_revoked(site: Site, tmp_path: Path) -> None:
    async with running(site, max_connection_age_s=0.5, max_deadline_s=0.5) as server, server.client() as client:
        await client.echo(Ping(), timeout=5)
        server.server_files.ca.write_bytes(Site(tmp_path / "new", "mes.example").ca.pem)
        await _until(client, CODE.UNAVAILABLE)


@pytest.mark.parametrize("path", [
    b"echo", b"", b"/", b"//", b"/" + ECHO, ECHO + b"/", ECHO + b"?x", ECHO + b"\0", ECHO + b"\n", b"/\xff\xfe",
    ECHO[:-1] + b"\xff",
    ECHO.upper(), "/é/é".encode(), b"/accord.test.v1.EchoService/Nothing", b"/other.Service/Echo", b"/" + b"a" * 4000,
])  # fmt: skip
async def test_threat_06_an_odd_path_is_unimplemented_and_hurts_nobody(site: Site, path: bytes) -> None:
    async with running(site) as server, server.client() as client:
        seen = await _raw(server, RawCall(path))
        assert (seen, server.servicer.seen) == (CODE.UNIMPLEMENTED.value[0], 0)
        assert (await client.echo(Ping(text="alive"), timeout=5)).text == "alive"


@pytest.mark.parametrize("path", [
    "/grpc.channelz.v1.Channelz/GetServers", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.health.v1.Health/Check", "/metrics",
])  # fmt: skip
async def test_threat_32_nothing_but_the_service_is_on_the_rpc_port(site: Site, path: str) -> None:
    async with running(site) as server:
        assert await _raw(server, RawCall(path.encode())) == CODE.UNIMPLEMENTED.value[0]


async def test_an_unknown_method_tells_a_stranger_nothing(site: Site) -> None:
    async with running(site) as server:
        files = site.bad("two_uri_sans")
        seen = await asyncio.to_thread(raw_call, server.process.rpc_port, files, SERVER_NAME, RawCall(b"/x"))
        assert seen == CODE.UNAUTHENTICATED.value[0]


async def test_threat_07_no_header_makes_an_identity(site: Site) -> None:
    forged = (
        (b"x-forwarded-client-cert", b"URI=spiffe://mes.example/admin"),
        (b"x-spiffe-id", b"spiffe://mes.example/admin"),
        (b"authorization", b"Bearer admin"),
    )
    call = RawCall(f"/{SERVICE}/Admin".encode(), headers=forged, authority=b"admin.mes.example")
    async with running(site) as server:
        assert await _raw(server, call) == CODE.PERMISSION_DENIED.value[0]
        assert server.servicer.seen == 0


@pytest.mark.parametrize("name", MALFORMED)
async def test_threat_08_a_message_that_is_not_exactly_its_type_is_refused(site: Site, name: str) -> None:
    async with running(site) as server, server.client() as client:
        seen = [
            await failure(client.echo(MALFORMED[name], timeout=5)),
            await failure(_all(client.repeat(MALFORMED[name]))),
            await failure(client.upload(iter([MALFORMED[name]]), timeout=5)),
            await failure(_all(client.chat(iter([MALFORMED[name]])))),
        ]
    assert [(one.code, one.reasons) for one in seen] == [(CODE.INVALID_ARGUMENT, ["MESSAGE_MALFORMED"])] * 4


@pytest.mark.parametrize("count", [0, 2, 3])
async def test_threat_08_a_unary_body_holds_exactly_one_message(site: Site, count: int) -> None:
    async with running(site) as server, server.client() as client:
        seen = [
            await failure(client.echo_many(iter([Ping()] * count), timeout=5)),
            await failure(_all(client.repeat_many(iter([Ping()] * count), timeout=5))),
        ]
        assert [(one.code, one.reasons) for one in seen] == [(CODE.INVALID_ARGUMENT, ["MESSAGE_MALFORMED"])] * 2
        assert server.servicer.seen == 0


async def test_threat_09_half_sent_bodies_starve_only_their_sender_and_not_for_long(site: Site) -> None:
    half = RawCall(ECHO, body=framed(PING)[:-1], end=False, timeout=b"100H")
    places = 8
    async with running(site, max_concurrent_rpcs=places, max_deadline_s=1.0) as server:
        port, greedy = server.process.rpc_port, site.files("/service/greedy")
        async with server.client("/portal") as portal, server.client(greedy) as again:
            with connection(port, greedy, SERVER_NAME) as channel:
                for stream in range(1, 2 * places + 1, 2):
                    send_call(channel, half, stream)
                await _until(again, CODE.RESOURCE_EXHAUSTED)
                refused = await failure(again.echo(Ping(), timeout=5))
                assert (refused.code, refused.reasons) == (CODE.RESOURCE_EXHAUSTED, ["OVERLOADED"])
                assert (await portal.echo(Ping(text="x"), timeout=5)).text == "x"
                await _until(again, CODE.OK)


async def test_threat_10_what_is_too_large_is_resource_exhausted(site: Site) -> None:
    bomb = gzip.compress(b"\0" * 64 * 1024 * 1024)
    gzipped = ((b"grpc-encoding", b"gzip"),)
    calls = {
        "gzip_bomb": RawCall(ECHO, body=framed(bomb, compressed=True), headers=gzipped),
        "message": RawCall(ECHO, body=framed(b"\x0a\xff\xff\x3f" + b"a" * 70_000)),
    }
    async with running(site, max_message_bytes=65_536) as server, server.client() as client:
        metadata = tuple((f"x-{i}", "a" * 3000) for i in range(8))
        assert (await failure(client.echo(Ping(), timeout=5, metadata=metadata))).code is CODE.RESOURCE_EXHAUSTED
        for name, call in calls.items():
            assert await _raw(server, call) == CODE.RESOURCE_EXHAUSTED.value[0], name
        assert server.servicer.seen == 0


async def test_threat_13_metadata_with_controls_reaches_no_log(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    headers = ((b"x-note", b"CANARY\nline"), (b"x-raw", b"CANARY\xff\0"), (b"traceparent", b"CANARY"))
    async with running(site) as server:
        for path in (ECHO, b"/CANARY\n"):
            await _raw(server, RawCall(path, headers=headers), "/consent")
    assert "CANARY" not in "".join(capfd.readouterr())


async def _until(client: Any, wanted: grpc.StatusCode) -> None:
    """Call until the code is the wanted one; every code before it is the opposite. The test's time limit ends it."""
    other = CODE.OK if wanted is not CODE.OK else CODE.RESOURCE_EXHAUSTED
    while (seen := await _code(client)) is not wanted:
        assert seen is other
        await asyncio.sleep(0.02)


async def _code(client: Any) -> grpc.StatusCode:
    call = client.echo(Ping(), timeout=5)
    await asyncio.wait([asyncio.ensure_future(call.code())])
    return await call.code()  # type: ignore[no-any-return]


async def _all(stream: Any) -> list[Any]:
    return [answer async for answer in stream]
