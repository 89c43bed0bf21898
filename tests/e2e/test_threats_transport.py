"""Threats 1, 2 and 8 through the real three services: who calls, and what they put on the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from accord.consent.v1 import audit_service_pb2, consent_service_pb2, decision_service_pb2
from accord.exchange.v1 import exchange_service_pb2
from accord.registry.v1 import catalog_service_pb2, registry_pb2
from google.protobuf.message import Message

from services.chassis.status import accord_error
from services.chassis.tls import TlsFiles
from services.ctl import pki
from services.errors import Reason
from tests.support.certificates import REFUSED_BY_IDENTITY, REFUSED_BY_TLS
from tests.support.world import SENDER, World

METHODS = {
    "registry": "/accord.registry.v1.CatalogService/GetService",
    "consent": "/accord.consent.v1.AuditService/GetCheckpoints",
    "exchange": "/accord.exchange.v1.ExchangeService/SendBundle",
}


async def call(channel: grpc.aio.Channel, method: str, *bodies: bytes) -> None:
    """One call of raw bodies. Raises: AioRpcError."""

    async def requests() -> AsyncIterator[bytes]:
        for body in bodies:
            yield body

    rpc: Any = channel.stream_unary(method)
    await rpc(requests(), timeout=10)


def forged(world: World, name: str) -> TlsFiles:
    """One of the named bad leaves, under the world's own authority."""
    folder = world.stack.folder
    leaf = (REFUSED_BY_TLS | REFUSED_BY_IDENTITY)[name](pki.load_ca(folder / "ca"), datetime.now(UTC))
    files = TlsFiles(folder / f"{name}.crt", folder / f"{name}.key", folder / "ca" / pki.CA_CERTIFICATE)
    files.cert.write_bytes(leaf.cert)
    files.key.write_bytes(leaf.key)
    return files


