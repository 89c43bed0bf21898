"""The facts of an exchange, put together from what one transaction read: for `Authorize`, and for advice.

Guarantees that both decide on the same facts. Leaves to the caller the transaction, the lock where one is needed, and that
the register's snapshot is no older than the log has seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from services.consent.domain import commands as c
from services.consent.domain.asking import facts_of
from services.consent.domain.facts import ConsentFact, Facts, Party, standing_of
from services.consent.domain.identifiers import Identifiers
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import NO_LIMITS
from services.consent.store.facts import PatientFacts, StoredConsent, count_uses, read_limits, read_scope
from services.formats.lease import ServiceRecord
from services.formats.rights import Direction


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was read of one shard's patients, beside the register, at one instant (milliseconds)."""

    connection: Connection
    shard: int
    patients: Mapping[int, PatientFacts]
    services: Mapping[str, ServiceRecord]
    now_ms: int

    def patient(self, query: c.Query) -> PatientFacts | None:
        """What was read of the patient asked about."""
        return self.patients.get(query.address.patient) if query.address else None


class Gatherer:
    """Makes facts of rows; quotas are counted here, of those only that have one."""

    def __init__(self, identifiers: Identifiers) -> None:
        self._identifiers = identifiers

    def facts(
        self, gathered: Gathered, query: c.Query, *, exchange: str = "", documents_match: tuple[bool, ...] = ()
    ) -> Facts:
        """The facts of one query; `exchange` is the one that asks, whose own use no quota holds against it."""
        patient = gathered.patient(query)

        def party_of(service: str, direction: Direction) -> Party:
            return Party(
                service,
                direction,
                standing_of(gathered.services.get(service)),
                patient is not None and service in patient.subjects,
                self.consents(gathered, patient, service, exchange) if patient else (),
            )

        return facts_of(query, patient.status if patient else None, party_of, documents_match)

    def consents(
        self, gathered: Gathered, patient: PatientFacts, service: str, exchange: str = ""
    ) -> tuple[ConsentFact, ...]:
        """What a patient gave a service, or refused it, in order of their ids."""
        return tuple([self._consent(gathered, row, exchange) for row in patient.consents.get(service, ())])

    def _consent(self, gathered: Gathered, row: StoredConsent, exchange: str) -> ConsentFact:
        limits, used, counted = read_limits(row.limits) if row.limits else NO_LIMITS, 0, False
        if limits.quota is not None:
            from_ms = limits.quota.window(row.start_ms, gathered.now_ms)
            used, counted = count_uses(gathered.connection, gathered.shard, row.id, exchange, from_ms)
        return ConsentFact(
            self._identifiers.revision_name(gathered.shard, row.id, row.revision),
            ConsentState(row.state),
            read_scope(row.scope),
            row.start_ms,
            row.end_ms,
            limits,
            used,
            counted,
        )
