"""A backend on a real socket that rotates its refresh tokens, and ends a session if one comes twice."""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.forge import base64url, to_json
from tests.support.scripted import USER
from tests.support.site import SECRET, serve_in_thread

LIFE = 300
"""Seconds that an access token lives."""
REFRESH_LIFE = 7200


@dataclass
class RotatingBackend:
    """A backend whose refresh tokens can be used once: a second use ends the session (its family of tokens)."""

    url: str = ""
    families: dict[str, int] = field(default_factory=dict)
    """Family -> its number of refreshes; -1 if it has ended."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Path and the token of each request."""
    refresh_status: int = 200
    refresh_error: Any = field(default_factory=dict)
    """Its JSON, or HTML, if the status is not 200."""
    retry_after: str | None = None
    """Its `Retry-After`."""
    is_answer_lost: bool = False
    """The next refresh is made, and answered with 502."""
    delay: float = 0.0
    refuses_access_tokens: bool = False
    expires_in: int | None = LIFE
    jwt_expires_at: int | None = None
    """The access tokens are JWTs with this `exp`, which the user call accepts."""
    padding: int = 0
    """Characters that access tokens have more."""
    user: dict[str, Any] = field(default_factory=lambda: dict(USER))
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def refreshes(self) -> list[str]:
        return [token for path, token in self.calls if path == "/refresh"]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
        path = environ["PATH_INFO"]
        token = body.get("refresh") or environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        with self.lock:
            self.calls.append((path, token))
            status, answer = self._respond(path, token)
        time.sleep(self.delay if path == "/refresh" else 0)
        headers = [("Content-Type", "application/json")]
        if path == "/refresh" and self.retry_after is not None:
            headers.append(("Retry-After", self.retry_after))
        start_response(f"{status} Whatever", headers)
        return [] if status == 204 else [(answer if isinstance(answer, str) else json.dumps(answer)).encode()]

    def _respond(self, path: str, token: str) -> tuple[int, Any]:
        if path == "/login":
            family = f"f{len(self.families)}"
            self.families[family] = 0
            return 200, self._tokens(family)
        family, _, number = token.partition(".")[2].partition(".")
        is_alive = self.families.get(family, -1) >= 0
        if path == "/user" and self.jwt_expires_at is not None:
            return 200, self.user
        if path == "/user":
            return (200, self.user) if is_alive and not self.refuses_access_tokens else (401, {})
        if path == "/logout":
            self.families[family] = -1
            return 204, {}
        if self.refresh_status != 200:
            return self.refresh_status, self.refresh_error
        if not is_alive or int(number) != self.families[family]:
            self.families[family] = -1
            return 401, {}
        self.families[family] += 1
        if self.is_answer_lost:
            self.is_answer_lost = False
            return 502, {}
        return 200, self._tokens(family)

    def _tokens(self, family: str) -> dict[str, Any]:
        number = self.families[family]
        expiry = {} if self.expires_in is None else {"expires_in": self.expires_in}
        access_token = f"access.{family}.{number}{'x' * self.padding}"
        if self.jwt_expires_at is not None:
            access_token = f"e30.{base64url(to_json({'exp': self.jwt_expires_at}))}.{family}-{number}"
        return {
            "token": access_token,
            "refresh": f"refresh.{family}.{number}",
            **expiry,
            "refresh_expires_in": REFRESH_LIFE,
        }


SETTINGS: dict[str, Any] = {
    "backend": "custom",
    "backend_login": "POST /login",
    "backend_login_body": "email={identifier} password={password}",
    "backend_token": "token",
    "backend_refresh": "POST /refresh",
    "backend_refresh_token": "refresh",
    "backend_refresh_body": "refresh={refresh_token}",
    "backend_expires": "expires_in:s",
    "backend_refresh_expires": "refresh_expires_in:s",
    "backend_user": "GET /user",
    "backend_logout": "POST /logout",
    "backend_logout_path": None,
    "backend_profile_path": None,
    "backend_logout_body": "refresh={refresh_token}",
    "session_revalidate": 100000000,
    "metrics_token": SECRET,
}


@contextmanager
def rotating_backend() -> Iterator[RotatingBackend]:
    backend = RotatingBackend()
    with serve_in_thread("127.0.0.1", lambda _: backend) as port:
        backend.url = f"http://127.0.0.1:{port}"
        yield backend
