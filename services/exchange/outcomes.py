"""How an exchange ends for its sender: the outcome on the ledger first, then the answer or the refusal in our own memory.

Guarantees that neither is told before both are durable, that an unavailable ledger is asked until it answers, and that
what binds a manifest is a judgement of it, never a failure of the platform. Leaves to `settle` what is believed of the
ledger's proofs.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.errors import MEANINGS, AccordError, Kind, Reason
from services.exchange.carry import Granted
from services.exchange.clients import Refused
from services.exchange.domain.bundle import Checked
from services.exchange.domain.exchange import Answer, Case, Sent
from services.exchange.settle import Settler
from services.exchange.store import Store, Unsettled, key_of
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
        try:
            return await self._persist(lambda: self._once(case, granted, sent, documents))
        except AccordError as error:
            if _interrupted(error):
                raise
            await self._store.refused(key_of(case), error.reason)
            return error.reason

    async def recover(self, unsettled: Unsettled) -> None:
        """Records UNKNOWN for what an earlier life was sending. Raises: AccordError as `settle`."""
        sent = Sent(OutcomeResult.UNKNOWN, Reason.RECIPIENT_UNREACHABLE)
        try:
            await self._persist(lambda: self._settler.record(unsettled.authorization, unsettled.exchange, sent))
        except AccordError as error:
            if _interrupted(error):
                raise
            _log.warning("the ledger keeps another outcome", extra={"fields": {"reason": error.reason.value}})
        await self._store.refused(unsettled.key, Reason.RECIPIENT_UNREACHABLE)

    async def close(self, case: Case, reason: Reason) -> None:
        """Keeps a refusal of which nothing was delivered; a failure of the platform leaves the manifest free."""
        if MEANINGS[reason].kind in _PASSING and reason is not Reason.RECIPIENT_UNREACHABLE:
            await self._store.release(key_of(case))
        else:
            await self._store.refused(key_of(case), reason)

    async def _once(self, case: Case, granted: Granted, sent: Sent, documents: tuple[Checked, ...]) -> Answer | Reason:
        if sent.reason is None:
            answer = await self._settler.answer(case, granted.authorization, sent, documents)
            await self._store.delivered(key_of(case), answer)
            return answer
        await self._settler.record(granted.authorization.entry, case.exchange, sent)
        if sent.result is OutcomeResult.FAILED:
            await self.close(case, sent.reason)
        else:
            await self._store.refused(key_of(case), sent.reason)
        return sent.reason

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Tries until it succeeds, is refused for good, or is interrupted. Raises: AccordError."""
        pause, longest = PAUSES_S
        while True:
            try:
                return await attempt()
            except AccordError as error:
                over = error.reason is Reason.LEDGER_ROLLED_BACK or self._stopping.is_set()
                if over or not _interrupted(error):
                    raise
                _log.warning("an outcome waits", extra={"fields": {"reason": error.reason.value}})
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)


def _interrupted(error: AccordError) -> bool:
    """Whether nothing was decided: the ledger, the register or the disk could not say."""
    return error.kind is Kind.UNAVAILABLE and not isinstance(error, Refused)
