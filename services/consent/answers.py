"""What becomes of services' requests: how one stands towards those who ask, and a patient's refusal of it.

A request is in its service's shard and the consent that answers it in the patient's: each is read where it is. Leaves the
grant to `across`.
"""

from dataclasses import dataclass

from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.registry import RegistryView
from services.consent.across import Across
from services.consent.domain import commands as c
from services.consent.domain.codes import shard_of, typed
from services.consent.domain.lifecycle import ProfileStatus
from services.consent.ledger import Ledger
from services.consent.profiles import check_actor
from services.consent.requests import grant_request_id, shown_state
from services.consent.store import consents, patients, requests
from services.consent.vault import Vault
from services.errors import AccordError, Reason


@dataclass(frozen=True, slots=True)
class Answer:
    """A request, where it stands, the notice to show (empty when the register cannot say), and the consent (local id)."""

    request: c.Request
    state: c.RequestState
    notice_sha256: str
    consent: int | None = None


class Answers:
    """Reads requests, and has them rejected."""

    def __init__(
        self, database: Database, ledger: Ledger, across: Across, view: RegistryView, vault: Vault, clock: Clock
    ) -> None:
        self._database, self._ledger, self._across = database, ledger, across
        self._view, self._vault, self._clock = view, vault, clock

    async def of(self, request: c.Request) -> Answer:
        """Where a request stands."""
        consent = await self._ledger.read(lambda: self._consent(request))
        state = shown_state(request, granted=consent is not None, now_ms=self._clock.wall_ms())
        return Answer(request, state, self._notice(request.service), consent)

    async def own(self, service: str, shard: int, request: int) -> Answer:
        """Where a service's own request stands. Raises: AccordError RESOURCE_NOT_FOUND."""
        found = await self._across.request(shard, request)
        if found.service != service:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return await self.of(found)

    async def by_code(self, text: str) -> Answer:
        """The pending request of a code as a patient typed it.

        Raises: AccordError RESOURCE_NOT_FOUND for none and for one that was decided, REQUEST_EXPIRED, REGISTRY_STALE.
        """
        code = typed(text)
        shard = shard_of(code, self._ledger.shards)
        found = await self._ledger.read(lambda: self._by_code(shard, code)) if shard is not None else None
        if found is None or found.state is not c.RequestState.PENDING:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        if found.expires_ms <= self._clock.wall_ms():
            raise AccordError(Reason.REQUEST_EXPIRED)
        self._view.current()  # a patient is not asked without the notice
        return Answer(found, found.state, self._notice(found.service))

    async def reject(self, item: c.DecideRequest) -> None:
        """Rejects a request for a patient. Raises: AccordError RESOURCE_NOT_FOUND, STATE_CONFLICT, REQUEST_EXPIRED."""
        await self._ledger.read(lambda: self._check(item.address, item.actor))
        await self._ledger.do(item)

    def _check(self, address: c.Address, actor: c.Actor) -> None:
        with self._database.read() as connection:
            profile = patients.find_profile(connection, address)
            if profile is None or profile.status is ProfileStatus.ERASED:
                raise AccordError(Reason.RESOURCE_NOT_FOUND)
            check_actor(connection, self._vault, profile, actor, self._clock.wall_ms())

    def _by_code(self, shard: int, code: str) -> c.Request | None:
        with self._database.read() as connection:
            return requests.find_by_code(connection, shard, code)

    def _consent(self, request: c.Request) -> int | None:
        if request.claimed is None or request.state is not c.RequestState.GRANTED:
            return None
        with self._database.read() as connection:
            used = consents.find_request(connection, request.claimed, grant_request_id(request))
        return used[1] if used is not None else None

    def _notice(self, service: str) -> str:
        try:
            record = self._view.current().services.get(service)
        except AccordError:
            return ""
        return record.convention.notice_sha256 if record is not None else ""
