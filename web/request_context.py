"""Makes the `RequestContext` of a request, and sets the cookies of services on its response."""

import logging
from http import HTTPStatus
from urllib.parse import quote

import flask
from flask import Flask, Response, current_app, g, request
from flask_babel import get_locale

from services import services
from services.observability import trace_context
from services.observability.client_ip import parse_client_ip
from services.observability.request_id import current_request_id, has_audit_line, new_request_id
from services.pending_sign_ins import visitor_digest
from services.request_context import Deadline, RequestContext

_ASCII = bytes(range(128))

log = logging.getLogger("munjigi.requests")


def init_app(app: Flask) -> None:
    app.before_request(_set_request_id)
    app.after_request(_set_cookies)
    app.after_request(_log_reference)
    app.teardown_request(_reset_request_id)


def request_id() -> str:
    """The id of the current request."""
    if current_request_id.get() is None:
        _set_request_id()
    return current_request_id.get() or ""


def reference() -> str:
    """The id of the current request, to show it to the client. Makes sure that the log has a line with it."""
    g.reference_shown = True
    return request_id()


def current() -> RequestContext:
    """The context of the current request, made at its first use."""
    context: RequestContext | None = g.get("request_context")
    if context is None:
        context = g.request_context = RequestContext(
            client_ip=parse_client_ip(request.remote_addr),
            locale=str(get_locale() or "en").replace("_", "-"),
            user_agent=request.headers.get("User-Agent", ""),
            request_id=request_id(),
            deadline=Deadline(services().settings.backend_timeout, services().clock),
            cookies=dict(request.cookies.lists()),
            visitor=visitor_digest(flask.session.get(current_app.config["WTF_CSRF_FIELD_NAME"])),
        )
    return context


def percent_encoded_header(name: str) -> str:
    """A header that contains a URL. Bytes that a URL must not contain are percent-encoded, whatever their encoding."""
    return percent_encode_non_ascii(request.headers.get(name, ""))


def percent_encode_non_ascii(text: str) -> str:
    """Percent-encode non-ASCII characters in a string of the WSGI environment: bytes decoded as latin-1 (PEP 3333)."""
    return text if text.isascii() else quote(text.encode("latin-1"), safe=_ASCII)


def _set_request_id() -> None:
    current_request_id.set(new_request_id())
    has_audit_line.set(False)
    traceparent = request.headers.get("traceparent")
    trace = trace_context.parse(traceparent, request.headers.get("tracestate", "")) if traceparent else None
    trace_context.current_trace.set(trace)


def _reset_request_id(_: BaseException | None) -> None:
    current_request_id.set(None)
    trace_context.current_trace.set(None)


def _log_reference(response: Response) -> Response:
    """Write a line for a response that shows the request id, so that the operator finds it (`reference`)."""
    if g.get("reference_shown") and not has_audit_line.get():
        fields = {"method": request.method, "path": request.path[:200], "status": response.status_code}
        if response.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            fields["reason"] = f"the body has over {current_app.config['MAX_CONTENT_LENGTH']} bytes"
        log.info("reference_shown", extra={"fields": fields})
    return response


def _set_cookies(response: Response) -> Response:
    """Set the cookies that services added, including those of the session."""
    services().sessions.set_cookies()
    context: RequestContext | None = g.get("request_context")
    for cookie in context.response_cookies if context else ():
        response.set_cookie(
            cookie.name,
            cookie.value,
            max_age=cookie.max_age,
            expires=cookie.expires,
            path=cookie.path,
            secure=cookie.secure,
            httponly=True,
            samesite=cookie.same_site,
        )
    return response
