"""The Helm chart, rendered by the real Helm: its objects, by kind and name."""

import functools
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[2] / "deploy" / "k8s"
RELEASE, NAMESPACE = "accord", "health"
SERVICES = ("registry", "consent", "exchange")
Values = dict[str, Any]
Manifest = dict[str, Any]


def operator_values() -> Values:
    """The least that an operator says, from ci/default-values.yaml; a fresh copy."""
    return dict(helm_python.values_from_yaml((CHART / "ci" / "default-values.yaml").read_text()))


def with_values(**by_path: Any) -> Values:
    """The operator's values with others: `exchange__replicas=2` sets `exchange.replicas`."""
    values = operator_values()
    for path, value in by_path.items():
        *parents, last = path.split("__")
        table = values
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    return values


def render_text(values: Values) -> dict[str, str]:
    """Each template's text. Raises: helm_python.HelmError if Helm refuses the values or a template."""
    with helm_python.Chart.load(CHART) as chart:
        return dict(chart.render(values, name=RELEASE, namespace=NAMESPACE))


def render(values: Values) -> list[Manifest]:
    """Every object that would be applied. Raises: helm_python.HelmError."""
    texts = [text for name, text in render_text(values).items() if name.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


@functools.cache
def default_objects() -> tuple[Manifest, ...]:
    """What the operator's values render to; not to be changed."""
    return tuple(render(operator_values()))


def of_kind(kind: str, objects: tuple[Manifest, ...] | list[Manifest]) -> dict[str, Manifest]:
    """The objects of a kind by name."""
    return {item["metadata"]["name"]: item for item in objects if item["kind"] == kind}
