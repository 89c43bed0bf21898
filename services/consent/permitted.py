"""Who may access whom now: the services of a patient, for the portal, and the patients of a service, for that service.

By the rules of `decide` (`domain.standing`) and the registry's current snapshot: a stale lease lists nobody. A list is no
decision. What a minor keeps secret, consents and refusals, is left out before the rules are asked: a representative sees
what would hold without it. Each read of a shard is one snapshot; a list across shards is none.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from services.chassis.clock import Clock
from services.chassis.db import Database
from services.chassis.registry import RegistryView
from services.consent.domain import commands as c
from services.consent.domain.facts import standing_of
from services.consent.domain.identifiers import Identifiers
from services.consent.domain.pages import Page
from services.consent.domain.standing import Holder, Wanted, carrying
from services.consent.gathering import Gathered, Gatherer
from services.consent.ledger import Ledger
from services.consent.reading import Viewer, check_viewer
from services.consent.store import listing, patients
from services.consent.store.facts import PatientFacts, patient_facts
from services.formats.lease import ServiceRecord

LOOKED_AT = 400
"""Patients looked at for one page."""
BEFORE = -1
"""Before every local id."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a list: a service, or a patient, and the consents (consents/…) that permit it."""

    service: str
    address: c.Address
    consents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one shard: the transaction, the register and the instant that everything in it goes by."""

    connection: Connection
    services: Mapping[str, ServiceRecord]
    now_ms: int
    viewer: Viewer
    wanted: Wanted


class Permitted:
    """Lists, in the ledger's reading thread."""

    def __init__(
        self, database: Database, ledger: Ledger, view: RegistryView, clock: Clock, identifiers: Identifiers
    ) -> None:
        self._database, self._ledger, self._view = database, ledger, view
        self._clock, self._identifiers, self._gatherer = clock, identifiers, Gatherer(identifiers)

    async def services(self, address: c.Address, viewer: Viewer, wanted: Wanted, page: Page) -> tuple[list[Line], str]:
        """A patient's services in order of name, and the token of the page after them; a page begins after a name.

        Raises: AccordError RESOURCE_NOT_FOUND, STATE_CONFLICT where nobody represents, REGISTRY_STALE.
        """
        lines = await self._ledger.read(partial(self._of_patient, address, viewer, wanted))
        rest = [line for line in lines if not page.after or (line.service,) > page.after]
        shown = rest[: page.size]
        return shown, page.following(shown[-1].service) if len(rest) > page.size else ""

    async def patients(self, service: str, wanted: Wanted, page: Page, after: c.Address) -> tuple[list[Line], str]:
        """A service's patients after one, and the token of the page after them: it holds the last one's pseudonym.

        At most LOOKED_AT are looked at: a page may be short, or empty, though another follows. Raises: AccordError
        REGISTRY_STALE.
        """
        lines: list[Line] = []
        left = LOOKED_AT
        while after.shard < self._ledger.shards:
            count = min(left, page.size - len(lines))
            if not count:
                return lines, page.following(self._identifiers.encipher(service, after.shard, after.patient))
            looked, found = await self._ledger.read(partial(self._of_service, service, wanted, after, count))
            lines += found
            left -= len(looked)
            after = c.Address(after.shard, looked[-1]) if len(looked) == count else c.Address(after.shard + 1, BEFORE)
        return lines, ""

    def _of_patient(self, address: c.Address, viewer: Viewer, wanted: Wanted) -> list[Line]:
        with self._look(viewer, wanted) as look:
            check_viewer(patients.find_profile(look.connection, address), viewer, look.now_ms)
            facts = patient_facts(look.connection, address.shard, [address.patient])[address.patient]
            lines = [self._line(look, address, name, facts) for name in sorted(facts.consents)]
        return [line for line in lines if line.consents]

    def _of_service(
        self, service: str, wanted: Wanted, after: c.Address, count: int
    ) -> tuple[Sequence[int], list[Line]]:
        with self._look(Viewer(service), wanted) as look:
            looked = listing.patients_of(look.connection, after.shard, service, after.patient, count)
            found = patient_facts(look.connection, after.shard, looked)
            lines = [self._line(look, c.Address(after.shard, item), service, found[item]) for item in looked]
        return looked, [line for line in lines if line.consents]

    @contextmanager
    def _look(self, viewer: Viewer, wanted: Wanted) -> Iterator[_Look]:
        services = self._view.current().services
        with self._database.read() as connection:
            yield _Look(connection, services, self._clock.wall_ms(), viewer, wanted)

    def _line(self, look: _Look, address: c.Address, service: str, facts: PatientFacts) -> Line:
        gathered = Gathered(look.connection, address.shard, {}, look.services, look.now_ms)
        given = self._gatherer.consents(gathered, facts, service)
        seen = tuple(it for it in given if look.viewer.role != c.REPRESENTATIVE or not it.limits.secret)
        standing = standing_of(look.services.get(service))
        carried = carrying(facts.status, Holder(service, standing, seen), look.wanted, look.now_ms)
        return Line(service, address, tuple(fact.revision.partition("/revisions/")[0] for fact in carried))
