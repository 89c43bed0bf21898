"""Deciding exchanges under the shard's lock, and recording how they ended: gather → decide → append.

Authorisations that follow one another in a batch are gathered together; each still sees the effects of those before it.
"""

from collections.abc import Sequence
from typing import Any

from services.chassis.registry import Snapshot
from services.consent.domain import commands as c
from services.consent.domain import decision as d
from services.consent.domain.identifiers import CONSENT, Identifiers
from services.consent.domain.replay import facts_json, query_json
from services.consent.gathering import Gathered, Gatherer
from services.consent.locked import NOBODY, STEP, Locked, draft
from services.consent.store import authorizations, patients
from services.consent.store.facts import PatientFacts, add_use, facts_asked
from services.consent.vault import Use, Vault
from services.errors import AccordError, Reason
from services.formats.entry import EntryType, Outcome, OutcomeResult, sha256_hex
from services.nomenclature.ins import Ins


class ExchangeHandlers:
    """What the broker asks for."""

    def __init__(self, vault: Vault, identifiers: Identifiers) -> None:
        self._vault, self._identifiers, self._gatherer = vault, identifiers, Gatherer(identifiers)

    def authorize(self, locked: Locked, items: Sequence[c.Authorize]) -> list[Any]:
        """Decides and records each exchange; the lease is read once for all of them."""
        snapshot = locked.lease()
        found = facts_asked(locked.connection, locked.shard, [item.query for item in items])
        gathered = Gathered(locked.connection, locked.shard, found, snapshot.services, locked.now_ms)
        attempts = authorizations.count_attempts(locked.connection, locked.shard, [item.exchange for item in items])
        locked.load_keys([*found], use=Use.TRACE)
        rows: list[dict[str, Any]] = []
        decisions = []
        for item in items:
            earlier, patient = attempts.get(item.exchange, 0), gathered.patient(item.query)
            match = tuple(self._is_one_of(patient, ins) for ins in item.document_patients)
            facts = self._gatherer.facts(gathered, item.query, exchange=item.exchange, documents_match=match)
            decision, row = _decide(locked, item, facts, patient, earlier + 1, snapshot)
            decisions.append(decision)
            if row is not None:
                attempts[item.exchange] = earlier + 1
                rows.append(row)
                self._count(locked, decision.permit, item.exchange)
        authorizations.add_authorizations(locked.connection, rows)
        return decisions

    def _is_one_of(self, patient: PatientFacts | None, ins: Ins) -> bool:
        return patient is not None and any(self._vault.is_ins(known, ins) for known in patient.ins_hashes)

    def _count(self, locked: Locked, permit: d.Permit | None, exchange: str) -> None:
        # At once, not with the batch: the next item's quota must see it.
        for revision in permit.counts if permit else ():
            place = self._identifiers.decipher(CONSENT, revision.split("/")[1])
            if place is not None:
                add_use(locked.connection, locked.shard, place[1], exchange, locked.now_ms)

    def record_outcome(self, locked: Locked, item: c.RecordOutcome) -> c.Outcome:
        """Records an authorisation's outcome, once; UNKNOWN may be superseded, by anything but UNKNOWN."""
        known = authorizations.find_authorization(locked.connection, item.shard, locked.epoch, item.authorization)
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
        """Records UNKNOWN for up to STEP authorisations without outcome; answers how many. A late outcome supersedes it."""
        unsettled = authorizations.find_unsettled(locked.connection, locked.shard, locked.epoch, item.before_ms, STEP)
        for known in unsettled:
            _append_outcome(locked, known, "ledger", {}, Outcome(known.idx, OutcomeResult.UNKNOWN, 0), "")
        return len(unsettled)

    def record_refusal(self, locked: Locked, item: c.RecordRefusal) -> c.Appended:
        """Records a refusal, under the patient's subject where service and patient are paired."""
        subject = patients.find_subject(locked.connection, item.address, item.service) if item.address else None
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
    authorizations.set_outcome(locked.connection, known, index, outcome.result.value, digest)
    return index


def _decide(
    locked: Locked, item: c.Authorize, facts: d.Facts, patient: PatientFacts | None, attempt: int, snapshot: Snapshot
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
        "basis": query.basis.value,
        "exchange": item.exchange,
        "attempt": attempt,
    }
    records = {party.service: snapshot.hashes[party.service].hex() for party in facts.parties if party.standing}
    body, rested_on = {"query": query_json(query)}, facts_json(facts, records)
    now_s = locked.now_ms // 1000
    if isinstance(verdict, d.Deny):
        entry = draft(EntryType.EXCHANGE_DENIED, "broker", body, owner, rested_on, reason=verdict.reason, **clear)
        return c.Decision(locked.append(entry), None, verdict.told, now_s), None
    entry = draft(
        EntryType.EXCHANGE_AUTHORIZED, "broker", body, owner, rested_on, until_ms=verdict.until_s * 1000, **clear
    )
    appended = locked.append(entry)
    row = {"shard": locked.shard, "epoch": locked.epoch, "idx": appended.index, "exchange": item.exchange}
    row |= {"patient": owner, "time_ms": locked.now_ms, "service": query.service}
    row |= {"counterparty": query.counterparty, "subject": subject}
    return c.Decision(appended, verdict, None, now_s), row
