"""CSRF protection of every request that can change state (OWASP Cross-Site Request Forgery Prevention).

Two independent checks: the Flask-WTF token, which is bound to the visitor cookie, and the `Origin` and
`Sec-Fetch-Site` headers, which are compared with `SITE_URL`. The `Host` header is never used.
"""

import logging
from urllib.parse import unquote_to_bytes

from flask import abort, current_app, request
from flask_wtf.csrf import validate_csrf
from wtforms.validators import ValidationError

import errors
from services import services
from web import request_body, request_context, same_origin

log = logging.getLogger("munjigi.csrf")

FIELD = "csrfToken"
_EXEMPT_ENDPOINTS = ("oauth.callback", "nextauth_client.client_log")
"""Providers post cross-site to the OAuth callback; the attempt cookie and `state` protect it. The client log changes
no state."""
_SERVER_ENDPOINTS = (
    "backchannel_logout.end_sessions_of_backend",
    "backchannel_logout.end_sessions_of_issuer",
    "provider_notifications.receive",
)
"""Endpoints for other servers. Each request has a bearer token or a signed token and no cookies; a browser cannot be
made to send either. They validate the body themselves."""
_UNSAFE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def protect() -> None:
    """A `before_request` hook: reject POST, PUT, PATCH and DELETE requests that no page of this site sent.

    Aborts with 415 for a body that is neither a form nor JSON, and with 400 for a body that cannot be parsed. Raises
    `FormExpired`, `CookiesBlocked` or `OriginMismatch`.
    """
    if request.method not in _UNSAFE_METHODS or request.endpoint in (None, *_SERVER_ENDPOINTS):
        return
    if request.mimetype not in (request_body.FORM, request_body.JSON):
        abort(415)
    token = _submitted_token()
    if request.endpoint in _EXEMPT_ENDPOINTS:
        return
    try:
        _check_origin()
        _check_token(token)
    except errors.CsrfError as error:
        context = request_context.current()
        services().audit.record("csrf_failed", context, outcome=error.code, reason=error.reason)
        raise


def _check_origin() -> None:
    """Compare `Origin` and `Sec-Fetch-Site` with this site; `web/same_origin.py` has the rules."""
    origin, fetch_site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if same_origin.is_same_origin(origin, fetch_site, services().settings):
        return
    log.warning(
        "cross-site request rejected: origin=%r sec_fetch_site=%r site_url=%s",
        (origin or "")[:80],
        (fetch_site or "")[:20],
        services().settings.site_url,
    )
    raise errors.OriginMismatch(f"Origin {origin!a:.80} or Sec-Fetch-Site {fetch_site!a:.20} is not of SITE_URL")


def _check_token(token: str | None) -> None:
    if current_app.config["SESSION_COOKIE_NAME"] not in request.cookies:
        raise errors.CookiesBlocked("the request has no visitor cookie")
    for secret_key in services().settings.secret_keys:
        try:
            return validate_csrf(token, secret_key=secret_key)  # type: ignore[no-any-return]  # untyped library
        except ValidationError as error:
            reason = str(error)
    raise errors.FormExpired(reason)


def _submitted_token() -> str | None:
    try:
        if request.mimetype == request_body.FORM:
            # Werkzeug replaces invalid UTF-8, which would change a password. Raise UnicodeDecodeError instead.
            unquote_to_bytes(request.get_data()).decode("utf-8")
        return request_body.fields().get(FIELD)
    except ValueError:
        abort(400)
