"""The gate that every byte passes: open only while cover, register, ledger and this process allow it.

Guarantees that `require` fails from the moment cover ends, a Check is refused, the register is stale or bars either
service, the ledger is not believed, or the process stops. Leaves the rule to `domain.cover`, and cutting to `deliver`.
"""

import asyncio
import logging
from typing import NoReturn

from services.chassis.clock import Clock
from services.chassis.registry import RegistryView
from services.chassis.witness import Witness
from services.errors import AccordError, Kind, Reason
from services.exchange.clients import Ledger
from services.exchange.domain.cover import Cover, barred
from services.exchange.domain.exchange import Query

RENEW_S = 1.0
TICK_S = 0.1
_log = logging.getLogger(__name__)


class Gate:
    """One exchange's gate. `stopping` is set when the process must end.

    `resources`: the consent revisions of its authorisation; withdrawing one shuts the gate, whatever else is consented to.
    """

    def __init__(
        self,
        query: Query,
        resources: tuple[str, ...],
        cover: Cover,
        ledger: Ledger,
        view: RegistryView,
        witness: Witness,
        clock: Clock,
        stopping: asyncio.Event,
    ) -> None:
        self._query, self._resources, self._cover = query, resources, cover
        self._ledger, self._view, self._witness = ledger, view, witness
        self._clock, self._stopping = clock, stopping

    def require(self) -> None:
        """Returns while a byte may leave.

        Raises: AccordError PERMIT_EXPIRED, REGISTRY_STALE, LEDGER_ROLLED_BACK, LEDGER_UNAVAILABLE, or why the register
        bars the two services.
        """
        if self._stopping.is_set():
            raise AccordError(Reason.PERMIT_EXPIRED, "the broker stops")
        self._witness.require()
        reason = barred(self._view.current().services, self._query.service, self._query.counterparty)
        if reason is not None:
            raise AccordError(reason)
        if not self._cover.holds(self._clock.wall_ms(), self._clock.monotonic()):
            raise AccordError(Reason.PERMIT_EXPIRED)

    async def recheck(self) -> None:
        """Asks the ledger now. Raises: AccordError with the ledger's reason, or of kind UNAVAILABLE without an answer."""
        sent = self._clock.monotonic()
        reason = await self._ledger.check(self._query, self._resources)
        if reason is not None:
            raise AccordError(reason)
        self._cover = self._cover.renewed(sent)

    async def renew(self) -> NoReturn:
        """Rechecks every second, for ever; an unanswered Check renews nothing. Raises: AccordError once one is refused."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self.recheck()
            except AccordError as error:
                if error.kind is not Kind.UNAVAILABLE:
                    raise
                _log.warning("a recheck went unanswered")

    async def watch(self) -> NoReturn:
        """Requires for ever: cuts a transfer that waits for its recipient. Raises: AccordError as `require`."""
        while True:
            self.require()
            await asyncio.sleep(TICK_S)
