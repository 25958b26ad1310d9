"""Spans for OpenTelemetry: one for each request, and one for each call that it makes.

Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set and the packages of the extra `otel` are installed; not imported
otherwise. The SDK reads its standard variables itself: `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`,
`OTEL_EXPORTER_OTLP_HEADERS` and the like.

Spans contain no path, query, header or IP address, because these may contain codes or personal data.
"""

import logging
from importlib import import_module
from typing import Any

from services.observability import trace_context
from services.observability.trace_context import TraceContext

log = logging.getLogger("munjigi.tracing")

FLUSH_SECONDS = 2
"""How long the end of a process waits for sending the last spans."""


class Span:
    """A started span. trace: the context for calls below it; None if spans are not recorded (`OTEL_SDK_DISABLED`)."""

    def __init__(self, span: Any, state: str) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace = (
            TraceContext(f"{context.trace_id:032x}", f"{context.span_id:016x}", int(context.trace_flags), state)
            if context.is_valid
            else None
        )

    def end(self, status: int | None, *, failed: bool) -> None:
        """End the span. status: of the HTTP response; None without a response."""
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        if failed:
            self._span.set_status(import_module("opentelemetry.trace").StatusCode.ERROR)
        self._span.end()


class Tracing:
    def __init__(self, endpoint: str, version: str) -> None:
        """Raises `ImportError` if the packages are not installed."""
        sdk = import_module("opentelemetry.sdk.trace")
        otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        exporter = otlp.OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")
        attributes = import_module("opentelemetry.sdk.resources").Resource.create()
        if attributes.attributes["service.name"].startswith("unknown_service"):
            attributes = attributes.merge(type(attributes)({"service.name": "munjigi"}))
        processor = import_module("opentelemetry.sdk.trace.export").BatchSpanProcessor(exporter)
        self._api = import_module("opentelemetry.trace")
        self._provider = sdk.TracerProvider(resource=attributes)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("munjigi", version)

    def start_request(self, method: str, route: str | None, request_id: str) -> Span:
        """Start the span of a request, in its trace or in a new one. route: the URL rule, not the path."""
        attributes = {"http.request.method": method, "munjigi.request_id": request_id}
        if route:
            attributes["http.route"] = route
        return self._start(f"{method} {route or ''}".strip(), self._api.SpanKind.SERVER, attributes)

    def start_call(self, method: str, host: str) -> Span:
        """Start the span of a call to the backend or to a provider."""
        attributes = {"http.request.method": method, "server.address": host}
        return self._start(method, self._api.SpanKind.CLIENT, attributes)

    def flush(self) -> None:
        """Send the remaining spans. Blocks for `FLUSH_SECONDS` at most."""
        self._provider.force_flush(FLUSH_SECONDS * 1000)

    def _start(self, name: str, kind: Any, attributes: dict[str, str]) -> Span:
        trace = trace_context.current_trace.get()
        context = import_module("opentelemetry.context").Context()  # empty: the current one is not used
        if trace:
            parent = self._api.SpanContext(
                int(trace.trace_id, 16),
                int(trace.parent_id, 16),
                is_remote=True,
                trace_flags=self._api.TraceFlags(trace.flags),
            )
            context = self._api.set_span_in_context(self._api.NonRecordingSpan(parent), context)
        span = self._tracer.start_span(name, context, kind=kind, attributes=attributes)
        return Span(span, trace.state if trace else "")


def create(endpoint: str | None, version: str) -> Tracing | None:
    """Create the tracing. Returns None without an endpoint, and, with a warning, without the packages."""
    if endpoint is None:
        return None
    try:
        return Tracing(endpoint, version)
    except ImportError:
        log.warning(
            "no spans: OTEL_EXPORTER_OTLP_ENDPOINT is set, and the packages of the extra otel are not installed"
        )
        return None
