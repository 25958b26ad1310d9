"""No other site can post in a visitor's name.

Two locks, each enough by itself: a token of Flask-WTF's that is bound to the visitor cookie, and what the
browser itself says of where the request comes from, held against `SITE_URL` (never against `Host`).
"""

import logging
from urllib.parse import unquote_to_bytes

from flask import abort, current_app, request
from flask_wtf.csrf import validate_csrf
from wtforms.validators import ValidationError

import errors
from services import services
from web import request_body, request_context

log = logging.getLogger("munjigi.csrf")

FIELD = "csrfToken"
_OPEN = ("oauth.callback", "nextauth_client.client_log")
"""Providers come back by POST from their own site: there the attempt's cookie and `state` decide. And what a page
reports changes nothing."""
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def protect() -> None:
    """Before each request that may change something: refuse it unless it comes from a page of this site."""
    if request.method not in _UNSAFE or request.endpoint is None:
        return
    if request.mimetype not in (request_body.FORM, request_body.JSON):
        abort(415)
    if request.endpoint in _OPEN:
        return
    sent = _sent_token()
    try:
        _check_origin()
        _check_token(sent)
    except errors.RestartRequired as error:
        context = request_context.current()
        services().audit.record("csrf_failed", context, outcome=error.code, reason=error.reason)
        raise


def _check_origin() -> None:
    """Both headers are set by the browser, out of reach of scripts; older ones and other programs send none."""
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "same-origin")
    own = services().settings.origin
    if (origin is not None and origin != own) or site not in ("same-origin", "none"):
        log.warning("a form came from %r (Sec-Fetch-Site %r), and SITE_URL is %s", (origin or "")[:80], site[:20], own)
        raise errors.FormExpired("the browser says that this was not sent from SITE_URL")


def _check_token(sent: str | None) -> None:
    if current_app.config["SESSION_COOKIE_NAME"] not in request.cookies:
        raise errors.CookiesBlocked("the request has no visitor cookie")
    for secret_key in services().settings.secret_keys:
        try:
            return validate_csrf(sent, secret_key=secret_key)  # type: ignore[no-any-return]  # untyped library
        except ValidationError as error:
            reason = str(error)
    raise errors.FormExpired(reason)


def _sent_token() -> str | None:
    try:
        if request.mimetype == request_body.FORM:
            # Werkzeug would read bytes that are no UTF-8 as something else, and so change a password.
            unquote_to_bytes(request.get_data()).decode("utf-8")
        return request_body.fields().get(FIELD)
    except ValueError:
        abort(400)
