"""A backend on a real socket that says whatever a test has it say, byte by byte, or nothing at all.

Each path has an answer: bytes, after which the connection is closed, or a script that gets the connection.
As long as nothing else is asked for, all is well and everybody may sign in.
"""

import json
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from typing import Any

import requests

from tests.site import MINJI, Page, Visitor, cookie_names

SECRET_MARKER = "~secret~"
"""In each token and password, and in whatever a backend says that nobody is to see. No random token has a `~`."""
TOKEN = f"17|{SECRET_MARKER}-token"
PASSWORD = f"{SECRET_MARKER} password"
USER = {"id": 7, "name": "홍길동", "nick_name": None, "email": "hong@example.com"}

Script = Callable[[socket.socket], object]
"""What happens on the connection, which stays open for the next call if this gives True."""
ScriptedResponse = bytes | Script


def login_body(value: object = TOKEN) -> dict[str, object]:
    return {"data": {"token": {"accessToken": {"name": "web"}, "plainTextToken": value}}}


def user_body(value: object = USER) -> dict[str, object]:
    return {"data": {"user": value}}


def http_response(body: object = b"", status: int = 200, **headers: object) -> bytes:
    """A whole response: `body` as JSON unless it is bytes, headers by name (`Retry_After=57`; None: left out)."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Content_Type": "application/json", "Content_Length": len(raw), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status} Whatever", *lines, "", ""]).encode() + raw


NO_LIMITS: dict[str, Any] = dict.fromkeys(
    ("login_limit_per_ip", "login_limit_per_account_and_ip", "login_limit_per_account"), "9999/second"
)
"""Settings for a site where somebody fails to sign in all day long."""
HEALTHY = {
    "/login": http_response(login_body()),
    "/user": http_response(user_body()),
    "/profile": http_response(user_body()),
    "/logout": http_response(status=204, Content_Length=None),
}


# --- Scripts


def keep_alive(data: bytes) -> Script:
    def script(connection: socket.socket) -> bool:
        connection.sendall(data)
        return True

    return script


def hang(connection: socket.socket) -> None:
    """Not a word until the other side gives up."""
    while connection.recv(65536):
        pass


def reset_connection(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    hang(connection)


def flood(piece: bytes, times: int = 10**9, pause: float = 0.0) -> Script:
    def script(connection: socket.socket) -> None:
        for _ in range(times):
            connection.sendall(piece)
            time.sleep(pause)

    return script


def send_slowly(data: bytes) -> Script:
    """So slowly that it takes seconds in all, so quickly that no single read waits for long."""

    def script(connection: socket.socket) -> None:
        for at in range(len(data)):
            connection.sendall(data[at : at + 1])
            time.sleep(0.05)

    return script


def send_then(data: bytes, then: Script) -> Script:
    def script(connection: socket.socket) -> object:
        connection.sendall(data)
        return then(connection)

    return script


def send_after_delay(seconds: float, data: bytes) -> Script:
    def script(connection: socket.socket) -> bool:
        time.sleep(seconds)
        connection.sendall(data)
        return True

    return script


# --- The server


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    headers: Message
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body) if self.body else None


class FaultyBackend:
    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, ScriptedResponse] = {}
        self.connections = 0
        self.greeting: Script | None = None
        """Happens to whoever connects, before anything is read."""
        self._tls = tls
        self._port = 0
        self.heal()
        self.listen()

    def heal(self) -> None:
        """All is well again, and what was asked before is forgotten."""
        self.answers = {path: keep_alive(data) for path, data in HEALTHY.items()}
        self.calls = []
        self.connections = 0
        self.greeting = None

    def listen(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), self._serve, self._tls)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def refuse(self) -> None:
        """Let nobody in any more; who is inside may stay."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def hang_up(self) -> None:
        """End every connection."""
        self._server.hang_up()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def asked(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]

    def _serve(self, connection: socket.socket) -> None:
        self.connections += 1
        if self.greeting:
            self.greeting(connection)
            return
        while call := _read_request(connection):
            self.calls.append(call)
            found = self.answers[call.path]
            script = send_then(found, lambda _: False) if isinstance(found, bytes) else found
            if script(connection) is not True:
                return


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], serve: Callable[[socket.socket], None], tls: ssl.SSLContext | None
    ) -> None:
        self._serve = serve
        self._tls = tls
        self._inside: set[socket.socket] = set()
        super().__init__(address, socketserver.BaseRequestHandler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._inside.add(request)
        with suppress(OSError):  # the site has hung up, as it should
            self._serve(request)
        self._inside.discard(request)

    def hang_up(self) -> None:
        for connection in list(self._inside):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _read_request(connection: socket.socket) -> Call | None:
    """The next request, or None when there is none."""
    with connection.makefile("rb") as stream:
        line = stream.readline().decode()
        if not line:
            return None
        headers = BytesParser().parsebytes(b"".join(iter(stream.readline, b"\r\n")))
        method, path, _ = line.split(" ")
        return Call(method, path, headers, stream.read(int(headers.get("Content-Length", "0"))))


@contextmanager
def faulty_backend(tls: ssl.SSLContext | None = None) -> Iterator[FaultyBackend]:
    backend = FaultyBackend(tls)
    try:
        yield backend
    finally:
        backend.refuse()
        backend.hang_up()


def assert_sign_in_rejected(visitor: Visitor, *statuses: int) -> Page:
    """Try to sign in: the page that says why not, held to what is true of each such page."""
    page = Page(_submit_credentials(visitor, visitor.csrf()))
    assert page.status in statuses, page.problem
    assert page.heading == "Sign in"
    assert page.problem
    assert (page.value("email"), page.value("password")) == (MINJI, "")
    assert SECRET_MARKER not in f"{page.response.headers}{page.text}"
    assert "next-auth.session-token" not in cookie_names(page.response)
    return page


def can_retry_sign_in(visitor: Visitor, page: Page) -> bool:
    """Whether the same form, sent once more from this page, signs in."""
    return "next-auth.session-token" in cookie_names(_submit_credentials(visitor, page.value("csrfToken") or ""))


def _submit_credentials(visitor: Visitor, csrf_token: str) -> requests.Response:
    fields = {"csrfToken": csrf_token, "email": MINJI, "password": PASSWORD}
    return visitor.post("/auth/login/email", data=fields)
