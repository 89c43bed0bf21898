"""The organisations' use cases: recording, and the suspension that takes all their services with it.

Guarantees that organisation, services, their entries and the snapshot that results are one commit; that a service's own
suspension outlives its organisation's; that a repeat changes nothing; and that a SIREN and an OID have one holder.
"""

from functools import partial

from services.errors import AccordError, Reason
from services.formats.lease import Status
from services.formats.register_entry import RegisterEvent
from services.registry import store
from services.registry.commits import Commits
from services.registry.domain.service import Organization, RecordedOrganization
from services.registry.domain.status import hold
from services.registry.domain.wish import Wish
from services.registry.locked import Locked
from services.registry.log import Event, service_event
from services.registry.uniqueness import refuse, same

CAUSE = {"cause": "organization"}


class Organizations:
    """The register's organisations, as its servicers use them."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits

    async def create(self, organization: Organization, author: str) -> RecordedOrganization:
        """Records an organisation; the same again is a no-op that gives it as it stands now.

        Raises: AccordError REQUEST_ID_REUSED for other content under its name, FIELD_INVALID for a SIREN or OID in use.
        """
        return await self._commits.write(partial(_create, organization=organization, author=author))

    async def suspend(self, wish: Wish, author: str, *, suspended: bool) -> RecordedOrganization:
        """Suspends an organisation with its services, or ends that; what changes nothing is not recorded.

        Raises: AccordError RESOURCE_NOT_FOUND, ETAG_MISMATCH.
        """
        return await self._commits.write(partial(_suspend, wish=wish, author=author, suspended=suspended))


def _create(locked: Locked, *, organization: Organization, author: str) -> RecordedOrganization:
    connection = locked.connection
    known = store.find_organization(connection, organization.name)
    if known is not None:
        same(known.organization, organization)
        return known
    refuse(
        ("organization.siren", store.siren_is_held(connection, organization.siren)),
        ("organization.oid", store.organization_oid_is_held(connection, organization.oid)),
    )
    recorded = RecordedOrganization(organization, locked.now_ms)
    store.insert_organization(connection, recorded)
    more = {"siren": organization.siren, "oid": organization.oid, "display_name": organization.display_name}
    locked.note(Event(RegisterEvent.ORGANIZATION_RECORDED, organization.name, author, more=more))
    return recorded


def _suspend(locked: Locked, *, wish: Wish, author: str, suspended: bool) -> RecordedOrganization:
    known = store.find_organization(locked.connection, wish.name)
    if known is None:
        raise AccordError(Reason.RESOURCE_NOT_FOUND)
    recorded = known.held(wish.etag, suspended)
    if recorded is known:
        return known
    store.update_organization(locked.connection, recorded)
    type_, of_service = _TYPES[suspended]
    status = Status.SUSPENDED.value if suspended else ""
    locked.note(Event(type_, wish.name, author, status, wish=wish))
    for service in store.services_of(locked.connection, wish.name):
        moved = service.moved("", partial(hold, held=suspended))
        locked.move_service(moved)
        if moved.standing.effective is not service.standing.effective:
            locked.note(service_event(of_service, moved, author, wish, CAUSE))
    return recorded


_TYPES = {
    True: (RegisterEvent.ORGANIZATION_SUSPENDED, RegisterEvent.SERVICE_SUSPENDED),
    False: (RegisterEvent.ORGANIZATION_REINSTATED, RegisterEvent.SERVICE_REINSTATED),
}
"""What is recorded of the organisation, and of each service that stands elsewhere since."""
