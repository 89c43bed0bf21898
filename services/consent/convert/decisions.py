"""Decisions: what is asked about an exchange, what is answered, and how exchanges ended."""

import re
from collections.abc import Iterable
from typing import Any

from accord.consent.v1 import decision_service_pb2, ledger_pb2
from accord.errors.v1 import error_reason_pb2

from services.consent.advice import TOKEN
from services.consent.convert.form import BASES, LABEL, MAX_LABELS, Form, enum_name
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.decision import Deny, Permit
from services.consent.domain.explain import Explanation, Step
from services.consent.domain.vector import Vector
from services.consent.horizon import ANY, LATEST, Consistency
from services.consent.proofs import Proven
from services.errors import MEANINGS, Reason
from services.formats.canonical import HEX_32, MAX_INTEGER
from services.formats.entry import REVISION, OutcomeResult
from services.formats.rights import Basis, Direction

MAX_DOCUMENTS = 64
MAX_ITEMS = 100
CORRELATION = re.compile(r".{1,64}", re.DOTALL)


def query(message: decision_service_pb2.Query, form: Form, names: Names, field: str = "query") -> c.Query:
    """A query; `form` hears of violations."""
    service = form.service(message.service, f"{field}.service")
    form.check(message.counterparty != service, f"{field}.counterparty", "must be another service")
    counterparty = form.service(message.counterparty, f"{field}.counterparty") if message.counterparty else ""
    return c.Query(
        service=service,
        address=names.patient(service, message.patient),
        direction=form.direction(message.direction, f"{field}.direction"),
        counterparty=counterparty,
        purpose=form.purpose(message.purpose, f"{field}.purpose"),
        categories=form.categories(message.categories, f"{field}.categories"),
        labels=form.set_of(message.labels, LABEL, MAX_LABELS, f"{field}.labels"),
        data_from_ms=form.optional_instant(message, "data_start_time", field),
        data_until_ms=form.optional_instant(message, "data_end_time", field),
        basis=form.member(BASES, message.basis, f"{field}.basis", Basis.CONSENT),
    )


def batch(message: decision_service_pb2.BatchCheckRequest, names: Names) -> tuple[list[c.Query], Consistency]:
    """The queries of a batch, in order. Raises: AccordError FIELD_INVALID for every violated field of every item."""
    form, count = Form(), len(message.items)
    if not form.check(1 <= count <= MAX_ITEMS, "items", f"needs 1 to {MAX_ITEMS} items"):
        form.done()
    for place, item in enumerate(message.items):
        form.text(item.correlation_id, CORRELATION, f"items[{place}].correlation_id")
    form.check(len({item.correlation_id for item in message.items}) == count, "items", "holds a correlation_id twice")
    queries = [query(item.query, form, names, f"items[{place}].query") for place, item in enumerate(message.items)]
    asked = consistency(message, form)
    form.done()
    return queries, asked


def explain(message: decision_service_pb2.ExplainRequest, names: Names) -> tuple[c.Query, Consistency, int | None]:
    """The query, how fresh, and the past instant where one is given. Raises: AccordError FIELD_INVALID."""
    form = Form()
    asked, fresh = query(message.query, form, names), consistency(message, form)
    read_ms = form.optional_instant(message, "read_time")
    form.check(read_ms is None or not message.HasField("consistency"), "consistency", "must be unset with read_time")
    form.done()
    return asked, fresh, read_ms


def consistency(message: Any, form: Form) -> Consistency:
    """How fresh a request's answer must be; `form` hears of violations."""
    if not message.HasField("consistency"):
        return ANY
    asked = message.consistency
    kind = asked.WhichOneof("requirement")
    if kind == "at_least_as_fresh":
        least = Vector.parse(asked.at_least_as_fresh)
        form.check(least is not None, TOKEN, "is not one that was given out")
        return Consistency(least)
    form.check(kind is None or getattr(asked, kind), f"consistency.{kind}", "must be true where it is set")
    return LATEST if kind == "fully_consistent" else ANY


def authorize(message: decision_service_pb2.AuthorizeRequest, names: Names, thumbprint: str) -> c.Authorize:
    """A request to decide. Raises: AccordError FIELD_INVALID, INS_INVALID, INS_TEST_REFUSED."""
    form = Form()
    documents = len(message.document_patients)
    form.check(1 <= documents <= MAX_DOCUMENTS, "document_patients", f"needs 1 to {MAX_DOCUMENTS} items")
    asked = query(message.query, form, names)
    # A permit speaks of one service sending to another: what else a query may ask about gets advice only.
    form.check(asked.direction is Direction.DEPOSIT, "query.direction", "must be DEPOSIT")
    form.check(bool(asked.counterparty), "query.counterparty", "is required")
    exchange = form.text(message.exchange, HEX_32, "exchange")
    form.done()
    return c.Authorize(asked, exchange, tuple(map(names.ins, message.document_patients)), thumbprint)


