"""What patients read of accesses: gathered from the log by the trace index, opened, and filtered for who looks.

Guarantees every access that was recorded before the call, in log order; and that a page is full, and has a next one, by what
its reader sees alone: what is kept from them shortens no page and moves no token. A token therefore names no place in the
log, where hidden entries would count, but an instant and how many of the accesses shown bear it.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from services.chassis.clock import Clock
from services.chassis.db import Database
from services.consent.domain import accesses as a
from services.consent.domain import commands as c
from services.consent.domain.by_clock import by_clock
from services.consent.domain.facts import Facts
from services.consent.domain.pages import Page, Position
from services.consent.domain.replay import RecordOf, read_facts
from services.consent.indexing import Indexer
from services.consent.ledger import Ledger
from services.consent.locked import facts_place
from services.consent.reading import Viewer, check_viewer
from services.consent.store import accesses, consents, listing, patients, traces
from services.consent.store.accesses import SealedAccess
from services.consent.store.traces import Log, Scan
from services.consent.vault import Use, Vault
from services.errors import Violation, invalid
from services.formats.canonical import FormatError, Members, loads_canonical
from services.formats.entry import MAX_BODY, OutcomeResult, parse_entry
from services.formats.lease import ServiceRecord, parse_record

T = TypeVar("T")
CHUNK = 128
"""At most so many accesses are opened in one trip to the reading thread: others read in between."""
MOST = 1_000
"""Accesses of one export."""
_TYPES = frozenset(type_.value for type_ in a.TYPES)


@dataclass(frozen=True, slots=True)
class Given:
    """A consent as it stands by the clock, its name, and when it was given and last revised (milliseconds)."""

    consent: c.Consent
    name: str
    given_ms: int
    revised_ms: int


@dataclass(frozen=True, slots=True)
class _Walk:
    """What is walked for: accesses since an instant, of these subjects, `limit` at a time, as far as `sight` goes."""

    wanted: a.Wanted
    since_ms: int
    limit: int
    subjects: tuple[str, ...]
    sight: a.Sight | None
    opener: "_Opener"


class Accesses:
    """Reads in the ledger's reading thread; `name(shard, local id)` is a consent's external name."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        indexer: Indexer,
        vault: Vault,
        clock: Clock,
        name: Callable[[int, int], str],
    ) -> None:
        self._database, self._ledger, self._indexer = database, ledger, indexer
        self._vault, self._clock, self._name = vault, clock, name

    async def page(self, wanted: a.Wanted, page: Page) -> tuple[list[a.Access], str]:
        """A page of accesses in log order, and the token of the page after it; it begins after (instant, how many).

        Raises: AccordError RESOURCE_NOT_FOUND, STATE_CONFLICT where nobody represents the patient.
        """
        found = await self._first(wanted, page.after, page.size + 1)
        if len(found) <= page.size:
            return found, ""
        return found[:-1], page.following(*_position(found[:-1], page.after))

    async def every(self, wanted: a.Wanted) -> list[a.Access]:
        """All accesses at once. Raises: as `page`, and AccordError FIELD_INVALID where there are more than MOST."""
        found = await self._first(wanted, (), MOST + 1)
        if len(found) > MOST:
            raise invalid([Violation("end_time", f"the period holds more than {MOST} accesses: shorten it")])
        return found

    async def consents(self, address: c.Address, role: str) -> list[Given]:
        """A patient's consents that somebody in this role sees, as they stand, in the order in which they were given.

        Raises: AccordError RESOURCE_NOT_FOUND, STATE_CONFLICT where nobody represents the patient.
        """
        return await self._read(partial(self._given, address, role))

    async def _first(self, wanted: a.Wanted, after: Position, limit: int) -> list[a.Access]:
        since_ms, skip = (int(after[0]), int(after[1])) if after else (0, 0)
        since_ms = max(since_ms, wanted.start_ms or 0)
        walk = await self._read(partial(self._begin, wanted, since_ms, min(limit, CHUNK)))
        found: list[a.Access] = []
        async with aclosing(self._walk(walk)) as every:
            async for access in every:
                if skip and access.time_ms == since_ms:
                    skip -= 1
                    continue
                found.append(access)
                if len(found) == limit:
                    break
        return found

    def _begin(self, wanted: a.Wanted, since_ms: int, limit: int, connection: Connection) -> _Walk:
        address, role = wanted.address, wanted.role
        check_viewer(patients.find_profile(connection, address), Viewer(role=role), self._clock.wall_ms())
        every = consents.consents_of(connection, address)
        sight = a.sight_of(role, ((self._name(item.shard, item.consent), item) for item in every))
        subjects = tuple(sorted(patients.subjects(connection, address).values()))
        return _Walk(wanted, since_ms, limit, subjects, sight, _Opener(self._vault, deciding=sight is not None))

    async def _walk(self, walk: _Walk) -> AsyncGenerator[a.Access, None]:
        logs = [log for log in await self._ledger.read(self._indexer.logs) if log.shard == walk.wanted.address.shard]
        await self._indexer.catch_up(logs)
        now_ms = self._clock.wall_ms()
        for log in logs:
            at: int | None = 0
            while at is not None:
                found, at = await self._read(partial(_look, walk, log, at))
                for access in (a.shown(item, walk.sight, now_ms) for item in found):
                    if access is not None:
                        yield access

    def _given(self, address: c.Address, role: str, connection: Connection) -> list[Given]:
        viewer, now_ms = Viewer(role=role), self._clock.wall_ms()
        check_viewer(patients.find_profile(connection, address), viewer, now_ms)
        given, revised = listing.created(connection, address), accesses.revised(connection, address)
        found = [
            Given(
                by_clock(item, now_ms), self._name(item.shard, item.consent), given[item.consent], revised[item.consent]
            )
            for item in consents.consents_of(connection, address)
            if viewer.sees(item)
        ]
        return sorted(found, key=lambda item: (item.given_ms, item.name))

    async def _read(self, function: Callable[[Connection], T]) -> T:
        def read() -> T:
            with self._database.read() as connection:
                return function(connection)

        return await self._ledger.read(read)


