"""The registry process over real mutual TLS: each RPC allowed, denied and malformed, and what a restart keeps."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from accord.registry.v1 import catalog_service_pb2 as catalog_pb
from accord.registry.v1 import catalog_service_pb2_grpc as catalog_grpc
from accord.registry.v1 import lease_service_pb2 as lease_pb
from accord.registry.v1 import lease_service_pb2_grpc as lease_grpc
from accord.registry.v1 import register_log_service_pb2 as log_pb
from accord.registry.v1 import register_log_service_pb2_grpc as log_grpc
from accord.registry.v1 import registry_pb2 as pb
from accord.registry.v1 import registry_service_pb2 as registry_pb
from accord.registry.v1 import registry_service_pb2_grpc as registry_grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.clock import SystemClock
from services.chassis.registry import RegistryView
from services.chassis.status import accord_error
from services.errors import AccordError, Reason
from services.formats.lease import Status, open_lease, parse_snapshot
from services.tlog.proof import verify_consistency, verify_inclusion
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import leaf_hash, merkle_root
from tests.support.certificates import Site
from tests.support.register import organization_message, service_message
from tests.support.registry_process import RunningRegistry, running_registry, start, write_settings

DEADLINE_S = 20
Code = grpc.StatusCode


class Stubs:
    """Every RPC of the registry, by name, from one identity."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stubs: list[Any] = [
            registry_grpc.RegistryServiceStub(channel),
            catalog_grpc.CatalogServiceStub(channel),
            lease_grpc.LeaseServiceStub(channel),
            log_grpc.RegisterLogServiceStub(channel),
        ]

    async def call(self, rpc: str, request: Message) -> Any:
        """The answer. Raises: AccordError as the registry told it, with its words."""
        stub = next(stub for stub in self._stubs if hasattr(stub, rpc))
        try:
            return await getattr(stub, rpc)(request, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            raise accord_error(error, Reason.INTERNAL, trusted=True) from error


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with running_registry(Site(tmp_path_factory.mktemp("registry"))) as running:
        yield running


async def call(registry: RunningRegistry, path: str, rpc: str, request: Message) -> Any:
    """One RPC from the identity of a path."""
    async with registry.channel(path) as channel:
        return await Stubs(channel).call(rpc, request)


async def refused(registry: RunningRegistry, path: str, rpc: str, request: Message) -> AccordError:
    """Why one RPC is refused."""
    with pytest.raises(AccordError) as raised:
        await call(registry, path, rpc, request)
    return raised.value


@dataclass(frozen=True)
class Case:
    """An RPC, who may call it, who may not, and a request with what is wrong about it."""

    rpc: str
    allowed: tuple[str, ...]
    denied: tuple[str, ...]
    malformed: Message
    fields: tuple[str, ...]


OUTSIDERS = ("/portal", "/auditor", "/consent", "/exchange", "/service/service-1", "/registrar/deputy", "/stranger")
NO_AUDITORS = ("/portal", "/consent", "/exchange", "/service/anybody", "/stranger")
LONG = "x" * 201
CASES = [
    Case(
        "CreateOrganization",
        ("/registrar",),
        OUTSIDERS,
        registry_pb.CreateOrganizationRequest(organization=organization_message(siren="732829321", oid="1.2.x")),
        ("organization.siren", "organization.oid"),
    ),
    Case(
        "CreateService",
        ("/registrar",),
        OUTSIDERS,
        registry_pb.CreateServiceRequest(service=service_message(endpoint="169.254.169.254:80", display_name=LONG)),
        ("service.display_name", "service.endpoint"),
    ),
    Case(
        "ReferenceService",
        ("/registrar",),
        OUTSIDERS,
        registry_pb.ReferenceServiceRequest(name="services/../x", etag=LONG),
        ("name", "etag"),
    ),
    Case(
        "SuspendService",
        ("/registrar",),
        OUTSIDERS,
        registry_pb.SuspendServiceRequest(name="x"),
        ("name", "justification"),
    ),
    Case(
        "SuspendOrganization",
        ("/registrar",),
        OUTSIDERS,
        registry_pb.SuspendOrganizationRequest(name="services/service-1", etag=LONG, evidence=LONG),
        ("name", "etag", "justification", "evidence"),
    ),
    Case("ReinstateOrganization", ("/registrar",), OUTSIDERS, registry_pb.ReinstateOrganizationRequest(), ("name",)),
    Case(
        "ReinstateService",
        ("/registrar",),
        OUTSIDERS,
        registry_pb.ReinstateServiceRequest(justification="\n"),
        ("name", "justification"),
    ),
    Case(
        "GetService",
        ("/registrar", "/portal", "/auditor", "/service/anybody"),
        ("/consent", "/exchange", "/stranger", "/service", "/service/a/b"),
        catalog_pb.GetServiceRequest(),
        ("name",),
    ),
    Case(
        "ListServices",
        ("/registrar", "/portal", "/auditor", "/service/anybody"),
        ("/consent", "/exchange", "/stranger", "/service", "/service/a/b"),
        catalog_pb.ListServicesRequest(page_size=101, page_token="?"),
        ("page_size", "page_token"),
    ),
    Case(
        "GetRegisterEntry",
        ("/registrar", "/auditor"),
        NO_AUDITORS,
        log_pb.GetRegisterEntryRequest(index=-1),
        ("index",),
    ),
    Case(
        "GetRegisterConsistency",
        ("/registrar", "/auditor"),
        NO_AUDITORS,
        log_pb.GetRegisterConsistencyRequest(new_size=-1),
        ("old_size", "new_size"),
    ),
    Case(
        "ListRegisterEntries",
        ("/registrar", "/auditor"),
        NO_AUDITORS,
        log_pb.ListRegisterEntriesRequest(resource="services/../x", page_size=501, page_token="eA"),
        ("resource", "page_size", "page_token"),
    ),
    Case(
        "GetLease",
        ("/consent", "/exchange"),
        ("/registrar", "/portal", "/auditor", "/service/service-1", "/stranger"),
        lease_pb.GetLeaseRequest(known_sequence=-1, wait_seconds=11),
        ("known_sequence", "wait_seconds"),
    ),
]


def test_the_cases_name_every_rpc_of_the_registry() -> None:
    files = (registry_pb.DESCRIPTOR, catalog_pb.DESCRIPTOR, lease_pb.DESCRIPTOR, log_pb.DESCRIPTOR)
    served = {method.name for file in files for service in file.services_by_name.values() for method in service.methods}
    assert {case.rpc for case in CASES} | {"GetRegisterCheckpoint"} == served


async def test_the_checkpoint_which_no_request_can_miss_is_for_auditors_and_registrars(
    registry: RunningRegistry,
) -> None:
    request = log_pb.GetRegisterCheckpointRequest()
    for path in NO_AUDITORS:
        assert (await refused(registry, path, "GetRegisterCheckpoint", request)).reason is Reason.RPC_NOT_ALLOWED
    for path in ("/registrar", "/auditor"):
        assert (await call(registry, path, "GetRegisterCheckpoint", request)).checkpoint


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rpc)
async def test_only_the_identities_of_the_access_policy_get_past_it(registry: RunningRegistry, case: Case) -> None:
    for path in case.denied:
        assert (await refused(registry, path, case.rpc, case.malformed)).reason is Reason.RPC_NOT_ALLOWED, path
    for path in case.allowed:
        assert (await refused(registry, path, case.rpc, case.malformed)).reason is Reason.FIELD_INVALID, path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rpc)
