"""What a recovery does shard by shard, in bounded transactions: each looks for what is left to do, and does some of it.

So a crash after any of them is continued by doing the same again, and doing it once more changes nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, select, tuple_, update

from services.chassis.db import Database
from services.consent import tables
from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState, ProfileStatus
from services.consent.erasure import ErasureHandlers
from services.consent.integrity.case import Secrets
from services.consent.locked import DATA_KEY, IDENTITY_YEAR, STEP, Locked
from services.consent.moves import ProfileMoves
from services.consent.profiles import PROFILE
from services.consent.recovery.epoch import NextLog
from services.consent.recovery.export import Tombstone
from services.consent.revisions import Revisions
from services.consent.store import consents, erasure
from services.consent.store.consents import REVISION
from services.consent.store.facts import CONSENT, PATIENT
from services.consent.store.patients import ALIAS
from services.consent.store.requests import CONSENT_REQUEST
from services.consent.vault import Use, subject_of
from services.formats.entry import EntryType, parse_entry

PAGE = 500
CAUSE = "recovery"
_CLOCK = c.Actor(c.LEDGER, "")
_KEYED = (CONSENT.c.patient, CONSENT.c.service, CONSENT.c.id)
_MADE = and_(
    REVISION.c.shard == CONSENT.c.shard,
    REVISION.c.consent == CONSENT.c.id,
    REVISION.c.revision == CONSENT.c.revision,
)


class Steps:
    """The steps after each shard's next log was begun; counts what it does."""

    def __init__(self, database: Database, secrets: Secrets, logs: Sequence[NextLog]) -> None:
        self._database, self._secrets, self._logs = database, secrets, logs
        self._revisions = Revisions(secrets.vault, secrets.identifiers)
        self._moves = ProfileMoves(secrets.vault, self._revisions)
        self.suspended = self.erased = self.dropped_years = self.expired = 0
        self.unresolved: list[str] = []

    def replay(self, tombstones: Mapping[int, Sequence[Tombstone]]) -> None:
        """Erases again what the lost range erased, in its order; takes erased patients out of the whole directory."""
        for log in self._logs:
            lost = tombstones.get(log.shard, ())
            owners = self._owners(log.shard, {item.entry.subject for item in lost if item.entry.subject})
            for item in lost:
                if item.entry.type is EntryType.PATIENT_ERASED:
                    self._erase(log, item, owners.get(item.entry.subject))
                else:
                    self._retain(log, item)
        for log in self._logs:
            self._drop_aliases(log)

    def _owners(self, shard: int, subjects: set[str]) -> dict[str, int]:
        """The patients of these subjects, by the key that derives them; who was erased or is not there has none."""
        where = (DATA_KEY.c.shard == shard, DATA_KEY.c.year == IDENTITY_YEAR, DATA_KEY.c.use == Use.RECORD.value)
        statement = select(DATA_KEY.c.patient, DATA_KEY.c.wrapped).where(*where)
        found: dict[str, int] = {}
        for row in self._pages(statement, (DATA_KEY.c.patient,)) if subjects else ():
            key = self._secrets.vault.unwrap(bytes(row.wrapped), shard, row.patient, IDENTITY_YEAR)
            subject = subject_of(key, PROFILE)
            if subject in subjects:
                found[subject] = row.patient
        return found

    def _erase(self, log: NextLog, item: Tombstone, patient: int | None) -> None:
        """Closes the profile, which ends its consents, and erases it: what was lost must have done both."""
        if patient is None:
            return
        if item.traces is None:
            self.unresolved.append(
                f"entry {item.index} of shard {log.shard}: whether traces too cannot be told; they stay"
            )
        address = c.Address(log.shard, patient)
        with log.locked() as locked:
            self._moves.move(locked, c.MoveProfile(address, EntryType.PROFILE_CLOSED, _CLOCK, CAUSE))
        # In a transaction of its own: a tombstone counts the openings that are written, not those about to be.
        with log.locked() as locked:
            handlers = ErasureHandlers(_delay_ms(item))
            handlers.erase(locked, c.Erase(address, item.entry.basis, bool(item.traces)))
            self.erased += 1

    def _retain(self, log: NextLog, item: Tombstone) -> None:
        if item.year is None:
            self.unresolved.append(f"entry {item.index} of shard {log.shard}: the year dropped cannot be told")
            return
        with log.locked() as locked:
            handlers = ErasureHandlers(_delay_ms(item))
            self.dropped_years += bool(handlers.retain(locked, c.Retain(log.shard, item.year, item.entry.basis)))

    def _drop_aliases(self, log: NextLog) -> None:
        """The erased patients' entries of one shard's directory, whose ever erasure left them."""
        owner = and_(PATIENT.c.shard == ALIAS.c.to_shard, PATIENT.c.id == ALIAS.c.to_patient)
        erased = (ALIAS.c.shard == log.shard, PATIENT.c.status == ProfileStatus.ERASED.value)
        statement = select(ALIAS.c.ins_hash, ALIAS.c.to_shard, ALIAS.c.to_patient).join(PATIENT, owner).where(*erased)
        for row in list(self._pages(statement, (ALIAS.c.ins_hash,))):
            with log.locked() as locked:
                erasure.drop_aliases(locked.connection, log.shard, c.Address(row.to_shard, row.to_patient))

    def suspend(self) -> None:
        """Suspends every consent that stands and has no revision of the new epoch."""
        for log in self._logs:
            after: tuple[int, str, int] | None = None
            while True:
                with log.locked() as locked:
                    found = self._standing(locked, after)
                    locked.load_keys([row.patient for row in found])
                    for row in found:
                        self._suspend(locked, row.id)
                if len(found) < STEP:
                    break
                after = (found[-1].patient, found[-1].service, found[-1].id)

    @staticmethod
    def _standing(locked: Locked, after: tuple[int, str, int] | None) -> Sequence[Any]:
        statement = select(*_KEYED).join(REVISION, _MADE).order_by(*_KEYED).limit(STEP)
        old = (CONSENT.c.shard == locked.shard, CONSENT.c.standing, REVISION.c.epoch < locked.epoch)
        statement = statement.where(*old, *([] if after is None else [tuple_(*_KEYED) > tuple_(*after)]))
        return locked.connection.execute(statement).all()

    def _suspend(self, locked: Locked, consent: int) -> None:
        standing = consents.find_consent(locked.connection, locked.shard, consent)
        if standing is not None:
            self._revisions.move(locked, standing, ConsentState.SUSPENDED, _CLOCK, cause=CAUSE)
            self.suspended += 1

    def expire_requests(self) -> None:
        """What services asked for and nobody has decided ends with the old epoch: they ask again."""
        for log in self._logs:
            after = -1
            while after is not None:
                with log.locked() as locked:
                    after = self._expire(locked, after)

    def _expire(self, locked: Locked, after: int) -> Any:
        """One page; answers the last id looked at, None at the end."""
        began_ms = _began_ms(locked.connection, locked.shard, locked.epoch)
        table = CONSENT_REQUEST
        page = (
            select(table.c.id, table.c.state, table.c.expires_ms)
            .where(table.c.shard == locked.shard, table.c.id > after)
            .order_by(table.c.id)
            .limit(PAGE)
        )
        rows = locked.connection.execute(page).all()
        waiting = [row.id for row in rows if row.state == c.RequestState.PENDING.value and row.expires_ms > began_ms]
        if waiting:
            where = (table.c.shard == locked.shard, table.c.id.in_(waiting))
            locked.connection.execute(update(table).where(*where).values(expires_ms=began_ms))
            self.expired += len(waiting)
        return rows[-1].id if len(rows) == PAGE else None

    def _pages(self, statement: Select[Any], key: tuple[Any, ...]) -> Iterator[Any]:
        after: tuple[Any, ...] | None = None
        while True:
            page = statement.order_by(*key).limit(PAGE)
            page = page if after is None else page.where(tuple_(*key) > tuple_(*after))
            with self._database.read() as connection:
                rows = connection.execute(page).all()
            yield from rows
            if len(rows) < PAGE:
                return
            after = tuple(rows[-1]._mapping[column] for column in key)


def _delay_ms(item: Tombstone) -> int:
    """How long what is destroyed again may live on: as long as the lost tombstone said, counted from now."""
    return max((item.entry.until_ms or 0) - item.entry.time_ms, 0)


def _began_ms(connection: Connection, shard: int, epoch: int) -> int:
    entry = tables.table(tables.Entry)
    where = (entry.c.shard == shard, entry.c.epoch == epoch, entry.c.idx == 0)
    return parse_entry(bytes(connection.execute(select(entry.c.data).where(*where)).scalar_one())).time_ms
