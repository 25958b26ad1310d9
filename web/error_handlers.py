"""What an error looks like: JSON for programs, a page for people. Every one bears the request id of the log."""

import logging

from flask import Flask, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import force_locale
from werkzeug.exceptions import HTTPException, InternalServerError

import errors
from web import login_page, redirect_target
from web.request_context import request_id

log = logging.getLogger("munjigi.errors")

_FOR_PEOPLE_TOO = ("oauth.start", "oauth.callback")
"""Under `/api/`, where else only programs are: forms and providers send people there."""


def init_app(app: Flask) -> None:
    app.register_error_handler(errors.SiteError, _site_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unforeseen)


def _site_error(error: errors.SiteError) -> ResponseReturnValue:
    if wants_json():
        url = login_page.url_with_error(error, redirect_target.kept())
        body = {"error": error.code, "url": url, "requestId": request_id()}
        response = make_response(body, error.status)
    else:
        response = make_response(login_page.render_again(error), error.status)
    response.headers.update(error.headers)
    return response


def _http_error(error: HTTPException) -> ResponseReturnValue:
    if isinstance(error, InternalServerError):  # a bug met while an error was being shown
        return _unforeseen(error.original_exception or error)
    status = error.code or 500
    if wants_json():
        response = make_response({"error": error.name, "requestId": request_id()}, status)
    else:
        response = make_response(render_template("error.html", status=status), status)
    if "Allow" in (kept := dict(error.get_headers())):
        response.headers["Allow"] = kept["Allow"]
    return response


def _unforeseen(error: BaseException) -> ResponseReturnValue:
    """A bug. The page for it stands alone: it has to render when all else fails, be it what finds the language."""
    log.error("unforeseen error", exc_info=error)
    if wants_json():
        return {"error": "Internal Server Error", "requestId": request_id()}, 500
    try:
        return _last_resort(), 500
    except Exception:
        with force_locale("en"):
            return _last_resort(), 500


def _last_resort() -> str:
    return render_template("500.html", reference=request_id())


def wants_json() -> bool:
    accepted = request.accept_mimetypes
    if request.path.startswith("/api/"):
        return request.endpoint not in _FOR_PEOPLE_TOO or "text/html" not in accepted.values()
    return accepted.best_match(["text/html", "application/json"], "text/html") == "application/json"
