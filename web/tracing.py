"""A span for each request that Flask handles, if OpenTelemetry is on."""

from flask import Flask, Response, g, request

from services.observability import trace_context
from services.observability.tracing import Tracing
from web.request_context import request_id

_WITHOUT_SPANS = ("health", "static_files")
"""Blueprints with very frequent requests."""


def init_app(app: Flask, tracing: Tracing) -> None:
    """Register the hooks. Must follow `request_context.init_app`, whose trace the span continues."""

    def start() -> None:
        if request.blueprint in _WITHOUT_SPANS:
            return
        route = request.url_rule.rule if request.url_rule else None
        g.span = span = tracing.start_request(request.method, route, request_id())
        if span.trace:
            trace_context.current_trace.set(span.trace)

    def note_status(response: Response) -> Response:
        g.span_status = response.status_code
        return response

    def end(error: BaseException | None) -> None:
        if span := g.pop("span", None):
            status = g.get("span_status")
            span.end(status, failed=error is not None or (status or 500) >= 500)

    app.before_request(start)
    app.after_request(note_status)
    app.teardown_request(end)
