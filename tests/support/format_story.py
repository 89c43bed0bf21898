"""The story behind the examples of docs/formats.md, played on the real ledger with fixed keys, times and randomness."""

import hashlib
import itertools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.db import Database
from services.chassis.keys import derive
from services.chassis.migrations import migrate
from services.chassis.registry import Snapshot
from services.consent.domain import commands as c
from services.consent.domain.identifiers import CONSENT, PORTAL, Identifiers
from services.consent.domain.lifecycle import ConsentState
from services.consent.handlers import build_handlers
from services.consent.migrations import FOLDER
from services.consent.proofs import Proofs
from services.consent.shard import ShardLog
from services.consent.vault import Vault
from services.errors import Reason
from services.formats.acknowledgement import Acknowledgement
from services.formats.assertion import Act, GrantAssertion
from services.formats.entry import OutcomeResult, Pin, sha256_hex
from services.formats.evidence import Evidence, LeasedRecord, LoggedEntry
from services.formats.jwk import LocalSigner, b64url
from services.formats.lease import Convention, ServiceRecord, Status, open_lease, sign_lease, snapshot_hash
from services.formats.manifest import BrokerManifest, Coded, DeclaredDocument, Manifest
from services.formats.permit import Permit
from services.formats.rights import Direction, Purpose, Scope
from services.formats.times import instant_of
from services.formats.trust import DatedKey, KeyRole, Trust
from services.nomenclature.ins import Ins
from services.tlog.note import NoteSigner
from tests.support.ledgers import HeldClock

DOMAIN = "accord.example"
ORIGIN = f"{DOMAIN}/ledger/1/0"
SENDER, RECIPIENT = "services/lumen-audition", "services/carnet-partage"
SCOPE = Scope(frozenset({"class:10"}), frozenset(Direction), frozenset({Purpose.CARE}))
CONTENT = b"document one"
NOTICE = hashlib.sha256(b"the notice").hexdigest()
HOLDER = c.Actor("holder", "eidas2")
INS = Ins("1.2.250.1.213.1.4.10", "155096249803751")
MASTER = hashlib.sha256(b"accord example master").digest()


def key(name: str) -> LocalSigner:
    """The published, hence worthless, key of this name: its private half is SHA-256("accord example key: " ‖ name)."""
    return LocalSigner(Ed25519PrivateKey.from_private_bytes(_digest(f"accord example key: {name}")))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _log_signer() -> NoteSigner:
    private = key("log").private
    assert isinstance(private, Ed25519PrivateKey)
    return NoteSigner(ORIGIN, private.sign, private.public_key().public_bytes_raw())


def _record(name: str, oid: str, endpoint: str) -> ServiceRecord:
    start, end = instant_of("2026-01-01T00:00:00.000Z"), instant_of("2029-01-01T00:00:00.000Z")
    convention = Convention(SCOPE, start, end, NOTICE, ins_in_documents=True)
    identity = f"spiffe://{DOMAIN}/service/{name.partition('/')[2]}"
    status, keys = Status.REFERENCED_WITH_EXCHANGE, (key(name).verify_key,)
    return ServiceRecord(name, "organizations/editions", oid, status, identity, endpoint, convention, keys)


def trust() -> Trust:
    """The TRUST of the examples."""
    since = instant_of("2026-01-01T00:00:00.000Z")
    keys = tuple(DatedKey(role, key(role.value).verify_key, since) for role in KeyRole)
    return Trust(DOMAIN, (_log_signer().verifier,), keys)


