"""The use case: one bundle from its sender to its recipient, every step of it on the record or not at all.

Guarantees that one request id is one exchange, delivered at most once and answered the same for ever; that a refusal after
a valid manifest is recorded before it is told; and that what was authorised gets its outcome even when its sender is gone.

What a crash leaves, by the last commit before it:
- `claim`: nothing has left. At start the claim is forgotten and the spool emptied; the same manifest may be sent again.
- the ledger's authorisation: nothing has left either, bytes wait for `sending`; the log shows it without an
  outcome. The same manifest may be sent again, under an authorisation of its own.
- `sending`: bytes may have left. At start UNKNOWN is recorded and the request id answers RECIPIENT_UNREACHABLE.
- `ended`: how sending ended is known. At start that outcome is recorded, again if the ledger has it, and answered. So is a
  stop while the ledger is away, or no longer believed.
- `delivered`, `refused`: the answer is durable and is given again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

from services.chassis.admission import Admission
from services.chassis.registry import RegistryView
from services.errors import AccordError, Reason
from services.exchange.carry import Carrier, Granted
from services.exchange.clients import Ledger
from services.exchange.domain.bundle import Checked
from services.exchange.domain.exchange import Answer, Case, Denied, Sent
from services.exchange.domain.frames import Frame
from services.exchange.intake import Intake, manifest_token, open_case
from services.exchange.outcomes import Outcomes
from services.exchange.spool import SpooledBundle
from services.exchange.store import Earlier, Store, key_of
from services.formats.entry import OutcomeResult

PATIENCE_S = 10.0
"""How long a sender waits for a ledger or a storage that does not keep its outcome; the broker goes on trying."""
STOP_S = 15.0
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Broker:
    """Moves bundles. `stopping` is shared with the gates: once set, nothing more leaves."""

    def __init__(
        self,
        trust_domain: str,
        view: RegistryView,
        store: Store,
        ledger: Ledger,
        intake: Intake,
        carrier: Carrier,
        outcomes: Outcomes,
        places: Admission,
        stopping: asyncio.Event,
    ) -> None:
        self._trust_domain, self._view, self._store, self._ledger = trust_domain, view, store, ledger
        self._intake, self._carrier, self._outcomes = intake, carrier, outcomes
        self._places, self._stopping = places, stopping
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Deals with what an earlier life left. Raises: AccordError STORAGE_UNAVAILABLE."""
        for unsettled in await self._store.recover():
            self._start(self._outcomes.recover(unsettled))

    async def send(self, caller: str, frames: AsyncIterator[Frame]) -> Answer:
        """Delivers the bundle that `caller` (services/…) sends, or gives the answer it was given before.

        Raises: AccordError: every reason but those of the registrars and the portal.
        """
        with ExitStack() as held:
            self._places.enter(caller)
            held.callback(self._places.leave, caller)
            token = await manifest_token(frames)
            case = open_case(token, caller, self._trust_domain, self._view.current().services)
            earlier = await self._claim(case)
            if earlier is not None:
                return await self._again(case, earlier)
            bundle, documents = await self._take_in(case, frames)
            # From here on the sender's going away changes nothing: the task owns the place and the bundle.
            task = self._start(self._carry(case, bundle, documents, held.pop_all()))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cuts what is being sent, and waits until the outcomes are recorded, at most STOP_S seconds."""
        self._stopping.set()
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=STOP_S)
            for task in left:
                task.cancel()
        await self._store.close()

    async def _claim(self, case: Case) -> Earlier | None:
        """Claims the request id; who has it already, if anyone. A sender that goes away meanwhile leaves no claim."""
        claiming = self._start(self._store.claim(key_of(case), case.exchange))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            self._start(self._unclaim(case, claiming))
            raise

    async def _unclaim(self, case: Case, claiming: asyncio.Task[Earlier | None]) -> None:
        if await claiming is None:
            await self._outcomes.release(key_of(case))

    async def _again(self, case: Case, earlier: Earlier) -> Answer:
        if earlier.exchange != case.exchange:
            await self._shielded(self._ledger.record_refusal(case, Reason.REQUEST_ID_REUSED))
            raise AccordError(Reason.REQUEST_ID_REUSED)
        if earlier.answer is not None:
            return earlier.answer
        if earlier.reason is not None:
            raise AccordError(earlier.reason)
        raise AccordError(Reason.EXCHANGE_IN_PROGRESS, retry_after=1.0)

    async def _take_in(self, case: Case, frames: AsyncIterator[Frame]) -> tuple[SpooledBundle, tuple[Checked, ...]]:
        bundle: SpooledBundle | None = None
        try:
            bundle = await self._intake.open(case)
            return bundle, await self._intake.fill(case, bundle, frames)
        except AccordError as refusal:
            await self._shielded(self._refuse(case, bundle, refusal.reason))
            raise
        except BaseException:
            await self._shielded(self._forget(case, bundle))
            raise

    async def _refuse(self, case: Case, bundle: SpooledBundle | None, reason: Reason) -> None:
        """On the record first; only then is it a refusal."""
        await self._drop(bundle)
        try:
            await self._ledger.record_refusal(case, reason)
        except AccordError as error:
            await self._release(case)
            raise AccordError(Reason.LEDGER_UNAVAILABLE, retry_after=error.retry_after or 1.0) from error
        except BaseException:
            await self._release(case)
            raise
        await self._patiently(self._outcomes.close(key_of(case), reason), Reason.STORAGE_UNAVAILABLE)

    async def _forget(self, case: Case, bundle: SpooledBundle | None) -> None:
        """In this order: once the claim is gone, the same manifest may open the same folder."""
        await self._drop(bundle)
        await self._release(case)

    async def _carry(
        self, case: Case, bundle: SpooledBundle, documents: tuple[Checked, ...], held: ExitStack
    ) -> Answer:
        with held:
            granted = await self._authorize(case, bundle, documents)
            try:
                sent = await self._send(case, granted, bundle)
            finally:
                await self._drop(bundle)
            settling = self._outcomes.settle(case, granted, sent, documents)
            result = await self._patiently(settling, Reason.LEDGER_UNAVAILABLE)
        if isinstance(result, Reason):
            raise AccordError(result)
        return result

    async def _authorize(self, case: Case, bundle: SpooledBundle, documents: tuple[Checked, ...]) -> Granted:
        try:
            decision = await self._carrier.authorize(case, documents)
        except BaseException:
            await self._forget(case, bundle)
            raise
        if isinstance(decision, Denied):
            await self._drop(bundle)
            await self._patiently(self._outcomes.refuse(key_of(case), decision.reason), Reason.STORAGE_UNAVAILABLE)
            raise AccordError(decision.reason)
        return decision

    async def _send(self, case: Case, granted: Granted, bundle: SpooledBundle) -> Sent:
        """However it ends, and whatever breaks, it is a value: the authorisation must get an outcome."""
        try:
            await self._store.sending(key_of(case), granted.authorization.entry)
        except AccordError as error:
            return Sent(OutcomeResult.FAILED, error.reason)
        except Exception:
            _log.exception("nothing was sent")
            return Sent(OutcomeResult.FAILED, Reason.INTERNAL)
        try:
            return await self._carrier.send(case, granted, bundle)
        except Exception:
            _log.exception("sending broke")
            return Sent(OutcomeResult.UNKNOWN, Reason.INTERNAL)

    async def _drop(self, bundle: SpooledBundle | None) -> None:
        if bundle is None:
            return
        try:
            await self._intake.delete(bundle)
        except Exception:  # whatever broke, what follows must be recorded
            _log.exception("a spooled bundle was not deleted; the next start will")

    async def _release(self, case: Case) -> None:
        """Takes no longer than a caller waits, who is told something else than the failure of this."""
        with suppress(AccordError):
            await self._patiently(self._outcomes.release(key_of(case)), Reason.STORAGE_UNAVAILABLE)

    async def _patiently(self, work: Coroutine[Any, Any, T], waiting: Reason) -> T:
        """What `work` gives; after PATIENCE_S it goes on alone. Raises: AccordError `waiting` then."""
        task = self._start(work)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await asyncio.shield(task)
        except TimeoutError:
            raise AccordError(waiting, "the outcome waits to be kept", retry_after=5.0) from None

    async def _shielded(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.shield(self._start(work))

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task that is waited for at the end (grpc/grpc#37239: a server's stop skips what its handlers still do)."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a sender that is gone never asks; this marks it as seen
