"""The information notice that a patient is shown before they decide, from the register.

Guarantees that its text is the one whose hash the request and the register name.
"""

from accord.registry.v1 import catalog_service_pb2, catalog_service_pb2_grpc, registry_pb2

from services.ctl.consent.access import CALL_S, Access, RefusedError
from services.formats.entry import sha256_hex


async def read_notice(access: Access, registry: str, service: str, sha256: str) -> registry_pb2.InformationNotice:
    """The notice of a service's convention. Raises: RefusedError where it is not the one of this hash, and as `Access`."""
    async with access.registry(registry) as channel:
        stub = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        asked = catalog_service_pb2.GetServiceRequest(name=service)
        answer = await stub.GetService(asked, timeout=CALL_S)
    return checked(answer.service.convention.notice, sha256)


def checked(notice: registry_pb2.InformationNotice, sha256: str) -> registry_pb2.InformationNotice:
    """The same notice. Raises: RefusedError where its text, or its stated hash, is another than `sha256`."""
    if not sha256 or (sha256_hex(notice.text), notice.sha256) != (sha256, sha256):
        raise RefusedError("the notice in the register is not the one to be shown: do not show this request")
    return notice
