"""What portal and services read of profiles and consents: as they stand, and as each revision left them.

Guarantees that a service finds its own alone, and that what is not its own looks like what does not exist; that what a
minor keeps from their representatives is absent from what these see; and that a state is the clock's, swept or not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Connection

from services.chassis.clock import Clock
from services.chassis.db import Database
from services.consent.domain import commands as c
from services.consent.domain.by_clock import by_clock
from services.consent.domain.lifecycle import ProfileStatus
from services.consent.domain.pages import Page
from services.consent.domain.snapshot import as_revised
from services.consent.ledger import Ledger
from services.consent.openings import open_terms
from services.consent.store import consents, listing, patients, sealed
from services.consent.vault import Vault
from services.errors import AccordError, Reason
from services.formats.entry import parse_entry

T = TypeVar("T")
PERSONS = (c.HOLDER, c.REPRESENTATIVE)
_EVERY = 1 << 31


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: a service (services/…), or else the portal for somebody in this role."""

    service: str = ""
    role: str = c.HOLDER

    def sees(self, consent: c.Consent) -> bool:
        """Whether this consent exists for them."""
        own = not self.service or consent.service == self.service
        return own and not (self.role == c.REPRESENTATIVE and consent.limits.secret)


@dataclass(frozen=True, slots=True)
class Revised:
    """A consent as a revision left it, and when that was made (milliseconds)."""

    consent: c.Consent
    made_ms: int


def check_viewer(profile: c.Profile | None, viewer: Viewer, now_ms: int) -> c.Profile:
    """The profile that may be looked at. Raises: AccordError RESOURCE_NOT_FOUND, STATE_CONFLICT where nobody represents."""
    if profile is None or profile.status is ProfileStatus.ERASED:
        raise AccordError(Reason.RESOURCE_NOT_FOUND)
    minor = profile.majority_ms is not None and now_ms < profile.majority_ms
    if viewer.role == c.REPRESENTATIVE and not minor:
        raise AccordError(Reason.STATE_CONFLICT, "nobody acts for the patient")
    return profile


class Reading:
    """Reads, in the ledger's reading thread; each from one snapshot."""

    def __init__(self, database: Database, ledger: Ledger, vault: Vault, clock: Clock) -> None:
        self._database, self._ledger, self._vault, self._clock = database, ledger, vault, clock

    async def profile(self, address: c.Address) -> c.Profile:
        """A profile as it stands. Raises: AccordError RESOURCE_NOT_FOUND."""
        found = await self._read(lambda connection: patients.find_profile(connection, address))
        if found is None:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return found

    async def consent(self, shard: int, consent: int, viewer: Viewer) -> c.Consent:
        """A consent as it stands. Raises: AccordError RESOURCE_NOT_FOUND."""
        found = await self._read(lambda connection: self._visible(connection, shard, consent, viewer))
        return by_clock(found, self._clock.wall_ms())

    async def revision(self, shard: int, consent: int, revision: int, viewer: Viewer) -> c.Consent:
        """A consent as a revision left it. Raises: AccordError RESOURCE_NOT_FOUND."""
        found = await self._read(lambda connection: self._revision(connection, shard, consent, revision, viewer))
        return found.consent

    async def consents(
        self, address: c.Address, viewer: Viewer, page: Page, name: Callable[[c.Consent], str]
    ) -> tuple[list[c.Consent], str]:
        """A patient's consents that the viewer sees, newest first, and the token of the page after them.

        A page begins after (time, name) of an item. Raises: AccordError RESOURCE_NOT_FOUND, STATE_CONFLICT.
        """
        found, given_ms = await self._read(lambda connection: self._of_patient(connection, address, viewer))
        ordered = sorted(((given_ms[item.consent], name(item), item) for item in found), key=_place, reverse=True)
        rest = [item for item in ordered if not page.after or _place(item) < page.after]
        now_ms, shown = self._clock.wall_ms(), rest[: page.size]
        token = page.following(*_place(shown[-1])) if len(rest) > page.size else ""
        return [by_clock(item, now_ms) for _, _, item in shown], token

    async def revisions(self, shard: int, consent: int, viewer: Viewer, page: Page) -> tuple[list[Revised], str]:
        """A consent's revisions, newest first, and the token of the page after them; a page begins under a number.

        Raises: AccordError RESOURCE_NOT_FOUND, STATE_CONFLICT where an opening was erased.
        """
        (below,) = page.after or (_EVERY,)

        def read(connection: Connection) -> list[Revised]:
            newest = self._visible(connection, shard, consent, viewer)
            return self._revised(connection, newest, int(below), page.size + 1, viewer)

        found = await self._read(read)
        shown = found[: page.size]
        return shown, page.following(shown[-1].consent.revision) if len(found) > page.size else ""

    def _visible(self, connection: Connection, shard: int, consent: int, viewer: Viewer) -> c.Consent:
        found = consents.find_consent(connection, shard, consent)
        if found is None or not viewer.sees(found):
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        profile = patients.find_profile(connection, c.Address(shard, found.patient))
        check_viewer(profile, viewer, self._clock.wall_ms())
        return found

    def _of_patient(
        self, connection: Connection, address: c.Address, viewer: Viewer
    ) -> tuple[list[c.Consent], dict[int, int]]:
        profile = patients.find_profile(connection, address)
        check_viewer(profile, viewer, self._clock.wall_ms())
        if viewer.service and patients.find_subject(connection, address, viewer.service) is None:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        found = [item for item in consents.consents_of(connection, address) if viewer.sees(item)]
        return found, listing.created(connection, address)

    def _revision(self, connection: Connection, shard: int, consent: int, revision: int, viewer: Viewer) -> Revised:
        newest = self._visible(connection, shard, consent, viewer)
        found = self._revised(connection, newest, revision + 1, 1, viewer)
        if not found or found[0].consent.revision != revision:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return found[0]

    def _revised(
        self, connection: Connection, newest: c.Consent, below: int, count: int, viewer: Viewer
    ) -> list[Revised]:
        found: list[Revised] = []
        every = sealed.revisions_below(connection, newest.shard, newest.consent, below)
        for item in self._given_by_persons(newest, every):
            if viewer.sees(item.consent):
                found.append(item)
            if len(found) == count:
                break
        return found

    def _given_by_persons(self, newest: c.Consent, rows: Iterator[sealed.SealedRevision]) -> Iterator[Revised]:
        """The revisions, newest first. Platform and clock move a consent without giving it: it stays the person's before."""
        waiting: list[Revised] = []
        for row in rows:
            entry, terms = parse_entry(row.entry), open_terms(self._vault, row)
            waiting.append(Revised(as_revised(newest, row.revision, row.state, entry, terms), row.time_ms))
            giver = waiting[-1].consent.actor
            if giver.role in PERSONS:
                yield from (replace(item, consent=replace(item.consent, actor=giver)) for item in waiting)
                waiting.clear()

    async def _read(self, function: Callable[[Connection], T]) -> T:
        def read() -> T:
            with self._database.read() as connection:
                return function(connection)

        return await self._ledger.read(read)


def _place(item: tuple[int, str, c.Consent]) -> tuple[int, str]:
    return item[0], item[1]
