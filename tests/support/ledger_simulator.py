"""A ledger for tests of the broker: a real Merkle log with signed checkpoints and permits, and decisions that the test sets.

It decides nothing by itself. What is set to something else than the truth is the fault under test.
"""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import grpc
from accord.consent.v1 import audit_service_pb2 as audit_pb
from accord.consent.v1 import audit_service_pb2_grpc as audit_grpc
from accord.consent.v1 import decision_service_pb2 as pb
from accord.consent.v1 import decision_service_pb2_grpc as pb_grpc
from accord.consent.v1 import ledger_pb2
from accord.errors.v1 import error_reason_pb2
from accord.registry.v1 import registry_pb2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.identity import thumbprint
from services.errors import Reason
from services.formats.canonical import dumps
from services.formats.entry import Entry, EntryType, Outcome, OutcomeResult, Pin, commitment
from services.formats.jwk import LocalSigner
from services.formats.permit import Permit
from services.formats.rights import Purpose
from services.tlog.checkpoint import Checkpoint, sign_checkpoint
from services.tlog.note import NoteSigner
from services.tlog.proof import consistency_proof, inclusion_proof
from services.tlog.tlog_proof import format_proof
from services.tlog.tree import Coordinate, leaf_hash, merkle_root

COUNTERPARTY_PATIENT = "b" * 32
CONSENT = "consents/" + "c" * 32


class Log:
    """An append-only log, rebuilt from its leaves whenever something is asked; `truncate` is the DBA's restore."""

    def __init__(self, origin: str) -> None:
        key = Ed25519PrivateKey.generate()
        self.signer = NoteSigner(origin, key.sign, key.public_key().public_bytes_raw())
        self.entries: list[tuple[bytes, bytes, bytes]] = []

    def append(self, entry: bytes, salt: bytes, body: bytes) -> int:
        self.entries.append((entry, salt, body))
        return len(self.entries) - 1

    def truncate(self, size: int) -> None:
        del self.entries[size:]

    @property
    def leaves(self) -> list[bytes]:
        return [leaf_hash(entry) for entry, _, _ in self.entries]

    def note(self) -> str:
        """The signed checkpoint of all entries."""
        leaves = self.leaves
        return sign_checkpoint(Checkpoint(self.signer.name, len(leaves), merkle_root(leaves)), self.signer)

    def read(self, coordinates: list[Coordinate]) -> list[bytes]:
        """Hashes of perfect subtrees."""
        leaves = self.leaves
        return [merkle_root(leaves[index << level : (index + 1) << level]) for level, index in coordinates]

    def proven(self, index: int) -> ledger_pb2.ProvenEntry:
        """An entry with its proof against the present checkpoint, and its opening."""
        entry, salt, body = self.entries[index]
        proof = format_proof(index, inclusion_proof(index, len(self.entries), self.read), self.note())
        opening = ledger_pb2.Opening(salt=salt, body=body)
        return ledger_pb2.ProvenEntry(index=index, entry=entry, proof=proof, opening=opening)


async def _nothing(context: Any) -> None:
    return None


