"""The options of a search as one filter of the AuditService."""

import re
from datetime import UTC, datetime
from typing import Annotated

import typer
from accord.consent.v1 import audit_service_pb2 as pb
from accord.errors.v1 import error_reason_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.errors import Reason
from services.formats.canonical import FormatError
from services.formats.times import instant_of

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

Patient = Annotated[str, typer.Option(help="Of this patient with --service: the pseudonym that the service knows.")]
Profile = Annotated[str, typer.Option(help="Of this patient, whatever the service: profiles/….")]
Service = Annotated[str, typer.Option(help="Concerning this service, as sender or as recipient: services/….")]
Actor = Annotated[
    str, typer.Option(help="By holder, representative, portal, platform, broker, ledger, service, auditor.")
]
Types = Annotated[
    list[str] | None, typer.Option("--type", help="Of this type, such as exchange.denied; repeat for more.")
]
Why = Annotated[str, typer.Option(help="For this reason, such as CONSENT_REVOKED.")]
Since = Annotated[str, typer.Option(help="From this day or instant on: 2026-11-23, or 2026-11-23T09:00:00.000Z.")]
Before = Annotated[str, typer.Option(help="Before this day or instant.")]
Consent = Annotated[str, typer.Option(help="Naming this consent: consents/….")]
Exchange = Annotated[str, typer.Option(help="Of this exchange: 64 hexadecimal digits.")]


def entry_filter(
    patient: str,
    profile: str,
    service: str,
    actor: str,
    types: list[str] | None,
    reason: str,
    since: str,
    before: str,
    consent: str,
    exchange: str,
) -> pb.EntryFilter:
    """The filter of these options. Raises: typer.BadParameter."""
    return pb.EntryFilter(
        patient=patient,
        profile=profile,
        service=service,
        actor=actor,
        types=types or [],
        reason=_reason(reason),
        start_time=_instant(since, "--since"),
        end_time=_instant(before, "--before"),
        consent=consent,
        exchange=exchange,
    )


def _reason(text: str) -> "error_reason_pb2.ErrorReason.ValueType":
    if text and text not in Reason.__members__:
        raise typer.BadParameter("not a reason of docs/errors.md", param_hint="--reason")
    return error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{text or 'UNSPECIFIED'}")


def _instant(text: str, name: str) -> Timestamp | None:
    if not text:
        return None
    try:
        if _DAY.fullmatch(text):
            return Timestamp(seconds=int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()))
        return Timestamp(seconds=instant_of(text) // 1000, nanos=instant_of(text) % 1000 * 1_000_000)
    except (FormatError, ValueError):
        raise typer.BadParameter("neither a day nor an instant", param_hint=name) from None
