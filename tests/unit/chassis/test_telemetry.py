"""Spans and metrics: one of each per RPC, and nothing a caller wrote."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.chassis.config import ConfigError
from services.chassis.telemetry import Telemetry, TelemetrySettings, build_telemetry, trace_metadata
from services.errors import AccordError, Reason
from tests.support.certificates import Site
from tests.support.echo import SERVICE, Ping
from tests.support.running import failure, running

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CANARY = "279035121518989"


class Recorder:
    """Telemetry kept in memory."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.metrics = InMemoryMetricReader()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.telemetry = Telemetry(tracers.get_tracer("t"), MeterProvider([self.metrics]).get_meter("t"))

    def points(self, name: str) -> dict[tuple[object, object], Any]:
        """The data points of a metric by method and status code."""
        data = self.metrics.get_metrics_data()
        metrics = [m for r in (data.resource_metrics if data else ()) for s in r.scope_metrics for m in s.metrics]
        return {
            (attributes["rpc.method"], attributes["rpc.grpc.status_code"]): point
            for metric in metrics
            if metric.name == name
            for point in metric.data.data_points
            for attributes in [dict(point.attributes or {})]
        }


async def test_an_rpc_is_one_span_under_its_callers_and_one_count(tmp_path: Path) -> None:
    recorder, seen = Recorder(), []

    async def look(request: Any) -> Any:
        seen.append(trace_metadata())
        return request

    metadata = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("tracestate", f"x={CANARY}"), ("baggage", f"ins={CANARY}"))
    async with running(Site(tmp_path), telemetry=recorder.telemetry) as server, server.client() as client:
        server.servicer.actions["look"] = look
        await client.echo(Ping(text="look", left=CANARY), timeout=5, metadata=metadata)
    (span,) = recorder.spans.get_finished_spans()
    assert (span.name, f"{span.context.trace_id:032x}") == (f"{SERVICE}/Echo", TRACE)
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    assert dict(span.attributes or {}) == {
        "rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": "Echo", "rpc.grpc.status_code": 0,
    }  # fmt: skip
    assert seen == [(("traceparent", f"00-{TRACE}-{span.context.span_id:016x}-01"),)]
    assert recorder.points("rpc.server.calls")["Echo", 0].value == 1
    assert recorder.points("rpc.server.call.duration")["Echo", 0].count == 1
    assert CANARY not in span.to_json() + str(seen)


async def test_failures_are_counted_by_code_and_a_stranger_gets_no_span(tmp_path: Path) -> None:
    recorder, site = Recorder(), Site(tmp_path)

    async def fail(_: Any) -> None:
        raise AccordError(Reason.REGISTRY_STALE)

    async with running(site, telemetry=recorder.telemetry) as server:
        server.servicer.actions["fail"] = fail
        async with server.client() as client, server.client(site.bad("two_uri_sans")) as stranger:
            await failure(client.echo(Ping(text="fail"), timeout=5))
            await failure(client.admin(Ping(), timeout=5))
            await failure(stranger.echo(Ping(), timeout=5))
    names = [(span.name, span.status.is_ok) for span in recorder.spans.get_finished_spans()]
    assert names == [(f"{SERVICE}/Echo", False), (f"{SERVICE}/Admin", True)]
    codes = {
        grpc.StatusCode.UNAVAILABLE: "Echo",
        grpc.StatusCode.PERMISSION_DENIED: "Admin",
        grpc.StatusCode.UNAUTHENTICATED: "Echo",
    }
    assert set(recorder.points("rpc.server.calls")) == {(name, code.value[0]) for code, name in codes.items()}


def test_without_an_endpoint_nothing_is_recorded() -> None:
    telemetry = build_telemetry(TelemetrySettings(), "echo")
    assert telemetry.begin("a.B/C", None) is None  # type: ignore[arg-type]
    telemetry.count("a.B/C", "OK")
    telemetry.shutdown()
    assert trace_metadata() == ()


def test_an_endpoint_without_the_exporter_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "services.chassis.otlp", None)
    with pytest.raises(ConfigError, match="otlp"):
        build_telemetry(TelemetrySettings("http://127.0.0.1:4317"), "echo")
