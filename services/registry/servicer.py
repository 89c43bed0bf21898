"""The register's four gRPC services: each method converts in, calls one use case, converts out."""

from functools import partial

import grpc
from accord.registry.v1 import catalog_service_pb2 as catalog_pb
from accord.registry.v1 import catalog_service_pb2_grpc as catalog_grpc
from accord.registry.v1 import lease_service_pb2 as lease_pb
from accord.registry.v1 import lease_service_pb2_grpc as lease_grpc
from accord.registry.v1 import register_log_service_pb2 as log_pb
from accord.registry.v1 import register_log_service_pb2_grpc as log_grpc
from accord.registry.v1 import registry_pb2 as pb
from accord.registry.v1 import registry_service_pb2 as registry_pb
from accord.registry.v1 import registry_service_pb2_grpc as registry_grpc

from services.chassis.identity import current_caller
from services.formats.register_entry import RegisterEvent
from services.registry import log_reader
from services.registry.catalog import Catalog, Move
from services.registry.commits import Commits
from services.registry.convert import messages, register_log, requests
from services.registry.domain import status
from services.registry.domain.wish import Wish
from services.registry.lease import Leases
from services.registry.organizations import Organizations

Context = grpc.ServicerContext
SUSPEND = Move(RegisterEvent.SERVICE_SUSPENDED, status.suspend)
REINSTATE = Move(RegisterEvent.SERVICE_REINSTATED, status.reinstate)


class RegistryServicer(registry_grpc.RegistryServiceServicer):
    """Writes the register. `allow_local` admits endpoints inside a network."""

    def __init__(self, catalog: Catalog, organizations: Organizations, *, allow_local: bool) -> None:
        self._catalog, self._organizations, self._allow_local = catalog, organizations, allow_local

    async def CreateOrganization(
        self, request: registry_pb.CreateOrganizationRequest, context: Context
    ) -> registry_pb.CreateOrganizationResponse:
        """Records an organisation."""
        recorded = await self._organizations.create(requests.organization(request.organization), _author())
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
        reference = partial(status.reference, with_exchange=request.with_exchange)
        move, wish = Move(RegisterEvent.SERVICE_REFERENCED, reference), requests.service_move(request, justified=False)
        return registry_pb.ReferenceServiceResponse(service=await self._move(wish, move))

    async def SuspendService(
        self, request: registry_pb.SuspendServiceRequest, context: Context
    ) -> registry_pb.SuspendServiceResponse:
        """Suspends a service."""
        moved = await self._move(requests.service_move(request, justified=True), SUSPEND)
        return registry_pb.SuspendServiceResponse(service=moved)

    async def ReinstateService(
        self, request: registry_pb.ReinstateServiceRequest, context: Context
    ) -> registry_pb.ReinstateServiceResponse:
        """Ends a suspension."""
        moved = await self._move(requests.service_move(request, justified=False), REINSTATE)
        return registry_pb.ReinstateServiceResponse(service=moved)

    async def SuspendOrganization(
        self, request: registry_pb.SuspendOrganizationRequest, context: Context
    ) -> registry_pb.SuspendOrganizationResponse:
        """Suspends an organisation with its services."""
        wish = requests.organization_move(request, justified=True)
        recorded = await self._organizations.suspend(wish, _author(), suspended=True)
        return registry_pb.SuspendOrganizationResponse(organization=messages.organization(recorded))

    async def ReinstateOrganization(
        self, request: registry_pb.ReinstateOrganizationRequest, context: Context
    ) -> registry_pb.ReinstateOrganizationResponse:
        """Ends an organisation's suspension."""
        wish = requests.organization_move(request, justified=False)
        recorded = await self._organizations.suspend(wish, _author(), suspended=False)
        return registry_pb.ReinstateOrganizationResponse(organization=messages.organization(recorded))

    async def _move(self, wish: Wish, move: Move) -> pb.Service:
        return messages.service(await self._catalog.move(wish, move, _author()))


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


class RegisterLogServicer(log_grpc.RegisterLogServiceServicer):
    """Reads the register's log."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits

    async def GetRegisterCheckpoint(
        self, request: log_pb.GetRegisterCheckpointRequest, context: Context
    ) -> log_pb.GetRegisterCheckpointResponse:
        """Reads the latest signed checkpoint."""
        return log_pb.GetRegisterCheckpointResponse(checkpoint=await self._commits.read(log_reader.checkpoint))

    async def GetRegisterConsistency(
        self, request: log_pb.GetRegisterConsistencyRequest, context: Context
    ) -> log_pb.GetRegisterConsistencyResponse:
        """Proves that the log of one size continues that of another."""
        old, new = register_log.sizes(request)
        read = partial(log_reader.consistency, old=old, new=new)
        return log_pb.GetRegisterConsistencyResponse(hashes=await self._commits.read(read))

    async def GetRegisterEntry(
        self, request: log_pb.GetRegisterEntryRequest, context: Context
    ) -> log_pb.GetRegisterEntryResponse:
        """Reads one entry with its proof."""
        found, proof = await self._commits.read(partial(log_reader.proven, index=register_log.index(request)))
        return log_pb.GetRegisterEntryResponse(entry=register_log.entry(found), proof=proof)

    async def ListRegisterEntries(
        self, request: log_pb.ListRegisterEntriesRequest, context: Context
    ) -> log_pb.ListRegisterEntriesResponse:
        """Lists entries in log order."""
        resource, first, size = register_log.page(request)
        read = partial(log_reader.page, resource=resource, first=first, count=size + 1)
        return register_log.page_message(await self._commits.read(read), size)


def _author() -> str:
    return current_caller().identity.uri
