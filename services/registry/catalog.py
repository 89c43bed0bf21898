"""The services' use cases. Each write gathers, decides and commits in one exclusive transaction.

Guarantees that a change, its entry in the log and the snapshot that results are one commit, that a repeat changes nothing,
and that an OID and a key belong to one holder. Leaves the form of what is asked to `convert`, and transactions to
`commits`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from services.errors import AccordError, Reason, Violation
from services.formats.register_entry import RegisterEvent
from services.registry import store
from services.registry.commits import Commits
from services.registry.domain.service import Application, Service, admit
from services.registry.domain.status import Standing
from services.registry.domain.wish import Wish
from services.registry.locked import Locked
from services.registry.log import service_event
from services.registry.uniqueness import refuse, same


@dataclass(frozen=True, slots=True)
class Move:
    """How a registrar's wish moves a service, and what the log calls it."""

    event: RegisterEvent
    apply: Callable[[Standing], Standing]


class Catalog:
    """The register, as its servicers use it."""

    def __init__(self, commits: Commits, trust_domain: str) -> None:
        self._commits, self._trust_domain = commits, trust_domain

    async def create_service(self, application: Application, author: str) -> Service:
        """Records a service, applied; the same again is a no-op that gives it as it stands now.

        Raises: AccordError REQUEST_ID_REUSED for other content under its name, STATE_CONFLICT for a register that is
        full, FIELD_INVALID for an unknown organisation, an OID or a key in use.
        """
        return await self._commits.write(partial(self._create_service, application=application, author=author))

    async def move(self, wish: Wish, move: Move, author: str) -> Service:
        """Moves a service; a move that changes nothing is not recorded.

        Raises: AccordError RESOURCE_NOT_FOUND, ETAG_MISMATCH, or what the move raises.
        """
        return await self._commits.write(partial(self._move, wish=wish, move=move, author=author))

    async def get(self, name: str) -> Service:
        """One service. Raises: AccordError RESOURCE_NOT_FOUND."""
        return await self._commits.read(partial(_require, name=name))

    async def page(self, after: str, size: int) -> tuple[list[Service], bool]:
        """Up to `size` services whose names follow `after`, in order of name, and whether there are more."""
        found = await self._commits.read(partial(store.list_services, after=after, limit=size + 1))
        return found[:size], len(found) > size

    def _create_service(self, locked: Locked, *, application: Application, author: str) -> Service:
        known = store.find_service(locked.connection, application.name)
        if known is not None:
            same(known.application, application)
            return known
        _check_references(locked.connection, application)
        organization = store.find_organization(locked.connection, application.organization)
        held = organization is not None and organization.suspended
        service = admit(application, self._trust_domain, locked.now_ms, held=held)
        locked.add_service(service)
        notice = {"version": application.notice.version, "text": application.notice.text}
        more = {"record": service.record.decode(), "display_name": application.display_name, "notice": notice}
        locked.note(service_event(RegisterEvent.SERVICE_APPLIED, service, author, more=more))
        return service

    def _move(self, locked: Locked, *, wish: Wish, move: Move, author: str) -> Service:
        service = _require(locked.connection, wish.name)
        moved = service.moved(wish.etag, move.apply)
        if moved is service:
            return service
        locked.move_service(moved)
        locked.note(service_event(move.event, moved, author, wish))
        return moved


def _require(connection: Connection, name: str) -> Service:
    service = store.find_service(connection, name)
    if service is None:
        raise AccordError(Reason.RESOURCE_NOT_FOUND)
    return service


def _check_references(connection: Connection, application: Application) -> None:
    unknown = store.find_organization(connection, application.organization) is None
    faults = [Violation("service.organization", "names no recorded organization")] if unknown else []
    keys = ((f"service.signing_keys[{at}].jwk", key.kid) for at, key in enumerate(application.keys))
    refuse(
        ("service.oid", store.service_oid_is_held(connection, application.oid)),
        *((field, store.key_is_held(connection, kid)) for field, kid in keys),
        faults=faults,
    )
