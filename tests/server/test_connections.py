"""`make serve` at the socket level: headers, bodies, slow and idle connections."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests

from dev.backend import PASSWORD
from tests.support.production import production_server
from tests.support.site import MINJI, Visitor

pytestmark = pytest.mark.server

IMPATIENT = """
import serve
from server import asgi, http_protocol

http_protocol.HEADER_SECONDS = 0.5
asgi.BODY_SECONDS = 0.5

if __name__ == "__main__":
    serve.main()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    """The server with timeouts of half a second instead of ten or twenty."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "impatient.py").write_text(IMPATIENT)
    with production_server(
        folder,
        script=folder / "impatient.py",
        LOGIN_LIMIT_PER_ACCOUNT_AND_IP="1000/hour",
        LOGIN_LIMIT_PER_IP="9999/hour",
    ) as (command, visitor):
        yield visitor
        assert command.process.poll() is None
        assert "Traceback" not in command.output


@pytest.fixture(autouse=True)
def still_well(server: Visitor) -> Iterator[None]:
    yield
    honest = Visitor(server.url, {})
    assert honest.sign_in().status_code == 303
    assert honest.is_signed_in


def connected(server: Visitor) -> socket.socket:
    return socket.create_connection(("localhost", int(server.url.rpartition(":")[2])), timeout=5)


def received(connection: socket.socket) -> bytes:
    """Read until the server closes, which has to happen within five seconds."""
    found = b""
    with suppress(ConnectionResetError):
        while data := connection.recv(65536):
            found += data
    return found


def signed_in(server: Visitor) -> str:
    visitor = Visitor(server.url, {})
    visitor.sign_in()
    return f"next-auth.session-token={visitor.cookies['next-auth.session-token']}"


# --- Headers


@pytest.mark.parametrize("path", ["/api/auth/session", "/auth/verify", "/account", "/"])
@pytest.mark.parametrize("other", ["name=김", "name=\u00e9", "name=🙂; a=b", "=\x80", 'q="가나다"'])
def test_a_non_ascii_cookie_of_another_app_signs_nobody_out(server: Visitor, path: str, other: str) -> None:
    cookie = signed_in(server)
    for both in (f"{cookie}; {other}", f"{other}; {cookie}"):
        for encoding in ("utf-8", "latin-1", "cp949"):
            with connected(server) as connection, suppress(UnicodeEncodeError):
                head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {both}\r\n\r\n"
                connection.sendall(head.encode(encoding))
                answer = received(connection)
                status = int(answer[9:12])
                assert status == (204 if path == "/auth/verify" else 200)
                assert path != "/api/auth/session" or b"minji@example.com" in answer


def test_a_person_with_a_non_ascii_cookie_can_sign_in(server: Visitor) -> None:
    visitor = Visitor(server.url, {})
    cookies = "name=김; munjigi.visitor="
    page = visitor.get("/api/auth/csrf", headers={"Cookie": "name=김".encode()})
    visitor_cookie = page.cookies["munjigi.visitor"]
    response = requests.post(
        f"{server.url}/auth/login/email",
        data={"csrfToken": page.json()["csrfToken"], "email": MINJI, "password": PASSWORD},
        headers={"Cookie": f"{cookies}{visitor_cookie}".encode()},
        allow_redirects=False,
        timeout=5,
    )
    assert response.status_code == 303


@pytest.mark.parametrize(("size", "status"), [(16_000, 200), (26_000, 431), (300_000, 431)])
def test_the_header_limit_allows_the_largest_session_cookies(server: Visitor, size: int, status: int) -> None:
    with connected(server) as connection:
        with suppress(ConnectionError):
            connection.sendall(f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {'x' * size}\r\n\r\n".encode())
        assert received(connection).startswith(f"HTTP/1.1 {status} ".encode())


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("start", "endless"),
    [(HEAD, b"X-A: y\r\n"), (HEAD + b"X: ", b"x"), (b"GET /", b"x")],
    ids=["lines", "line", "path"],
)
def test_endless_headers_are_cut_off(server: Visitor, start: bytes, endless: bytes) -> None:
    with connected(server) as connection:
        sent, started = 0, time.monotonic()
        with suppress(ConnectionError):
            connection.sendall(start)
            while sent < 50_000_000 and time.monotonic() - started < 5:
                connection.sendall(endless * 1000)
                sent += len(endless) * 1000
        assert sent < 20_000_000, "what was sent waits in the buffers of the system, not in the server"
        received(connection)


@pytest.mark.parametrize(
    "start", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\nX", b"\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], ids=ascii
)
def test_an_idle_connection_is_closed(server: Visitor, start: bytes) -> None:
    with connected(server) as connection:
        started = time.monotonic()
        connection.sendall(start)
        received(connection)
        assert time.monotonic() - started < 2


def test_an_incomplete_second_request_is_closed_too(server: Visitor) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHo")
        received(connection)
        assert time.monotonic() - started < 2


def test_headers_that_arrive_too_slowly_are_cut_off(server: Visitor) -> None:
    with connected(server) as connection, suppress(ConnectionError):
        started = time.monotonic()
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)
    assert time.monotonic() - started < 2


# --- Bodies


@pytest.mark.parametrize("announcement", ["Content-Length: 77", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("signed", [True, False], ids=["signed in", "anonymous"])
def test_a_check_whose_announced_body_never_arrives_is_answered_and_closed(
    server: Visitor, signed: bool, announcement: str
) -> None:
    """Otherwise the proxy waits, and 77 bytes of its next check on the connection are taken for the body."""
    cookie = signed_in(server) if signed else "a=b"
    head = f"GET /auth/verify HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n{announcement}\r\n\r\n"
    with connected(server) as connection:
        connection.sendall(head.encode())
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 204 " if signed else b"HTTP/1.1 401 ")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("body", [b"", b"email=a"], ids=["nothing", "half"])
def test_a_body_that_does_not_arrive_gets_408(server: Visitor, body: bytes) -> None:
    head = b"POST /auth/login/email HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    with connected(server) as connection:
        connection.sendall(head + b"Content-Length: 1000\r\n\r\n" + body)
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()


def test_a_client_that_disconnects_within_the_body_leaves_the_server_running(server: Visitor) -> None:
    for _ in range(20):
        with connected(server) as connection:
            connection.sendall(b"POST /auth/login/email HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nemail=")


def test_a_client_that_disconnects_before_the_answer_leaves_the_server_running(server: Visitor) -> None:
    for _ in range(20):
        with connected(server) as connection:
            connection.sendall(b"GET /auth/login/email HTTP/1.1\r\nHost: a\r\n\r\n")


# --- Connections


def test_pipelined_requests_are_answered_in_order(server: Visitor) -> None:
    paths = ["/health/live", "/auth/login/email", "/api/auth/csrf", "/api/auth/session", "/nothing"]
    with connected(server) as connection:
        requests_ = [f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n" for path in paths[:-1]]
        requests_.append(f"GET {paths[-1]} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        connection.sendall("".join(requests_).encode())
        answer = received(connection)
    kinds = [b'"status"', b"<title>", b"csrfToken", b"{}", b"404"]
    places = [answer.index(kind, 0) for kind in kinds]
    assert answer.count(b"HTTP/1.1 ") == 5
    assert places[0] < places[1]
    assert answer.rindex(b"{}") < answer.rindex(b"HTTP/1.1 404")


@pytest.mark.parametrize("host", ["", "Host: localhost\r\n"], ids=["without a host", "with one"])
def test_an_http_1_0_request_is_answered_and_closed(server: Visitor, host: str) -> None:
    with connected(server) as connection:
        connection.sendall(f"GET /auth/login/email HTTP/1.0\r\n{host}\r\n".encode())
        assert received(connection).startswith(b"HTTP/1.1 200 ")


def test_nine_hundred_idle_connections_slow_no_request(server: Visitor) -> None:
    with ExitStack() as stack:
        for _ in range(900):
            connection = stack.enter_context(connected(server))
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        Visitor(server.url, {}).get_page("/auth/login/email")
        assert time.monotonic() - started < 1


# --- The operator's own code


SLOW_RECEIVER = """
import time
import serve
from services.observability import audit


def slow(site, **fields):
    time.sleep(3)
    print("told of", fields["outcome"], flush=True)


audit.sign_in_failed.connect(slow)

if __name__ == "__main__":
    serve.main()
"""


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_a_slow_signal_receiver_delays_no_request(tmp_path: Path, level: str) -> None:
    (tmp_path / "slow.py").write_text(SLOW_RECEIVER)
    with production_server(tmp_path, script=tmp_path / "slow.py", LOG_LEVEL=level) as (command, visitor):
        started = time.monotonic()
        for _ in range(2):
            assert visitor.sign_in(password="wrong").status_code == 401
            assert visitor.get("/health/live").status_code == 200
        assert time.monotonic() - started < 2
        ends = time.monotonic() + 12
        while command.output.count("told of CredentialsSignin") < 2:
            assert time.monotonic() < ends, command.output
            time.sleep(0.1)
