"""Session reads and forward-auth checks, answered on the event loop without Flask.

Apps and proxies ask who is signed in more often than for everything else together. Where nothing is due about a
session (no renewal, no revalidation, nothing to delete), there is nothing to do but to say whose it is, and Flask would
be most of the work: 130 of 170 µs. All other requests go to the views, which give the same answers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask import Flask

from blueprints import forward_auth, nextauth_session
from services import Services
from services.observability.request_id import new_request_id
from services.sessions.model import Session
from web import security_headers

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    body: bytes


class FastPath:
    def __init__(self, site: Flask) -> None:
        self._services: Services = site.extensions["munjigi"]
        self._dumps = site.json.dumps
        settings = self._services.settings
        self._fixed = _encode(
            [("Vary", "Cookie"), *security_headers.data_headers(settings), *security_headers.NO_ROBOTS]
        )
        answers = {"/api/auth/session": self._session, "/auth/verify": self._verify}
        # A proxy in front may strip the path of SITE_URL, or not.
        self._answers = {
            f"{prefix}{path}".encode(): answer
            for path, answer in answers.items()
            for prefix in ("", settings.site_path)
        }

    def answer(self, scope: Any) -> Answer | None:
        """The answer to this request (an ASGI HTTP scope), or None: then Flask has to be asked."""
        answer = self._answers.get(scope["raw_path"])
        if answer is None or scope["method"] != "GET" or scope["query_string"]:
            return None
        cookies = b"; ".join(value for name, value in scope["headers"] if name == b"cookie")
        session = self._services.sessions.load_if_current(cookies.decode("latin-1"))
        return None if session is None else answer(session)

    def _session(self, session: Session) -> Answer:
        shown = nextauth_session.session_json(session, with_token=self._services.settings.expose_access_token)
        body = self._dumps(shown, separators=(",", ":")).encode() + b"\n"
        return self._made(200, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))], body)

    def _verify(self, session: Session) -> Answer:
        own = [*forward_auth.identity_headers(session.user).items(), ("Content-Type", "text/plain; charset=utf-8")]
        return self._made(204, own, b"")

    def _made(self, status: int, own: list[tuple[str, str]], body: bytes) -> Answer:
        request_id = (b"X-Request-Id", new_request_id().encode())
        return Answer(status, [*_encode(own), *self._fixed, request_id], body)


def _encode(pairs: Iterable[tuple[str, str]]) -> Headers:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
