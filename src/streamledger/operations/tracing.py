"""Traces by OpenTelemetry, one span a delivery: an extra package, loaded only where a collector is named."""

import importlib
from collections.abc import Callable
from typing import Final

from streamledger.domain.errors import SettingInvalid
from streamledger.operations.observe import NOT_ACKNOWLEDGED, Observed, Observer, log_delivery
from streamledger.settings import Settings
from streamledger.version import __version__

EXPORT_S_MAX: Final = 5
"""How long a collector that does not answer is waited for, on a thread of its own, and at the end."""


def require_package() -> None:
    """Raises SettingInvalid where the extra is not installed."""
    try:
        importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        importlib.import_module("opentelemetry.sdk.trace")
    except ImportError as error:
        raise SettingInvalid(
            name="STREAMLEDGER_TRACES_URL",
            expected="the extra package: pip install 'streamledger[otel]'",
            got=str(error),
        ) from error


def tracing(url: str) -> tuple[Observer, Callable[[], None]]:
    """What makes a span of each delivery and sends it to the collector at `url`, and what ends it.

    What samples is OTEL_TRACES_SAMPLER, OpenTelemetry's own. Raises SettingInvalid without the package.
    """
    require_package()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  # an extra
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # an extra
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  # an extra
    from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415  # an extra

    resource = Resource.create({"service.name": "streamledger", "service.version": __version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=EXPORT_S_MAX)))
    tracer = provider.get_tracer("streamledger", __version__)

    def observe(seen: Observed) -> None:
        span = tracer.start_span(
            "receive delivery",
            kind=SpanKind.SERVER,
            start_time=seen.began_ns,
            attributes={f"streamledger.{name}": value for name, value in seen.known().items()},
        )
        if seen.outcome == NOT_ACKNOWLEDGED:
            span.set_status(StatusCode.ERROR, seen.cause)
        span.end(seen.ended_ns)

    return observe, provider.shutdown


def observers_of(settings: Settings) -> tuple[list[Observer], Callable[[], None]]:
    """What is told of each delivery, and what ends that; nobody by default."""
    observers: list[Observer] = [log_delivery] if settings.log_deliveries else []
    if not settings.traces_url:
        return observers, lambda: None
    observe, end = tracing(settings.traces_url)
    return [*observers, observe], end
