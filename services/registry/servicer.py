"""The register's three gRPC services: each method converts in, calls one use case, converts out."""

from collections.abc import Callable
from functools import partial

import grpc
from accord.registry.v1 import catalog_service_pb2 as catalog_pb
from accord.registry.v1 import catalog_service_pb2_grpc as catalog_grpc
from accord.registry.v1 import lease_service_pb2 as lease_pb
from accord.registry.v1 import lease_service_pb2_grpc as lease_grpc
from accord.registry.v1 import registry_pb2 as pb
from accord.registry.v1 import registry_service_pb2 as registry_pb
from accord.registry.v1 import registry_service_pb2_grpc as registry_grpc

from services.chassis.identity import current_caller
from services.registry.catalog import Catalog, Move
from services.registry.convert import messages, requests
from services.registry.domain import status
from services.registry.domain.status import Standing
from services.registry.lease import Leases

Context = grpc.ServicerContext


class RegistryServicer(registry_grpc.RegistryServiceServicer):
    """Writes the register. `allow_local` admits endpoints inside a network."""

    def __init__(self, catalog: Catalog, *, allow_local: bool) -> None:
        self._catalog, self._allow_local = catalog, allow_local

    async def CreateOrganization(
        self, request: registry_pb.CreateOrganizationRequest, context: Context
    ) -> registry_pb.CreateOrganizationResponse:
        """Records an organisation."""
        recorded = await self._catalog.create_organization(requests.organization(request.organization))
        return registry_pb.CreateOrganizationResponse(organization=messages.organization(recorded))

    async def CreateService(
        self, request: registry_pb.CreateServiceRequest, context: Context
    ) -> registry_pb.CreateServiceResponse:
        """Records a service, applied."""
        application = requests.application(request.service, allow_local=self._allow_local)
        recorded = await self._catalog.create_service(application, _author())
        return registry_pb.CreateServiceResponse(service=messages.service(recorded))

    async def ReferenceService(
        self, request: registry_pb.ReferenceServiceRequest, context: Context
    ) -> registry_pb.ReferenceServiceResponse:
        """References a service, with or without exchange."""
        requests.check_move(request.name, request.etag)
        move = partial(status.reference, with_exchange=request.with_exchange)
        return registry_pb.ReferenceServiceResponse(service=await self._move(request.name, request.etag, move))

    async def SuspendService(
        self, request: registry_pb.SuspendServiceRequest, context: Context
    ) -> registry_pb.SuspendServiceResponse:
        """Suspends a service."""
        requests.check_move(request.name, request.etag, request.justification)
        moved = await self._move(request.name, request.etag, status.suspend, request.justification)
        return registry_pb.SuspendServiceResponse(service=moved)

    async def ReinstateService(
        self, request: registry_pb.ReinstateServiceRequest, context: Context
    ) -> registry_pb.ReinstateServiceResponse:
        """Ends a suspension."""
        requests.check_move(request.name, request.etag)
        moved = await self._move(request.name, request.etag, status.reinstate)
        return registry_pb.ReinstateServiceResponse(service=moved)

    async def _move(self, name: str, etag: str, move: Callable[[Standing], Standing], why: str = "") -> pb.Service:
        return messages.service(await self._catalog.move(Move(name, etag, move, _author(), why)))


class CatalogServicer(catalog_grpc.CatalogServiceServicer):
    """Reads the register."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def GetService(
        self, request: catalog_pb.GetServiceRequest, context: Context
    ) -> catalog_pb.GetServiceResponse:
        """Reads one service."""
        found = await self._catalog.get(requests.service_name(request.name))
        return catalog_pb.GetServiceResponse(service=messages.service(found))

    async def ListServices(
        self, request: catalog_pb.ListServicesRequest, context: Context
    ) -> catalog_pb.ListServicesResponse:
        """Reads a page of services."""
        return messages.page(*await self._catalog.page(*requests.page(request)))


class LeaseServicer(lease_grpc.LeaseServiceServicer):
    """Hands out the lease."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    async def GetLease(self, request: lease_pb.GetLeaseRequest, context: Context) -> lease_pb.GetLeaseResponse:
        """Reads the lease, now or at the next change."""
        issued = await self._leases.issue(*requests.poll(request))
        return lease_pb.GetLeaseResponse(lease=issued.token, records=issued.records)


def _author() -> str:
    return current_caller().identity.uri
