"""Accesses and exports: what the portal asks for, and an access as the wire has it."""

from dataclasses import dataclass
from typing import Any

from accord.consent.v1 import consent_pb2, decision_service_pb2
from accord.consent.v1 import consent_reader_service_pb2 as reader
from accord.errors.v1 import error_reason_pb2
from accord.registry.v1 import registry_pb2

from services.consent.convert.form import ROLES, Form, timestamp
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.accesses import Access, Wanted
from services.consent.domain.pages import DEFAULT, MOST, Page, digest, read_token

_VIEWERS = {int(consent_pb2.ACTOR_ROLE_UNSPECIFIED): c.HOLDER} | ROLES
_KINDS = {int(reader.FHIR_KIND_CONSENT): False, int(reader.FHIR_KIND_AUDIT_EVENT): True}


@dataclass(frozen=True, slots=True)
class Export:
    """An export: of accesses, or else of consents."""

    wanted: Wanted
    of_accesses: bool


def accesses(message: reader.ListAccessesRequest, names: Names) -> tuple[Wanted, Page]:
    """Which accesses, and which page of them. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form = Form()
    role, period = _role(message, form), _period(message, form)
    service = form.service(message.service, "service") if message.service else ""
    form.check(0 <= message.page_size <= MOST, "page_size", f"must be 1 to {MOST}")
    asked = digest("ListAccesses", message.profile, role, service, *map(str, period))
    after = read_token(message.page_token, asked, (int, int)) if message.page_token else ()
    form.check(after is not None, "page_token", "is not one that was given out for this question")
    form.done()
    wanted = Wanted(names.profile(message.profile), role, *period, service)
    return wanted, Page(message.page_size or DEFAULT, asked, after or ())


def export(message: reader.ExportFhirRequest, names: Names) -> Export:
    """What to export. Raises: AccordError FIELD_INVALID, RESOURCE_NOT_FOUND."""
    form = Form()
    of_accesses = form.member(_KINDS, message.kind, "kind", False)
    role, period = _role(message, form), _period(message, form)
    if message.kind in _KINDS:
        needed = "is required for accesses" if of_accesses else "must be unset for consents"
        form.check(message.HasField("start_time") is of_accesses, "start_time", needed)
    form.done()
    return Export(Wanted(names.profile(message.profile), role, *period), of_accesses)


def _role(message: Any, form: Form) -> str:
    return form.member(_VIEWERS, message.viewer, "viewer", c.HOLDER)


def _period(message: Any, form: Form) -> tuple[int | None, int | None]:
    """Both bounds, or none: a search is bounded at both ends."""
    start_ms, end_ms = (form.optional_instant(message, name) for name in ("start_time", "end_time"))
    for name, other in (("start_time", "end_time"), ("end_time", "start_time")):
        form.check(message.HasField(name) or not message.HasField(other), name, f"is required with {other}")
    form.check(start_ms is None or end_ms is None or start_ms < end_ms, "end_time", "must be after start_time")
    return start_ms, end_ms


def page_message(found: list[Access], token: str) -> reader.ListAccessesResponse:
    """A page for the wire."""
    return reader.ListAccessesResponse(accesses=map(access_message, found), next_page_token=token)


def access_message(access: Access) -> reader.Access:
    """An access for the wire."""
    message = reader.Access(
        time=timestamp(access.time_ms),
        service=access.service,
        counterparty=access.counterparty,
        authorized=access.authorized,
        resources=access.resources,
        exchange=access.exchange,
    )
    if access.reason is not None:
        message.reason = error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{access.reason.value}")
    if access.result is not None:
        message.outcome = decision_service_pb2.Outcome.Value(f"OUTCOME_{access.result.value}")
    if access.asked is not None:
        message.purpose = registry_pb2.Purpose.Value(f"PURPOSE_{access.asked.purpose.value}")
        message.categories.extend(sorted(access.asked.categories))
    return message
