"""The chart: Helm accepts it, Kubernetes would accept what it renders, and the processes accept the settings in it."""

from pathlib import Path

import helm_python
import kubernetes_validate
import pytest
import yaml

from services.chassis.config import load_settings
from services.consent.config import Settings as ConsentSettings
from services.exchange.config import Settings as ExchangeSettings
from services.registry.config import Settings as RegistrySettings
from tests.support.chart import (
    CHART,
    SERVICES,
    default_objects,
    of_kind,
    operator_values,
    render,
    render_text,
    with_values,
)

INFO = 1
AnySettings = RegistrySettings | ConsentSettings | ExchangeSettings
SETTINGS: dict[str, type[AnySettings]] = {
    "registry": RegistrySettings,
    "consent": ConsentSettings,
    "exchange": ExchangeSettings,
}
POSTGRES = "postgresql+psycopg://accord@db.example/accord"


def test_helm_lints_the_chart_strictly_without_a_warning() -> None:
    report = helm_python.lint(CHART, operator_values(), strict=True)
    assert report["total_charts_linted"] == 1
    assert [message for message in report["messages"] if message["severity"] > INFO] == report["errors"] == []


def test_the_same_values_always_render_to_the_same_bytes() -> None:
    assert render_text(operator_values()) == render_text(operator_values())


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_every_object_is_valid_for_kubernetes(version: str) -> None:
    for item in default_objects():
        assert kubernetes_validate.validate(item, version, strict=True) == version


def test_the_schema_of_kubernetes_would_refuse_an_unknown_field() -> None:
    broken = {**default_objects()[0], "datta": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)


def test_each_service_has_one_object_of_every_kind() -> None:
    kinds = ("ServiceAccount", "ConfigMap", "StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy")
    for kind in kinds:
        assert {f"accord-{name}" for name in SERVICES} <= set(of_kind(kind, default_objects()))


@pytest.mark.parametrize("name", SERVICES)
def test_the_process_loads_its_rendered_settings(name: str, tmp_path: Path) -> None:
    (settings,) = _settings(name, render(operator_values()), tmp_path)
    assert settings.trust_domain == "accord.example"
    assert settings.database_url == f"sqlite:////data/{name}.db"
    assert settings.server.access_policy == tmp_path / "access.yaml"
    assert settings.server.access_policy.exists()


def test_every_setting_that_an_operator_can_give_reaches_the_process(tmp_path: Path) -> None:
    values = with_values(
        telemetry={"otlpEndpoint": "https://otel.example:4317", "sampleRatio": 0.25},
        allowTestIns=True,
        server={"maxMessageBytes": 8_388_608, "maxConcurrentRpcs": 9, "noticeSeconds": 0.5, "drainSeconds": 31},
        registry__allowLocalEndpoints=True,
        consent__epoch=3,
        consent__outcomeDeadlineSeconds=60,
        consent__replicaUrl="postgresql+psycopg://accord@replica.example/accord",
        consent__erasureDelayDays=35,
        exchange__maxBundleBytes=5_000_000_000,
        exchange__checkAuthorIdentifiers=False,
    )
    objects = render(values)
    (registry,) = _settings("registry", objects, tmp_path)
    (consent,) = _settings("consent", objects, tmp_path)
    (exchange,) = _settings("exchange", objects, tmp_path)
    assert isinstance(registry, RegistrySettings)
    assert isinstance(consent, ConsentSettings)
    assert isinstance(exchange, ExchangeSettings)
    assert registry.telemetry.otlp_endpoint == "https://otel.example:4317"
    assert (registry.telemetry.sample_ratio, registry.allow_local_endpoints) == (0.25, True)
    assert (registry.server.max_message_bytes, registry.server.notice_s, registry.server.drain_s) == (
        8_388_608,
        0.5,
        31,
    )
    assert (consent.allow_test_ins, consent.epoch, consent.server.max_concurrent_rpcs) == (True, 3, 9)
    assert (consent.outcome_deadline_s, consent.erasure_delay_ms) == (60, 35 * 86_400_000)
    assert consent.replica_url == "postgresql+psycopg://accord@replica.example/accord"
    assert (exchange.max_bundle_bytes, exchange.check_author_identifiers) == (5_000_000_000, False)


