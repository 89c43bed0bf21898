"""Failures on the wire: an AccordError as `google.rpc.Status`, and back.

Guarantees one gRPC code per kind, exactly one ErrorInfo (AIP-193), every violation that fits, and a size that any
client's metadata limit takes. Leaves to `interceptors` when to send one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.code_pb2 import Code  # type: ignore[import-untyped]
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from services.errors import MEANINGS, AccordError, Kind, Reason, Violation

DOMAIN = "accord"
DETAILS_KEY = "grpc-status-details-bin"
MAX_DETAIL_CHARS = 512
MAX_STATUS_BYTES = 3_500
"""Clients refuse trailing metadata of more than 8 KiB by default, and this travels in base64 beside the detail."""

CODES: Mapping[Kind, grpc.StatusCode] = {
    Kind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Kind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Kind.DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Kind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Kind.EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Kind.PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION,
    Kind.ABORTED: grpc.StatusCode.ABORTED,
    Kind.EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Kind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Kind.UNIMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED,
    Kind.DATA_LOSS: grpc.StatusCode.DATA_LOSS,
    Kind.INTERNAL: grpc.StatusCode.INTERNAL,
}

_REASON_OF_CODE: Mapping[grpc.StatusCode, Reason] = {
    grpc.StatusCode.UNAUTHENTICATED: Reason.IDENTITY_INVALID,
    grpc.StatusCode.PERMISSION_DENIED: Reason.RPC_NOT_ALLOWED,
    grpc.StatusCode.UNIMPLEMENTED: Reason.METHOD_UNKNOWN,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Reason.OVERLOADED,
}


@dataclass(frozen=True, slots=True)
class WireStatus:
    """What ends an RPC that failed: the code, the message, and the trailing metadata."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def wire_status(
    error: AccordError,
    language: str,
    *,
    code: grpc.StatusCode | None = None,
    metadata: Mapping[str, str] | None = None,
) -> WireStatus:
    """The status of an error for a reader of `language` (`en` or `fr`); `code` replaces the kind's own."""
    code = code or CODES[error.kind]
    detail = error.detail[:MAX_DETAIL_CHARS]
    status = Status(code=Code.ValueType(code.value[0]), message=detail)
    status.details.add().Pack(ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=metadata or {}))
    meaning = MEANINGS[error.reason]
    text = meaning.french if language == "fr" else meaning.english
    status.details.add().Pack(LocalizedMessage(locale=language, message=text))
    if error.retry_after is not None:
        status.details.add().Pack(RetryInfo(retry_delay=_duration(error.retry_after)))
    if error.kind is Kind.INVALID:
        _add_violations(status, error.violations)
    return WireStatus(code, detail, ((DETAILS_KEY, status.SerializeToString()),))


def preferred_language(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """`fr` where `accept-language` (RFC 9110 §12.5.4) weighs French above English, otherwise `en`."""
    header = next((value for key, value in metadata if key == "accept-language"), "")
    weights = {"en": 0.0, "fr": 0.0}
    for item in header.split(",") if isinstance(header, str) else ():
        tag, _, weight = item.partition(";")
        language = tag.strip().lower().partition("-")[0]
        if language in weights:
            weights[language] = max(weights[language], _weight(weight))
    return "fr" if weights["fr"] > weights["en"] else "en"


def accord_error(error: grpc.aio.AioRpcError, default: Reason, *, trusted: bool = False) -> AccordError:
    """The AccordError that another process's failure tells, for a client.

    The reason is the ErrorInfo's if its domain is ours; without one it follows from the code, and is `default` where the
    code says nothing (UNAVAILABLE, DEADLINE_EXCEEDED and the rest). The other side's words are repeated only if
    `trusted`: a partner's text could hold anything.
    """
    status = _status_of(error)
    info, retry, bad = ErrorInfo(), RetryInfo(), BadRequest()
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(retry) or detail.Unpack(bad)
    known = info.domain == DOMAIN and info.reason in Reason.__members__
    reason = Reason[info.reason] if known else _REASON_OF_CODE.get(error.code(), default)
    return AccordError(
        reason,
        status.message if trusted else "",
        violations=tuple(Violation(v.field, v.description) for v in bad.field_violations) if trusted else (),
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
    )


def _status_of(error: grpc.aio.AioRpcError) -> Status:
    trailing = error.trailing_metadata() or ()
    raw = next((value for key, value in trailing if key == DETAILS_KEY), b"")
    try:
        return Status.FromString(raw if isinstance(raw, bytes) else b"")
    except DecodeError:
        return Status()


def _add_violations(status: Status, violations: tuple[Violation, ...]) -> None:
    """Add as many violations as fit, then say how many were left off."""
    bad, room = BadRequest(), MAX_STATUS_BYTES - status.ByteSize()
    for index, violation in enumerate(violations):
        item = BadRequest.FieldViolation(field=violation.field[:256], description=violation.description[:256])
        room -= item.ByteSize() + 8
        if room < 0:
            bad.field_violations.add(field="", description=f"{len(violations) - index} more")
            break
        bad.field_violations.append(item)
    if violations:
        status.details.add().Pack(bad)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMilliseconds(max(0, round(seconds * 1000)))
    return duration


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    try:
        return float(value) if name == "q" else 1.0
    except ValueError:
        return 0.0
