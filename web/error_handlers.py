"""Error responses: JSON for API clients, HTML for people. Each one contains the request id that the log has."""

import logging

from flask import Flask, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import force_locale
from werkzeug.exceptions import HTTPException, InternalServerError

import errors
from services import services
from web import confirm_page, login_page, next_step_page, redirect_target
from web.request_context import reference

log = logging.getLogger("munjigi.errors")

_HTML_ENDPOINTS = ("oauth.start", "oauth.callback")
"""Endpoints below `/api/` that browsers also open: forms post to them, and providers redirect to them."""


def init_app(app: Flask) -> None:
    app.register_error_handler(errors.SiteError, site_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unhandled)


def site_error(error: errors.SiteError) -> ResponseReturnValue:
    """Render an error that the page of the request does not show itself."""
    if isinstance(error, errors.NextStepRequired):
        return next_step_page.redirect_to_page(error, redirect_target.requested(), as_json=wants_json())
    if wants_json():
        url = login_page.url_with_error(error, redirect_target.requested())
        message = {"message": error.backend_message} if error.backend_message else {}
        body = {"error": error.code, **message, "url": url, "requestId": reference()}
        response = make_response(body, error.status)
    else:
        response = make_response(_rerender(error), error.status)
    response.headers.update(error.headers)
    return response


def _rerender(error: errors.SiteError) -> str:
    session = services().sessions.load() if request.endpoint in confirm_page.ENDPOINTS else None
    return confirm_page.rerender(session, error) if session else login_page.rerender(error)


def _http_error(error: HTTPException) -> ResponseReturnValue:
    if isinstance(error, InternalServerError):  # an exception while another error was rendered
        return _unhandled(error.original_exception or error)
    status = error.code or 500
    if wants_json():
        response = make_response({"error": error.name, "requestId": reference()}, status)
    else:
        response = make_response(render_template("error.html", status=status), status)
    if "Allow" in (headers := dict(error.get_headers())):
        response.headers["Allow"] = headers["Allow"]
    return response


def _unhandled(error: BaseException) -> ResponseReturnValue:
    """Log the exception and answer with 500.

    If the locale selector fails too, the page is in English. If the template in `TEMPLATES_DIR` fails, the site's own
    is used.
    """
    log.error("unhandled exception", exc_info=error)
    if wants_json():
        return {"error": "Internal Server Error", "requestId": reference()}, 500
    try:
        return _render_500(), 500
    except Exception:
        log.exception("500.html failed")
        with force_locale("en"):
            return _render_500("site/500.html" if services().settings.templates_dir else "500.html"), 500


def _render_500(template: str = "500.html") -> str:
    """Render `500.html`, which does not extend the layout."""
    return render_template(template, reference=reference())


def wants_json() -> bool:
    """Whether this request gets errors as JSON.

    True below `/api/`, except for `_HTML_ENDPOINTS` if `Accept` lists HTML. Elsewhere, true if `Accept` prefers JSON.
    """
    accepted = request.accept_mimetypes
    if request.path.startswith("/api/"):
        return request.endpoint not in _HTML_ENDPOINTS or "text/html" not in accepted.values()
    return accepted.best_match(["text/html", "application/json"], "text/html") == "application/json"
