"""A backend on a real socket whose responses a test controls byte by byte.

Each path has a response in `FaultyBackend.responses`: bytes, after which the connection is closed, or a script that
gets the connection. By default every sign-in succeeds.
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

from tests.support.site import MINJI, Page, Visitor, cookie_names

SECRET_MARKER = "~secret~"
"""Part of every token, password and backend message that must not leak. Random tokens never contain `~`."""
TOKEN = f"17|{SECRET_MARKER}-token"
PASSWORD = f"{SECRET_MARKER} password"
USER = {"id": 7, "name": "홍길동", "nick_name": None, "email": "hong@example.com"}

Script = Callable[[socket.socket], object]
"""Called with the connection of a request. The connection stays open for the next request if it returns True."""
ScriptedResponse = bytes | Script


def login_body(value: object = TOKEN) -> dict[str, object]:
    return {"data": {"token": {"accessToken": {"name": "web"}, "plainTextToken": value}}}


def user_body(value: object = USER) -> dict[str, object]:
    return {"data": {"user": value}}


def http_response(body: object = b"", status: int = 200, **headers: object) -> bytes:
    """Return the bytes of a response. `body` is encoded as JSON unless it is bytes.

    Headers are keyword arguments with underscores (`Retry_After=57`); None removes a default header.
    """
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    all_headers = {"Content_Type": "application/json", "Content_Length": len(raw), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in all_headers.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status} Whatever", *lines, "", ""]).encode() + raw


NO_LIMITS: dict[str, Any] = dict.fromkeys(
    ("login_limit_per_ip", "login_limit_per_account_and_ip", "login_limit_per_account"), "9999/second"
)
"""Settings of a site that allows any number of failed sign-ins, as keyword arguments of `running_site`."""
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
    """Send nothing until the client closes the connection."""
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
    """Send one byte every 50 ms: no single read times out, but the whole response takes seconds."""

    def script(connection: socket.socket) -> None:
        for index in range(len(data)):
            connection.sendall(data[index : index + 1])
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
class RecordedRequest:
    method: str
    path: str
    headers: Message
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body) if self.body else None


class FaultyBackend:
    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.calls: list[RecordedRequest] = []
        self.responses: dict[str, ScriptedResponse] = {}
        self.connection_count = 0
        self.on_connect: Script | None = None
        """Runs for each new connection instead of reading a request."""
        self._tls = tls
        self._port = 0
        self.reset()
        self.listen()

    def reset(self) -> None:
        """Restore the default responses and clear the recorded requests."""
        self.responses = {path: keep_alive(data) for path, data in HEALTHY.items()}
        self.calls = []
        self.connection_count = 0
        self.on_connect = None

    def listen(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), self._serve, self._tls)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def stop_listening(self) -> None:
        """Refuse new connections; open connections stay open."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def close_connections(self) -> None:
        """Close all open connections."""
        self._server.close_connections()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def requests_to(self, path: str) -> list[RecordedRequest]:
        return [call for call in self.calls if call.path == path]

    def _serve(self, connection: socket.socket) -> None:
        self.connection_count += 1
        if self.on_connect:
            self.on_connect(connection)
            return
        while call := _read_request(connection):
            self.calls.append(call)
            response = self.responses[call.path]
            script = send_then(response, lambda _: False) if isinstance(response, bytes) else response
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
        self._open_connections: set[socket.socket] = set()
        super().__init__(address, socketserver.BaseRequestHandler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        self._open_connections.add(request)
        with suppress(OSError):  # the site has closed the connection, as it should
            self._serve(request)
        self._open_connections.discard(request)

    def close_connections(self) -> None:
        for connection in list(self._open_connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _read_request(connection: socket.socket) -> RecordedRequest | None:
    """Return the next request, or None if the client has closed the connection."""
    with connection.makefile("rb") as stream:
        line = stream.readline().decode()
        if not line:
            return None
        headers = BytesParser().parsebytes(b"".join(iter(stream.readline, b"\r\n")))
        method, path, _ = line.split(" ")
        return RecordedRequest(method, path, headers, stream.read(int(headers.get("Content-Length", "0"))))


@contextmanager
def faulty_backend(tls: ssl.SSLContext | None = None) -> Iterator[FaultyBackend]:
    backend = FaultyBackend(tls)
    try:
        yield backend
    finally:
        backend.stop_listening()
        backend.close_connections()


def assert_sign_in_rejected(visitor: Visitor, *statuses: int) -> Page:
    """Submit correct credentials and assert that the sign-in fails with one of these statuses.

    Checks that the page shows a message, keeps the email address and leaks no secret. Returns the page.
    """
    page = Page(_submit_credentials(visitor, visitor.csrf_token()))
    assert page.status in statuses, page.message
    assert page.heading == "Sign in"
    assert page.message
    assert (page.input_value("email"), page.input_value("password")) == (MINJI, "")
    assert SECRET_MARKER not in f"{page.response.headers}{page.text}"
    assert "next-auth.session-token" not in cookie_names(page.response)
    return page


def can_retry_sign_in(visitor: Visitor, page: Page) -> bool:
    """Submit the form of this page again. Return whether it signs the user in."""
    return "next-auth.session-token" in cookie_names(_submit_credentials(visitor, page.input_value("csrfToken") or ""))


def _submit_credentials(visitor: Visitor, csrf_token: str) -> requests.Response:
    fields = {"csrfToken": csrf_token, "email": MINJI, "password": PASSWORD}
    return visitor.post("/auth/login/email", data=fields)