def test_the_services_find_each_other_under_the_names_of_the_rendered_addresses(tmp_path: Path) -> None:
    (registry,) = _settings("registry", list(default_objects()), tmp_path)
    (exchange,) = _settings("exchange", list(default_objects()), tmp_path)
    assert isinstance(registry, RegistrySettings)
    assert isinstance(exchange, ExchangeSettings)
    addresses = of_kind("Service", default_objects())
    for target in (registry.ledger, exchange.registry, exchange.consent):
        host, _, port = target.rpartition(":")
        service, _, rest = host.partition(".")
        assert rest == "health.svc.cluster.local"
        assert addresses[service]["spec"]["clusterIP"] == "None"
        assert [p["port"] for p in addresses[service]["spec"]["ports"]] == [int(port)]


def test_who_still_serves_while_it_is_not_ready_stays_reachable() -> None:
    """Withdrawals without a fresh lease, and suspensions by a registry that believes the ledger no more."""
    addresses = of_kind("Service", default_objects())
    kept = {name for name, item in addresses.items() if item["spec"].get("publishNotReadyAddresses")}
    assert kept == {"accord-registry", "accord-consent"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_process_has_trust_where_its_settings_say(name: str, tmp_path: Path) -> None:
    (settings,) = _settings(name, list(default_objects()), tmp_path)
    assert settings.trust is not None
    (container,) = of_kind("StatefulSet", default_objects())[f"accord-{name}"]["spec"]["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(settings.trust) == f"{mounts['trust']}/trust.json"


def test_each_pod_of_the_broker_has_settings_of_its_own_name(tmp_path: Path) -> None:
    objects = render(with_values(exchange__replicas=3, exchange__database__url=POSTGRES))
    instances = [s.instance for s in _settings("exchange", objects, tmp_path) if isinstance(s, ExchangeSettings)]
    assert instances == ["accord-exchange-0", "accord-exchange-1", "accord-exchange-2"]
    (container,) = of_kind("StatefulSet", objects)["accord-exchange"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["--config", "/etc/accord/$(POD_NAME).toml"]


def test_new_settings_roll_the_pods_of_their_service_only() -> None:
    before, after = _checksums(operator_values()), _checksums(with_values(consent__epoch=2))
    assert {name for name in before if before[name] != after[name]} == {"accord-consent"}


def test_the_pod_lives_longer_than_notice_and_drain() -> None:
    values = with_values(server={"noticeSeconds": 1.5, "drainSeconds": 90})
    for workload in of_kind("StatefulSet", render(values)).values():
        assert workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 91.5 + 5


def test_the_policy_in_the_pod_is_the_file_of_the_chart() -> None:
    policy = yaml.safe_load((CHART / "files" / "access.yaml").read_text())
    for item in of_kind("ConfigMap", default_objects()).values():
        assert yaml.safe_load(item["data"]["access.yaml"]) == policy


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({"repository": "registry.example/accord"}, "registry.example/accord:0.1.0"),
        ({"repository": "accord", "tag": "1.2"}, "accord:1.2"),
        ({"repository": "accord", "tag": "1.2", "digest": "sha256:" + "a" * 64}, "accord@sha256:" + "a" * 64),
    ],
)
def test_the_image_is_named_by_digest_before_tag_before_version(image: dict[str, str], reference: str) -> None:
    for workload in of_kind("StatefulSet", render(with_values(image=image))).values():
        assert [c["image"] for c in workload["spec"]["template"]["spec"]["containers"]] == [reference]


def _settings(name: str, objects: list[dict[str, object]], folder: Path) -> list[AnySettings]:
    data = of_kind("ConfigMap", objects)[f"accord-{name}"]["data"]
    for file, text in data.items():
        (folder / file).write_text(text)
    return [load_settings(SETTINGS[name], folder / file) for file in sorted(data) if file.endswith(".toml")]


def _checksums(values: dict[str, object]) -> dict[str, str]:
    workloads = of_kind("StatefulSet", render(values))
    return {
        name: workload["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for name, workload in workloads.items()
    }
