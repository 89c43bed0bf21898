"""Deciding exchanges under the shard's lock, and recording how they ended: gather → decide → append.

Authorisations that follow one another in a batch are gathered together; each still sees the effects of those before it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from services.consent import store
from services.consent.domain import commands as c
from services.consent.domain import decision as d
from services.consent.domain.identifiers import Identifiers
from services.consent.locked import NOBODY, Locked, draft
from services.consent.vault import Vault
from services.errors import AccordError, Reason
from services.formats.entry import EntryType, Outcome, OutcomeResult, sha256_hex
from services.formats.lease import ServiceRecord
from services.formats.rights import Direction
from services.formats.times import text_of

SWEEP = 64
"""Authorisations swept in one transaction: others wait for the same lock."""


class ExchangeHandlers:
    """What the broker asks for."""

    def __init__(self, vault: Vault, identifiers: Identifiers) -> None:
        self._vault, self._identifiers = vault, identifiers

    def facts(
        self,
        shard: int,
        query: c.Query,
        patient: store.PatientFacts | None,
        services: Mapping[str, ServiceRecord],
        documents_match: tuple[bool, ...] = (),
    ) -> d.Facts:
        """The facts of one query, from what was gathered and the registry's snapshot."""
        other = Direction.READ if query.direction is Direction.DEPOSIT else Direction.DEPOSIT
        sides = [(query.service, query.direction)]
        sides += [(query.counterparty, other)] if query.counterparty else []
        parties = tuple(self._party(shard, name, direction, patient, services) for name, direction in sides)
        profile = patient.status if patient else None
        return d.Facts(profile, parties, query.purpose, query.categories, documents_match)

    def _party(
        self,
        shard: int,
        name: str,
        direction: Direction,
        patient: store.PatientFacts | None,
        services: Mapping[str, ServiceRecord],
    ) -> d.Party:
        record = services.get(name)
        standing = d.Standing(record.status, record.convention) if record else None
        consents = patient.consents.get(name, []) if patient else []
        name_of = self._identifiers.revision_name
        facts = tuple(
            d.ConsentFact(name_of(shard, id_, fact.revision), fact.state, fact.scope, fact.start_ms, fact.end_ms)
            for id_, fact in consents
        )
        return d.Party(name, direction, standing, patient is not None and name in patient.subjects, facts)

    def authorize(self, locked: Locked, items: Sequence[c.Authorize]) -> list[Any]:
        """Decides and records each exchange; the lease is read once for all of them."""
        services = locked.lease().services
        patients = store.patient_facts(locked.connection, locked.shard, [item.query for item in items])
        attempts = store.count_attempts(locked.connection, locked.shard, [item.exchange for item in items])
        locked.load_keys([*patients])
        rows: list[dict[str, Any]] = []
        decisions = []
        for item in items:
            earlier = attempts.get(item.exchange, 0)
            patient = patients.get(item.query.address.patient) if item.query.address else None
            matches = (
                patient is not None and self._vault.is_ins(patient.ins_hash, ins) for ins in item.document_patients
            )
            facts = self.facts(locked.shard, item.query, patient, services, tuple(matches))
            decision, row = _decide(locked, item, facts, patient, earlier + 1)
            decisions.append(decision)
            if row is not None:
                attempts[item.exchange] = earlier + 1
                rows.append(row)
        store.add_authorizations(locked.connection, rows)
        return decisions

    def record_outcome(self, locked: Locked, item: c.RecordOutcome) -> c.Outcome:
        """Records an authorisation's outcome, once; UNKNOWN may be superseded, by anything but UNKNOWN."""
        known = store.find_authorization(locked.connection, item.shard, item.authorization)
        if known is None or known.exchange != item.exchange:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        body = {"acknowledgement_sha256": item.acknowledgement_sha256, "manifest_sha256": item.manifest_sha256}
        digest = sha256_hex(f"{item.result}|{item.bytes_sent}|{item.first_ms}|{item.last_ms}|{sorted(body.items())}")
        again = known.result == item.result.value == OutcomeResult.UNKNOWN.value
        if again or known.digest == digest:
            return c.Outcome(item.shard, item.authorization, known.outcome_idx)
        if known.result not in ("", OutcomeResult.UNKNOWN.value):
            raise AccordError(Reason.STATE_CONFLICT, "this authorisation has another outcome")
        outcome = Outcome(item.authorization, item.result, item.bytes_sent, item.first_ms, item.last_ms)
        index = _append_outcome(locked, known, "broker", body, outcome, digest)
        return c.Outcome(item.shard, item.authorization, index)

    def sweep(self, locked: Locked, item: c.Sweep) -> int:
        """Records UNKNOWN for up to SWEEP authorisations without outcome; answers how many. A late outcome supersedes it."""
        unsettled = store.find_unsettled(locked.connection, locked.shard, item.before_ms, SWEEP)
        for known in unsettled:
            _append_outcome(locked, known, "ledger", {}, Outcome(known.idx, OutcomeResult.UNKNOWN, 0), "")
        return len(unsettled)

    def record_refusal(self, locked: Locked, item: c.RecordRefusal) -> c.Appended:
        """Records a refusal, under the patient's subject where service and patient are paired."""
        subject = store.find_subject(locked.connection, item.address, item.service) if item.address else None
        patient = item.address.patient if item.address and subject else NOBODY
        clear: dict[str, Any] = {
            "service": item.service,
            "exchange": item.exchange,
            "reason": item.reason,
            "subject": subject or "",
        }
        return locked.append(draft(EntryType.EXCHANGE_REFUSED, "broker", {}, patient, **clear))


