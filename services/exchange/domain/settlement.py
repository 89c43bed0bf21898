"""What the broker believes of an acknowledgement, of a recorded outcome, and of the evidence made from both. Pure.

Guarantees that an answer rests on nothing but signatures and proofs that were checked here. Leaves to `witness` whether the
checkpoints continue those seen before.
"""

from dataclasses import dataclass

from services.exchange.domain.exchange import Case, Ended, EntryRef, Proven, Recorded, Sent
from services.formats.acknowledgement import open_acknowledgement
from services.formats.canonical import FormatError
from services.formats.entry import Entry, EntryType, OutcomeResult, Pin, parse_entry, sha256_hex
from services.formats.evidence import Evidence, LeasedRecord
from services.formats.lease import ServiceRecord
from services.formats.trust import Trust
from services.tlog.checkpoint import open_checkpoint
from services.tlog.proof import verify_inclusion
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import leaf_hash


@dataclass(frozen=True, slots=True)
class Settled:
    """A recorded outcome that holds: the registry snapshot it pins, and the checkpoint notes that prove both entries."""

    pin: Pin
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RegistryWord:
    """The registry's signed lease, and in it the records of sender and recipient."""

    lease: str
    sender: LeasedRecord
    recipient: LeasedRecord


def acknowledges(token: str, case: Case, broker_manifest: str, trust_domain: str, recipient: ServiceRecord) -> bool:
    """Whether `recipient` signed this token for exactly this exchange, broker manifest and documents."""
    try:
        said = open_acknowledgement(token, recipient.key)
    except FormatError:
        return False
    documents = tuple(document.sha256 for document in case.manifest.documents)
    named = (said.recipient, said.audience, said.exchange, said.manifest_sha256, said.documents)
    return named == (recipient.name, trust_domain, case.exchange, sha256_hex(broker_manifest), documents)


def check_recorded(recorded: Recorded, authorization: EntryRef, exchange: str, sent: Sent, trust: Trust) -> Settled:
    """The outcome, if the log holds it for this authorisation and says what was told. Raises: FormatError, ProofError."""
    authorized, first_note = _logged(recorded.authorization, trust, authorization.origin)
    if leaf_hash(recorded.authorization.logged.entry) != authorization.leaf:
        raise FormatError("the ledger proves another authorisation")
    if recorded.authorization.index != authorization.index or authorized.exchange != exchange:
        raise FormatError("the ledger proves an authorisation elsewhere")
    entry, last_note = _logged(recorded.outcome, trust, authorization.origin)
    outcome = entry.outcome
    if entry.type is not EntryType.EXCHANGE_OUTCOME or outcome is None or entry.exchange != exchange:
        raise FormatError("the ledger proves no outcome of this exchange")
    told = (authorization.index, sent.result)
    # Of two UNKNOWN the ledger keeps the first, whose bytes are as unknown as its end.
    same_bytes = sent.result is OutcomeResult.UNKNOWN or outcome.bytes_sent == sent.bytes_sent
    if (outcome.authorization, outcome.result) != told or not same_bytes:
        raise FormatError("the ledger recorded another outcome")
    return Settled(entry.registry, tuple(dict.fromkeys((first_note, last_note))))


def assemble(ended: Ended, recorded: Recorded, registry: RegistryWord) -> Evidence:
    """The evidence of a delivered exchange, nothing of it verified yet (`formats.verify`)."""
    return Evidence(
        manifest=ended.manifest,
        permit=ended.permit,
        broker_manifest=ended.sent.manifest,
        acknowledgement=ended.sent.acknowledgement,
        authorization=recorded.authorization.logged,
        outcome=recorded.outcome.logged,
        lease=registry.lease,
        sender=registry.sender,
        recipient=registry.recipient,
    )


def _logged(proven: Proven, trust: Trust, origin: str) -> tuple[Entry, str]:
    entry, proof = parse_entry(proven.logged.entry), parse_proof(proven.logged.proof)
    log = trust.log(origin)
    if log is None:
        raise FormatError("the log is not one that TRUST lists")
    checkpoint = open_checkpoint(proof.checkpoint_note, log)
    if proof.index != proven.index:
        raise FormatError("the proof is of another index")
    verify_inclusion(leaf_hash(proven.logged.entry), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return entry, proof.checkpoint_note