@dataclass
class LedgerSimulator(pb_grpc.DecisionServiceServicer, audit_grpc.AuditServiceServicer):
    """`denial` and `check_denial` are the verdicts; `revoked` are consents that carry no Check which rests on them, while
    another consent carries every other; `failing` maps a method to the status it fails with, `before` to what it
    awaits first; `calls` holds every request by method, failed ones included."""

    trust_domain: str
    now_ms: Callable[[], int]
    pin: Callable[[], Pin]
    permit_key: LocalSigner
    log: Log = field(init=False)
    denial: Reason | None = None
    check_denial: Reason | None = None
    revoked: set[str] = field(default_factory=set)
    permit_life_s: int = 5
    permit_changes: dict[str, Any] = field(default_factory=dict)
    failing: dict[str, grpc.StatusCode] = field(default_factory=dict)
    before: dict[str, Callable[[Any], Awaitable[None]]] = field(default_factory=dict)
    calls: dict[str, list[Any]] = field(default_factory=dict)
    _outcomes: dict[bytes, int] = field(default_factory=dict)
    _unknown: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log = Log(f"{self.trust_domain}/ledger/1/0")

    def called(self, method: str) -> list[Any]:
        """The requests of one method."""
        return self.calls.get(method, [])

    @property
    def outcomes(self) -> list[pb.RecordOutcomeRequest]:
        """The outcomes told, failed calls included."""
        return self.called("RecordOutcome")

    @property
    def refusals(self) -> list[str]:
        """The reasons of the refusals told, failed calls included."""
        names = (error_reason_pb2.ErrorReason.Name(request.reason) for request in self.called("RecordRefusal"))
        return [name.removeprefix("ERROR_REASON_") for name in names]

    async def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:  # noqa: N802
        await self._enter("Check", request, context)
        rests_on = {revision.partition("/revisions/")[0] for revision in request.resources}
        denial = Reason.CONSENT_REVOKED if rests_on & self.revoked else self.check_denial
        return pb.CheckResponse(verdict=_verdict(denial))

    async def Authorize(self, request: pb.AuthorizeRequest, context: Any) -> pb.AuthorizeResponse:  # noqa: N802
        await self._enter("Authorize", request, context)
        query, now_ms = request.query, self.now_ms()
        until_s = now_ms // 1000 + self.permit_life_s
        direction = registry_pb2.Direction.Name(query.direction).removeprefix("DIRECTION_")
        asked = {"purpose": _purpose(query).value, "direction": direction, "categories": sorted(query.categories)}
        body = {"query": asked}
        decision: dict[str, Any] = {
            "service": query.service,
            "counterparty": query.counterparty,
            "exchange": request.exchange,
        }
        if self.denial is not None:
            reference = self._append(EntryType.EXCHANGE_DENIED, body, reason=self.denial, **decision)
            return pb.AuthorizeResponse(verdict=_verdict(self.denial), entry=reference)
        decision |= {"resources": (f"{CONSENT}/revisions/1",), "basis": "consent"}
        reference = self._append(EntryType.EXCHANGE_AUTHORIZED, body, until_ms=until_s * 1000, attempt=1, **decision)
        salt = os.urandom(32)
        permit: dict[str, Any] = {
            "issuer": self.trust_domain,
            "recipient": query.counterparty,
            "subject": sha256(salt + COUNTERPARTY_PATIENT.encode()).hexdigest(),
            "issued_s": now_ms // 1000,
            "expires_s": until_s,
            "exchange": request.exchange,
            "origin": reference.origin,
            "index": reference.index,
            "leaf": reference.leaf_hash.hex(),
            "sender": query.service,
            "purpose": _purpose(query),
            "thumbprint": thumbprint(context.auth_context()["x509_pem_cert"][0]),
        }
        return pb.AuthorizeResponse(
            verdict=_verdict(None),
            entry=reference,
            permit=Permit(**(permit | self.permit_changes)).sign(self.permit_key),
            counterparty_patient=COUNTERPARTY_PATIENT,
            counterparty_salt=salt,
            resources=decision["resources"],
        )

    async def RecordOutcome(  # noqa: N802
        self, request: pb.RecordOutcomeRequest, context: Any
    ) -> pb.RecordOutcomeResponse:
        await self._enter("RecordOutcome", request, context)
        key = request.SerializeToString(deterministic=True)
        authorization = request.authorization.index
        if request.outcome == pb.OUTCOME_UNKNOWN and authorization in self._unknown:
            self._outcomes[key] = self._unknown[authorization]
        if key not in self._outcomes:
            body = {
                "acknowledgement_sha256": request.acknowledgement_sha256,
                "manifest_sha256": request.manifest_sha256,
            }
            result = OutcomeResult(pb.Outcome.Name(request.outcome).removeprefix("OUTCOME_"))
            outcome = Outcome(authorization, result, request.bytes_sent)
            self._outcomes[key] = self._append_outcome(body, request.exchange, outcome)
        return pb.RecordOutcomeResponse(
            authorization=self.log.proven(authorization), outcome=self.log.proven(self._outcomes[key])
        )

    async def RecordRefusal(  # noqa: N802
        self, request: pb.RecordRefusalRequest, context: Any
    ) -> pb.RecordRefusalResponse:
        await self._enter("RecordRefusal", request, context)
        reason = Reason(self.refusals[-1])
        entry = self._append(EntryType.EXCHANGE_REFUSED, {}, reason=reason, exchange=request.exchange)
        return pb.RecordRefusalResponse(entry=entry)

    async def GetCheckpoints(  # noqa: N802
        self, request: audit_pb.GetCheckpointsRequest, context: Any
    ) -> audit_pb.GetCheckpointsResponse:
        await self._enter("GetCheckpoints", request, context)
        return audit_pb.GetCheckpointsResponse(checkpoints=[self.log.note()])

    async def GetConsistencyProof(  # noqa: N802
        self, request: audit_pb.GetConsistencyProofRequest, context: Any
    ) -> audit_pb.GetConsistencyProofResponse:
        await self._enter("GetConsistencyProof", request, context)
        if not 1 <= request.old_size <= request.new_size <= len(self.log.entries):
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such size")
        hashes = consistency_proof(request.old_size, request.new_size, self.log.read)
        return audit_pb.GetConsistencyProofResponse(hashes=hashes)

    async def _enter(self, method: str, request: Any, context: Any) -> None:
        self.calls.setdefault(method, []).append(request)
        await self.before.get(method, _nothing)(context)
        if method in self.failing:
            await context.abort(self.failing[method], "simulated")

    def sweep(self, authorization: int, exchange: str) -> None:
        """Records UNKNOWN for an authorisation that has no outcome yet."""
        self._append_outcome({}, exchange, Outcome(authorization, OutcomeResult.UNKNOWN, 0))

    def _append_outcome(self, body: dict[str, Any], exchange: str, outcome: Outcome) -> int:
        index = self._append(EntryType.EXCHANGE_OUTCOME, body, exchange=exchange, outcome=outcome).index
        if outcome.result is OutcomeResult.UNKNOWN:
            self._unknown[outcome.authorization] = index
        return index

    def _append(self, kind: EntryType, body: dict[str, Any], **clear: Any) -> ledger_pb2.EntryRef:
        salt, opened = os.urandom(32), dumps(body)
        entry = Entry(kind, self.now_ms(), 0, self.pin(), commitment(salt, opened), "broker", **clear).to_bytes()
        index = self.log.append(entry, salt, opened)
        return ledger_pb2.EntryRef(origin=self.log.signer.name, index=index, leaf_hash=leaf_hash(entry))


def _verdict(denial: Reason | None) -> pb.Verdict:
    if denial is None:
        return pb.Verdict(permitted=True)
    return pb.Verdict(reason=error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{denial.value}"))


def _purpose(query: pb.Query) -> Purpose:
    return Purpose(registry_pb2.Purpose.Name(query.purpose).removeprefix("PURPOSE_"))
