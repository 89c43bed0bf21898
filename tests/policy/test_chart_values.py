"""The chart's values: a strict schema, which refuses what could not work before anything reaches a cluster."""

import json
from collections.abc import Iterator
from typing import Any

import helm_python
import pytest

from tests.support.chart import CHART, SERVICES, render, with_values

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
SQLITE, POSTGRES = "sqlite:////data/other.db", "postgresql+psycopg://accord@db.example/accord"
OWNER = "postgresql+psycopg://owner@db.example/accord"


@pytest.mark.parametrize("name", SERVICES)
def test_more_than_one_replica_on_sqlite_is_refused(name: str) -> None:
    with pytest.raises(helm_python.HelmError, match=f"{name}/database/url"):
        render(with_values(**{f"{name}__replicas": 2}))
    with pytest.raises(helm_python.HelmError, match=f"{name}/database/url"):
        render(with_values(**{f"{name}__replicas": 2, f"{name}__database__url": SQLITE}))


@pytest.mark.parametrize("name", SERVICES)
def test_more_than_one_replica_on_postgresql_is_accepted_without_a_volume(name: str) -> None:
    values = {f"{name}__replicas": 2, f"{name}__database__url": POSTGRES}
    values |= {f"{service}__migrations__url": OWNER for service in ("registry", "consent")}
    objects = render(with_values(**values))
    (workload,) = [o for o in objects if o["kind"] == "StatefulSet" and o["metadata"]["name"] == f"accord-{name}"]
    assert workload["spec"]["replicas"] == 2
    assert "volumeClaimTemplates" not in workload["spec"]


@pytest.mark.parametrize(
    "path",
    ["replicas", "image__registry", "server__port", "networkPolicy__enabled", "registry__image",
     "consent__database__password", "exchange__tls__key", "exchange__partners__networks",
     "exchange__loadBalancer__type", "trust__value"],
)  # fmt: skip
def test_an_unknown_value_is_refused(path: str) -> None:
    with pytest.raises(helm_python.HelmError, match="additional properties"):
        render(with_values(**{path: "x"}))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("trustDomain", ""),
        ("trustDomain", "Accord.Example"),
        ("image__digest", "sha256:abc"),
        ("image__tag", "a tag"),
        ("trust__existingSecret", ""),
        ("registry__tls__existingSecret", ""),
        ("consent__database__url", "sqlite:///relative.db"),
        ("consent__database__url", "postgresql+psycopg://accord:secret@db.example/accord"),
        ("consent__database__url", "mysql://db.example/accord"),
        ("consent__shards", 0),
        ("consent__replicaUrl", "postgresql+psycopg://accord:secret@replica.example/accord"),
        ("consent__erasureDelayDays", -1),
        ("exchange__partners__ports", []),
        ("exchange__partners__except", ["everything"]),
        ("exchange__ingressFrom", [{}]),
        ("consent__egressTo", [{"to": [], "ports": [5432]}]),
        ("server__drainSeconds", 0),
        ("telemetry__otlpEndpoint", "https://user:secret@collector.example"),
        ("allowTestIns", "false"),
    ],
)
def test_a_value_that_could_not_work_is_refused(path: str, value: Any) -> None:
    with pytest.raises(helm_python.HelmError, match="/".join(path.split("__"))):
        render(with_values(**{path: value}))


def test_every_object_of_the_schema_is_closed() -> None:
    """Open are only maps from names to strings: labels and annotations."""
    objects = [node for node in _nodes(SCHEMA) if node.get("type") == "object"]
    assert SCHEMA in objects
    for node in objects:
        assert node.get("additionalProperties") in (False, {"type": "string"}), node


def test_every_default_has_a_place_in_the_schema_and_the_other_way_round() -> None:
    with helm_python.Chart.load(CHART) as chart:
        assert set(_leaves(chart.values)) == set(_places(SCHEMA)) - OPTIONAL


OPTIONAL = {
    f"{name}.resources.{part}.{quantity}"
    for name in SERVICES
    for part in ("requests", "limits")
    for quantity in ("cpu", "ephemeral-storage")
} - {f"{name}.resources.requests.cpu" for name in SERVICES} | {
    "networkPolicy.dns.ipBlock.cidr",
    "networkPolicy.dns.ipBlock.except",
}


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nodes(child)


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and value and key != "matchLabels":
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def _places(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, child in node.get("properties", {}).items():
        resolved = SCHEMA["definitions"][child["$ref"].rpartition("/")[2]] if "$ref" in child else child
        if "properties" in resolved:
            yield from _places(resolved, f"{prefix}{key}.")
        else:
            yield prefix + key
