"""What a patient does that touches two shards: an identity in one and its patient in another, a request and its consent.

No transaction spans both: first the one place is claimed, then the other is written, and each step may be repeated. So what
was interrupted is completed by the same call again, and claims nothing for anybody else meanwhile.
"""

from dataclasses import replace

from services.chassis.clock import Clock
from services.chassis.db import Database
from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ProfileStatus
from services.consent.domain.narrowing import widenings
from services.consent.ledger import Ledger
from services.consent.requests import CLAIM_GRACE_MS, decides, grant_request_id
from services.consent.store import patients, requests
from services.errors import AccordError, Reason, Violation, invalid


class Across:
    """The use cases; what each shard does, its handlers do under that shard's lock."""

    def __init__(self, database: Database, ledger: Ledger, clock: Clock) -> None:
        self._database, self._ledger, self._clock = database, ledger, clock

    async def open_profile(self, item: c.OpenProfile) -> c.Profile:
        """The profile of an identity, opened if it was not."""
        found = await self._ledger.do(item)
        if isinstance(found, c.Profile):
            return found
        profile = await self.profile(found)
        if profile.status is not ProfileStatus.ERASED:
            return profile
        # An erasure that was interrupted left the alias behind.
        await self._ledger.do(c.DropAliases(self._ledger.home(item), found))
        return await self.open_profile(item)

    async def add_identity(self, item: c.AddIdentity) -> None:
        """Another identity of a patient: claimed in its own shard first, then recorded beside the patient."""
        if (await self.profile(item.address)).status is ProfileStatus.ERASED:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        claim = c.ClaimAlias(item.ins, item.address)
        await self._ledger.do(claim)
        try:
            await self._ledger.do(item)
        except AccordError as error:
            if error.reason is Reason.RESOURCE_NOT_FOUND:  # erased meanwhile: nothing may lead to who was erased
                await self._ledger.do(c.DropAliases(self._ledger.home(claim), item.address))
            raise

    async def grant(self, item: c.Grant, shard: int, request_id: int) -> c.Consent:
        """Grants what a service asked for: claims the request for this patient first, then grants, idempotently.

        Raises: AccordError FIELD_INVALID where it is wider than was asked, and as the handlers.
        """
        request = await self.request(shard, request_id)
        self._check(item, request)
        granting = replace(
            item, request_id=grant_request_id(request), pairs=True, until_ms=request.expires_ms + CLAIM_GRACE_MS // 2
        )
        # What cannot be granted must not use the request up.
        validated = await self._ledger.do(replace(granting, validate_only=True))
        if item.validate_only:
            return validated
        await self._ledger.do(c.DecideRequest(shard, request_id, item.address, True, item.actor))
        return await self._ledger.do(granting)

    def _check(self, item: c.Grant, request: c.Request) -> None:
        now_ms = self._clock.wall_ms()
        decides(request, c.RequestState.GRANTED, item.address, now_ms)
        start_ms = now_ms if item.start_ms is None else item.start_ms
        violations = widenings(request, item.scope, start_ms, item.end_ms, item.limits)
        if request.service != item.service:
            violations.append(Violation("consent.service", "is not the one that asked"))
        if violations:
            raise invalid(violations)

    async def profile(self, address: c.Address) -> c.Profile:
        """A profile as it stands. Raises: AccordError RESOURCE_NOT_FOUND."""
        found = await self._ledger.read(lambda: self._find_profile(address))
        if found is None:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return found

    async def request(self, shard: int, request: int) -> c.Request:
        """A request as it stands. Raises: AccordError RESOURCE_NOT_FOUND."""
        found = await self._ledger.read(lambda: self._find_request(shard, request))
        if found is None:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return found

    def _find_profile(self, address: c.Address) -> c.Profile | None:
        with self._database.read() as connection:
            return patients.find_profile(connection, address)

    def _find_request(self, shard: int, request: int) -> c.Request | None:
        with self._database.read() as connection:
            return requests.find(connection, shard, request)