async def test_a_malformed_request_is_told_every_field_that_is_wrong(registry: RunningRegistry, case: Case) -> None:
    error = await refused(registry, case.allowed[0], case.rpc, case.malformed)
    assert tuple(violation.field for violation in error.violations) == case.fields


async def test_a_service_passes_through_its_referencing_and_readers_see_each_stage(registry: RunningRegistry) -> None:
    async with registry.channel("/registrar") as channel, registry.channel("/service/service-21") as own:
        registrar, reader = Stubs(channel), Stubs(own)
        organization = organization_message(21)
        answer = await registrar.call(
            "CreateOrganization", registry_pb.CreateOrganizationRequest(organization=organization)
        )
        assert answer.organization.name == "organizations/org-21"
        asked = service_message(21)
        applied = (await registrar.call("CreateService", registry_pb.CreateServiceRequest(service=asked))).service
        assert applied.spiffe_id == "spiffe://mes.example/service/service-21"
        assert applied.status == pb.SERVICE_STATUS_APPLIED

        moves: list[tuple[str, Message, int]] = [
            (
                "ReferenceService",
                registry_pb.ReferenceServiceRequest(name=asked.name, with_exchange=True, etag=applied.etag),
                pb.SERVICE_STATUS_REFERENCED_WITH_EXCHANGE,
            ),
            (
                "SuspendService",
                registry_pb.SuspendServiceRequest(name=asked.name, justification="Audit."),
                pb.SERVICE_STATUS_SUSPENDED,
            ),
            (
                "ReinstateService",
                registry_pb.ReinstateServiceRequest(name=asked.name),
                pb.SERVICE_STATUS_REFERENCED_WITH_EXCHANGE,
            ),
        ]
        for rpc, request, status in moves:
            assert (await registrar.call(rpc, request)).service.status == status
            shown = (await reader.call("GetService", catalog_pb.GetServiceRequest(name=asked.name))).service
            assert shown.status == status
        stale = registry_pb.ReferenceServiceRequest(name=asked.name, etag=applied.etag)
        assert (await refused(registry, "/registrar", "ReferenceService", stale)).reason is Reason.ETAG_MISMATCH
        listed = await reader.call("ListServices", catalog_pb.ListServicesRequest(page_size=100))
        assert shown in listed.services


