"""What the ledger holds, by its name, or by the code that a patient typed."""

from accord.consent.v1 import (
    consent_pb2,
    consent_reader_service_pb2,
    consent_reader_service_pb2_grpc,
    consent_request_service_pb2,
    consent_request_service_pb2_grpc,
)

from services.ctl.consent.access import CALL_S, Access


async def look_up(access: Access, code: str) -> consent_request_service_pb2.ConsentRequest:
    """The pending request of a code, for the portal. Raises: as `Access.ledger`."""
    async with access.ledger() as channel:
        stub = consent_request_service_pb2_grpc.ConsentRequestServiceStub(channel)
        asked = consent_request_service_pb2.LookupConsentRequestRequest(user_code=code)
        return (await stub.LookupConsentRequest(asked, timeout=CALL_S)).request


async def read_consent(access: Access, name: str) -> consent_pb2.Consent:
    """A consent, or a revision of it. Raises: as `Access.ledger`."""
    async with access.ledger() as channel:
        stub = consent_reader_service_pb2_grpc.ConsentReaderServiceStub(channel)
        asked = consent_reader_service_pb2.GetConsentRequest(name=name)
        return (await stub.GetConsent(asked, timeout=CALL_S)).consent
