"""Export by OTLP over gRPC: the providers behind `telemetry`, loaded only where the operator names a collector.

Guarantees batches off the request path. Leaves retries and back-pressure to OpenTelemetry: what it cannot send is lost.
"""

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (  # type: ignore[import-not-found]
    OTLPMetricExporter,
)
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # type: ignore[import-not-found]
    OTLPSpanExporter,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from services.chassis.telemetry import Telemetry


def export_to(endpoint: str, sample_ratio: float, service: str) -> Telemetry:
    """Telemetry sent to a collector (`http://` or `https://`, host and port) under the service's name."""
    resource = Resource.create({SERVICE_NAME: service})
    tracers = TracerProvider(resource=resource, sampler=ParentBasedTraceIdRatio(sample_ratio))
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint))], resource)

    def close() -> None:
        tracers.shutdown()
        meters.shutdown()

    return Telemetry(tracers.get_tracer("accord"), meters.get_meter("accord"), close)