async def test_what_cannot_be_is_refused_with_its_reason(registry: RunningRegistry) -> None:
    unknown = catalog_pb.GetServiceRequest(name="services/unknown")
    assert (await refused(registry, "/portal", "GetService", unknown)).reason is Reason.RESOURCE_NOT_FOUND

    await call(registry, "/registrar", "CreateOrganization", organization_request(22))
    await call(registry, "/registrar", "CreateService", registry_pb.CreateServiceRequest(service=service_message(22)))
    again = registry_pb.CreateServiceRequest(service=service_message(22, display_name="Autre"))
    assert (await refused(registry, "/registrar", "CreateService", again)).reason is Reason.REQUEST_ID_REUSED
    early = registry_pb.SuspendServiceRequest(name="services/service-22", justification="Trop tôt.")
    assert (await refused(registry, "/registrar", "SuspendService", early)).reason is Reason.STATE_CONFLICT


async def test_the_log_is_read_in_pages_and_proven(registry: RunningRegistry) -> None:
    await call(registry, "/registrar", "CreateOrganization", organization_request(31))
    await call(registry, "/registrar", "CreateService", registry_pb.CreateServiceRequest(service=service_message(31)))
    async with registry.channel("/auditor") as channel:
        auditor = Stubs(channel)
        checkpoint = await auditor.call("GetRegisterCheckpoint", log_pb.GetRegisterCheckpointRequest())
        size, token, found = int(checkpoint.checkpoint.split("\n")[1]), "", list[log_pb.RegisterEntry]()
        while not found or token:
            asked = log_pb.ListRegisterEntriesRequest(page_size=1, page_token=token)
            page = await auditor.call("ListRegisterEntries", asked)
            found += page.entries
            token = page.next_page_token
        assert [item.index for item in found] == list(range(size))
        own = log_pb.ListRegisterEntriesRequest(resource="services/service-31")
        (applied,) = (await auditor.call("ListRegisterEntries", own)).entries
        answer = await auditor.call("GetRegisterEntry", log_pb.GetRegisterEntryRequest(index=applied.index))
        assert answer.entry == applied
        proof = parse_proof(answer.proof)
        root = merkle_root([leaf_hash(item.entry) for item in found])
        verify_inclusion(leaf_hash(applied.entry), applied.index, size, proof.hashes, root)
        between = log_pb.GetRegisterConsistencyRequest(old_size=size - 1, new_size=size)
        hashes = (await auditor.call("GetRegisterConsistency", between)).hashes
        verify_consistency(size - 1, merkle_root([leaf_hash(item.entry) for item in found[:-1]]), size, root, hashes)
    for rpc, beyond in (
        ("GetRegisterEntry", log_pb.GetRegisterEntryRequest(index=size)),
        ("GetRegisterConsistency", log_pb.GetRegisterConsistencyRequest(old_size=1, new_size=size + 1)),
    ):
        assert (await refused(registry, "/auditor", rpc, beyond)).reason is Reason.RESOURCE_NOT_FOUND


async def test_the_same_service_created_many_times_at_once_is_recorded_once(registry: RunningRegistry) -> None:
    await call(registry, "/registrar", "CreateOrganization", organization_request(23))
    request = registry_pb.CreateServiceRequest(service=service_message(23))
    async with registry.channel("/registrar") as channel, registry.channel("/consent") as consent:
        before = (await lease_of(registry, Stubs(consent), 0)).pin.sequence
        answers = await asyncio.gather(*(Stubs(channel).call("CreateService", request) for _ in range(20)))
        assert len({answer.service.etag for answer in answers}) == 1
        assert (await lease_of(registry, Stubs(consent), 0)).pin.sequence == before + 1


