"""The schemas in the chart: with PostgreSQL a plain Job of the owner migrates each, and holds nothing else."""

from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest

from services.chassis.config import load_settings
from services.consent.config import Settings as ConsentSettings
from services.registry.config import Settings as RegistrySettings
from tests.support.chart import Manifest, Values, default_objects, of_kind, render, with_values

APPLICATION = "postgresql+psycopg://accord@db.example/accord"
OWNER = "postgresql+psycopg://accord_owner@db.example/accord"
WHOLE = frozenset({"image", "exchange__maxInFlight", "exchange__replicas"})
DATABASE = {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [5432]}


SETTINGS: dict[str, Any] = {"consent": ConsentSettings, "registry": RegistrySettings}


@pytest.fixture(params=SETTINGS)
def service(request: pytest.FixtureRequest) -> str:
    """The service whose database is PostgreSQL; the others' are SQLite."""
    return str(request.param)


def postgresql(service: str, **more: Any) -> Values:
    """The values of an installation with this service on PostgreSQL; `more` is the service's but where it names another."""
    least = {"database__url": APPLICATION, "migrations__url": OWNER, "egressTo": [DATABASE]}
    own = {f"{service}__{name}": value for name, value in (least | more).items() if name not in WHOLE}
    return with_values(**own, **{name: value for name, value in more.items() if name in WHOLE})


def job(values: Values) -> Manifest:
    (found,) = of_kind("Job", render(values)).values()
    return found


def pod(values: Values) -> dict[str, Any]:
    found: dict[str, Any] = job(values)["spec"]["template"]["spec"]
    return found


def test_sqlite_needs_no_job() -> None:
    assert not of_kind("Job", default_objects())


def test_who_migrates_otherwise_gets_no_job(service: str) -> None:
    values = with_values(**{f"{service}__database__url": APPLICATION, f"{service}__migrations__enabled": False})
    assert not of_kind("Job", render(values))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"migrations__url": ""}, "migrations/url"),
        ({"migrations__url": "sqlite:////data/x.db"}, "migrations/url"),
        ({"migrations__url": "postgresql+psycopg://owner:secret@db.example/accord"}, "migrations/url"),
        ({"migrations__url": "postgresql+psycopg://db.example/accord"}, "migrations/url"),
        ({"database__url": "postgresql+psycopg://db.example/accord"}, "database/url"),
        ({"database__url": "postgresql+psycopg://Accord@db.example/accord"}, "database/url"),
    ],
)
def test_a_job_that_could_not_work_is_refused(service: str, changes: dict[str, str], place: str) -> None:
    with pytest.raises(helm_python.HelmError, match=f"{service}/{place}"):
        render(postgresql(service, **changes))


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_everything_of_it_is_valid_for_kubernetes(service: str, version: str) -> None:
    for item in render(postgresql(service, migrations__existingSecret="owner")):
        assert kubernetes_validate.validate(item, version, strict=True) == version


def test_it_migrates_as_the_owner_and_gives_the_application_its_rights(service: str, tmp_path: Path) -> None:
    values = postgresql(service, migrations__existingSecret="owner", database__existingSecret="application")
    (container,) = pod(values)["containers"]
    assert container["command"] == ["python", "-m", f"services.{service}"]
    file = "/etc/accord/migration.toml"
    assert container["args"] == ["--config", file, "--migrate-only", "--role", "accord"]
    assert container["env"] == [
        {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "owner", "key": "password"}}}
    ]
    (volume,) = [volume for volume in pod(values)["volumes"] if "configMap" in volume]
    text = of_kind("ConfigMap", render(values))[volume["configMap"]["name"]]["data"]["migration.toml"]
    (tmp_path / "migration.toml").write_text(text)
    assert load_settings(SETTINGS[service], tmp_path / "migration.toml").database_url == OWNER


def test_the_application_s_pods_learn_nothing_of_the_owner(service: str) -> None:
    objects = render(postgresql(service, migrations__existingSecret="owner-password"))
    for item in objects:
        if item["metadata"]["name"] in ("accord-consent", "accord-exchange", "accord-registry"):
            assert "accord_owner" not in str(item)
            assert "owner-password" not in str(item)


def test_it_holds_no_key_no_certificate_and_no_token_and_is_restricted(service: str) -> None:
    found = pod(postgresql(service))
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


def test_it_reaches_the_database_and_nothing_reaches_it(service: str) -> None:
    objects = render(postgresql(service))
    policy = of_kind("NetworkPolicy", objects)[f"accord-{service}-migration"]["spec"]
    labels = job(postgresql(service))["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    dns, database = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert database == {"to": DATABASE["to"], "ports": [{"port": 5432, "protocol": "TCP"}]}
    everyone_else = [of_kind(kind, objects)[f"accord-{service}"] for kind in ("Service", "PodDisruptionBudget")]
    for item in everyone_else:
        selector = item["spec"]["selector"]
        assert not labels.items() >= selector.get("matchLabels", selector).items()


def test_it_is_a_plain_job_named_after_the_version_whose_name_changes_with_what_it_runs(service: str) -> None:
    """A Job cannot be changed once made, and a hook would wait for pods that wait for it."""
    first = job(postgresql(service))
    assert not any("helm.sh/hook" in item["metadata"].get("annotations", {}) for item in render(postgresql(service)))
    assert first["metadata"]["name"].startswith(f"accord-{service}-migration-0-1-0-")
    others = (
        postgresql(service, image={"repository": "accord", "digest": "sha256:" + "a" * 64}),
        postgresql(service, migrations__url=OWNER + "2"),
        postgresql(service, migrations__existingSecret="owner"),
        postgresql(service, database__url=APPLICATION.replace("accord@", "other@")),
    )
    names = [first["metadata"]["name"], *(job(values)["metadata"]["name"] for values in others)]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 and "." not in name for name in names)
    assert job(postgresql(service, exchange__replicas=1, exchange__maxInFlight=9)) == first