async def refused_with(channel: grpc.aio.Channel, method: str, *bodies: bytes) -> grpc.aio.AioRpcError:
    """The error of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(channel, method, *bodies)
    return caught.value


@pytest.mark.parametrize("server", METHODS)
async def test_threat_01_a_client_without_a_certificate_gets_no_connection(world: World, server: str) -> None:
    roots = (world.stack.folder / "ca" / pki.CA_CERTIFICATE).read_bytes()
    name = f"{server}.{world.stack.trust_domain}"
    options = [("grpc.ssl_target_name_override", name), ("grpc.enable_http_proxy", 0)]
    credentials = grpc.ssl_channel_credentials(roots)
    async with grpc.aio.secure_channel(world.stack.target(server), credentials, options) as channel:
        assert (await refused_with(channel, METHODS[server], b"")).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("server", METHODS)
async def test_threat_01_a_client_in_plain_text_gets_no_connection(world: World, server: str) -> None:
    async with grpc.aio.insecure_channel(world.stack.target(server), [("grpc.enable_http_proxy", 0)]) as channel:
        assert (await refused_with(channel, METHODS[server], b"")).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("server", METHODS)
@pytest.mark.parametrize("leaf", REFUSED_BY_TLS)
async def test_threat_01_expired_foreign_or_server_only_leaves_get_no_connection(
    world: World, server: str, leaf: str
) -> None:
    async with world.open(forged(world, leaf), server) as channel:
        assert (await refused_with(channel, METHODS[server], b"")).code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("server", METHODS)
@pytest.mark.parametrize("leaf", REFUSED_BY_IDENTITY)
async def test_threat_02_a_leaf_of_ours_that_names_no_single_spiffe_id_is_nobody(
    world: World, server: str, leaf: str
) -> None:
    async with world.open(forged(world, leaf), server) as channel:
        error = await refused_with(channel, METHODS[server], b"")
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert accord_error(error, Reason.INTERNAL, trusted=True).reason is Reason.IDENTITY_INVALID


UNARY: dict[str, tuple[str, str, str, Message]] = {
    "registry": (
        "registrar",
        "registry",
        "/accord.registry.v1.CatalogService/GetService",
        catalog_service_pb2.GetServiceRequest(name=f"services/{SENDER}"),
    ),
    "consent": (
        SENDER,
        "consent",
        "/accord.consent.v1.DecisionService/Check",
        decision_service_pb2.CheckRequest(
            query=decision_service_pb2.Query(
                service=f"services/{SENDER}",
                patient="0" * 32,
                direction=registry_pb2.DIRECTION_READ,
                purpose=registry_pb2.PURPOSE_CARE,
                categories=["class:10"],
            )
        ),
    ),
    "portal": (
        "portal",
        "consent",
        "/accord.consent.v1.ConsentService/PairPatient",
        consent_service_pb2.PairPatientRequest(profile="profiles/" + "0" * 32, service=f"services/{SENDER}"),
    ),
    "auditor": (
        "auditor",
        "consent",
        "/accord.consent.v1.AuditService/GetEntry",
        audit_service_pb2.GetEntryRequest(origin="mes.example/ledger/1/0", index=1),
    ),
}
BODIES: dict[str, Callable[[bytes], list[bytes]]] = {
    "two messages": lambda body: [body, body],
    "two messages, the second empty": lambda body: [body, b""],
    "concatenated, the last wins": lambda body: [body + body],
    "an unknown field": lambda body: [body + b"\xfa\x3f\x01x"],
    "an unknown field of an old group": lambda body: [body + b"\xfb\x3f\xfc\x3f"],
    "no protobuf": lambda body: [b"\xff\xff\xff"],
    "cut": lambda body: [body[:-1]],
    "no message": lambda body: [],
}


@pytest.mark.parametrize("where", UNARY)
@pytest.mark.parametrize("how", BODIES)
async def test_threat_08_a_body_that_can_be_read_two_ways_is_malformed(world: World, where: str, how: str) -> None:
    role, server, method, message = UNARY[where]
    async with world.channel(role, server) as channel:
        error = await refused_with(channel, method, *BODIES[how](message.SerializeToString()))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert accord_error(error, Reason.INTERNAL, trusted=True).reason is Reason.MESSAGE_MALFORMED


@pytest.mark.parametrize("tail", [b"\xfa\x3f\x01x", b"\x0a\x01y"])
async def test_threat_08_a_frame_of_a_bundle_that_can_be_read_two_ways_is_malformed(world: World, tail: bytes) -> None:
    frame = exchange_service_pb2.SendBundleRequest(manifest="a.b.c").SerializeToString() + tail
    async with world.channel(SENDER, "exchange") as channel:
        error = await refused_with(channel, METHODS["exchange"], frame)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert accord_error(error, Reason.INTERNAL, trusted=True).reason is Reason.MESSAGE_MALFORMED


async def test_threat_08_a_good_body_is_still_taken(world: World) -> None:
    for role, server, method, message in list(UNARY.values())[:2]:
        async with world.channel(role, server) as channel:
            await call(channel, method, message.SerializeToString())


async def test_each_rpc_is_refused_to_every_identity_that_the_policy_does_not_list(world: World) -> None:
    allowed = {("registry", "registrar"), ("registry", "portal"), ("registry", "auditor"), ("registry", SENDER)}
    allowed |= {("consent", name) for name in ("auditor", "exchange", "registry")} | {("exchange", SENDER)}
    roles = ["registrar", "portal", "platform", "auditor", "registry", "consent", "exchange", SENDER]
    for server, method in METHODS.items():
        for role in roles:
            if (server, role) in allowed:
                continue
            async with world.channel(role, server) as channel:
                error = await refused_with(channel, method, b"")
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED, (server, role)


async def test_the_errors_of_one_call_do_not_stop_the_next(world: World) -> None:
    async with world.channel("auditor", "consent") as channel:
        errors = await asyncio.gather(
            *(refused_with(channel, METHODS["consent"], b"\xff") for _ in range(50)), return_exceptions=True
        )
        assert all(isinstance(error, grpc.aio.AioRpcError) for error in errors)
        await call(channel, METHODS["consent"], b"")
