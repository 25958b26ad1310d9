"""A backend that answers what a test tells it to, and remembers what it was asked."""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.site import serve_in_thread

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
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and bearer of each call."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def heal(self) -> None:
        """As it was at first: all is well, and what was asked before is forgotten."""
        fresh = ScriptedBackend()
        self.token, self.user, self.user_status = fresh.token, fresh.user, fresh.user_status
        self.user_delay, self.logout_status, self.calls = fresh.user_delay, fresh.logout_status, fresh.calls

    def asked(self, path: str) -> int:
        return sum(1 for _, asked, _ in self.calls if asked == path)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        with self.lock:
            self.calls.append((environ["REQUEST_METHOD"], path, environ.get("HTTP_AUTHORIZATION", "")))
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, body = self._answer(path)
        start_response(f"{status} Whatever", [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    def _answer(self, path: str) -> tuple[int, object]:
        if path == "/login":
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
