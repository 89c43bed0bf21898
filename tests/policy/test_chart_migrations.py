"""The ledger's schema in the chart: with PostgreSQL a plain Job of the owner migrates it, and holds nothing else."""

from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest

from services.chassis.config import load_settings
from services.consent.config import Settings
from tests.support.chart import Manifest, Values, default_objects, of_kind, render, with_values

APPLICATION = "postgresql+psycopg://accord@db.example/accord"
OWNER = "postgresql+psycopg://accord_owner@db.example/accord"
DATABASE = {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [5432]}


def postgresql(**more: Any) -> Values:
    """The values of an installation on PostgreSQL."""
    least = {"consent__database__url": APPLICATION, "consent__migrations__url": OWNER, "consent__egressTo": [DATABASE]}
    return with_values(**(least | more))


def job(values: Values) -> Manifest:
    (found,) = of_kind("Job", render(values)).values()
    return found


def pod(values: Values) -> dict[str, Any]:
    found: dict[str, Any] = job(values)["spec"]["template"]["spec"]
    return found


def test_sqlite_needs_no_job() -> None:
    assert not of_kind("Job", default_objects())


def test_who_migrates_otherwise_gets_no_job() -> None:
    values = with_values(consent__database__url=APPLICATION, consent__migrations__enabled=False)
    assert not of_kind("Job", render(values))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"consent__migrations__url": ""}, "consent/migrations/url"),
        ({"consent__migrations__url": "sqlite:////data/x.db"}, "consent/migrations/url"),
        ({"consent__migrations__url": "postgresql+psycopg://owner:secret@db.example/accord"}, "consent/migrations/url"),
        ({"consent__migrations__url": "postgresql+psycopg://db.example/accord"}, "consent/migrations/url"),
        ({"consent__database__url": "postgresql+psycopg://db.example/accord"}, "consent/database/url"),
        ({"consent__database__url": "postgresql+psycopg://Accord@db.example/accord"}, "consent/database/url"),
    ],
)
def test_a_job_that_could_not_work_is_refused(changes: dict[str, str], place: str) -> None:
    with pytest.raises(helm_python.HelmError, match=place):
        render(postgresql(**changes))


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_everything_of_it_is_valid_for_kubernetes(version: str) -> None:
    for item in render(postgresql(consent__migrations__existingSecret="owner")):
        assert kubernetes_validate.validate(item, version, strict=True) == version


def test_it_migrates_as_the_owner_and_gives_the_application_its_rights(tmp_path: Path) -> None:
    values = postgresql(consent__migrations__existingSecret="owner", consent__database__existingSecret="application")
    (container,) = pod(values)["containers"]
    assert container["command"] == ["python", "-m", "services.consent"]
    file = "/etc/accord/migration.toml"
    assert container["args"] == ["--config", file, "--migrate-only", "--role", "accord"]
    assert container["env"] == [
        {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "owner", "key": "password"}}}
    ]
    (volume,) = [volume for volume in pod(values)["volumes"] if "configMap" in volume]
    text = of_kind("ConfigMap", render(values))[volume["configMap"]["name"]]["data"]["migration.toml"]
    (tmp_path / "migration.toml").write_text(text)
    assert load_settings(Settings, tmp_path / "migration.toml").database_url == OWNER


def test_the_application_s_pods_learn_nothing_of_the_owner() -> None:
    objects = render(postgresql(consent__migrations__existingSecret="owner-password"))
    for item in objects:
        if item["metadata"]["name"] in ("accord-consent", "accord-exchange", "accord-registry"):
            assert "accord_owner" not in str(item)
            assert "owner-password" not in str(item)


def test_it_holds_no_key_no_certificate_and_no_token_and_is_restricted() -> None:
    found = pod(postgresql())
    assert found["automountServiceAccountToken"] is False
    assert {key for volume in found["volumes"] for key in volume} == {"name", "configMap", "emptyDir"}
    assert found["securityContext"]["runAsNonRoot"] is True
    assert found["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = found["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert "env" not in container


def test_it_reaches_the_database_and_nothing_reaches_it() -> None:
    objects = render(postgresql())
    policy = of_kind("NetworkPolicy", objects)["accord-consent-migration"]["spec"]
    labels = job(postgresql())["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    dns, database = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert database == {"to": DATABASE["to"], "ports": [{"port": 5432, "protocol": "TCP"}]}
    everyone_else = [of_kind(kind, objects)["accord-consent"] for kind in ("Service", "PodDisruptionBudget")]
    for item in everyone_else:
        selector = item["spec"]["selector"]
        assert not labels.items() >= selector.get("matchLabels", selector).items()


def test_it_is_a_plain_job_named_after_the_version_whose_name_changes_with_what_it_runs() -> None:
    """A Job cannot be changed once made, and a hook would wait for pods that wait for it."""
    first = job(postgresql())
    assert not any("helm.sh/hook" in item["metadata"].get("annotations", {}) for item in render(postgresql()))
    assert first["metadata"]["name"].startswith("accord-consent-migration-0-1-0-")
    others = (
        postgresql(image={"repository": "accord", "digest": "sha256:" + "a" * 64}),
        postgresql(consent__migrations__url=OWNER + "2"),
        postgresql(consent__migrations__existingSecret="owner"),
        postgresql(consent__database__url=APPLICATION.replace("accord@", "other@")),
    )
    names = [first["metadata"]["name"], *(job(values)["metadata"]["name"] for values in others)]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 and "." not in name for name in names)
    assert job(postgresql(registry__replicas=1, exchange__maxInFlight=9)) == first
