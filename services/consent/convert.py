"""Protobuf in, domain values out, and back; the limits of the protos' comments are enforced here, all of them at once."""

import hashlib
import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from accord.consent.v1 import consent_pb2, consent_service_pb2, decision_service_pb2, ledger_pb2
from accord.errors.v1 import error_reason_pb2
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.consent.domain import commands as c
from services.consent.domain.decision import Deny, Permit
from services.consent.domain.identifiers import CONSENT, PORTAL, Identifiers
from services.consent.proofs import Proven
from services.errors import AccordError, Reason, Violation, invalid
from services.formats.canonical import HEX_32, MAX_INTEGER
from services.formats.entry import REVISION, OutcomeResult
from services.formats.rights import SERVICE_NAME, Direction, Purpose, Scope
from services.nomenclature.documents import CLASSES
from services.nomenclature.ins import Ins, parse_ins

MAX_CATEGORIES = 64
MAX_DOCUMENTS = 64
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_AUTHENTICATION = re.compile(r"[a-z0-9_.-]{1,40}")
_ROLES = {consent_pb2.ACTOR_ROLE_HOLDER: "holder", consent_pb2.ACTOR_ROLE_REPRESENTATIVE: "representative"}
_DIRECTIONS = {int(registry_pb2.Direction.Value(f"DIRECTION_{item}")): item for item in Direction}
_PURPOSES = {int(registry_pb2.Purpose.Value(f"PURPOSE_{item}")): item for item in Purpose}
_DISTANT_S = 253_402_300_800


class Form:
    """Reads the fields of one request; `done` refuses it with every violation found."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def check(self, holds: bool, field: str, description: str) -> bool:
        """Notes a violation unless the rule holds."""
        if not holds:
            self._violations.append(Violation(field, description))
        return holds

    def text(self, value: str, pattern: re.Pattern[str], field: str) -> str:
        """A string that `pattern` matches whole."""
        self.check(pattern.fullmatch(value) is not None, field, "has a wrong form" if value else "is required")
        return value

    def service(self, value: str, field: str) -> str:
        """A service's name."""
        return self.text(value, SERVICE_NAME, field)

    def direction(self, value: int, field: str) -> Direction:
        """A direction that is set."""
        self.check(value in _DIRECTIONS, field, "is required and must be known")
        return _DIRECTIONS.get(value, Direction.READ)

    def purpose(self, value: int, field: str) -> Purpose:
        """A purpose that is set."""
        self.check(value in _PURPOSES, field, "is required and must be known")
        return _PURPOSES.get(value, Purpose.CARE)

    def categories(self, values: Iterable[str], field: str) -> frozenset[str]:
        """1 to 64 known categories, no duplicates."""
        items = list(values)
        self.check(1 <= len(items) <= MAX_CATEGORIES, field, f"needs 1 to {MAX_CATEGORIES} items")
        self.check(len(set(items)) == len(items), field, "holds a duplicate")
        known = all(item.startswith("class:") and item.removeprefix("class:") in CLASSES for item in items)
        self.check(known, field, "holds an unknown category")
        return frozenset(items)

    def instant(self, value: Timestamp, field: str) -> int:
        """Milliseconds since 1970, rounded down."""
        self.check(0 <= value.seconds < _DISTANT_S and 0 <= value.nanos < 10**9, field, "is out of range")
        return value.seconds * 1000 + value.nanos // 1_000_000

    def done(self) -> None:
        """Raises: AccordError FIELD_INVALID when anything was noted."""
        if self._violations:
            raise invalid(self._violations)


def _enum_name(enum: Any, prefix: str, value: int) -> str:
    return str(enum.Name(value)).removeprefix(prefix) if value in enum.values() else ""


