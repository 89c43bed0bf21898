"""What is recorded, as messages."""

from collections.abc import Sequence

from accord.registry.v1 import catalog_service_pb2 as catalog_pb
from accord.registry.v1 import registry_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from services.formats.canonical import dumps
from services.formats.jwk import VerifyKey, b64url
from services.formats.lease import Convention
from services.registry.convert.enums import DIRECTIONS, PURPOSES, STATUSES
from services.registry.domain.service import Notice, RecordedOrganization, Service

MAX_PAGE_BYTES = 2 << 20
"""A hundred long notices would not fit into one message."""


def organization(recorded: RecordedOrganization) -> pb.Organization:
    """An organisation as recorded."""
    asked = recorded.organization
    return pb.Organization(
        name=asked.name,
        siren=asked.siren,
        oid=asked.oid,
        display_name=asked.display_name,
        create_time=_timestamp(recorded.create_ms),
        suspended=recorded.suspended,
        etag=recorded.etag,
    )


def service(recorded: Service) -> pb.Service:
    """A service as it stands."""
    asked = recorded.application
    return pb.Service(
        name=asked.name,
        organization=asked.organization,
        display_name=asked.display_name,
        oid=asked.oid,
        convention=_convention(asked.convention, asked.notice),
        spiffe_id=recorded.spiffe_id,
        signing_keys=[_key(key) for key in asked.keys],
        endpoint=asked.endpoint,
        status=STATUSES[recorded.standing.effective],
        create_time=_timestamp(recorded.create_ms),
        etag=recorded.etag,
        organization_suspended=recorded.standing.held,
    )


def page(services: Sequence[Service], more: bool) -> catalog_pb.ListServicesResponse:
    """A page of services, shortened to what fits; `more` says whether others follow them."""
    response, size = catalog_pb.ListServicesResponse(), 0
    for recorded in services:
        message = service(recorded)
        size += message.ByteSize()
        if size > MAX_PAGE_BYTES and response.services:
            more = True
            break
        response.services.append(message)
    if more:
        response.next_page_token = b64url(response.services[-1].name.encode("ascii"))
    return response


def _convention(convention: Convention, notice: Notice) -> pb.Convention:
    scope = convention.scope
    return pb.Convention(
        categories=sorted(scope.categories),
        directions=[number for number, direction in DIRECTIONS.items() if direction in scope.directions],
        purposes=[number for number, purpose in PURPOSES.items() if purpose in scope.purposes],
        start_time=_timestamp(convention.start_ms),
        end_time=_timestamp(convention.end_ms),
        notice=pb.InformationNotice(version=notice.version, text=notice.text, sha256=convention.notice_sha256),
        ins_in_documents=convention.ins_in_documents,
    )


def _key(key: VerifyKey) -> pb.SigningKey:
    return pb.SigningKey(kid=key.kid, jwk=dumps(key.jwk).decode("ascii"))


def _timestamp(instant_ms: int) -> Timestamp:
    return Timestamp(seconds=instant_ms // 1000, nanos=instant_ms % 1000 * 1_000_000)