def refusal(message: decision_service_pb2.RecordRefusalRequest, names: Names) -> c.RecordRefusal:
    """A refusal to record. Raises: AccordError FIELD_INVALID."""
    form = Form()
    service = form.service(message.service, "service")
    exchange = form.text(message.exchange, HEX_32, "exchange")
    name = enum_name(error_reason_pb2.ErrorReason, "ERROR_REASON_", message.reason)
    form.check(name in Reason.__members__, "reason", "is required and must be known")
    form.done()
    return c.RecordRefusal(service, names.patient(service, message.patient), exchange, Reason[name])


def outcome(message: decision_service_pb2.RecordOutcomeRequest, shard: int) -> c.RecordOutcome:
    """An outcome to record. Raises: AccordError FIELD_INVALID."""
    form = Form()
    name = enum_name(decision_service_pb2.Outcome, "OUTCOME_", message.outcome)
    known = form.check(name in OutcomeResult.__members__, "outcome", "is required and must be known")
    form.check(0 <= message.bytes_sent <= MAX_INTEGER, "bytes_sent", "must be 0 to 2^53 - 1")
    form.check(message.authorization.index >= 0, "authorization.index", "must not be negative")
    acknowledgement, manifest = (
        form.text(getattr(message, field), HEX_32, field) if getattr(message, field) else ""
        for field in ("acknowledgement_sha256", "manifest_sha256")
    )
    first_ms, last_ms = (form.optional_instant(message, field) for field in ("first_byte_time", "last_byte_time"))
    exchange = form.text(message.exchange, HEX_32, "exchange")
    form.done()
    return c.RecordOutcome(
        shard=shard,
        authorization=message.authorization.index,
        exchange=exchange,
        result=OutcomeResult[name] if known else OutcomeResult.UNKNOWN,
        bytes_sent=message.bytes_sent,
        first_ms=first_ms,
        last_ms=last_ms,
        acknowledgement_sha256=acknowledgement,
        manifest_sha256=manifest,
    )


def resources(names: Iterable[str], form: Form) -> frozenset[str]:
    """The consent revisions of an authorisation; `form` hears of violations."""
    items = list(names)
    form.check(len(items) <= 2, "resources", "holds more than 2 items")
    form.check(all(map(REVISION.fullmatch, items)), "resources", "holds what is no consent revision")
    return frozenset(items)


def verdict(decided: Permit | Deny | None, told: Reason | None = None) -> decision_service_pb2.Verdict:
    """A verdict for the wire: only what the asking service may know."""
    told = decided.told if isinstance(decided, Deny) else told
    if told is None:
        return decision_service_pb2.Verdict(permitted=True)
    return decision_service_pb2.Verdict(reason=_reason(told))


def explanation(explained: Explanation, token: str, language: str) -> decision_service_pb2.ExplainResponse:
    """An explanation for the wire, in `language` (fr or en)."""
    rules = [_rule(step, language) for step in explained.steps]
    return decision_service_pb2.ExplainResponse(verdict=verdict(explained.verdict), rules=rules, token=token)


def _rule(step: Step, language: str) -> decision_service_pb2.ExplainResponse.Rule:
    meaning = MEANINGS[step.reason]
    return decision_service_pb2.ExplainResponse.Rule(
        reason=_reason(step.reason),
        holds=step.holds,
        resource=step.resource,
        message=meaning.french if language == "fr" else meaning.english,
        remedy="" if step.holds else meaning.remedy,
    )


def _reason(reason: Reason) -> error_reason_pb2.ErrorReason.ValueType:
    return error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{reason.value}")


def entry_ref(appended: c.Appended) -> ledger_pb2.EntryRef:
    """Where an entry stands."""
    return ledger_pb2.EntryRef(origin=appended.origin, index=appended.index, leaf_hash=appended.leaf)


def proven(item: Proven) -> ledger_pb2.ProvenEntry:
    """A proven entry for the wire."""
    message = ledger_pb2.ProvenEntry(index=item.index, entry=item.entry, proof=item.proof)
    if item.opening is not None:
        message.opening.salt, message.opening.body = item.opening
    return message
