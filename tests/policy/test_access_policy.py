"""The access policy in the chart names every RPC that is served, once, and nothing else."""

import importlib
from pathlib import Path

import pytest
import yaml
from google.protobuf.descriptor import ServiceDescriptor

from services.chassis.access import AccessPolicy
from services.chassis.config import ConfigError
from services.chassis.identity import Identity

ROOT = Path(__file__).parents[2]
POLICY = ROOT / "deploy" / "k8s" / "files" / "access.yaml"
SERVERS = ("registry", "consent", "exchange")
THEIRS = {"accord.exchange.v1.DeliveryService"}
"""What recipients implement and Accord calls: it stands in no policy of ours."""


def test_every_rpc_of_every_service_is_listed_exactly_once() -> None:
    listed = [method for section in _document()["servers"].values() for method in section]
    assert sorted(listed) == sorted(method for name in SERVERS for method in _served(name))


def test_what_recipients_implement_exists_and_is_not_listed() -> None:
    assert {service.full_name for service in _services()} >= THEIRS
    assert not any(
        method.rpartition("/")[0] in THEIRS for section in _document()["servers"].values() for method in section
    )


@pytest.mark.parametrize("server", SERVERS)
def test_the_policy_loads_for_the_server_that_serves_these_rpcs(server: str) -> None:
    """Loading refuses unknown roles, unused roles, RPCs without a role, and RPCs of another server."""
    policy = AccessPolicy.load(POLICY, server, _served(server))
    assert all(not policy.allows(method, frozenset()) for method in _served(server))


@pytest.mark.parametrize("server", SERVERS)
def test_an_rpc_that_is_served_but_not_listed_stops_the_start(server: str) -> None:
    with pytest.raises(ConfigError, match="served but not listed"):
        AccessPolicy.load(POLICY, server, [*_served(server), f"accord.{server}.v1.NewService/DoIt"])


def test_no_role_but_a_referenced_service_s_has_more_than_one_holder() -> None:
    """A wildcard anywhere else would let a partner's certificate earn a role of the platform."""
    wild = {role for role, patterns in _document()["roles"].items() if any("*" in pattern for pattern in patterns)}
    assert wild == {"service"}


def test_a_referenced_service_writes_no_consent_and_no_register_and_reads_no_log() -> None:
    for server in SERVERS:
        policy = AccessPolicy.load(POLICY, server, _served(server))
        roles = policy.roles_of(Identity("accord.example", "/service/lumen"))
        allowed = {method.rpartition(".")[2] for method in _served(server) if policy.allows(method, roles)}
        assert not {name.partition("/")[0] for name in allowed} & {"ConsentService", "RegistryService", "AuditService"}
        assert "DecisionService/Authorize" not in allowed


def test_the_witnesses_and_only_they_follow_the_logs_and_the_registry_sees_nothing_else_of_them() -> None:
    consent = _document()["servers"]["consent"]
    allowed = {method.rpartition("/")[2] for method, roles in consent.items() if "registry" in roles}
    assert allowed == {"GetCheckpoints", "GetConsistencyProof"}
    for method in allowed:
        assert set(consent[f"accord.consent.v1.AuditService/{method}"]) == {"auditor", "registry", "exchange"}


def _document() -> dict[str, dict[str, dict[str, list[str]]]]:
    document: dict[str, dict[str, dict[str, list[str]]]] = yaml.safe_load(POLICY.read_text())
    return document


def _services() -> list[ServiceDescriptor]:
    protos = sorted(path.relative_to(ROOT / "protos") for path in (ROOT / "protos").rglob("*.proto"))
    modules = [importlib.import_module(".".join(path.with_suffix("").parts) + "_pb2") for path in protos]
    return [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]


def _served(server: str) -> list[str]:
    return [
        f"{service.full_name}/{method.name}"
        for service in _services()
        if service.full_name.startswith(f"accord.{server}.") and service.full_name not in THEIRS
        for method in service.methods
    ]
