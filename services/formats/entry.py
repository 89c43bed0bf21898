"""A ledger entry and its commitment, byte for byte.

An entry is one JSON object in RFC 8785 form; members that do not apply are absent. It names no person: `subject` is a
keyed hash, and what else belongs to the patient lies behind `commit` = SHA-256(salt ‖ body), 32-byte random salt.
"""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.errors import Reason
from services.formats.canonical import HEX_32, FormatError, Members, dumps, loads_canonical
from services.formats.rights import SERVICE_NAME
from services.formats.times import TEXT, instant_of, text_of

VERSION = 1
MAX_ENTRY = 65_535
MAX_BODY = 1 << 20
REVISION = re.compile(r"consents/[0-9a-f]{32}/revisions/[1-9][0-9]{0,8}")
_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")


class EntryType(StrEnum):
    """What an entry records."""

    PROFILE_INFORMED = "profile.informed"
    PROFILE_OPENED = "profile.opened"
    PROFILE_ACTIVATED = "profile.activated"
    PROFILE_ALIASED = "profile.aliased"
    PROFILE_SUSPENDED = "profile.suspended"
    PROFILE_RESUMED = "profile.resumed"
    PROFILE_CLOSED = "profile.closed"
    PROFILE_REOPENED = "profile.reopened"
    REPRESENTATIVE_ADDED = "representative.added"
    REPRESENTATIVE_REMOVED = "representative.removed"
    PAIRING_CREATED = "pairing.created"
    CONSENT_REQUESTED = "consent.requested"
    CONSENT_REJECTED = "consent.rejected"
    CONSENT_GRANTED = "consent.granted"
    CONSENT_AMENDED = "consent.amended"
    CONSENT_SUSPENDED = "consent.suspended"
    CONSENT_RESUMED = "consent.resumed"
    CONSENT_REVOKED = "consent.revoked"
    CONSENT_EXPIRED = "consent.expired"
    CONSENT_ENDED = "consent.ended"
    NOTICE_SENT = "notice.sent"
    REVOCATION_ACKNOWLEDGED = "revocation.acknowledged"
    EXCHANGE_AUTHORIZED = "exchange.authorized"
    EXCHANGE_DENIED = "exchange.denied"
    EXCHANGE_REFUSED = "exchange.refused"
    EXCHANGE_OUTCOME = "exchange.outcome"
    REGISTRY_OBSERVED = "registry.observed"
    AUDIT_READ = "audit.read"
    PATIENT_ERASED = "patient.erased"
    RETENTION_APPLIED = "retention.applied"
    LEDGER_RECOVERED = "ledger.recovered"
    INDEX_ROOT = "index.root"  # reserved: provably complete search


LIVE = frozenset({EntryType.CONSENT_GRANTED, EntryType.CONSENT_AMENDED, EntryType.CONSENT_RESUMED})
"""The entries after which a consent's revision, the one they name, may carry an authorisation."""
REVISING = LIVE | {
    EntryType.CONSENT_SUSPENDED,
    EntryType.CONSENT_REVOKED,
    EntryType.CONSENT_EXPIRED,
    EntryType.CONSENT_ENDED,
}
"""The entries that make a revision of a consent."""


class OutcomeResult(StrEnum):
    """How an authorised exchange ended."""

    DELIVERED = "DELIVERED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    DISPUTED = "DISPUTED"


@dataclass(frozen=True, slots=True)
class Pin:
    """The registry snapshot that an entry was written under: its sequence and hash (hexadecimal)."""

    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome: index of its authorisation, result, document bytes sent, when the first and last of them left."""

    authorization: int
    result: OutcomeResult
    bytes_sent: int
    first_ms: int | None = None
    last_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """What a recovery found gone: entries from index `size` of `origin` up to `seen`, where witnesses had seen them."""

    origin: str
    size: int
    seen: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; instants in milliseconds since 1970, hashes in lower-case hexadecimal."""

    type: EntryType
    time_ms: int
    shard: int
    registry: Pin
    commit: str
    actor: str
    subject: str = ""
    service: str = ""
    counterparty: str = ""
    resources: tuple[str, ...] = ()
    basis: str = ""
    reason: Reason | None = None
    until_ms: int | None = None
    exchange: str = ""
    attempt: int = 0
    outcome: Outcome | None = None
    cause: str = ""
    assertion: str = ""
    covers: int = 0
    lost: Lost | None = None

    def to_bytes(self) -> bytes:
        """The entry's exact bytes."""
        members: dict[str, Any] = {
            "v": VERSION,
            "type": self.type.value,
            "time": text_of(self.time_ms),
            "shard": self.shard,
            "registry": {"sequence": self.registry.sequence, "hash": self.registry.hash},
            "commit": self.commit,
            "actor": self.actor,
            "subject": self.subject,
            "service": self.service,
            "counterparty": self.counterparty,
            "resources": list(self.resources),
            "basis": self.basis,
            "reason": self.reason.value if self.reason else "",
            "until": _text(self.until_ms),
            "exchange": self.exchange,
            "attempt": self.attempt,
            "outcome": _outcome_json(self.outcome) if self.outcome else "",
            "cause": self.cause,
            "assertion": self.assertion,
            "covers": self.covers,
            "lost": _lost_json(self.lost) if self.lost else "",
        }
        return dumps({name: value for name, value in members.items() if value or name == "shard"})


