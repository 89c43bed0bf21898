"""What an attacker in a pod or beside it finds: restricted pods, no token, no secret in the chart, listed edges only."""

import ipaddress
from typing import Any

import pytest

from services.chassis.health import LIVE
from tests.support.chart import SERVICES, Manifest, default_objects, of_kind, render, with_values

OURS = {"app.kubernetes.io/name": "accord", "app.kubernetes.io/instance": "accord"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_pod_satisfies_the_restricted_pod_security_standard(name: str) -> None:
    pod = _pod(name)
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"} & set(pod)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "sysctls" not in pod["securityContext"]
    allowed = {"configMap", "secret", "emptyDir"}
    assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_restricted_and_cannot_write_its_root(name: str) -> None:
    for container in _pod(name)["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not any("hostPort" in port for port in container["ports"])
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_pod_holds_no_token_of_the_cluster_and_the_chart_grants_no_role(name: str) -> None:
    account = of_kind("ServiceAccount", default_objects())[f"accord-{name}"]
    assert _pod(name)["serviceAccountName"] == account["metadata"]["name"]
    assert account["automountServiceAccountToken"] is _pod(name)["automountServiceAccountToken"] is False
    assert not {item["kind"] for item in default_objects()} & {
        "Role",
        "ClusterRole",
        "RoleBinding",
        "ClusterRoleBinding",
    }


def test_the_chart_holds_no_secret() -> None:
    assert not of_kind("Secret", default_objects())


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_are_directories_that_only_the_owner_and_the_pod_s_group_read(name: str) -> None:
    """A `subPath` would never be renewed, and a process refuses a key that others may read."""
    volumes = {volume["name"]: volume["secret"] for volume in _pod(name)["volumes"] if "secret" in volume}
    assert {"tls", "keys"} <= set(volumes)
    assert {secret["defaultMode"] for secret in volumes.values()} == {0o440}
    mounts = [mount for container in _pod(name)["containers"] for mount in container["volumeMounts"]]
    assert all(mount.get("readOnly") for mount in mounts if mount["name"] in {*volumes, "config"})
    assert not any("subPath" in mount for mount in mounts)


@pytest.mark.parametrize("name", SERVICES)
def test_the_three_probes_ask_the_health_port_over_grpc(name: str) -> None:
    (container,) = _pod(name)["containers"]
    health = {port["name"]: port["containerPort"] for port in container["ports"]}["health"]
    assert container["readinessProbe"]["grpc"] == {"port": health}
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["grpc"] == {"port": health, "service": LIVE}


def test_everything_is_denied_before_anything_is_allowed() -> None:
    deny = of_kind("NetworkPolicy", default_objects())["accord-deny"]["spec"]
    assert deny == {"podSelector": {"matchLabels": OURS}, "policyTypes": ["Ingress", "Egress"]}
    for name in SERVICES:
        assert _labels(name).items() >= OURS.items()


def test_only_the_listed_edges_between_pods_exist() -> None:
    edges = {(source, target) for source in SERVICES for target in SERVICES if _allowed(source, target)}
    assert edges == {
        ("consent", "registry"),
        ("exchange", "registry"),
        ("exchange", "consent"),
        ("registry", "consent"),
    }


def test_only_the_broker_leaves_the_cluster() -> None:
    blocks = {
        name: [peer for rule in _rules(name, "egress") for peer in rule["to"] if "ipBlock" in peer] for name in SERVICES
    }
    assert [name for name, peers in blocks.items() if peers] == ["exchange"]


def test_no_one_outside_is_admitted_unless_the_operator_says_so() -> None:
    objects = render(with_values(registry={}, consent={}, exchange={}))
    for name, callers in {"registry": 2, "consent": 2, "exchange": 0}.items():
        policy = of_kind("NetworkPolicy", objects)[f"accord-{name}"]["spec"]
        peers = [peer for rule in policy.get("ingress", []) for peer in rule["from"]]
        assert len(peers) == callers
        assert all(set(peer) == {"podSelector"} for peer in peers)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "127.0.0.1", "10.0.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1", "fd00:ec2::254", "ff02::1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"],
)  # fmt: skip
def test_the_broker_reaches_no_metadata_loopback_or_private_address(address: str) -> None:
    assert not _reaches(address, _pod_policy())