async def test_a_lease_waits_for_a_change_and_brings_it(registry: RunningRegistry) -> None:
    await call(registry, "/registrar", "CreateOrganization", organization_request(24))
    async with registry.channel("/consent") as channel:
        consent = Stubs(channel)
        known = (await lease_of(registry, consent, 0)).pin.sequence
        request = lease_pb.GetLeaseRequest(known_sequence=known, wait_seconds=10)
        waiting = asyncio.create_task(consent.call("GetLease", request))
        await call(
            registry, "/registrar", "CreateService", registry_pb.CreateServiceRequest(service=service_message(24))
        )
        answer = await waiting
        key = registry.lease_key.verify_key
        lease = open_lease(answer.lease, "mes.example", {key.kid: key}.get)
        assert lease.pin.sequence == known + 1
        assert parse_snapshot(lease, answer.records)["services/service-24"].status is Status.APPLIED


async def test_a_follower_sees_a_suspension_as_soon_as_the_registrar_has_the_answer(registry: RunningRegistry) -> None:
    await call(registry, "/registrar", "CreateOrganization", organization_request(25))
    await call(registry, "/registrar", "CreateService", registry_pb.CreateServiceRequest(service=service_message(25)))
    name = "services/service-25"
    await call(registry, "/registrar", "ReferenceService", registry_pb.ReferenceServiceRequest(name=name))
    async with registry.channel("/exchange") as channel:
        view = RegistryView(lambda: channel, registry.trust(), SystemClock())
        await view.poll()
        assert view.current().services[name].status is Status.REFERENCED_WITHOUT_EXCHANGE
        suspend = registry_pb.SuspendServiceRequest(name=name, justification="Audit.")
        await call(registry, "/registrar", "SuspendService", suspend)
        await view.poll()
        assert view.current().by_spiffe["spiffe://mes.example/service/service-25"].status is Status.SUSPENDED


async def test_a_registry_that_serves_says_so(registry: RunningRegistry) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{registry.health_port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
    pytest.fail("the registry never served")


async def test_a_restart_keeps_what_was_recorded_and_the_sequence_and_ends_in_peace(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with running_registry(site, allow_local=True) as first:
        await call(first, "/registrar", "CreateOrganization", organization_request(1))
        local = registry_pb.CreateServiceRequest(service=service_message(endpoint="127.0.0.1:8443"))
        recorded = (await call(first, "/registrar", "CreateService", local)).service
        async with first.channel("/consent") as channel:
            pin = (await lease_of(first, Stubs(channel), 0)).pin
    assert first.process.returncode == 0
    with running_registry(site) as second:
        request = catalog_pb.GetServiceRequest(name=recorded.name)
        assert (await call(second, "/portal", "GetService", request)).service == recorded
        async with second.channel("/consent") as channel:
            assert (await lease_of(second, Stubs(channel), 0)).pin == pin
    assert pin.sequence == 2


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('trust_domain = "mes.example"', 'trust_domain = "other.example"', "trust domain"),
        ('lease_key = "lease.key"', 'lease_key = "registry.crt"', "others may read this key"),
        ("allow_local_endpoints = false", "surprise = 1", "surprise: unknown"),
        ('database_url = "sqlite:///', 'database_url = "sqlite:////dev/null', "Storage cannot take this now"),
    ],
)
def test_a_start_that_cannot_succeed_ends_with_one_explanation(tmp_path: Path, old: str, new: str, why: str) -> None:
    settings = write_settings(Site(tmp_path))
    text = settings.read_text()
    assert old in text
    settings.write_text(text.replace(old, new))
    process = start(settings)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert why in said
    assert "Traceback" not in said


def organization_request(number: int) -> registry_pb.CreateOrganizationRequest:
    """Asks to record a valid organisation."""
    return registry_pb.CreateOrganizationRequest(organization=organization_message(number))


async def lease_of(registry: RunningRegistry, stubs: Stubs, known: int) -> Any:
    """The lease, verified."""
    answer = await stubs.call("GetLease", lease_pb.GetLeaseRequest(known_sequence=known))
    key = registry.lease_key.verify_key
    return open_lease(answer.lease, "mes.example", {key.kid: key}.get)
