"""Genuine evidence, made in this process with real keys and a real small log; and the same with one thing in it untrue.

`Exchange.evidence` makes the parts in the order of an exchange, each from those before it. A change to one part is applied
before that part is hashed, signed or appended, and everything after it follows: so exactly one rule is broken.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.formats.acknowledgement import Acknowledgement
from services.formats.canonical import dumps
from services.formats.entry import Entry, EntryType, Outcome, OutcomeResult, Pin, commitment, sha256_hex
from services.formats.evidence import Evidence, LeasedRecord, LoggedEntry
from services.formats.jwk import LocalSigner
from services.formats.lease import Convention, ServiceRecord, Status, sign_lease, snapshot_hash
from services.formats.manifest import BrokerManifest, Coded, DeclaredDocument, Manifest
from services.formats.permit import Permit
from services.formats.rights import Direction, Purpose, Scope
from services.formats.trust import DatedKey, KeyRole, Trust
from services.tlog.checkpoint import Checkpoint, sign_checkpoint
from services.tlog.note import NoteSigner
from services.tlog.proof import inclusion_proof
from services.tlog.tlog_proof import format_proof
from services.tlog.tree import Coordinate, leaf_hash, merkle_root

DOMAIN = "accord.example"
ORIGIN = f"{DOMAIN}/ledger/1/0"
NOW_MS = 1_795_443_328_000
DAY_MS = 86_400_000
SENDER, RECIPIENT, STRANGER = "services/lumen", "services/carnet", "services/autre"
Changes = Mapping[str, Any]


def signer(name: str) -> LocalSigner:
    """The Ed25519 key of this name, the same at every run."""
    return LocalSigner(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


def document(content: str = "one", code: str = "57833-6", system: str = "2.16.840.1.113883.6.1") -> DeclaredDocument:
    """A declared document: a prescription, of class 42."""
    return DeclaredDocument(
        Coded(code, system), (("1.2.250.1.71.4.2.1", "899700218896"),), len(content), sha256_hex(content)
    )


class SmallLog:
    """A log of a few entries; `proven` proves one of the first `size` of them."""

    def __init__(self, origin: str = ORIGIN) -> None:
        self.key = signer(f"log {origin}").private
        assert isinstance(self.key, Ed25519PrivateKey)
        self.signer = NoteSigner(origin, self.key.sign, self.key.public_key().public_bytes_raw())
        self.leaves: list[bytes] = []

    def append(self, entry: bytes) -> int:
        self.leaves.append(leaf_hash(entry))
        return len(self.leaves) - 1

    def proof(self, index: int) -> str:
        """A C2SP tlog-proof against the signed checkpoint of all entries."""
        checkpoint = Checkpoint(self.signer.name, len(self.leaves), merkle_root(self.leaves))
        hashes = inclusion_proof(index, len(self.leaves), lambda nodes: nodes_of(self.leaves, nodes))
        return format_proof(index, hashes, sign_checkpoint(checkpoint, self.signer))


def nodes_of(leaves: list[bytes], coordinates: list[Coordinate]) -> list[bytes]:
    """Hashes of perfect subtrees over these leaves."""
    return [merkle_root(leaves[index << level : (index + 1) << level]) for level, index in coordinates]


@dataclass
class Exchange:
    """The parties to an exchange and what they hold; its fields may be replaced before `evidence` is asked for."""

    keys: dict[str, LocalSigner] = field(
        default_factory=lambda: {name: signer(name) for name in ("lease", "permit", "broker", SENDER, RECIPIENT)}
    )
    log: SmallLog = field(default_factory=SmallLog)
    outcome_log: SmallLog | None = None
    documents: tuple[DeclaredDocument, ...] = (document(), document("two"))
    records: tuple[str, ...] = (STRANGER, RECIPIENT, "services/donnees", SENDER)
    sequence: int = 7
    pinned: tuple[Pin, Pin] | None = None
    issued_ms: int = NOW_MS + 10_000

    @property
    def trust(self) -> Trust:
        """What the verifier knows beforehand."""
        roles = {KeyRole.LEASE: "lease", KeyRole.PERMIT: "permit", KeyRole.BROKER: "broker"}
        dated = (
            DatedKey(role, self.keys[name].verify_key, NOW_MS - DAY_MS, NOW_MS + DAY_MS) for role, name in roles.items()
        )
        return Trust(DOMAIN, (self.log.signer.verifier,), tuple(dated))

    def evidence(self, **changes: Changes) -> Evidence:
        """The evidence of one delivered exchange; `changes` maps a part to the fields that are otherwise than in truth."""
        return _Making(self, changes).run()


@dataclass
class _Making:
    exchange: Exchange
    changes: Mapping[str, Changes]

    def run(self) -> Evidence:
        lease, sender, recipient, pin = self._registry()
        manifest, manifest_token = self._manifest()
        authorization, authorized = self._authorization(manifest, sha256_hex(manifest_token), pin)
        permit = self._permit(authorization, authorized, manifest)
        broker, broker_token = self._broker_manifest(manifest, manifest_token, permit)
        acknowledgement = self._acknowledgement(broker, broker_token)
        outcome = self._outcome(authorization, authorized, pin, {"a": acknowledgement, "m": broker_token})
        log = self.exchange.log
        return Evidence(
            manifest=manifest_token,
            permit=permit,
            broker_manifest=broker_token,
            acknowledgement=acknowledgement,
            authorization=replace(authorized, proof=log.proof(self._index)),
            outcome=outcome,
            lease=lease,
            sender=sender,
            recipient=recipient,
        )

    def _registry(self) -> tuple[str, LeasedRecord, LeasedRecord, Pin]:
        exchange = self.exchange
        raw = [_record(name, exchange.keys.get(name, signer(name))).to_bytes() for name in sorted(exchange.records)]
        pin = Pin(exchange.sequence, snapshot_hash(raw))
        named = self._of("lease", {"domain": DOMAIN, "pin": pin, "size": len(raw)})
        lease = sign_lease(exchange.keys["lease"], named["domain"], named["pin"], named["size"], exchange.issued_ms)
        names = self._of("records", {"sender": SENDER, "recipient": RECIPIENT})
        leaves = [leaf_hash(item) for item in raw]
        sender, recipient = (_leased(raw, leaves, sorted(exchange.records).index(names[at])) for at in names)
        return lease, sender, recipient, pin

    def _manifest(self) -> tuple[Manifest, str]:
        issued_s = NOW_MS // 1000 - 10
        manifest = Manifest(
            sender=SENDER,
            audience=DOMAIN,
            jti="A" * 22,
            issued_s=issued_s,
            expires_s=issued_s + 600,
            recipient=RECIPIENT,
            purpose=Purpose.CARE,
            patient="0" * 32,
            documents=self.exchange.documents,
        )
        manifest = replace(manifest, **self._of("manifest"))
        return manifest, manifest.sign(self.exchange.keys[SENDER])

    def _authorization(self, manifest: Manifest, exchange: str, pin: Pin) -> tuple[Entry, LoggedEntry]:
        types = sorted({f"type:{item.type.code}" for item in self.exchange.documents})
        asked = {"categories": types, "direction": "DEPOSIT", "purpose": manifest.purpose.value}
        body = dumps({"query": self._of("query", asked)})
        entry = Entry(
            type=EntryType.EXCHANGE_AUTHORIZED,
            time_ms=NOW_MS,
            shard=0,
            registry=self.exchange.pinned[0] if self.exchange.pinned else pin,
            commit=commitment(b"s" * 32, body),
            actor="broker",
            subject="5" * 64,
            service=SENDER,
            counterparty=RECIPIENT,
            resources=(f"consents/{'c' * 32}/revisions/1", f"consents/{'d' * 32}/revisions/1"),
            basis="consent",
            until_ms=NOW_MS + 5000,
            exchange=exchange,
            attempt=1,
        )
        return self._log("authorization", entry, body, before=3)

    def _permit(self, entry: Entry, logged: LoggedEntry, manifest: Manifest) -> str:
        permit = Permit(
            issuer=DOMAIN,
            recipient=entry.counterparty,
            subject="6" * 64,
            issued_s=NOW_MS // 1000,
            expires_s=(entry.until_ms or 0) // 1000,
            exchange=entry.exchange,
            origin=self.exchange.log.signer.name,
            index=self._index,
            leaf=leaf_hash(logged.entry).hex(),
            sender=entry.service,
            purpose=manifest.purpose,
            thumbprint="t" * 43,
        )
        return replace(permit, **self._of("permit")).sign(self.exchange.keys["permit"])

    def _broker_manifest(self, manifest: Manifest, token: str, permit: str) -> tuple[BrokerManifest, str]:
        broker = BrokerManifest(
            issuer=DOMAIN,
            recipient=manifest.recipient,
            issued_s=NOW_MS // 1000,
            exchange=sha256_hex(token),
            permit_sha256=sha256_hex(permit),
            sender=manifest.sender,
            purpose=manifest.purpose,
            documents=manifest.documents,
        )
        broker = replace(broker, **self._of("broker_manifest"))
        return broker, broker.sign(self.exchange.keys["broker"])

    def _acknowledgement(self, broker: BrokerManifest, token: str) -> str:
        acknowledgement = Acknowledgement(
            recipient=broker.recipient,
            audience=DOMAIN,
            issued_s=NOW_MS // 1000 + 1,
            exchange=broker.exchange,
            manifest_sha256=sha256_hex(token),
            documents=tuple(item.sha256 for item in broker.documents),
        )
        return replace(acknowledgement, **self._of("acknowledgement")).sign(self.exchange.keys[RECIPIENT])

    def _outcome(self, entry: Entry, logged: LoggedEntry, pin: Pin, tokens: dict[str, str]) -> LoggedEntry:
        told = {"acknowledgement_sha256": sha256_hex(tokens["a"]), "manifest_sha256": sha256_hex(tokens["m"])}
        body = dumps(self._of("outcome_body", told))
        size = sum(item.size for item in self.exchange.documents)
        outcome = Outcome(self._index, OutcomeResult.DELIVERED, size, NOW_MS + 1, NOW_MS + 2)
        recorded = Entry(
            type=EntryType.EXCHANGE_OUTCOME,
            time_ms=NOW_MS + 1500,
            shard=0,
            registry=self.exchange.pinned[1] if self.exchange.pinned else pin,
            commit=commitment(b"o" * 32, body),
            actor="broker",
            subject=entry.subject,
            service=entry.service,
            counterparty=entry.counterparty,
            exchange=entry.exchange,
            outcome=replace(outcome, **self._of("result")),
        )
        log = self.exchange.outcome_log or self.exchange.log
        _, logged = self._log("outcome", recorded, body, salt=b"o" * 32, log=log)
        return replace(logged, proof=log.proof(self._index_of_outcome))

    def _log(
        self,
        part: str,
        entry: Entry,
        body: bytes,
        *,
        salt: bytes = b"s" * 32,
        before: int = 1,
        log: SmallLog | None = None,
    ) -> tuple[Entry, LoggedEntry]:
        entry = replace(entry, **self._of(part))
        log = log or self.exchange.log
        for number in range(before):
            log.append(f"another entry, {part} {number}".encode())
        index = log.append(entry.to_bytes())
        if part == "authorization":
            self._index = index
        self._index_of_outcome = index
        return entry, LoggedEntry(entry.to_bytes(), "", salt, body)

    def _of(self, part: str, truth: Changes | None = None) -> dict[str, Any]:
        return dict(truth or {}) | dict(self.changes.get(part, {}))


def _record(name: str, key: LocalSigner) -> ServiceRecord:
    scope = Scope(frozenset({"class:42"}), frozenset(Direction), frozenset(Purpose))
    return ServiceRecord(
        name=name,
        organization="organizations/editions",
        oid="1.2.250.1.999",
        status=Status.REFERENCED_WITH_EXCHANGE,
        spiffe_id=f"spiffe://{DOMAIN}/{name.replace('services', 'service')}",
        endpoint="localhost:8443",
        convention=Convention(scope, NOW_MS - 365 * DAY_MS, NOW_MS + 365 * DAY_MS, "a" * 64, True),
        keys=(key.verify_key,),
    )


def _leased(raw: list[bytes], leaves: list[bytes], index: int) -> LeasedRecord:
    hashes = inclusion_proof(index, len(raw), lambda nodes: nodes_of(leaves, nodes))
    return LeasedRecord(raw[index], index, tuple(hashes))