class _Opener:
    """Opens accesses, `deciding` with what they rested on; keys and registry records once opened serve the next ones."""

    def __init__(self, vault: Vault, *, deciding: bool) -> None:
        self._vault, self._deciding = vault, deciding
        self._keys: dict[bytes, bytes] = {}
        self._records: dict[str, ServiceRecord] = {}

    def open(self, connection: Connection, log: Log, row: SealedAccess) -> a.Recorded:
        """The access, as far as it can still be opened."""
        entry, result = parse_entry(row.entry), OutcomeResult(row.result) if row.result else None
        if row.wrapped is None:
            return a.Recorded(entry, result=result)
        if row.wrapped not in self._keys:
            self._keys[row.wrapped] = self._vault.unwrap(row.wrapped, log.shard, row.patient, row.year, Use(row.use))
        key, place = self._keys[row.wrapped], f"{log.origin}|{row.index}"
        _, body = self._vault.open_opening(key, row.sealed, place)
        if not (self._deciding and row.facts):
            return a.Recorded(entry, a.read_asked(body), None, result)
        _, rested_on = self._vault.open_opening(key, row.facts, facts_place(place))
        record_of = partial(self._record, connection, log.shard, (entry.service, entry.counterparty))
        return a.Recorded(entry, a.read_asked(body), _read_facts(body, rested_on, record_of), result)

    def _record(self, connection: Connection, shard: int, services: tuple[str, ...], leaf: str) -> ServiceRecord | None:
        if leaf and leaf not in self._records:
            self._records[leaf] = parse_record(accesses.record(connection, shard, services, leaf))
        return self._records[leaf] if leaf else None


def _look(walk: _Walk, log: Log, at: int, connection: Connection) -> tuple[list[a.Recorded], int | None]:
    """The next accesses of a log from an index on, and the index to go on at; None at the end."""
    wanted = walk.wanted
    first = max(at, traces.first_at(connection, log, walk.since_ms))
    end = log.size if wanted.end_ms is None else min(log.size, traces.first_at(connection, log, wanted.end_ms))
    scan = Scan(log, first, end, walk.subjects, wanted.service, types=_TYPES)
    indices = traces.find(connection, scan, walk.limit)
    found = [walk.opener.open(connection, log, row) for row in accesses.sealed(connection, log, indices)]
    return found, indices[-1] + 1 if len(indices) == walk.limit else None


def _read_facts(body: bytes, rested_on: bytes, record_of: RecordOf) -> Facts | None:
    """What a decision rested on; None where that cannot be put together again, by which nothing is shown."""
    query = Members(loads_canonical(body, MAX_BODY), "body").object("query")
    try:
        return read_facts(query, Members(loads_canonical(rested_on, MAX_BODY), "facts"), record_of)
    except (LookupError, FormatError):
        return None


def _position(shown: Sequence[a.Access], after: Position) -> tuple[int, int]:
    """The last instant shown, and how many of the accesses shown up to now bear it."""
    last_ms = shown[-1].time_ms
    before = int(after[1]) if after and after[0] == last_ms else 0
    return last_ms, before + sum(access.time_ms == last_ms for access in shown)