def test_every_exception_lies_within_its_block() -> None:
    """Otherwise the cluster refuses the policy; an IPv4-mapped network counts as one of IPv4 there."""
    for rule in _rules("exchange", "egress"):
        for block in (peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer):
            for taken in map(ipaddress.ip_network, block["except"]):
                assert taken.version == ipaddress.ip_network(block["cidr"]).version
                assert getattr(taken.network_address, "ipv4_mapped", None) is None


@pytest.mark.parametrize("address", ["9.9.9.9", "172.32.0.1", "2a00:1450::1"])
def test_the_broker_reaches_partners_on_their_ports_only(address: str) -> None:
    assert _reaches(address, _pod_policy())
    (rule,) = [rule for rule in _rules("exchange", "egress") if any("ipBlock" in peer for peer in rule["to"])]
    assert rule["ports"] == [{"port": 443, "protocol": "TCP"}]


def test_the_operator_can_take_more_networks_away_from_partners() -> None:
    values = with_values(exchange__partners={"ports": [443], "except": ["9.9.9.0/24", "2a00:1450::/32"]})
    policy = of_kind("NetworkPolicy", render(values))["accord-exchange"]
    assert not _reaches("9.9.9.9", policy)
    assert not _reaches("2a00:1450::1", policy)
    assert _reaches("9.9.8.9", policy)


def test_a_further_edge_is_exactly_the_one_that_was_listed() -> None:
    peer = {"ipBlock": {"cidr": "10.1.2.3/32"}}
    objects = render(with_values(registry__egressTo=[{"to": [peer], "ports": [5432]}]))
    rules = of_kind("NetworkPolicy", objects)["accord-registry"]["spec"]["egress"]
    assert [rule for rule in rules if peer in rule["to"]] == [
        {"to": [peer], "ports": [{"port": 5432, "protocol": "TCP"}]}
    ]


def _pod(name: str) -> Manifest:
    pod: Manifest = of_kind("StatefulSet", default_objects())[f"accord-{name}"]["spec"]["template"]["spec"]
    return pod


def _labels(name: str) -> dict[str, str]:
    workload = of_kind("StatefulSet", default_objects())[f"accord-{name}"]["spec"]
    labels: dict[str, str] = workload["template"]["metadata"]["labels"]
    return labels


def _rules(name: str, direction: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = of_kind("NetworkPolicy", default_objects())[f"accord-{name}"]["spec"].get(
        direction, []
    )
    return rules


def _pod_policy() -> Manifest:
    return of_kind("NetworkPolicy", default_objects())["accord-exchange"]


def _allowed(source: str, target: str) -> bool:
    """Both ends must agree, on the RPC port."""
    return _names(source, "egress", "to", target) and _names(target, "ingress", "from", source)


def _names(name: str, direction: str, end: str, other: str) -> bool:
    """Whether a rule has a peer that selects the other's pods in the same namespace."""
    return any(
        set(peer) == {"podSelector"} and peer["podSelector"]["matchLabels"].items() <= _labels(other).items()
        for rule in _rules(name, direction)
        if {"port": 50051, "protocol": "TCP"} in rule["ports"]
        for peer in rule[end]
    )


def _reaches(address: str, policy: Manifest) -> bool:
    ip = ipaddress.ip_address(address)
    blocks = [peer["ipBlock"] for rule in policy["spec"]["egress"] for peer in rule["to"] if "ipBlock" in peer]
    return any(
        ip in ipaddress.ip_network(block["cidr"])
        and not any(ip in ipaddress.ip_network(taken) for taken in block.get("except", []))
        for block in blocks
    )
