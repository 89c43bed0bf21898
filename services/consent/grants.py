"""What gives a right, or gives one back: each on the portal's signed word, verified against exactly what is asked.

Leaves to the ledger whether it may be, under the shard's lock. What is read here before the lock cannot change what was
signed for: a consent's service never changes, and who resumes names the revision they saw.
"""

from dataclasses import replace

from services.chassis.clock import Clock
from services.chassis.db import Database
from services.consent.across import Across
from services.consent.assertions import Assertions
from services.consent.domain import commands as c
from services.consent.domain.by_clock import by_clock
from services.consent.ledger import Ledger
from services.consent.store import consents
from services.errors import AccordError, Reason


class Grants:
    """Grants, amendments and resumptions; names are external ones, as the assertion bears them."""

    def __init__(
        self, database: Database, ledger: Ledger, across: Across, assertions: Assertions, clock: Clock
    ) -> None:
        self._database, self._ledger, self._across = database, ledger, across
        self._assertions, self._clock = assertions, clock

    async def grant(self, item: c.Grant, token: str, profile: str) -> c.Consent:
        """Records a consent of the patient's own accord. Raises: AccordError ASSERTION_INVALID, and as its handler."""
        assertion = self._assertions.granting(token, item, item.request_id, profile)
        return self._now(await self._ledger.do(replace(item, assertion=assertion)))

    async def answer(self, item: c.Grant, place: tuple[int, int], token: str, profile: str, request: str) -> c.Consent:
        """Grants the request of this name, at (shard, local id). Raises: AccordError ASSERTION_INVALID, as the ledger."""
        assertion = self._assertions.granting(token, item, request, profile)
        return self._now(await self._across.grant(replace(item, assertion=assertion), *place))

    async def amend(self, item: c.Amend, token: str, name: str) -> c.Consent:
        """Changes what a consent covers. Raises: AccordError ASSERTION_INVALID, and as its handler."""
        known = await self._find(item.shard, item.consent, item.actor)
        assertion = self._assertions.amending(token, item, known.service, name)
        return self._now(await self._ledger.do(replace(item, assertion=assertion)))

    async def resume(self, item: c.MoveConsent, token: str, name: str) -> c.Consent:
        """Resumes a consent. Raises: AccordError ASSERTION_INVALID, and as its handler."""
        known = self._now(await self._find(item.shard, item.consent, item.actor))
        assertion, seen = self._assertions.resuming(token, known, item.actor, name)
        return self._now(await self._ledger.do(replace(item, assertion=assertion, seen=seen)))

    async def _find(self, shard: int, consent: int, actor: c.Actor) -> c.Consent:
        found = await self._ledger.read(lambda: self._read(shard, consent))
        if found is None or found.hidden_from(actor):
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return found

    def _read(self, shard: int, consent: int) -> c.Consent | None:
        with self._database.read() as connection:
            return consents.find_consent(connection, shard, consent)

    def _now(self, consent: c.Consent) -> c.Consent:
        return by_clock(consent, self._clock.wall_ms())
