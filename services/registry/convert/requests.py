"""What callers ask, as domain values. Every function raises AccordError FIELD_INVALID with every violated field."""

from collections.abc import Sequence

from accord.registry.v1 import catalog_service_pb2 as catalog_pb
from accord.registry.v1 import lease_service_pb2 as lease_pb
from accord.registry.v1 import registry_pb2 as pb
from accord.registry.v1 import registry_service_pb2 as pb_moves
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.formats.canonical import FormatError
from services.formats.jwk import VerifyKey, unb64url
from services.formats.lease import Convention
from services.formats.rights import Scope
from services.registry.convert.enums import DIRECTIONS, PURPOSES
from services.registry.convert.faults import Faults
from services.registry.domain import admission
from services.registry.domain.service import Application, Notice, Organization
from services.registry.domain.wish import Wish

MAX_DISPLAY_NAME, MAX_VERSION, MAX_NOTICE, MAX_REASON, MAX_ETAG = 200, 40, 20_000, 200, 64
MAX_WAIT_S = 10
MAX_PAGE, DEFAULT_PAGE = 100, 50
ServiceMove = pb_moves.ReferenceServiceRequest | pb_moves.SuspendServiceRequest | pb_moves.ReinstateServiceRequest
OrganizationMove = pb_moves.SuspendOrganizationRequest | pb_moves.ReinstateOrganizationRequest
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z


def organization(message: pb.Organization) -> Organization:
    """What a registrar asks to record of an organisation."""
    faults = Faults()
    faults.add("organization.name", admission.organization_name_fault(message.name))
    faults.add("organization.siren", admission.siren_fault(message.siren))
    faults.add("organization.oid", admission.oid_fault(message.oid))
    faults.add("organization.display_name", admission.text_fault(message.display_name, MAX_DISPLAY_NAME))
    faults.unset("organization", message, "create_time", "suspended", "etag")
    faults.check()
    return Organization(message.name, message.siren, message.oid, message.display_name)


def application(message: pb.Service, *, allow_local: bool) -> Application:
    """What a registrar asks to record of a service; `allow_local` admits endpoints inside a network."""
    faults = Faults()
    faults.add("service.name", admission.service_name_fault(message.name))
    faults.add("service.organization", admission.organization_name_fault(message.organization))
    faults.add("service.display_name", admission.text_fault(message.display_name, MAX_DISPLAY_NAME))
    faults.add("service.oid", admission.oid_fault(message.oid))
    if message.endpoint:
        faults.add("service.endpoint", admission.endpoint_fault(message.endpoint, allow_local=allow_local))
    faults.unset("service", message, "spiffe_id", "status", "create_time", "etag", "organization_suspended")
    keys = _keys(message.signing_keys, faults)
    _check_convention(message.convention, faults)
    faults.check()
    return Application(
        name=message.name,
        organization=message.organization,
        display_name=message.display_name,
        oid=message.oid,
        convention=_convention(message.convention),
        notice=Notice(message.convention.notice.version, message.convention.notice.text),
        keys=keys,
        endpoint=message.endpoint,
    )


def service_name(name: str) -> str:
    """A service's name."""
    faults = Faults()
    faults.add("name", admission.service_name_fault(name))
    faults.check()
    return name


def service_move(request: ServiceMove, *, justified: bool) -> Wish:
    """A registrar's wish to move a service; `justified`: it must say why."""
    return _wish(request, admission.service_name_fault(request.name), justified)


def organization_move(request: OrganizationMove, *, justified: bool) -> Wish:
    """A registrar's wish to suspend an organisation or to end that; `justified`: it must say why."""
    return _wish(request, admission.organization_name_fault(request.name), justified)


def _wish(request: ServiceMove | OrganizationMove, name_fault: admission.Fault, justified: bool) -> Wish:
    faults = Faults()
    faults.add("name", name_fault)
    faults.add("etag", admission.text_fault(request.etag, MAX_ETAG) if request.etag else None)
    said = justified or request.justification
    faults.add("justification", admission.text_fault(request.justification, MAX_REASON) if said else None)
    faults.add("evidence", admission.text_fault(request.evidence, MAX_REASON) if request.evidence else None)
    faults.check()
    return Wish(request.name, request.etag, request.justification, request.evidence)


