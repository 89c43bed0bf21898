"""The gRPC services that the consent process serves: each generated service and the servicer behind it."""

from functools import partial
from typing import Any

from accord.consent.v1 import (
    audit_service_pb2,
    audit_service_pb2_grpc,
    consent_reader_service_pb2,
    consent_reader_service_pb2_grpc,
    consent_request_service_pb2,
    consent_request_service_pb2_grpc,
    consent_service_pb2,
    consent_service_pb2_grpc,
    decision_service_pb2,
    decision_service_pb2_grpc,
    platform_service_pb2,
    platform_service_pb2_grpc,
    watch_service_pb2,
    watch_service_pb2_grpc,
)

from services.chassis.server import Endpoint
from services.consent.servicer.audit import AuditServicer
from services.consent.servicer.consents import ConsentServicer
from services.consent.servicer.decisions import DecisionServicer
from services.consent.servicer.platform import PlatformServicer
from services.consent.servicer.reader import ConsentReaderServicer
from services.consent.servicer.requests import ConsentRequestServicer
from services.consent.servicer.watch import WatchServicer


def endpoints(
    consents: ConsentServicer,
    requests: ConsentRequestServicer,
    reader: ConsentReaderServicer,
    decisions: DecisionServicer,
    watch: WatchServicer,
    audit: AuditServicer,
    platform: PlatformServicer,
) -> list[Endpoint]:
    """One endpoint for each servicer."""
    return [
        _endpoint(consent_service_pb2, consent_service_pb2_grpc.add_ConsentServiceServicer_to_server, consents),
        _endpoint(
            consent_request_service_pb2,
            consent_request_service_pb2_grpc.add_ConsentRequestServiceServicer_to_server,
            requests,
        ),
        _endpoint(
            consent_reader_service_pb2,
            consent_reader_service_pb2_grpc.add_ConsentReaderServiceServicer_to_server,
            reader,
        ),
        _endpoint(decision_service_pb2, decision_service_pb2_grpc.add_DecisionServiceServicer_to_server, decisions),
        _endpoint(watch_service_pb2, watch_service_pb2_grpc.add_WatchServiceServicer_to_server, watch),
        _endpoint(audit_service_pb2, audit_service_pb2_grpc.add_AuditServiceServicer_to_server, audit),
        _endpoint(platform_service_pb2, platform_service_pb2_grpc.add_PlatformServiceServicer_to_server, platform),
    ]


def _endpoint(module: Any, add: Any, servicer: Any) -> Endpoint:
    (service,) = module.DESCRIPTOR.services_by_name.values()
    return Endpoint(service, partial(add, servicer))