def _append_outcome(locked: Locked, known: Any, actor: str, body: dict[str, Any], outcome: Outcome, digest: str) -> int:
    clear: dict[str, Any] = {"subject": known.subject, "service": known.service, "counterparty": known.counterparty}
    entry = draft(
        EntryType.EXCHANGE_OUTCOME, actor, body, known.patient, exchange=known.exchange, outcome=outcome, **clear
    )
    index = locked.append(entry).index
    store.set_outcome(locked.connection, locked.shard, known.idx, index, outcome.result.value, digest)
    return index


def _decide(
    locked: Locked, item: c.Authorize, facts: d.Facts, patient: store.PatientFacts | None, attempt: int
) -> tuple[c.Decision, dict[str, Any] | None]:
    verdict = d.decide(facts, locked.now_ms)
    query = item.query
    subject = patient.subjects.get(query.service, "") if patient else ""
    owner = query.address.patient if query.address and subject else NOBODY
    clear: dict[str, Any] = {
        "subject": subject,
        "service": query.service,
        "counterparty": query.counterparty,
        "resources": verdict.resources,
        "basis": "consent",
        "exchange": item.exchange,
        "attempt": attempt,
    }
    body, rested_on = _query_json(query), _facts_json(facts)
    now_s = locked.now_ms // 1000
    if isinstance(verdict, d.Deny):
        entry = draft(EntryType.EXCHANGE_DENIED, "broker", body, owner, rested_on, reason=verdict.reason, **clear)
        return c.Decision(locked.append(entry), None, verdict.told, now_s), None
    entry = draft(
        EntryType.EXCHANGE_AUTHORIZED, "broker", body, owner, rested_on, until_ms=verdict.until_s * 1000, **clear
    )
    appended = locked.append(entry)
    row = {"shard": locked.shard, "idx": appended.index, "exchange": item.exchange, "patient": owner}
    row |= {"time_ms": locked.now_ms, "service": query.service, "counterparty": query.counterparty, "subject": subject}
    return c.Decision(appended, verdict, None, now_s), row


def _query_json(query: c.Query) -> dict[str, Any]:
    asked = {
        "categories": sorted(query.categories),
        "counterparty": query.counterparty,
        "direction": query.direction.value,
        "purpose": query.purpose.value,
        "service": query.service,
    }
    return {"query": asked}


def _facts_json(facts: d.Facts) -> dict[str, Any]:
    return {
        "profile": facts.profile.value if facts.profile else "",
        "parties": [_party_json(party) for party in facts.parties],
        "documents_match": list(facts.documents_match),
    }


def _party_json(party: d.Party) -> dict[str, Any]:
    consents = [
        {"revision": item.revision, "state": item.state.value, "start": text_of(item.start_ms)}
        | {"end": text_of(item.end_ms), "scope": item.scope.to_json()}
        for item in party.consents
    ]
    # The convention and the status are in the registry snapshot that the entry pins.
    return {"service": party.service, "direction": party.direction.value, "paired": party.paired, "consents": consents}
