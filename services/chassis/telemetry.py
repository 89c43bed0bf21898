"""Traces and metrics: one server span, one duration and one count per RPC, by OpenTelemetry.

Guarantees that only method names and status codes are recorded, never a message, a caller's text or baggage, and that
without an exporter an RPC pays nothing. Leaves the collector to the operator.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.metrics import Meter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.chassis.config import ConfigError

TRACEPARENT = "traceparent"
_PROPAGATOR = TraceContextTextMapPropagator()
_SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
_NUMBERS = {code.name: code.value[0] for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Where to export to (`https://collector:4317`; None: nowhere), and which share of new traces is kept."""

    otlp_endpoint: str | None = None
    sample_ratio: float = 1.0


class Telemetry:
    """Records RPCs with a tracer and a meter; without them, `begin` does nothing and returns None."""

    def __init__(
        self, tracer: Tracer | None = None, meter: Meter | None = None, close: Callable[[], None] | None = None
    ) -> None:
        self._tracer = tracer
        self._close = close
        self._known: dict[tuple[str, str | None], dict[str, str | int]] = {}
        self._durations = meter.create_histogram("rpc.server.call.duration", "s") if meter else None
        self._calls = meter.create_counter("rpc.server.calls", "{call}") if meter else None

    def begin(self, method: str, context: "grpc.aio.ServicerContext[object, object]") -> "RpcTrace | None":
        """Start the span of an RPC as the current one, a child of the caller's `traceparent` (W3C Trace Context)."""
        if self._tracer is None:
            return None
        parent = _parent_of(context.invocation_metadata() or ())
        span = self._tracer.start_span(method, parent, SpanKind.SERVER, self._attributes(method))
        otel_context.attach(trace.set_span_in_context(span))  # the RPC's task ends with it: nothing to detach
        return RpcTrace(self, method, span)

    def count(self, method: str, code: str, seconds: float | None = None) -> None:
        """Record that an RPC ended with a status code, and after how long."""
        if self._calls is not None:
            self._calls.add(1, self._attributes(method, code))
        if self._durations is not None and seconds is not None:
            self._durations.record(seconds, self._attributes(method, code))

    def _attributes(self, method: str, code: str | None = None) -> dict[str, str | int]:
        """The attributes of a method and a code, made once: both are few, and unknown methods share one name."""
        known = self._known.get((method, code))
        if known is None:
            service, _, name = method.rpartition("/")
            known = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
            if code is not None:
                known["rpc.grpc.status_code"] = _NUMBERS[code]
            self._known[method, code] = known
        return known

    def shutdown(self) -> None:
        """Export what is left and stop."""
        if self._close is not None:
            self._close()


class RpcTrace:
    """One RPC under way."""

    __slots__ = ("_method", "_span", "_started", "_telemetry")

    def __init__(self, telemetry: Telemetry, method: str, span: Span) -> None:
        self._telemetry = telemetry
        self._method = method
        self._span = span
        self._started = time.perf_counter()

    def end(self, code: str) -> None:
        """Close the span with the name of a gRPC status code."""
        self._span.set_attribute("rpc.grpc.status_code", _NUMBERS[code])
        if code in _SERVER_FAULTS:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
        self._telemetry.count(self._method, code, time.perf_counter() - self._started)


def build_telemetry(settings: TelemetrySettings, service: str) -> Telemetry:
    """Telemetry exporting by OTLP, or nothing without an endpoint. Raises: ConfigError if the exporter is not installed."""
    if settings.otlp_endpoint is None:
        return Telemetry()
    try:
        from services.chassis.otlp import export_to
    except ImportError as error:
        raise ConfigError("otlp_endpoint needs the optional dependency: accord-gateway[otlp]") from error
    return export_to(settings.otlp_endpoint, settings.sample_ratio, service)


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """The metadata that makes an outgoing RPC a child of the current span; empty without one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return ((TRACEPARENT, carrier[TRACEPARENT]),) if TRACEPARENT in carrier else ()


def _parent_of(metadata: Iterable[tuple[str, str | bytes]]) -> otel_context.Context:
    """The caller's trace position. Its `tracestate` and baggage are free text, and are not taken over."""
    carrier = {key: value for key, value in metadata if key == TRACEPARENT and isinstance(value, str)}
    return _PROPAGATOR.extract(carrier, otel_context.Context())
