"""A backend on a real socket whose responses a test sets as attributes. It records every request."""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from tests.support.site import serve_in_thread

USER = {"id": 7, "name": "홍길동", "nick_name": None, "email": "hong@example.com"}
TOKEN = "17|abcdefghijklmnopqrstuvwxyz"


@dataclass
class ScriptedBackend:
    url: str = ""
    token: str = TOKEN
    user: Any = field(default_factory=lambda: dict(USER))
    user_status: int = 200
    user_delay: float = 0.0
    logout_status: int = 204
    refused_tokens: set[str] = field(default_factory=set)
    """The user call answers 401 for these."""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and `Authorization` header of each request."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """Restore the default responses and clear the recorded requests."""
        default = ScriptedBackend()
        self.token, self.user, self.user_status = default.token, default.user, default.user_status
        self.refused_tokens = default.refused_tokens
        self.user_delay, self.logout_status, self.calls = default.user_delay, default.logout_status, default.calls

    def request_count(self, path: str) -> int:
        return sum(1 for _, request_path, _ in self.calls if request_path == path)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        with self.lock:
            self.calls.append((environ["REQUEST_METHOD"], path, environ.get("HTTP_AUTHORIZATION", "")))
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if path == "/user" and environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ") in self.refused_tokens:
            status, body = 401, cast(object, {})
        else:
            status, body = self._respond(path)
        start_response(f"{status} Whatever", [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    def _respond(self, path: str) -> tuple[int, object]:
        if path.startswith("/login"):
            return 200, {"data": {"token": {"plainTextToken": self.token}}}
        if path == "/user":
            time.sleep(self.user_delay)
            return self.user_status, {"data": {"user": self.user}} if self.user_status == 200 else {"message": "No."}
        if path == "/profile":
            return 200, {"message": "Saved."}
        return self.logout_status, {}


@contextmanager
def scripted_backend() -> Iterator[ScriptedBackend]:
    backend = ScriptedBackend()
    with serve_in_thread("127.0.0.1", lambda _: backend) as port:
        backend.url = f"http://127.0.0.1:{port}"
        yield backend
