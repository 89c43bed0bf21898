"""Protobuf in, domain values out, and back: nothing else of the broker sees a message."""

from typing import Any

from accord.consent.v1 import consent_service_pb2, decision_service_pb2, ledger_pb2
from accord.errors.v1 import error_reason_pb2
from accord.exchange.v1 import delivery_service_pb2, exchange_pb2, exchange_service_pb2
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.errors import AccordError, Reason
from services.exchange.domain.exchange import (
    Answer,
    Authorization,
    Case,
    Denied,
    EntryRef,
    Proven,
    Query,
    Recorded,
    Sent,
)
from services.exchange.domain.frames import ChunkFrame, Frame, ManifestFrame
from services.formats.entry import sha256_hex
from services.formats.evidence import LoggedEntry
from services.nomenclature.ins import Ins

_REASON = "ERROR_REASON_"
DeliveryFrame = delivery_service_pb2.DeliverRequest


def frame(request: exchange_service_pb2.SendBundleRequest) -> Frame:
    """One frame of a bundle. Raises: AccordError MESSAGE_MALFORMED for an empty one."""
    if request.HasField("manifest"):
        return ManifestFrame(request.manifest)
    if request.HasField("chunk"):
        return ChunkFrame(request.chunk.document, request.chunk.data)
    raise AccordError(Reason.MESSAGE_MALFORMED, "a frame is empty")


def answer_message(answer: Answer) -> exchange_service_pb2.SendBundleResponse:
    """The reply to a delivered bundle."""
    documents = [
        exchange_pb2.DocumentStatus(document=position, document_class=item.document_class, size=item.size)
        for position, item in enumerate(answer.documents)
    ]
    receipt = exchange_pb2.Receipt(
        exchange=answer.exchange,
        authorization_index=answer.authorization_index,
        outcome_index=answer.outcome_index,
        documents=documents,
    )
    return exchange_service_pb2.SendBundleResponse(receipt=receipt, evidence=answer.evidence)


def query_message(query: Query) -> decision_service_pb2.Query:
    """The question to the ledger: the sender deposits."""
    return decision_service_pb2.Query(
        service=query.service,
        patient=query.patient,
        direction=registry_pb2.DIRECTION_DEPOSIT,
        counterparty=query.counterparty,
        purpose=registry_pb2.Purpose.Value(f"PURPOSE_{query.purpose.value}"),
        categories=query.categories,
        labels=query.labels,
    )


def authorize_request(query: Query, exchange: str, patients: tuple[Ins, ...]) -> decision_service_pb2.AuthorizeRequest:
    """The request to decide and record."""
    return decision_service_pb2.AuthorizeRequest(
        query=query_message(query),
        exchange=exchange,
        document_patients=[
            consent_service_pb2.PatientIdentity(root=ins.root, matricule=ins.matricule) for ins in patients
        ],
    )


def decision(response: decision_service_pb2.AuthorizeResponse) -> Authorization | Denied:
    """What the ledger decided; whether the permit holds is for `domain.permit`."""
    reason = refusal(response.verdict)
    if reason is not None:
        return Denied(reason)
    return Authorization(
        entry=EntryRef(response.entry.origin, response.entry.index, response.entry.leaf_hash),
        permit=response.permit,
        patient=response.counterparty_patient,
        salt=response.counterparty_salt,
        resources=tuple(response.resources),
    )


def refusal(verdict: decision_service_pb2.Verdict) -> Reason | None:
    """Why not, or None when permitted; a refusal without a reason that we know is NOT_PERMITTED."""
    if verdict.permitted and not verdict.reason:
        return None
    known: Any = error_reason_pb2.ErrorReason
    name = known.Name(verdict.reason).removeprefix(_REASON) if verdict.reason in known.values() else ""
    return Reason.__members__.get(name, Reason.NOT_PERMITTED)


def outcome_request(authorization: EntryRef, exchange: str, sent: Sent) -> decision_service_pb2.RecordOutcomeRequest:
    """The request to record how an authorised exchange ended."""
    return decision_service_pb2.RecordOutcomeRequest(
        authorization=ledger_pb2.EntryRef(
            origin=authorization.origin, index=authorization.index, leaf_hash=authorization.leaf
        ),
        exchange=exchange,
        outcome=decision_service_pb2.Outcome.Value(f"OUTCOME_{sent.result.value}"),
        bytes_sent=sent.bytes_sent,
        first_byte_time=_timestamp(sent.first_ms),
        last_byte_time=_timestamp(sent.last_ms),
        acknowledgement_sha256=sha256_hex(sent.acknowledgement) if sent.acknowledgement else "",
        manifest_sha256=sha256_hex(sent.manifest) if sent.manifest else "",
    )


def recorded(response: decision_service_pb2.RecordOutcomeResponse) -> Recorded:
    """The outcome beside its authorisation, nothing of them checked."""
    return Recorded(_proven(response.authorization), _proven(response.outcome))


def refusal_request(case: Case, reason: Reason) -> decision_service_pb2.RecordRefusalRequest:
    """The request to record a refusal that needed no decision."""
    return decision_service_pb2.RecordRefusalRequest(
        service=case.manifest.sender,
        patient=case.manifest.patient,
        exchange=case.exchange,
        reason=error_reason_pb2.ErrorReason.Value(_REASON + reason.value),
    )


def header_frame(authorization: Authorization, broker_manifest: str) -> DeliveryFrame:
    """What the recipient verifies before the first byte."""
    header = delivery_service_pb2.DeliveryHeader(
        permit=authorization.permit,
        manifest=broker_manifest,
        patient=authorization.patient,
        patient_salt=authorization.salt,
    )
    return DeliveryFrame(header=header)


def chunk_frame(document: int, data: bytes) -> DeliveryFrame:
    """A piece of a document."""
    return DeliveryFrame(chunk=exchange_pb2.Chunk(document=document, data=data))


def commit_frame() -> DeliveryFrame:
    """The end of a bundle."""
    return DeliveryFrame(commit=delivery_service_pb2.Commit())


def _proven(message: ledger_pb2.ProvenEntry) -> Proven:
    opening = message.opening
    return Proven(message.index, LoggedEntry(message.entry, message.proof, opening.salt, opening.body))


def _timestamp(instant_ms: int | None) -> Timestamp | None:
    if instant_ms is None:
        return None
    return Timestamp(seconds=instant_ms // 1000, nanos=instant_ms % 1000 * 1_000_000)