def page(request: catalog_pb.ListServicesRequest) -> tuple[str, int]:
    """The name that a page follows (empty: the first page), and its size."""
    faults = Faults()
    faults.add("page_size", None if 0 <= request.page_size <= MAX_PAGE else f"is not 1 to {MAX_PAGE}")
    after = _after(request.page_token)
    faults.add("page_token", "is not a token of this service" if after is None else None)
    faults.check()
    return after or "", request.page_size or DEFAULT_PAGE


def poll(request: lease_pb.GetLeaseRequest) -> tuple[int, int]:
    """The sequence that a reader holds (0: none), and the seconds it waits."""
    faults = Faults()
    faults.add("known_sequence", None if request.known_sequence >= 0 else "is negative")
    faults.add("wait_seconds", None if 0 <= request.wait_seconds <= MAX_WAIT_S else f"is not 0 to {MAX_WAIT_S}")
    faults.check()
    return request.known_sequence, request.wait_seconds


def _after(token: str) -> str | None:
    try:
        name = unb64url(token).decode("ascii")
    except (FormatError, UnicodeError):
        return None
    return name if not name or admission.service_name_fault(name) is None else None


def _check_convention(message: pb.Convention, faults: Faults) -> None:
    faults.add("service.convention.categories", admission.categories_fault(message.categories))
    faults.add("service.convention.directions", admission.choices_fault(message.directions, DIRECTIONS))
    faults.add("service.convention.purposes", admission.choices_fault(message.purposes, PURPOSES))
    _check_period(message, faults)
    notice = message.notice
    faults.add("service.convention.notice.version", admission.text_fault(notice.version, MAX_VERSION))
    faults.add("service.convention.notice.text", admission.text_fault(notice.text, MAX_NOTICE, lines=True))
    faults.add("service.convention.notice.sha256", admission.digest_fault(notice.text, notice.sha256))


def _check_period(message: pb.Convention, faults: Faults) -> None:
    start = _instant_fault(message, "start_time", message.start_time)
    end = _instant_fault(message, "end_time", message.end_time)
    if start is None and end is None:
        end = admission.period_fault(_milliseconds(message.start_time), _milliseconds(message.end_time))
    faults.add("service.convention.start_time", start)
    faults.add("service.convention.end_time", end)


def _instant_fault(parent: Message, field: str, instant: Timestamp) -> admission.Fault:
    if not parent.HasField(field):
        return "is required"
    if not 0 <= instant.seconds <= _LAST_SECOND or not 0 <= instant.nanos < 1_000_000_000:
        return "is not an instant between 1970 and 9999"
    return "is finer than a millisecond" if instant.nanos % 1_000_000 else None


def _milliseconds(instant: Timestamp) -> int:
    return instant.seconds * 1000 + instant.nanos // 1_000_000


def _convention(message: pb.Convention) -> Convention:
    return Convention(
        scope=Scope(
            frozenset(message.categories),
            frozenset(DIRECTIONS[item] for item in message.directions),
            frozenset(PURPOSES[item] for item in message.purposes),
        ),
        start_ms=_milliseconds(message.start_time),
        end_ms=_milliseconds(message.end_time),
        notice_sha256=message.notice.sha256,
        ins_in_documents=message.ins_in_documents,
    )


def _keys(messages: Sequence[pb.SigningKey], faults: Faults) -> tuple[VerifyKey, ...]:
    counted = 1 <= len(messages) <= admission.MAX_KEYS
    faults.add("service.signing_keys", None if counted else f"are not 1 to {admission.MAX_KEYS} keys")
    keys: dict[str, VerifyKey] = {}
    for index, message in enumerate(messages[: admission.MAX_KEYS]):
        prefix = f"service.signing_keys[{index}]"
        faults.unset(prefix, message, "kid")
        try:
            key = admission.read_key(message.jwk)
        except FormatError as error:
            faults.add(f"{prefix}.jwk", str(error))
            continue
        faults.add(f"{prefix}.jwk", "is the key of an item before it" if key.kid in keys else None)
        keys[key.kid] = key
    return tuple(keys.values())
