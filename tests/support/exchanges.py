"""A broker over real mutual TLS, between a sender that the test drives and recipients that it chooses, on a simulated ledger
and registry."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
from accord.consent.v1 import audit_service_pb2_grpc, decision_service_pb2_grpc
from accord.exchange.v1 import delivery_service_pb2 as delivery_pb
from accord.exchange.v1 import delivery_service_pb2_grpc as delivery_grpc
from accord.exchange.v1 import exchange_pb2, exchange_service_pb2, exchange_service_pb2_grpc
from accord.registry.v1 import lease_service_pb2_grpc
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from examples.receiver.delivery import Delivery
from examples.receiver.inbox import Inbox
from examples.sender.declaration import declare
from services.chassis.channel import open_channel
from services.chassis.clock import SystemClock
from services.chassis.server import Process, ServerSettings
from services.chassis.telemetry import Telemetry
from services.chassis.tls import TlsFiles
from services.exchange.config import Settings
from services.exchange.wiring import wired
from services.formats.entry import Pin
from services.formats.jwk import LocalSigner, b64url
from services.formats.lease import snapshot_hash
from services.formats.manifest import DeclaredDocument, Manifest
from services.formats.rights import Purpose
from services.formats.trust import DatedKey, KeyRole, Trust
from tests.support.certificates import TRUST_DOMAIN, Site
from tests.support.lease_service import LeaseSimulator
from tests.support.ledger_simulator import LedgerSimulator
from tests.support.register import record, signer
from tests.support.running import Failure, failure

ACCESS = Path("deploy/k8s/files/access.yaml")
DOCUMENTS = Path("examples/documents")
SENDER, RECIPIENT = "lumen", "carnet"
CHUNK = 262_144
Answer = exchange_service_pb2.SendBundleResponse
Request = exchange_service_pb2.SendBundleRequest


def document(name: str = "depistage-auditif") -> bytes:
    """One of our own documents."""
    return (DOCUMENTS / f"{name}.xml").read_bytes()


def big_document(size: int) -> bytes:
    """A document of about `size` bytes: text streams through, whatever its length."""
    good = document()
    return good.replace(b"</text>", b"x" * (size - len(good)) + b"</text>", 1)


@dataclass
class Bundle:
    """A signed bundle and the frames that carry it; `frames` may be replaced."""

    token: str
    frames: list[Request]


@dataclass
class StandIn(delivery_grpc.DeliveryServiceServicer):
    """A recipient that does what the test says with the frames; `seen` counts them by kind."""

    behaviour: Callable[["StandIn", Any, Any], Awaitable[Any]]
    seen: dict[str, int] = field(default_factory=dict)

    async def Deliver(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        return await self.behaviour(self, self._counted(request_iterator), context)

    async def _counted(self, frames: Any) -> AsyncIterator[delivery_pb.DeliverRequest]:
        async for frame in frames:
            kind = frame.WhichOneof("frame") or "none"
            self.seen[kind] = self.seen.get(kind, 0) + 1
            yield frame


class Platform:
    """Everything around one broker; `start` and `stop` it as often as needed, its database and spool stay."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder, self.site, self.clock = folder, Site(folder), SystemClock()
        self.keys = {name: signer() for name in ("permit", "broker", SENDER, RECIPIENT)}
        self.lease = LeaseSimulator(self.clock, holds=True)
        self.ledger = LedgerSimulator(TRUST_DOMAIN, self.clock.wall_ms, self.pin, self.keys["permit"])  # type: ignore[abstract]
        self.inbox = folder / "inbox"
        self.kept: list[str] = []
        self.receiver = Delivery(
            f"services/{RECIPIENT}", self.trust, self.keys[RECIPIENT], Inbox(self.inbox), self._on_kept
        )
        self.records = {name: record(name, keys=(self.keys[name].verify_key,)) for name in (SENDER, RECIPIENT)}
        self.lease.change(*self.records.values())
        self._settings, self._stack, self._servers = settings, AsyncExitStack(), AsyncExitStack()
        self._files: dict[str, TlsFiles] = {}
        self.process: Process | None = None
        self.recipient: delivery_grpc.DeliveryServiceServicer | None = None

    @property
    def trust(self) -> Trust:
        """What brokers, recipients and verifiers know beforehand."""
        keys = {
            KeyRole.LEASE: self.lease.key,
            KeyRole.PERMIT: self.keys["permit"],
            KeyRole.BROKER: self.keys["broker"],
        }
        dated = tuple(DatedKey(role, key.verify_key, 0) for role, key in keys.items())
        return Trust(TRUST_DOMAIN, (self.ledger.log.signer.verifier,), dated)

    def pin(self) -> Pin:
        """The register's present snapshot."""
        return Pin(self.lease.sequence, snapshot_hash(self.lease.records))

    def files(self, path: str) -> TlsFiles:
        """The one leaf of an identity."""
        if path not in self._files:
            self._files[path] = self.site.files(path)
        return self._files[path]

    def change(self, name: str, **fields: Any) -> None:
        """The next snapshot: one service has changed."""
        self.records[name] = replace(self.records[name], **fields)
        self.lease.change(*self.records.values())

    async def serve_platform(self, recipient: delivery_grpc.DeliveryServiceServicer | None) -> None:
        """Starts ledger, registry, and the recipient (None: its endpoint is a port that nobody listens on)."""
        self.consent_port = await self._serve("/consent", self._add_ledger)
        self.registry_port = await self._serve(
            "/registry", lambda s: lease_service_pb2_grpc.add_LeaseServiceServicer_to_server(self.lease, s)
        )
        port, self.recipient = 1, recipient
        if recipient is not None:
            port = await self._serve(
                f"/service/{RECIPIENT}",
                lambda s: delivery_grpc.add_DeliveryServiceServicer_to_server(recipient, s),
            )
        self.change(RECIPIENT, endpoint=f"127.0.0.1:{port}")

    async def start(self) -> None:
        """Starts the broker, and returns once it is ready."""
        broker = await self._stack.enter_async_context(wired(self.settings(), self.clock))
        self.process = Process(
            "exchange", self.settings().server, [broker.endpoint], broker.probe, Telemetry(), self.clock
        )
        await self.process.start()
        await until(lambda: _no_problem(broker.probe))

    async def stop(self) -> None:
        """Stops the broker."""
        if self.process is not None:
            await self.process.drain()
            self.process = None
        await self._stack.aclose()

    async def close(self) -> None:
        """Stops everything."""
        await self.stop()
        await self._servers.aclose()

    def settings(self) -> Settings:
        """The broker's settings."""
        (self.folder / "trust.json").write_bytes(self.trust.to_bytes())
        key = self.folder / "broker.pem"
        if not key.exists():
            key.write_bytes(private_pem(self.keys["broker"]))
            key.chmod(0o600)
        server = ServerSettings(
            "127.0.0.1:0", "127.0.0.1:0", self.files("/exchange"), ACCESS, max_message_bytes=524_288, drain_s=1.0
        )
        values: dict[str, Any] = {
            "server": server,
            "trust_domain": TRUST_DOMAIN,
            "trust": self.folder / "trust.json",
            "spool": self.folder / "spool",
            "database_url": f"sqlite:///{self.folder / 'exchange.db'}",
            "signing_key": key,
            "consent": f"127.0.0.1:{self.consent_port}",
            "registry": f"127.0.0.1:{self.registry_port}",
            "allow_test_ins": True,
        }
        return Settings(**(values | self._settings))

    def bundle(self, *documents: bytes, key: LocalSigner | None = None, **changes: Any) -> Bundle:
        """A bundle of these documents, truly declared; `changes` are of the manifest."""
        now_s = int(time.time())
        values: dict[str, Any] = {
            "sender": f"services/{SENDER}",
            "audience": TRUST_DOMAIN,
            "jti": b64url(secrets.token_bytes(16)),
            "issued_s": now_s,
            "expires_s": now_s + 300,
            "recipient": f"services/{RECIPIENT}",
            "purpose": Purpose.PREVENTION,
            "patient": "a" * 32,
            "documents": tuple(self.declared(data) for data in documents),
        }
        token = Manifest(**(values | changes)).sign(key or self.keys[SENDER])
        return Bundle(token, [Request(manifest=token), *chunks(documents)])

    def declared(self, data: bytes, **changes: Any) -> DeclaredDocument:
        """What a sender declares of a document, with changes."""
        path = self.folder / "declared.xml"
        path.write_bytes(data)
        return replace(declare(path).document, **changes)

    async def send(self, bundle: Bundle, who: str = f"/service/{SENDER}", seconds: float = 30) -> Answer:
        """Sends a bundle over a channel of its own."""
        async with self.client(who) as stub:
            answer: Answer = await stub.SendBundle(iter(bundle.frames), timeout=seconds)
        return answer

    @asynccontextmanager
    async def client(self, who: str = f"/service/{SENDER}") -> AsyncIterator[Any]:
        """A stub of the broker."""
        assert self.process is not None
        target, identity = f"127.0.0.1:{self.process.rpc_port}", self.site.identity("/exchange")
        async with open_channel(target, self.files(who), identity) as channel:
            yield exchange_service_pb2_grpc.ExchangeServiceStub(channel)

    def received(self) -> list[list[bytes]]:
        """The documents of each bundle in the inbox, and nothing that only looks like one."""
        folders = sorted(folder for folder in self.inbox.iterdir())
        return [[path.read_bytes() for path in sorted(folder.glob("*.xml"))] for folder in folders]

    def spooled(self) -> list[Path]:
        """What lies in the spool."""
        return list((self.folder / "spool").iterdir())

    def _on_kept(self, bundle: Any, is_new: bool) -> None:
        self.kept.append(bundle.manifest.exchange)

    def _add_ledger(self, server: Any) -> None:
        decision_service_pb2_grpc.add_DecisionServiceServicer_to_server(self.ledger, server)
        audit_service_pb2_grpc.add_AuditServiceServicer_to_server(self.ledger, server)

    async def _serve(self, path: str, add: Callable[[Any], None]) -> int:
        files = self.files(path)
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add(server)
        pair = (files.key.read_bytes(), files.cert.read_bytes())
        credentials = grpc.ssl_server_credentials([pair], files.ca.read_bytes(), require_client_auth=True)
        port: int = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        self._servers.push_async_callback(server.stop, 0.1)
        return port


