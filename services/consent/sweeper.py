"""Writes down, turn after turn, what the clock has decided and nobody asked about.

Guarantees that it never gives up: what fails now is tried at the next turn, for the log alone says what is left to do.
"""

import asyncio
import logging

from services.consent.ledger import Ledger
from services.errors import AccordError

TURN_S = 15.0
_log = logging.getLogger(__name__)


async def sweep_for_ever(ledger: Ledger, deadline_ms: int) -> None:
    """Authorisations older than `deadline_ms` without outcome are UNKNOWN; consents, requests and profiles end or open."""
    while True:
        try:
            swept = await ledger.sweep(deadline_ms)
            if swept:
                _log.info("what the clock decided is on the record", extra={"fields": {"count": swept}})
        except AccordError as error:
            _log.warning("the sweeper waits", extra={"fields": {"reason": error.reason.value}})
        except Exception as error:
            _log.error("the sweeper failed", extra={"fields": {"error": type(error).__name__}})
        await asyncio.sleep(TURN_S)
