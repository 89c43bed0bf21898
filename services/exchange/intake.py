"""Taking a bundle in: whose manifest it is, and its documents, spooled and found to be as declared.

Guarantees that a `Case` carries a manifest which a key of the calling service signed for our trust domain, whatever that
service's status, and that documents returned passed every check of `domain.bundle`. Memory holds one chunk. Leaves
recording a refusal to the broker.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor
from typing import TypeVar, TypeVarTuple

from services.chassis.clock import Clock
from services.errors import AccordError, Reason
from services.exchange.domain.bundle import Checked, Limits, Rules, check_document, check_limits, check_window
from services.exchange.domain.cda import CdaHeader
from services.exchange.domain.exchange import Case
from services.exchange.domain.frames import Frame, ManifestFrame
from services.exchange.spool import Spool, SpooledBundle
from services.formats import jws
from services.formats.canonical import FormatError
from services.formats.lease import ServiceRecord
from services.formats.manifest import MANIFEST, DeclaredDocument, Manifest, claimed_sender, open_manifest

IDLE_S = 15.0
"""How long a sender may take for one frame."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def manifest_token(frames: AsyncIterator[Frame]) -> str:
    """The token of the first frame. Raises: AccordError MESSAGE_MALFORMED, OVERLOADED."""
    frame = await _next(frames)
    if not isinstance(frame, ManifestFrame):
        raise AccordError(Reason.MESSAGE_MALFORMED, "the first frame must be the manifest")
    return frame.token


def open_case(token: str, caller: str, trust_domain: str, services: Mapping[str, ServiceRecord]) -> Case:
    """The exchange that `caller` (a service's name) asks for.

    Raises: AccordError MANIFEST_INVALID for what is no token, or not as docs/formats.md describes; SIGNATURE_INVALID where
    nobody known signed it; RPC_NOT_ALLOWED where it is another service's.
    """
    if len(token) > jws.MAX_TOKEN or token.count(".") != 2:
        raise AccordError(Reason.MANIFEST_INVALID, "the manifest is not a compact JWS of at most 65,536 characters")
    try:
        sender = claimed_sender(token)
    except FormatError:
        raise AccordError(Reason.SIGNATURE_INVALID) from None
    if sender != caller:
        raise AccordError(Reason.RPC_NOT_ALLOWED, "the manifest is another service's")
    record = services.get(sender)
    if record is None:
        raise AccordError(Reason.SIGNATURE_INVALID)
    case = Case(token, _opened(token, record))
    if case.manifest.audience != trust_domain:
        raise AccordError(Reason.MANIFEST_INVALID, "manifest.aud is not this trust domain")
    if case.manifest.recipient == sender:
        raise AccordError(Reason.MANIFEST_INVALID, "manifest.recipient is the sender")
    return case


class Intake:
    """Reads bundles into the spool and judges their documents."""

    def __init__(self, spool: Spool, executor: Executor, clock: Clock, limits: Limits, rules: Rules) -> None:
        self._spool, self._executor, self._clock = spool, executor, clock
        self._limits, self._rules = limits, rules

    async def open(self, case: Case) -> SpooledBundle:
        """An empty bundle for the case. Raises: AccordError MANIFEST_EXPIRED, BUNDLE_TOO_LARGE, STORAGE_UNAVAILABLE."""
        check_window(case.manifest, self._clock.wall_ms())
        check_limits(case.manifest.documents, self._limits)
        return await self._work(self._spool.open, case.exchange, case.manifest.documents)

    async def fill(self, case: Case, bundle: SpooledBundle, frames: AsyncIterator[Frame]) -> tuple[Checked, ...]:
        """Spools every frame left, then judges each document, in order.

        Raises: AccordError as `SpooledBundle.add` and `domain.bundle.check_document`; MESSAGE_MALFORMED, OVERLOADED.
        """
        while (frame := await _next(frames)) is not None:
            if isinstance(frame, ManifestFrame):
                raise AccordError(Reason.MESSAGE_MALFORMED, "only the first frame is the manifest")
            await self._work(bundle.add, frame.document, frame.data)
        headers = await self._work(bundle.close)
        return tuple(
            self._judge(position, declared, header)
            for position, (declared, header) in enumerate(zip(case.manifest.documents, headers, strict=True))
        )

    async def delete(self, bundle: SpooledBundle) -> None:
        """Deletes the bundle's bytes. Raises: AccordError STORAGE_UNAVAILABLE."""
        await self._work(bundle.delete)

    def _judge(self, position: int, declared: DeclaredDocument, header: CdaHeader) -> Checked:
        try:
            return check_document(declared, header, self._rules)
        except AccordError as refusal:
            raise AccordError(refusal.reason, f"document {position}: {refusal.detail}") from None

    async def _work(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)


def _opened(token: str, record: ServiceRecord) -> Manifest:
    try:
        return open_manifest(token, record.key)
    except FormatError as error:
        if _is_signed(token, record):
            raise AccordError(Reason.MANIFEST_INVALID, str(error)) from None
        raise AccordError(Reason.SIGNATURE_INVALID) from None


def _is_signed(token: str, record: ServiceRecord) -> bool:
    try:
        jws.verify(token, MANIFEST, record.key)
    except FormatError:
        return False
    return True


async def _next(frames: AsyncIterator[Frame]) -> Frame | None:
    try:
        async with asyncio.timeout(IDLE_S):
            return await anext(frames, None)
    except TimeoutError:
        raise AccordError(Reason.OVERLOADED, "the sender is too slow", retry_after=1.0) from None
