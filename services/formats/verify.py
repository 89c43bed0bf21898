"""Verification of evidence, offline: numbered steps, each resting on those before it; the first broken one is named.

Guarantees that, when all steps hold, the sender signed exactly these documents for this recipient and purpose, the ledger
authorised that exchange before it happened and recorded its outcome, and the recipient acknowledged every byte of it.
Leaves to the caller that TRUST is the right one (compare its fingerprint), and that the log is not forked (witnesses).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from services.formats import evidence as file
from services.formats.acknowledgement import Acknowledgement, open_acknowledgement
from services.formats.canonical import FormatError, Members, loads_canonical
from services.formats.entry import MAX_BODY, Entry, EntryType, OutcomeResult, commitment, parse_entry, sha256_hex
from services.formats.lease import Lease, ServiceRecord, open_lease, parse_record
from services.formats.manifest import BrokerManifest, Manifest, open_broker_manifest, open_manifest
from services.formats.permit import Permit, open_permit
from services.formats.rights import Direction
from services.formats.trust import KeyRole, Trust
from services.nomenclature.documents import TYPE_SYSTEMS
from services.tlog.checkpoint import Checkpoint
from services.tlog.note import open_note
from services.tlog.proof import verify_inclusion
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import leaf_hash


class VerificationError(Exception):
    """A step that does not hold: its number (from 1), its title, and why."""

    def __init__(self, number: int, title: str, why: str) -> None:
        super().__init__(f"step {number}, {title}: {why}")
        self.number, self.title, self.why = number, title, why


@dataclass
class Case:
    """What is known so far: each step reads what those before it established, and adds its own."""

    data: bytes
    trust: Trust
    evidence: file.Evidence = field(init=False)
    authorization: Entry = field(init=False)
    outcome: Entry = field(init=False)
    authorized_at: Checkpoint = field(init=False)
    recorded_at: Checkpoint = field(init=False)
    index: int = field(init=False)
    lease: Lease = field(init=False)
    sender: ServiceRecord = field(init=False)
    recipient: ServiceRecord = field(init=False)
    manifest: Manifest = field(init=False)
    permit: Permit = field(init=False)
    broker_manifest: BrokerManifest = field(init=False)
    acknowledgement: Acknowledgement = field(init=False)


def _require(holds: bool, why: str) -> None:
    if not holds:
        raise FormatError(why)


def _file(case: Case) -> None:
    case.evidence = file.parse_evidence(case.data)


def _authorization(case: Case) -> None:
    entry, case.index, case.authorized_at = _logged(case, case.evidence.authorization)
    _require(entry.type is EntryType.EXCHANGE_AUTHORIZED, "the entry is not an authorisation")
    _require(bool(entry.exchange and entry.service and entry.counterparty), "the authorisation names no exchange")
    case.authorization = entry


def _outcome(case: Case) -> None:
    entry, index, case.recorded_at = _logged(case, case.evidence.outcome)
    outcome = entry.outcome
    _require(entry.type is EntryType.EXCHANGE_OUTCOME and outcome is not None, "the entry is not an outcome")
    _require(case.recorded_at.origin == case.authorized_at.origin, "the outcome is in another log")
    _require(outcome is not None and outcome.authorization == case.index < index, "not this authorisation's outcome")
    _require(entry.exchange == case.authorization.exchange, "the outcome is of another exchange")
    _require(outcome is not None and outcome.result is OutcomeResult.DELIVERED, "the bundle was not delivered")
    _require(case.authorization.time_ms <= entry.time_ms, "the outcome is older than its authorisation")
    if case.authorized_at.size == case.recorded_at.size:
        _require(case.authorized_at.root == case.recorded_at.root, "two roots for one size")
    case.outcome = entry


def _logged(case: Case, logged: file.LoggedEntry) -> tuple[Entry, int, Checkpoint]:
    entry, proof = parse_entry(logged.entry), parse_proof(logged.proof)
    log = case.trust.log(proof.checkpoint_note.partition("\n")[0])
    if log is None:
        raise FormatError("the checkpoint is of a log that TRUST does not list")
    opened = open_note(proof.checkpoint_note, [log])
    signatures = proof.checkpoint_note.rpartition("\n\n")[2]
    _require(signatures.count("\n") == 1, "the checkpoint carries another signature than the log's one")
    checkpoint = Checkpoint.parse(opened.text)
    _require(checkpoint.origin == log.name, "the checkpoint is of another origin than its signature")
    _require(checkpoint.origin.rpartition("/")[2] == str(entry.shard), "the entry is of another shard")
    verify_inclusion(leaf_hash(logged.entry), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    _require(commitment(logged.salt, logged.body) == entry.commit, "the disclosed body is not what was committed to")
    return entry, proof.index, checkpoint


def _lease(case: Case) -> None:
    issued = open_lease(case.evidence.lease, case.trust.trust_domain, case.trust.key_of(KeyRole.LEASE))
    case.lease = open_lease(
        case.evidence.lease, case.trust.trust_domain, case.trust.key_of(KeyRole.LEASE, issued.issued_s * 1000)
    )
    for pin in (case.authorization.registry, case.outcome.registry):
        _require(pin.sequence <= case.lease.pin.sequence, "the lease is older than an entry's registry pin")
        same = pin.sequence == case.lease.pin.sequence
        _require(not same or pin.hash == case.lease.pin.hash, "the lease contradicts an entry's registry pin")


def _services(case: Case) -> None:
    case.sender = _leased(case, case.evidence.sender)
    case.recipient = _leased(case, case.evidence.recipient)
    _require(case.sender.name == case.authorization.service, "the sender's record is another service's")
    _require(case.recipient.name == case.authorization.counterparty, "the recipient's record is another service's")


def _leased(case: Case, leased: file.LeasedRecord) -> ServiceRecord:
    root = bytes.fromhex(case.lease.pin.hash)
    verify_inclusion(leaf_hash(leased.record), leased.index, case.lease.size, leased.hashes, root)
    return parse_record(leased.record)


def _manifest(case: Case) -> None:
    token, entry = case.evidence.manifest, case.authorization
    case.manifest = manifest = open_manifest(token, case.sender.key)
    _require(sha256_hex(token) == entry.exchange, "the manifest is of another exchange")
    _require(manifest.sender == entry.service, "the manifest is another service's")
    _require(manifest.recipient == entry.counterparty, "the manifest is for another recipient")
    _require(manifest.audience == case.trust.trust_domain, "the manifest is for another trust domain")
    asked = Members(loads_canonical(case.evidence.authorization.body, MAX_BODY), "body").object("query")
    _require(asked.text("purpose") == manifest.purpose.value, "the authorisation was for another purpose")
    _require(asked.text("direction") == Direction.DEPOSIT.value, "the authorisation was for another direction")
    categories = set(asked.texts("categories"))
    for document in manifest.documents:
        _require(document.type.system in TYPE_SYSTEMS, "a document's type is of an unknown code system")
        _require(f"type:{document.type.code}" in categories, "the authorisation was for other categories of data")


def _permit(case: Case) -> None:
    entry, at = case.authorization, case.authorized_at
    case.permit = permit = open_permit(case.evidence.permit, case.trust.key_of(KeyRole.PERMIT, entry.time_ms))
    _require(permit.issuer == case.trust.trust_domain, "the permit is of another trust domain")
    named = (permit.origin, permit.index, permit.leaf)
    leaf = leaf_hash(case.evidence.authorization.entry).hex()
    _require(named == (at.origin, case.index, leaf), "the permit names another authorisation")
    _require(permit.exchange == entry.exchange, "the permit is for another exchange")
    _require((permit.sender, permit.recipient) == (entry.service, entry.counterparty), "the permit is for others")
    _require(permit.purpose is case.manifest.purpose, "the permit is for another purpose")
    _require(permit.expires_s * 1000 == entry.until_ms, "the permit does not end when the authorisation does")


def _broker_manifest(case: Case) -> None:
    key_of = case.trust.key_of(KeyRole.BROKER, case.authorization.time_ms)
    case.broker_manifest = broker = open_broker_manifest(case.evidence.broker_manifest, key_of)
    manifest = case.manifest
    _require(broker.issuer == case.trust.trust_domain, "the countersignature is of another trust domain")
    _require(broker.permit_sha256 == sha256_hex(case.evidence.permit), "the countersignature is of another permit")
    _require(broker.exchange == case.authorization.exchange, "the countersignature is of another exchange")
    _require((broker.sender, broker.recipient) == (manifest.sender, manifest.recipient), "it names other services")
    _require(broker.purpose is manifest.purpose, "the countersignature is for another purpose")
    _require(broker.documents == manifest.documents, "the countersignature covers other documents")


def _acknowledgement(case: Case) -> None:
    broker = case.broker_manifest
    case.acknowledgement = ack = open_acknowledgement(case.evidence.acknowledgement, case.recipient.key)
    _require(ack.recipient == broker.recipient, "the acknowledgement is another service's")
    _require(ack.audience == case.trust.trust_domain, "the acknowledgement is for another trust domain")
    _require(ack.exchange == broker.exchange, "the acknowledgement is of another exchange")
    _require(ack.manifest_sha256 == sha256_hex(case.evidence.broker_manifest), "it acknowledges another manifest")
    _require(ack.documents == tuple(item.sha256 for item in broker.documents), "it acknowledges other documents")


def _recorded(case: Case) -> None:
    body = Members(loads_canonical(case.evidence.outcome.body, MAX_BODY), "body")
    acknowledged = body.text("acknowledgement_sha256") == sha256_hex(case.evidence.acknowledgement)
    _require(acknowledged, "the outcome records another acknowledgement")
    sent = body.text("manifest_sha256") == sha256_hex(case.evidence.broker_manifest)
    _require(sent, "the outcome records another countersignature")
    size = sum(document.size for document in case.manifest.documents)
    outcome = case.outcome.outcome
    _require(outcome is not None and outcome.bytes_sent == size, "the outcome records another number of bytes")


STEPS: tuple[tuple[str, Callable[[Case], None]], ...] = (
    ("the file is canonical and of a known version", _file),
    ("the log holds the authorisation", _authorization),
    ("the log holds its outcome, after it", _outcome),
    ("the registry signed the lease, no older than the entries", _lease),
    ("the lease holds sender and recipient", _services),
    ("the sender signed the manifest of this exchange", _manifest),
    ("the ledger signed the permit for this authorisation", _permit),
    ("the broker countersigned the same documents", _broker_manifest),
    ("the recipient acknowledged every document", _acknowledgement),
    ("the outcome records this acknowledgement", _recorded),
)


def verify(data: bytes, trust: Trust, on_step: Callable[[int, str], None] = lambda number, title: None) -> Case:
    """Verifies an evidence file; `on_step` hears of each step that held. Raises: VerificationError at the first other."""
    case = Case(data, trust)
    for number, (title, step) in enumerate(STEPS, 1):
        try:
            step(case)
        except ValueError as error:
            raise VerificationError(number, title, str(error)) from None
        on_step(number, title)
    return case
