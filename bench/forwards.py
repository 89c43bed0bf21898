"""Forwarding a document through the real services and the example recipient, against a bare relay of the same bytes.

Both are timed from the first frame to the answer, over connections that are open already, one bundle after another. The
broker, the ledger and the registry share the server's core with nobody; sender and recipient are on the client's.
"""

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import grpc
from accord.exchange.v1 import exchange_pb2, exchange_service_pb2, exchange_service_pb2_grpc

from bench.bare import SEND, SERVICE
from bench.document import document
from bench.plan import MIB
from bench.seed import RECIPIENT, SENDER, matricule
from examples.sender.bundles import Sender
from examples.sender.declaration import CHUNK, Declaration, declare
from services.chassis.keys import load_signer
from services.ctl.partners import Partner, start_receiver
from services.ctl.people import People, service
from services.ctl.stack import Stack, free_ports
from services.formats.rights import Purpose
from services.nomenclature.ins import Ins
from services.nomenclature.oids import INS_NIR_TEST

TIMEOUT_S = 60.0
WARM_UPS = 2
INS = Ins(INS_NIR_TEST, matricule(0))
Send = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Parties:
    """The two services of a fresh stack: the sender's signing side, the recipient's process, and the patient."""

    sender: Partner
    recipient: Partner
    patient: str


async def introduce(stack: Stack) -> Parties:
    """References both services, starts the recipient, and has one patient pair and consent with both."""
    sender, recipient = Partner(stack, SENDER), Partner(stack, RECIPIENT)
    (port,) = free_ports(1)
    async with People(stack) as people:
        await people.reference(service(SENDER, "Bench Sender", "1.2.250.1.999.1", sender.prepare()), siren="552100554")
        receiving = service(RECIPIENT, "Bench Recipient", "1.2.250.1.999.2", recipient.prepare(), f"localhost:{port}")
        await people.reference(receiving, siren="443061841")
        await start_receiver(recipient, port)
        profile = await people.open_profile(INS)
        patient = await people.pair(profile, sender.name)
        await people.pair(profile, recipient.name)
        for name in (sender.name, recipient.name):
            await people.grant(profile, name)
    return Parties(sender, recipient, patient)


class Forwards:
    """Sends documents both ways."""

    def __init__(self, stack: Stack, parties: Parties, broker: grpc.aio.Channel, relay: grpc.aio.Channel) -> None:
        self._parties, self._folder = parties, stack.folder
        signer = load_signer(parties.sender.signing_key)
        self._sender = Sender(parties.sender.name, signer, stack.trust_domain, broker)
        self._broker = exchange_service_pb2_grpc.ExchangeServiceStub(broker)
        self._relay: Any = relay.stream_unary(f"/{SERVICE}/{SEND}")

    async def measure(self, size: int, count: int) -> dict[str, Any]:
        """`count` times each way with a document of `size` bytes, in turns."""
        path = self._folder / f"{size}.xml"
        data = document(size, INS.root, INS.matricule, random.Random(3))
        path.write_bytes(data)
        pieces = [data[at : at + CHUNK] for at in range(0, size, CHUNK)]
        pairs = await self._pairs(lambda: self._pass_on(pieces, size), self._forwarding(path, pieces), count)
        return _figures(size, pairs)

    async def _pairs(self, relay: Send, forward: Send, count: int) -> list[tuple[float, float]]:
        for _ in range(WARM_UPS):
            await relay()
            await forward()
        return [(await relay(), await forward()) for _ in range(count)]

    async def _pass_on(self, pieces: list[bytes], size: int) -> float:
        async def frames() -> Any:
            for piece in pieces:
                yield piece

        started = time.perf_counter()
        answer = await self._relay(frames(), timeout=TIMEOUT_S)
        seconds = time.perf_counter() - started
        if answer != str(size).encode():
            raise ValueError("the bare relay lost bytes")
        return seconds

    def _forwarding(self, path: Path, pieces: list[bytes]) -> Send:
        declared = (declare(path),)
        chunks = [
            exchange_service_pb2.SendBundleRequest(chunk=exchange_pb2.Chunk(document=0, data=piece)) for piece in pieces
        ]
        return lambda: self._forward(declared, chunks)

    async def _forward(
        self, declared: tuple[Declaration, ...], chunks: list[exchange_service_pb2.SendBundleRequest]
    ) -> float:
        bundle = self._sender.sign(declared, self._parties.patient, self._parties.recipient.name, Purpose.CARE)

        async def frames() -> Any:
            yield exchange_service_pb2.SendBundleRequest(manifest=bundle.token)
            for chunk in chunks:
                yield chunk

        started = time.perf_counter()
        answer = await self._broker.SendBundle(frames(), timeout=TIMEOUT_S)
        seconds = time.perf_counter() - started
        if answer.receipt.exchange != bundle.exchange:
            raise ValueError("the receipt is of another exchange")
        await self._parties.recipient.read()  # the line it prints for each bundle it keeps
        return seconds


def _figures(size: int, pairs: list[tuple[float, float]]) -> dict[str, Any]:
    relay, forward = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
    return {
        "bytes": size,
        "forward_ms": round(forward * 1000, 2),
        "relay_ms": round(relay * 1000, 2),
        "forward_mib_s": round(size / MIB / forward, 1),
        "relay_mib_s": round(size / MIB / relay, 1),
        "ratio": round(relay / forward, 3),
        "count": len(pairs),
    }