class Convert:
    """Conversions that need the identifiers' keys, or know whether test identities are allowed."""

    def __init__(self, identifiers: Identifiers, *, allow_test_ins: bool) -> None:
        self._identifiers, self._allow_test_ins = identifiers, allow_test_ins

    def ins(self, message: consent_service_pb2.PatientIdentity) -> Ins:
        """An identity. Raises: AccordError INS_INVALID, INS_TEST_REFUSED."""
        return parse_ins(message.root, message.matricule, allow_test=self._allow_test_ins)

    def profile(self, name: str) -> c.Address:
        """A profile's address. Raises: AccordError RESOURCE_NOT_FOUND."""
        return self._address(PORTAL, name, "profiles/")

    def consent(self, name: str) -> c.Address:
        """A consent's shard and local id. Raises: AccordError RESOURCE_NOT_FOUND."""
        return self._address(CONSENT, name, "consents/")

    def _address(self, audience: str, name: str, prefix: str) -> c.Address:
        identifier = name.removeprefix(prefix)
        found = self._identifiers.decipher(audience, identifier) if name.startswith(prefix) else None
        if found is None:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return c.Address(*found)

    def profile_name(self, address: c.Address) -> str:
        """A profile's name, for the portal."""
        return "profiles/" + self._identifiers.encipher(PORTAL, address.shard, address.patient)

    def pseudonym(self, service: str, address: c.Address) -> str:
        """The patient, for one service."""
        return self._identifiers.encipher(service, address.shard, address.patient)

    def patient(self, service: str, pseudonym: str) -> c.Address | None:
        """The patient of a service's pseudonym; None for one that was never given out."""
        found = self._identifiers.decipher(service, pseudonym) if SERVICE_NAME.fullmatch(service) else None
        return c.Address(*found) if found else None

    def query(self, message: decision_service_pb2.Query, form: Form) -> c.Query:
        """A query; `form` hears of violations."""
        service = form.service(message.service, "query.service")
        form.check(message.counterparty != service, "query.counterparty", "must be another service")
        return c.Query(
            service=service,
            address=self.patient(service, message.patient),
            direction=form.direction(message.direction, "query.direction"),
            counterparty=form.service(message.counterparty, "query.counterparty") if message.counterparty else "",
            purpose=form.purpose(message.purpose, "query.purpose"),
            categories=form.categories(message.categories, "query.categories"),
        )

    def grant(self, message: consent_service_pb2.GrantConsentRequest) -> c.Grant:
        """A grant. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
        form, consent = Form(), message.consent
        unset = not (consent.name or consent.state or consent.revision)
        form.check(unset, "consent", "output-only fields must be unset")
        form.check(consent.HasField("end_time"), "consent.end_time", "is required")
        scope = consent.scope
        grant = partial(
            c.Grant,
            service=form.service(consent.service, "consent.service"),
            scope=Scope(
                form.categories(scope.categories, "consent.scope.categories"),
                frozenset(form.direction(item, "consent.scope.directions") for item in scope.directions),
                frozenset(form.purpose(item, "consent.scope.purposes") for item in scope.purposes),
            ),
            start_ms=form.instant(consent.start_time, "consent.start_time") if consent.HasField("start_time") else None,
            end_ms=form.instant(consent.end_time, "consent.end_time"),
            notice_sha256=form.text(consent.notice_sha256, HEX_32, "consent.notice_sha256"),
            actor=actor(consent.actor, form, "consent.actor"),
            request_id=form.text(message.request_id, _REQUEST_ID, "request_id"),
            digest=hashlib.sha256(consent.SerializeToString(deterministic=True)).hexdigest(),
        )
        for field, items in (("directions", scope.directions), ("purposes", scope.purposes)):
            form.check(0 < len(set(items)) == len(items), f"consent.scope.{field}", "needs items, without duplicates")
        form.done()
        return grant(address=self.profile(message.profile))

    def consent_message(self, consent: c.Consent) -> consent_pb2.Consent:
        """A consent for the wire."""
        scope = consent.scope
        return consent_pb2.Consent(
            name="consents/" + self._identifiers.encipher(CONSENT, consent.shard, consent.consent),
            service=consent.service,
            scope=consent_pb2.Scope(
                categories=sorted(scope.categories),
                directions=[registry_pb2.Direction.Value("DIRECTION_" + item) for item in sorted(scope.directions)],
                purposes=[registry_pb2.Purpose.Value("PURPOSE_" + item) for item in sorted(scope.purposes)],
            ),
            start_time=timestamp(consent.start_ms),
            end_time=timestamp(consent.end_ms),
            notice_sha256=consent.notice_sha256,
            actor=consent_pb2.Actor(
                role=next(role for role, word in _ROLES.items() if word == consent.actor.role),
                authentication=consent.actor.authentication,
            ),
            state=consent_pb2.ConsentState.Value("CONSENT_STATE_" + consent.state),
            revision=consent.revision,
        )

    def authorize(self, message: decision_service_pb2.AuthorizeRequest, thumbprint: str) -> c.Authorize:
        """A request to decide. Raises: AccordError FIELD_INVALID, INS_INVALID, INS_TEST_REFUSED."""
        form = Form()
        documents = len(message.document_patients)
        form.check(1 <= documents <= MAX_DOCUMENTS, "document_patients", f"needs 1 to {MAX_DOCUMENTS} items")
        query = self.query(message.query, form)
        # A permit speaks of one service sending to another: what else a query may ask about gets advice only.
        form.check(query.direction is Direction.DEPOSIT, "query.direction", "must be DEPOSIT")
        form.check(bool(query.counterparty), "query.counterparty", "is required")
        exchange = form.text(message.exchange, HEX_32, "exchange")
        form.done()
        return c.Authorize(query, exchange, tuple(map(self.ins, message.document_patients)), thumbprint)

    def refusal(self, message: decision_service_pb2.RecordRefusalRequest) -> c.RecordRefusal:
        """A refusal to record. Raises: AccordError FIELD_INVALID."""
        form = Form()
        service = form.service(message.service, "service")
        exchange = form.text(message.exchange, HEX_32, "exchange")
        name = _enum_name(error_reason_pb2.ErrorReason, "ERROR_REASON_", message.reason)
        form.check(name in Reason.__members__, "reason", "is required and must be known")
        form.done()
        return c.RecordRefusal(service, self.patient(service, message.patient), exchange, Reason[name])


def actor(message: consent_pb2.Actor, form: Form, field: str) -> c.Actor:
    """Who acts; `form` hears of violations."""
    form.check(message.role in _ROLES, f"{field}.role", "is required and must be known")
    authentication = form.text(message.authentication, _AUTHENTICATION, f"{field}.authentication")
    return c.Actor(_ROLES.get(message.role, ""), authentication)


def outcome(message: decision_service_pb2.RecordOutcomeRequest, shard: int) -> c.RecordOutcome:
    """An outcome to record. Raises: AccordError FIELD_INVALID."""
    form = Form()
    name = _enum_name(decision_service_pb2.Outcome, "OUTCOME_", message.outcome)
    known = form.check(name in OutcomeResult.__members__, "outcome", "is required and must be known")
    form.check(0 <= message.bytes_sent <= MAX_INTEGER, "bytes_sent", "must be 0 to 2^53 - 1")
    form.check(message.authorization.index >= 0, "authorization.index", "must not be negative")
    acknowledgement, manifest = (
        form.text(getattr(message, field), HEX_32, field) if getattr(message, field) else ""
        for field in ("acknowledgement_sha256", "manifest_sha256")
    )
    first_ms, last_ms = (
        form.instant(getattr(message, field), field) if message.HasField(field) else None
        for field in ("first_byte_time", "last_byte_time")
    )
    exchange = form.text(message.exchange, HEX_32, "exchange")
    form.done()
    result = OutcomeResult[name] if known else OutcomeResult.UNKNOWN
    return c.RecordOutcome(
        shard=shard,
        authorization=message.authorization.index,
        exchange=exchange,
        result=result,
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
    return decision_service_pb2.Verdict(reason=error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{told.value}"))


def entry_ref(appended: c.Appended) -> ledger_pb2.EntryRef:
    """Where an entry stands."""
    return ledger_pb2.EntryRef(origin=appended.origin, index=appended.index, leaf_hash=appended.leaf)


def proven(item: Proven) -> ledger_pb2.ProvenEntry:
    """A proven entry for the wire."""
    message = ledger_pb2.ProvenEntry(index=item.index, entry=item.entry, proof=item.proof)
    if item.opening is not None:
        message.opening.salt, message.opening.body = item.opening
    return message


def timestamp(instant_ms: int) -> Timestamp:
    """An instant for the wire."""
    return Timestamp(seconds=instant_ms // 1000, nanos=instant_ms % 1000 * 1_000_000)
