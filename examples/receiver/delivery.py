"""The one RPC that a recipient serves: header, chunks, commit, and in return a signed acknowledgement.

Guarantees that the acknowledgement is signed only once the bundle is kept. A bundle without `commit` is discarded: its
consent may have been withdrawn while it was on its way.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from accord.exchange.v1 import delivery_service_pb2, delivery_service_pb2_grpc

from examples.receiver.checks import Announced, announced, thumbprint
from examples.receiver.inbox import Inbox, Incoming
from services.formats.acknowledgement import Acknowledgement
from services.formats.canonical import FormatError
from services.formats.entry import sha256_hex
from services.formats.jwk import Signer
from services.formats.trust import Trust

Frames = AsyncIterator[delivery_service_pb2.DeliverRequest]


@dataclass(frozen=True, slots=True)
class Delivery(delivery_service_pb2_grpc.DeliveryServiceServicer):
    """Receives for `me` (services/…); `on_kept` hears of each bundle, and whether it was new."""

    me: str
    trust: Trust
    signer: Signer
    inbox: Inbox
    on_kept: Callable[[Announced, bool], None] = lambda bundle, is_new: None

    async def Deliver(  # noqa: N802 (the contract's name)
        self, request_iterator: Any, context: Any
    ) -> delivery_service_pb2.DeliverResponse:
        """Keeps the bundle and acknowledges it, or refuses it with FAILED_PRECONDITION."""
        try:
            return await self._receive(request_iterator, thumbprint(context.auth_context()))
        except FormatError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise

    async def _receive(self, frames: Frames, peer: str) -> delivery_service_pb2.DeliverResponse:
        first = await anext(frames, None)
        if first is None or not first.HasField("header"):
            raise FormatError("the first frame is not the header")
        bundle = announced(first.header, self.me, self.trust, peer, time.time_ns() // 1_000_000)
        incoming = self.inbox.incoming(bundle)
        try:
            await _fill(incoming, frames)
            is_new = await asyncio.to_thread(incoming.keep)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(incoming.discard))
            raise
        self.on_kept(bundle, is_new)
        return delivery_service_pb2.DeliverResponse(acknowledgement=self._acknowledge(bundle))

    def _acknowledge(self, bundle: Announced) -> str:
        said = Acknowledgement(
            recipient=self.me,
            audience=self.trust.trust_domain,
            issued_s=int(time.time()),
            exchange=bundle.manifest.exchange,
            manifest_sha256=sha256_hex(bundle.token),
            documents=tuple(document.sha256 for document in bundle.manifest.documents),
        )
        return said.sign(self.signer)


async def _fill(incoming: Incoming, frames: Frames) -> None:
    """Returns at the commit. Raises: FormatError when the stream ends without it, or goes on after it."""
    async for frame in frames:
        if frame.HasField("commit"):
            if await anext(frames, None) is not None:
                raise FormatError("a frame follows the commit")
            return
        if not frame.HasField("chunk"):
            raise FormatError("a frame is neither chunk nor commit")
        await asyncio.to_thread(incoming.add, frame.chunk.document, frame.chunk.data)
    raise FormatError("the bundle ended without commit")