@dataclass
class Story:
    """One ledger and one exchange: `play` it, then read `evidence`, `bodies`, `assertion`, `proofs` and `records`.

    `bodies` are those behind the entries made so far, by index, as long as they could be opened.
    """

    folder: Path
    clock: HeldClock = field(default_factory=HeldClock)

    def __post_init__(self) -> None:
        counter = itertools.count()
        self.database = Database(f"sqlite:///{self.folder}/examples.db")
        migrate(self.database, FOLDER)
        self.vault = Vault(lambda label: derive(MASTER, label), lambda n: _digest(f"random {next(counter)}")[:n])
        self.identifiers = Identifiers(lambda audience: derive(MASTER, f"identifiers of {audience}"))
        locals_ = itertools.count(0x0123_4567_89AB_CDEF)
        handlers = build_handlers(self.vault, self.identifiers, lambda bits: next(locals_))
        self._handlers = handlers.by_command()
        salts = itertools.count()
        self.log = ShardLog(
            0, self.database, _log_signer(), self.vault, self.clock, lambda n: _digest(f"salt {next(salts)}")[:n], 1000
        )
        self.log.create()
        self.proofs = Proofs(self.database, self.vault, [ORIGIN])
        records = (_record(RECIPIENT, "1.2.250.1.999.2", "carnet.example:443"), _record(SENDER, "1.2.250.1.999.1", ""))
        self.records = tuple(record.to_bytes() for record in records)
        self.lease = self._lease_at("2026-11-23T09:00:00.000Z")
        self.bodies: dict[int, bytes] = {}

    def _lease_at(self, text: str) -> Snapshot:
        pin = Pin(5, snapshot_hash(self.records))
        token = sign_lease(key("lease"), DOMAIN, pin, len(self.records), instant_of(text))
        return Snapshot.of(open_lease(token, DOMAIN, trust().key_of(KeyRole.LEASE)), self.records)

    def at(self, time: str, *items: c.Command[Any]) -> list[Any]:
        """Runs commands under the shard's lock at a time of 2026-11-23, or at an instant. Raises: what one fails with."""
        self.clock.now_ms = instant_of(time if "T" in time else f"2026-11-23T{time}Z")
        answers: list[Any] = []
        for item in items:
            with self.log.locked(self.lease) as locked:
                answers += self._handlers[type(item)](locked, [item])
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        self._open()
        return answers

    def _open(self) -> None:
        entries = self.proofs.entries(ORIGIN, len(self.bodies), 100)
        first = len(self.bodies)
        for item in self.proofs.prove(ORIGIN, range(first, first + len(entries)), openings=True):
            self.bodies[item.index] = (item.opening or (b"", b""))[1]

    def play(self) -> None:
        """Profile, pairings, consents, an exchange with its evidence, a withdrawal, and two exchanges that may not be."""
        (profile,) = self.at("09:00:00.000", c.OpenProfile(INS))
        self.patient: c.Address = profile.address
        self.at("09:00:01.000", c.Pair(self.patient, SENDER), c.Pair(self.patient, RECIPIENT))
        time = "09:01:00.000"
        self.consents = self.at(time, self.grant(time, SENDER, "request-1"), self.grant(time, RECIPIENT, "request-2"))
        self._exchange(self.patient, INS)
        revoked = c.MoveConsent(0, self.consents[0].consent, ConsentState.REVOKED, HOLDER)
        self.at("09:05:00.000", revoked)
        self._authorize(self.patient, INS, "09:06:00.000", sha256_hex("another manifest"))
        refusal = c.RecordRefusal(SENDER, self.patient, sha256_hex("a third manifest"), Reason.DOCUMENT_TYPE_MISMATCH)
        self.at("09:07:00.000", refusal)

    def grant(self, time: str, service: str, request_id: str, end: str = "2027-11-23T00:00:00.000Z") -> c.Grant:
        """A grant of everything by the holder, asserted by the portal at a time of 2026-11-23."""
        end_ms = instant_of(end)
        item = c.Grant(self.patient, service, SCOPE, None, end_ms, NOTICE, HOLDER, request_id, request_id)
        return replace(
            item, assertion=self.asserted(time, Act.GRANT, request_id, service, end_ms, profile=self.profile)
        )

    @property
    def profile(self) -> str:
        """The patient's profile, as the portal knows it."""
        return "profiles/" + self.identifiers.encipher(PORTAL, 0, self.patient.patient)

    def consent_name(self, consent: c.Consent) -> str:
        """A consent's external name."""
        return "consents/" + self.identifiers.encipher(CONSENT, 0, consent.consent)

    def asserted(self, time: str, act: Act, jti: str, service: str, end_ms: int, **more: Any) -> c.Assertion:
        """What the portal signs of the holder's act."""
        said = GrantAssertion(
            issuer=DOMAIN,
            jti=jti,
            issued_s=instant_of(f"2026-11-23T{time}Z") // 1000,
            act=act,
            service=service,
            scope=SCOPE,
            end_ms=end_ms,
            notice_sha256=NOTICE,
            role=HOLDER.role,
            authentication=HOLDER.authentication,
            **more,
        )
        signer = key("portal")
        return c.Assertion(said.sign(signer), signer.verify_key.kid)

    def _authorize(self, patient: c.Address, ins: Ins, time: str, exchange: str) -> c.Decision:
        category = f"type:{_document().type.code}"
        query = c.Query(SENDER, patient, Direction.DEPOSIT, RECIPIENT, Purpose.CARE, frozenset({category}))
        item = c.Authorize(query, exchange, (ins,), b64url(_digest("the broker's certificate")))
        (decision,) = self.at(time, item)
        return decision  # type: ignore[no-any-return]

    def _exchange(self, patient: c.Address, ins: Ins) -> None:
        manifest = self._manifest(patient)
        exchange, documents = sha256_hex(manifest), (_document(),)
        decision = self._authorize(patient, ins, "09:02:00.250", exchange)
        permit = self._permit(decision, exchange, patient)
        broker = BrokerManifest(
            DOMAIN, RECIPIENT, decision.now_s, exchange, sha256_hex(permit), SENDER, Purpose.CARE, documents
        ).sign(key("broker"))
        hashes = (documents[0].sha256,)
        acknowledgement = Acknowledgement(RECIPIENT, DOMAIN, decision.now_s, exchange, sha256_hex(broker), hashes).sign(
            key(RECIPIENT)
        )
        sent = [instant_of(f"2026-11-23T09:02:00.{ms}Z") for ms in (400, 401)]
        hashed = (sha256_hex(acknowledgement), sha256_hex(broker))
        outcome = c.RecordOutcome(0, 6, exchange, OutcomeResult.DELIVERED, len(CONTENT), sent[0], sent[1], *hashed)
        self.at("09:02:00.900", outcome)
        self.lease = self._lease_at("2026-11-23T09:02:00.000Z")
        authorized, recorded = (
            LoggedEntry(item.entry, item.proof, *(item.opening or (b"", b"")))
            for item in self.proofs.prove(ORIGIN, [6, 7], openings=True)
        )
        lease, sender, recipient = self.lease.lease.token, self._leased(SENDER), self._leased(RECIPIENT)
        self.evidence = Evidence(
            manifest, permit, broker, acknowledgement, authorized, recorded, lease, sender, recipient
        )

    def _leased(self, name: str) -> LeasedRecord:
        index, record, hashes = self.lease.record_proof(name)
        return LeasedRecord(record, index, tuple(hashes))

    def _manifest(self, patient: c.Address) -> str:
        issued_s = instant_of("2026-11-23T09:02:00.000Z") // 1000
        pseudonym, jti = self.identifiers.encipher(SENDER, 0, patient.patient), b64url(_digest("jti")[:16])
        manifest = Manifest(
            SENDER, DOMAIN, jti, issued_s, issued_s + 300, RECIPIENT, Purpose.CARE, pseudonym, (_document(),)
        )
        return manifest.sign(key(SENDER))

    def _permit(self, decision: c.Decision, exchange: str, patient: c.Address) -> str:
        pseudonym, appended = self.identifiers.encipher(RECIPIENT, 0, patient.patient), decision.appended
        assert decision.permit is not None
        return Permit(
            issuer=DOMAIN,
            recipient=RECIPIENT,
            subject=hashlib.sha256(_digest("permit salt") + pseudonym.encode()).hexdigest(),
            issued_s=decision.now_s,
            expires_s=decision.permit.until_s,
            exchange=exchange,
            origin=ORIGIN,
            index=appended.index,
            leaf=appended.leaf.hex(),
            sender=SENDER,
            purpose=Purpose.CARE,
            thumbprint=b64url(_digest("the broker's certificate")),
        ).sign(key("permit"))


def _document() -> DeclaredDocument:
    type_, authors = Coded("75492-9", "2.16.840.1.113883.6.1"), (("1.2.250.1.71.4.2.1", "899700218896"),)
    return DeclaredDocument(type_, authors, len(CONTENT), sha256_hex(CONTENT))
