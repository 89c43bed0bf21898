"""Signing and sending one bundle.

Guarantees that a bundle which is sent again, because its answer was lost or came too early, is the same exchange: the same
manifest, to the byte, is answered with the same receipt and is never delivered twice.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from accord.exchange.v1 import exchange_pb2, exchange_service_pb2, exchange_service_pb2_grpc

from examples.sender.declaration import CHUNK, Declaration
from services.chassis.status import accord_error
from services.errors import AccordError, Reason
from services.formats.entry import sha256_hex
from services.formats.jwk import Signer, b64url
from services.formats.manifest import Manifest
from services.formats.rights import Purpose

LIFE_S = 300
DEADLINE_S = 60.0
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Bundle:
    """A signed manifest and the files it names, in its order."""

    token: str = field(repr=False)
    files: tuple[Path, ...]

    @property
    def exchange(self) -> str:
        """The exchange's id: SHA-256 of the manifest's exact characters."""
        return sha256_hex(self.token)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: its name in the register, its signing key, the broker's trust domain, and a channel to the broker."""

    service: str
    signer: Signer
    trust_domain: str
    channel: grpc.aio.Channel

    def sign(self, declared: tuple[Declaration, ...], patient: str, recipient: str, purpose: Purpose) -> Bundle:
        """A bundle under a new request id; `patient` is our own pseudonym for the patient, never the INS."""
        now_s = int(time.time())
        manifest = Manifest(
            sender=self.service,
            audience=self.trust_domain,
            jti=b64url(secrets.token_bytes(16)),
            issued_s=now_s,
            expires_s=now_s + LIFE_S,
            recipient=recipient,
            purpose=purpose,
            patient=patient,
            documents=tuple(item.document for item in declared),
        )
        return Bundle(manifest.sign(self.signer), tuple(item.path for item in declared))

    async def send(self, bundle: Bundle) -> exchange_service_pb2.SendBundleResponse:
        """The broker's answer; tries again where the broker says when. Raises: AccordError with the reason's name."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._send_once(bundle)
            except AccordError as error:
                if error.retry_after is None or attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(error.retry_after)
        raise AssertionError("the last attempt returns or raises")

    async def _send_once(self, bundle: Bundle) -> exchange_service_pb2.SendBundleResponse:
        stub = exchange_service_pb2_grpc.ExchangeServiceStub(self.channel)
        try:
            return await stub.SendBundle(_frames(bundle), timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            # google.rpc.ErrorInfo holds the reason's stable name; the default stands for a broker that nobody reached.
            raise accord_error(error, Reason.LEDGER_UNAVAILABLE, trusted=True) from None


async def _frames(bundle: Bundle) -> AsyncIterator[exchange_service_pb2.SendBundleRequest]:
    """The manifest, then each document in its order, in pieces of at most 262,144 bytes."""
    yield exchange_service_pb2.SendBundleRequest(manifest=bundle.token)
    for position, path in enumerate(bundle.files):
        with await asyncio.to_thread(path.open, "rb") as file:
            while data := await asyncio.to_thread(file.read, CHUNK):
                chunk = exchange_pb2.Chunk(document=position, data=data)
                yield exchange_service_pb2.SendBundleRequest(chunk=chunk)
