"""Why an exchange would have been permitted or denied at an earlier instant, by what the ledger knew then.

The facts are put together again from what cannot have changed since: consents from the revisions' openings, the profile's
status and the pairings from the log's entries, the services from the registry records that the last entry until then pins,
quotas from the uses before that instant. So a decision in the log is explained as it was taken. An instant is a
millisecond: of entries that share one, all are taken to have preceded the question. Read on the primary, always.
"""

from dataclasses import replace

from sqlalchemy import Connection

from services.chassis.clock import Clock
from services.chassis.db import Database
from services.consent.domain import commands as c
from services.consent.domain.asking import facts_of
from services.consent.domain.explain import Explanation, explain
from services.consent.domain.facts import ConsentFact, Facts, Party, standing_of
from services.consent.domain.identifiers import Identifiers
from services.consent.domain.lifecycle import PROFILE_MOVES, ConsentState, ProfileStatus, profile_after
from services.consent.ledger import Ledger
from services.consent.locked import IDENTITY_YEAR
from services.consent.openings import erased, open_terms
from services.consent.profiles import PROFILE
from services.consent.store import history, patients, sealed
from services.consent.store.sealed import SealedRevision
from services.consent.vault import Vault, subject_of
from services.errors import Violation, invalid
from services.formats.entry import EntryType
from services.formats.lease import parse_record
from services.formats.rights import Direction

_OF_PROFILE = PROFILE_MOVES - {EntryType.PATIENT_ERASED}
_OF_PAIRING = frozenset({EntryType.PAIRING_CREATED})


class Past:
    """Explains earlier instants, in the ledger's reading thread."""

    def __init__(
        self, database: Database, ledger: Ledger, vault: Vault, identifiers: Identifiers, clock: Clock
    ) -> None:
        self._database, self._ledger, self._vault = database, ledger, vault
        self._identifiers, self._clock = identifiers, clock

    async def explain(self, query: c.Query, read_ms: int) -> tuple[Explanation, str]:
        """Why, at an instant, and the token of what that has seen.

        Raises: AccordError FIELD_INVALID for an instant that has not come, STATE_CONFLICT where what stood was erased.
        """
        if read_ms > self._clock.wall_ms():
            raise invalid([Violation("read_time", "must not be in the future")])
        shard = self._ledger.route(query.address, query.service)
        facts, token = await self._ledger.read(lambda: self._read(shard, query, read_ms))
        return explain(facts, read_ms), token

    def _read(self, shard: int, query: c.Query, read_ms: int) -> tuple[Facts, str]:
        with self._database.read() as connection:
            head = history.read_head(connection, shard, self._ledger.epoch)
            last = history.last_entry(connection, shard, read_ms)
            facts = self._facts(connection, shard, query, read_ms, last.registry.sequence if last else 0)
        return facts, self._ledger.horizon.reached(shard, head.size if head else 0)

    def _facts(self, connection: Connection, shard: int, query: c.Query, read_ms: int, sequence: int) -> Facts:
        address = query.address

        def party_of(service: str, direction: Direction) -> Party:
            record = history.record_at(connection, shard, service, sequence)
            return Party(
                service,
                direction,
                standing_of(parse_record(record) if record is not None else None),
                _paired(connection, address, service, read_ms),
                self._consents(connection, address, service, read_ms),
            )

        return facts_of(query, self._status(connection, address, read_ms) if address else None, party_of)

    def _status(self, connection: Connection, address: c.Address, read_ms: int) -> ProfileStatus | None:
        profile = patients.find_profile(connection, address)
        if profile is None:
            return None
        wrapped = history.find_key(connection, address, IDENTITY_YEAR)
        if profile.status is ProfileStatus.ERASED or wrapped is None:
            raise erased()
        key = self._vault.unwrap(wrapped, address.shard, address.patient, IDENTITY_YEAR)
        status: ProfileStatus | None = None
        for type_ in history.happenings(connection, address, subject_of(key, PROFILE), _OF_PROFILE, read_ms):
            status = profile_after(status, type_)
        return status

    def _consents(
        self, connection: Connection, address: c.Address | None, service: str, read_ms: int
    ) -> tuple[ConsentFact, ...]:
        rows = sealed.current_at(connection, address, service, read_ms) if address else []
        return tuple(self._consent(connection, row, read_ms) for row in rows)

    def _consent(self, connection: Connection, row: SealedRevision, read_ms: int) -> ConsentFact:
        terms = open_terms(self._vault, row)
        fact = ConsentFact(
            self._identifiers.revision_name(row.shard, row.consent, row.revision),
            ConsentState(row.state),
            terms.scope,
            terms.start_ms,
            terms.end_ms,
            terms.limits,
        )
        quota = terms.limits.quota
        if quota is None:
            return fact
        # Until before: a decision of that very instant must not find its own use.
        from_ms = quota.window(terms.start_ms, read_ms)
        return replace(fact, used=history.count_uses(connection, row.shard, row.consent, from_ms, read_ms))


def _paired(connection: Connection, address: c.Address | None, service: str, read_ms: int) -> bool:
    subject = patients.find_subject(connection, address, service) if address else None
    if address is None or subject is None:
        return False
    return any(True for _ in history.happenings(connection, address, subject, _OF_PAIRING, read_ms))
