"""Who is signed in, said before Flask is asked: what apps and proxies ask for more often than for all else together.

A session is at rest when its cookies are as they should be and nothing about it is due. There is nothing to do then but
to say so, and Flask's own part would be most of the work. Whatever else comes goes to the views, which say the same.
"""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

from blueprints import gateway, headers, session_api
from services.claims import Session
from services.events import new_request_id

_Headers = list[tuple[str, str]]


class AtRest:
    """In front of a site, as WSGI middleware (PEP 3333); paths are below the site's own."""

    def __init__(self, site: Flask, otherwise: Callable[..., Iterable[bytes]]) -> None:
        self._otherwise = otherwise
        self._services = site.extensions["munjigi"]
        self._write = site.json.dumps
        self._fixed = [("Vary", "Cookie"), *headers.of_data(self._services.settings), *headers.NO_ROBOTS]
        self._answers = {"/api/auth/session": self._session, "/auth/verify": self._verify}

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        answer = self._answers.get(environ["PATH_INFO"])
        if answer is None or environ["REQUEST_METHOD"] != "GET" or environ.get("QUERY_STRING"):
            return self._otherwise(environ, start_response)
        session = self._services.sessions.at_rest(environ.get("HTTP_COOKIE", ""))
        if session is None:
            return self._otherwise(environ, start_response)
        status, own, body = answer(session)
        start_response(status, [*own, *self._fixed, ("X-Request-Id", new_request_id())])
        return [body]

    def _session(self, session: Session) -> tuple[str, _Headers, bytes]:
        shown = session_api.shown(session, with_token=self._services.settings.expose_access_token)
        body = self._write(shown, separators=(",", ":")).encode() + b"\n"
        return "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body

    def _verify(self, session: Session) -> tuple[str, _Headers, bytes]:
        return (
            "204 NO CONTENT",
            [*gateway.told(session.user).items(), ("Content-Type", "text/plain; charset=utf-8")],
            b"",
        )
