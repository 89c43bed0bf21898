"""How an exchange ends for its sender: the outcome on the ledger first, then the answer or the refusal in our own memory.

Guarantees that neither is told before both are durable, that whatever fails meanwhile, ledger, storage or our own code, is
tried again until it succeeds or the process ends, and that what binds a manifest is a judgement of it, never a failure of
the platform. Leaves to `settle` what is believed of the ledger's proofs.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.chassis.ledger import Refused
from services.errors import MEANINGS, AccordError, Kind, Reason
from services.exchange.carry import Granted
from services.exchange.domain.bundle import Checked
from services.exchange.domain.exchange import Answer, Case, Ended, EntryRef, Sent
from services.exchange.settle import Settler
from services.exchange.store import Key, Store, Unsettled, key_of
from services.formats.entry import OutcomeResult

PAUSES_S = (0.1, 5.0)
_PASSING = frozenset({Kind.UNAVAILABLE, Kind.EXHAUSTED, Kind.INTERNAL})
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Outcomes:
    """Ends exchanges. `stopping` is set when the process must end."""

    def __init__(self, settler: Settler, store: Store, stopping: asyncio.Event) -> None:
        self._settler, self._store, self._stopping = settler, store, stopping

    async def settle(self, case: Case, granted: Granted, sent: Sent, documents: tuple[Checked, ...]) -> Answer | Reason:
        """The answer, or why there is none; takes as long as the ledger does.

        Raises: AccordError of kind UNAVAILABLE when the process stops first, or LEDGER_ROLLED_BACK: the next start recovers.
        """
        classes = tuple(document.document_class for document in documents)
        ended = Ended(case.token, granted.authorization.permit, classes, sent)
        if sent.manifest:  # otherwise nothing was sent, and a crash loses nothing
            await self._persist(lambda: self._store.ended(key_of(case), ended))
        try:
            return await self._persist(lambda: self._once(case, granted.authorization.entry, ended))
        except AccordError as error:
            if _interrupted(error):
                raise
            await self.refuse(key_of(case), error.reason)
            return error.reason

    async def recover(self, unsettled: Unsettled) -> None:
        """Settles what an earlier life was sending: UNKNOWN if it kept no end of it. Raises: AccordError as `settle`."""
        try:
            await self._persist(lambda: self._resume(unsettled))
        except AccordError as error:
            if _interrupted(error):
                raise
            _log.warning("an outcome of an earlier life was refused", extra={"fields": {"reason": error.reason.value}})
            await self.refuse(unsettled.key, Reason.RECIPIENT_UNREACHABLE)

    async def close(self, key: Key, reason: Reason) -> None:
        """Keeps a refusal of which nothing was delivered; a failure of the platform leaves the manifest free."""
        if MEANINGS[reason].kind in _PASSING and reason is not Reason.RECIPIENT_UNREACHABLE:
            await self.release(key)
        else:
            await self.refuse(key, reason)

    async def refuse(self, key: Key, reason: Reason) -> None:
        """Keeps a refusal for good; takes as long as the storage does."""
        await self._persist(lambda: self._store.refused(key, reason))

    async def release(self, key: Key) -> None:
        """Leaves the manifest free to be sent again; takes as long as the storage does."""
        await self._persist(lambda: self._store.release(key))

    async def _resume(self, unsettled: Unsettled) -> None:
        key, ended = unsettled.key, unsettled.ended
        sent = ended.sent if ended else Sent(OutcomeResult.UNKNOWN, Reason.RECIPIENT_UNREACHABLE)
        # First, whatever the register has become since.
        await self._settler.record(unsettled.authorization, unsettled.exchange, sent)
        if ended is None:
            await self.refuse(key, Reason.RECIPIENT_UNREACHABLE)
        else:
            await self._once(self._settler.reopen(ended.manifest, key.service), unsettled.authorization, ended)

    async def _once(self, case: Case, authorization: EntryRef, ended: Ended) -> Answer | Reason:
        key, sent = key_of(case), ended.sent
        if sent.reason is None:
            answer = await self._settler.answer(case, authorization, ended)
            await self._store.delivered(key, answer)
            return answer
        await self._settler.record(authorization, case.exchange, sent)
        if sent.result is OutcomeResult.FAILED:
            await self.close(key, sent.reason)
        else:
            await self.refuse(key, sent.reason)
        return sent.reason

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Tries until it succeeds, is refused for good, or the process stops. Raises: what the last try raised."""
        pause, longest = PAUSES_S
        while True:
            try:
                return await attempt()
            except AccordError as error:
                over = error.reason is Reason.LEDGER_ROLLED_BACK or self._stopping.is_set()
                if over or not _interrupted(error):
                    raise
                _log.warning("an outcome waits", extra={"fields": {"reason": error.reason.value}})
            except Exception:
                if self._stopping.is_set():
                    raise
                _log.exception("keeping an outcome broke; it is tried again")
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)


def _interrupted(error: AccordError) -> bool:
    """Whether nothing was decided: the ledger, the register or the disk could not say."""
    return error.kind in (Kind.UNAVAILABLE, Kind.EXHAUSTED) and not isinstance(error, Refused)
