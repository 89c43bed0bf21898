"""Failures on the wire and back."""

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from services.chassis.status import CODES, DETAILS_KEY, WireStatus, accord_error, preferred_language, wire_status
from services.errors import MEANINGS, AccordError, Kind, Reason, Violation


def _error(status: WireStatus) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata(*status.trailing_metadata)
    return grpc.aio.AioRpcError(status.code, grpc.aio.Metadata(), trailing, status.details)


def _bare(code: grpc.StatusCode, *trailing: tuple[str, bytes]) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), "their words")


def test_every_kind_has_one_code() -> None:
    assert set(CODES) == set(Kind)
    assert len(set(CODES.values())) == len(CODES)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_survives_the_wire(reason: Reason) -> None:
    violations = (Violation("a.b", "is empty"),) if MEANINGS[reason].kind is Kind.INVALID else ()
    sent = AccordError(reason, "because", violations=violations, retry_after=2.5)
    back = accord_error(_error(wire_status(sent, "fr")), Reason.INTERNAL, trusted=True)
    assert (back.reason, back.detail, back.violations, back.retry_after) == (reason, "because", violations, 2.5)


def test_a_status_has_exactly_one_error_info_of_our_domain() -> None:
    wire = wire_status(AccordError(Reason.INTERNAL), "en", metadata={"incident": "1"})
    details = Status.FromString(wire.trailing_metadata[0][1]).details
    infos = [ErrorInfo.FromString(detail.value) for detail in details if detail.Is(ErrorInfo.DESCRIPTOR)]
    assert [(info.reason, info.domain, dict(info.metadata)) for info in infos] == [
        ("INTERNAL", "accord", {"incident": "1"})
    ]


def test_violations_that_do_not_fit_are_counted() -> None:
    violations = tuple(Violation(f"f{i}", "é" * 200) for i in range(300))
    wire = wire_status(AccordError(Reason.FIELD_INVALID, "é" * 5000, violations=violations), "fr")
    status = Status.FromString(wire.trailing_metadata[0][1])
    bad = BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    told = bad.field_violations
    assert told[-1].description == f"{300 - (len(told) - 1)} more"
    assert status.ByteSize() < 4096
    assert len(wire.details) == 512


def test_a_partners_words_are_not_repeated() -> None:
    sent = AccordError(Reason.FIELD_INVALID, "279035121518989", violations=(Violation("279035121518989", "x"),))
    back = accord_error(_error(wire_status(sent, "en")), Reason.INTERNAL)
    assert (back.reason, back.violations) == (Reason.FIELD_INVALID, ())
    assert "279035121518989" not in str(back)


@pytest.mark.parametrize(("code", "reason"), [
    (grpc.StatusCode.UNAVAILABLE, Reason.LEDGER_UNAVAILABLE), (grpc.StatusCode.DEADLINE_EXCEEDED, Reason.LEDGER_UNAVAILABLE),
    (grpc.StatusCode.UNKNOWN, Reason.LEDGER_UNAVAILABLE), (grpc.StatusCode.UNAUTHENTICATED, Reason.IDENTITY_INVALID),
    (grpc.StatusCode.PERMISSION_DENIED, Reason.RPC_NOT_ALLOWED), (grpc.StatusCode.UNIMPLEMENTED, Reason.METHOD_UNKNOWN),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.OVERLOADED),
])  # fmt: skip
def test_a_status_without_error_info_is_told_by_its_code(code: grpc.StatusCode, reason: Reason) -> None:
    assert accord_error(_bare(code), Reason.LEDGER_UNAVAILABLE).reason is reason


@pytest.mark.parametrize("info", [
    ErrorInfo(reason="CONSENT_REVOKED", domain="evil"), ErrorInfo(reason="NO_SUCH_REASON", domain="accord"), ErrorInfo(),
])  # fmt: skip
def test_another_domain_or_an_unknown_reason_says_nothing(info: ErrorInfo) -> None:
    status = Status()
    status.details.add().Pack(info)
    error = _bare(grpc.StatusCode.UNAVAILABLE, (DETAILS_KEY, status.SerializeToString()))
    assert accord_error(error, Reason.LEDGER_UNAVAILABLE).reason is Reason.LEDGER_UNAVAILABLE


def test_unreadable_details_are_as_good_as_none() -> None:
    error = _bare(grpc.StatusCode.UNAVAILABLE, (DETAILS_KEY, b"\xff\xff"))
    assert accord_error(error, Reason.RECIPIENT_UNREACHABLE).reason is Reason.RECIPIENT_UNREACHABLE


@pytest.mark.parametrize(("header", "language"), [
    ("fr", "fr"), ("fr-CA", "fr"), ("FR", "fr"), ("en", "en"), ("de", "en"), ("", "en"), ("*", "en"), ("fr;q=0", "en"),
    ("en;q=0.5, fr;q=0.9", "fr"), ("fr;q=0.5, en", "en"), ("fr;q=x", "en"), ("french", "en"), ("\0\n,;;=,q=1", "en"),
])  # fmt: skip
def test_french_is_spoken_to_who_prefers_it(header: str, language: str) -> None:
    assert preferred_language([("x", "fr"), ("accept-language", header)]) == language


def test_without_a_language_english_is_spoken() -> None:
    assert preferred_language([("accept-language", b"fr")]) == preferred_language([]) == "en"