def parse_entry(data: bytes) -> Entry:
    """The entry that these bytes are. Raises: FormatError for anything else, above all bytes ≠ canonical(parse(bytes))."""
    members = Members(loads_canonical(data, MAX_ENTRY), "entry")
    if members.integer("v") != VERSION:
        raise FormatError("an entry of an unknown version")
    try:
        entry = _read(members)
    except ValueError as error:
        raise FormatError(
            str(error) if isinstance(error, FormatError) else "an unknown type, reason or result"
        ) from None
    members.done()
    if entry.to_bytes() != data:
        raise FormatError("the entry holds an empty member")
    return entry


def _read(members: Members) -> Entry:
    reason = members.text("reason", default="")
    return Entry(
        type=EntryType(members.text("type")),
        time_ms=instant_of(members.text("time")),
        shard=members.integer("shard"),
        registry=_read_pin(members.object("registry")),
        commit=members.text("commit", HEX_32),
        actor=members.text("actor", _WORD),
        subject=members.text("subject", HEX_32, default=""),
        service=members.text("service", SERVICE_NAME, default=""),
        counterparty=members.text("counterparty", SERVICE_NAME, default=""),
        resources=members.texts("resources", REVISION),
        basis=members.text("basis", _WORD, default=""),
        reason=Reason(reason) if reason else None,
        until_ms=_instant(members, "until"),
        exchange=members.text("exchange", HEX_32, default=""),
        attempt=members.integer("attempt", default=0),
        outcome=_read_outcome(members.object("outcome")) if members.has("outcome") else None,
        cause=members.text("cause", _WORD, default=""),
        assertion=members.text("assertion", HEX_32, default=""),
        covers=members.integer("covers", default=0),
        lost=_read_lost(members.object("lost")) if members.has("lost") else None,
    )


def _read_pin(members: Members) -> Pin:
    pin = Pin(members.integer("sequence"), members.text("hash", HEX_32))
    members.done()
    return pin


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    members: dict[str, Any] = {
        "authorization": outcome.authorization,
        "result": outcome.result.value,
        "bytes": outcome.bytes_sent,
    }
    times = {"first": _text(outcome.first_ms), "last": _text(outcome.last_ms)}
    return members | {name: text for name, text in times.items() if text}


def _read_outcome(members: Members) -> Outcome:
    outcome = Outcome(
        members.integer("authorization"),
        OutcomeResult(members.text("result")),
        members.integer("bytes"),
        _instant(members, "first"),
        _instant(members, "last"),
    )
    members.done()
    return outcome


def _lost_json(lost: Lost) -> dict[str, Any]:
    return {"origin": lost.origin, "size": lost.size, "seen": lost.seen}


def _read_lost(members: Members) -> Lost:
    lost = Lost(members.text("origin"), members.integer("size"), members.integer("seen"))
    members.done()
    return lost


def _text(instant_ms: int | None) -> str:
    return text_of(instant_ms) if instant_ms is not None else ""


def _instant(members: Members, name: str) -> int | None:
    text = members.text(name, TEXT, default="")
    return instant_of(text) if text else None


def commitment(salt: bytes, body: bytes) -> str:
    """SHA-256(salt ‖ body) in hexadecimal: binds the entry to its body and says nothing of it. `salt` is 32 bytes."""
    if len(salt) != 32:
        raise FormatError("a salt is 32 bytes")
    return hashlib.sha256(salt + body).hexdigest()


def sha256_hex(data: bytes | str) -> str:
    """SHA-256 in lower-case hexadecimal; text as UTF-8."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()