def chunks(documents: Iterable[bytes], size: int = CHUNK) -> Iterable[Request]:
    """The chunk frames of documents."""
    for position, data in enumerate(documents):
        for start in range(0, len(data), size):
            chunk = exchange_pb2.Chunk(document=position, data=data[start : start + size])
            yield Request(chunk=chunk)


def private_pem(key: LocalSigner) -> bytes:
    """A signing key as a PEM file holds it."""
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


async def until(holds: Callable[[], Any], seconds: float = 15) -> None:
    """Returns once `holds()`, or what it returns when awaited, is true."""
    async with asyncio.timeout(seconds):
        while True:
            found = holds()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)


async def _no_problem(probe: Callable[[], Awaitable[Any]]) -> bool:
    return not await probe()


@asynccontextmanager
async def platform(
    folder: Path, recipient: delivery_grpc.DeliveryServiceServicer | str | None = "receiver", **settings: Any
) -> AsyncIterator[Platform]:
    """A platform whose broker is ready; `recipient` is the example receiver unless given."""
    one = Platform(folder, **settings)
    try:
        await one.serve_platform(one.receiver if isinstance(recipient, str) else recipient)
        await one.start()
        yield one
    finally:
        await one.close()


async def refused(one: Platform, bundle: Bundle, **more: Any) -> tuple[grpc.StatusCode, list[str]]:
    """The status of a bundle that must be refused, of which nothing may have been kept."""
    seen: Failure = await failure(one.send(bundle, **more))
    assert one.received() == []
    await until(lambda: one.spooled() == [])
    return seen.code, seen.reasons
