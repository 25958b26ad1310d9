"""Malformed and hostile requests to the production server, byte by byte: no 5xx, and the server keeps running."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.support.faulty_backend import NO_LIMITS
from tests.support.production import production_server
from tests.support.site import Visitor

pytestmark = pytest.mark.server

FORM = "application/x-www-form-urlencoded"
LOGIN = "/auth/login/email"
SECONDS = 5.0
"""Timeout for any answer."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    limits = {name.upper(): limit for name, limit in NO_LIMITS.items()}
    with production_server(tmp_path_factory.mktemp("hostile"), **limits) as (command, visitor):
        yield visitor
        assert command.process.poll() is None
        assert "Traceback" not in command.output
        assert "panicked" not in command.output


@pytest.fixture(autouse=True)
def still_well(server: Visitor) -> Iterator[None]:
    """Check that a normal visitor is served after each test."""
    yield
    honest = Visitor(server.url, {})
    assert honest.sign_in().status_code == 303
    assert honest.is_signed_in


@dataclass
class Answer:
    status: int
    headers: str
    body: bytes


def port_of(server: Visitor) -> int:
    return int(server.url.rpartition(":")[2])


def sent(server: Visitor, raw: bytes) -> list[Answer]:
    """Return all answers to these bytes, read until the server closes or sends nothing more."""
    with socket.create_connection(("localhost", port_of(server)), timeout=SECONDS) as connection:
        with suppress(ConnectionError):  # a server that refuses may close before everything is sent
            connection.sendall(raw)
        return answers(connection)


def answers(connection: socket.socket) -> list[Answer]:
    raw = b""
    connection.settimeout(SECONDS)
    with suppress(TimeoutError, ConnectionError):
        while piece := connection.recv(65536):
            raw += piece
            connection.settimeout(0.5)
    return parsed(raw)


def parsed(raw: bytes) -> list[Answer]:
    found = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        line = re.match(rb"HTTP/1\.[01] (\d{3})", head)
        assert line, head[:100]
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        size = int(length[1]) if length else 0
        found.append(Answer(int(line[1]), head.decode("latin-1"), raw[:size]))
        raw = raw[size:]
    return found


def request(method: str = "GET", path: str = "/", *headers: str, body: bytes = b"", host: str = "localhost") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode("latin-1") + body


# --- Where one request ends and the next begins (request smuggling)

SMUGGLED = b"GET /auth/static/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""A request that a proxy with another idea of the length would take for part of the body."""
A_FORM = (f"Content-Type: {FORM}",)
UNCLEAR = {
    "a length that is a sum": ["Content-Length: +5"],
    "a length below nothing": ["Content-Length: -1"],
    "a length that is no number": ["Content-Length: five"],
    "a length in hexadecimal": ["Content-Length: 0x5"],
    "a length with a fraction": ["Content-Length: 5.0"],
    "a length beyond numbers": ["Content-Length: 99999999999999999999999999"],
    "two lengths": ["Content-Length: 5", "Content-Length: 60"],
    "two lengths in one": ["Content-Length: 5, 60"],
    "an empty length": ["Content-Length: "],
    "a coding that is none": ["Transfer-Encoding: xchunked"],
    "a coding after chunked": ["Transfer-Encoding: chunked, identity"],
    "a folded coding": ["Transfer-Encoding:\r\n chunked"],
    "a space before the colon": ["Transfer-Encoding : chunked"],
    "a name that begins with a space": [" Transfer-Encoding: chunked"],
    "a NUL in a header": ["X: a\0b"],
    "a lone CR in a header": ["X: a\rContent-Length: 5"],
    "a name with a space": ["X Y: z"],
}
BAD_CHUNKS = {
    "no number": b"zz\r\nhello\r\n0\r\n\r\n",
    "less than nothing": b"-5\r\nhello\r\n0\r\n\r\n",
    "beyond numbers": b"fffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "in 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "longer than it says": b"3\r\nhello\r\n0\r\n\r\n",
    "an end too early": b"5\r\nhello0\r\n\r\n",
}


def refused_alone(server: Visitor, raw: bytes) -> bool:
    """Return whether the request is refused and the bytes after it get no answer of their own."""
    found = sent(server, raw)
    assert [answer.status for answer in found] in ([400], [])
    return bool(found)


def test_an_ambiguous_content_length_is_refused_and_the_connection_closed(server: Visitor) -> None:
    told = [refused_alone(server, request("POST", LOGIN, *A_FORM, *lines, body=SMUGGLED)) for lines in UNCLEAR.values()]
    assert sum(told) >= len(UNCLEAR) // 2, "most are told so"


def test_an_invalid_chunk_size_is_refused_and_the_connection_closed(server: Visitor) -> None:
    head = request("POST", LOGIN, *A_FORM, "Transfer-Encoding: chunked")
    told = [refused_alone(server, head + pieces + SMUGGLED) for pieces in BAD_CHUNKS.values()]
    assert sum(told) >= len(BAD_CHUNKS) // 2, "most are told so"


@pytest.mark.parametrize("order", [1, -1])
def test_with_content_length_and_chunks_nothing_is_smuggled(server: Visitor, order: int) -> None:
    both = ("Content-Length: 5", "Transfer-Encoding: chunked")[::order]
    found = sent(server, request("POST", LOGIN, *A_FORM, *both, body=b"0\r\n\r\n" + SMUGGLED))
    assert [answer.status for answer in found] in ([400], [400, 404])
    assert len(found) == 1 or "close" not in found[0].headers


def test_two_valid_requests_on_one_connection_get_two_answers(server: Visitor) -> None:
    found = sent(server, request(path="/health/live") + request(path="/nowhere"))
    assert [answer.status for answer in found] == [200, 404]


# --- The host

HOSTS = ["evil.example", "localhost:5000@evil.example", "evil.example:5000", "localhost.evil.example", "LOCALHOST", ""]
HOSTS += ["[::1]:5000", "x" * 10_000, "a b", "a\tb", "a/b", "evil.example\\@localhost", "<script>", "\xff"]


@pytest.mark.parametrize("path", ["/account", "/api/auth/providers"])
@pytest.mark.parametrize("host", HOSTS, ids=range(len(HOSTS)))
def test_a_host_header_never_appears_in_an_answer(server: Visitor, host: str, path: str) -> None:
    found = sent(server, request("GET", path, "Connection: close", host=host))
    assert len(found) == 1
    for answer in found:
        assert answer.status in (200, 302, 303, 400, 404)
        assert b"evil.example" not in answer.body
        assert "evil.example" not in answer.headers
        moved = re.search(r"(?im)^location: (\S+)", answer.headers)
        assert moved is None or moved[1].startswith(server.url)


FIRST_LINES = [
    "GET {path} HTTP/1.0\r\n\r\n",
    "GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n",
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    "GET http://evil.example{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET http://evil.example{path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    "GET //evil.example{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET {path}\nHost: evil.example\n\n",
    "GET {path} HTTP/1.1\nHost: localhost\nConnection: close\n\n",
    "GET {path} HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "GET {path}\r\n\r\n",
    "GET  {path}  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "* HTTP/1.1\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\0" * 100,
    "\0" * 2000,
]


def test_a_malformed_request_line_never_changes_the_host(server: Visitor) -> None:
    statuses = [status for head in FIRST_LINES if (status := first_status(server, head.format(path="/account")))]
    assert set(statuses) <= {200, 302, 303, 400, 404, 405, 505}
    assert len(statuses) > 8


def first_status(server: Visitor, head: str) -> int | None:
    """Return the status of the answer, if there is one; it must not mention the other host."""
    with socket.create_connection(("localhost", port_of(server)), timeout=SECONDS) as connection:
        with suppress(ConnectionError):
            connection.sendall(head.encode("latin-1"))
        connection.settimeout(1)
        raw = b""
        with suppress(TimeoutError, ConnectionError):
            while piece := connection.recv(65536):
                raw += piece
    assert b"evil.example" not in raw
    return parsed(raw)[0].status if raw.startswith(b"HTTP/1") else None


MOVERS = [f"X-Forwarded-{name}: evil.example" for name in ("Host", "Proto", "Port", "Prefix", "Uri", "Server", "For")]
MOVERS += [f"{name}: /account" for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path")]
MOVERS += ["Forwarded: host=evil.example;proto=https", "X-Host: evil.example", "X_Forwarded_Host: evil.example"]
MOVERS += ["X-HTTP-Method-Override: DELETE", "X-Middleware-Subrequest: middleware", "X-User-Id: 1"]
MOVERS += ["X-Auth-User-Id: 1", "Authorization: Bearer x", "Range: bytes=0-3", "If-None-Match: *", "Script-Name: /evil"]


@pytest.mark.parametrize("path", ["/account", "/api/auth/session", "/"])
def test_no_header_changes_the_host_or_signs_anybody_in(server: Visitor, path: str) -> None:
    (plain,) = sent(server, request("GET", path, "Connection: close"))
    for mover in MOVERS:
        (moved,) = sent(server, request("GET", path, mover, "Connection: close"))
        assert moved.status == plain.status, mover
        assert location(moved) == location(plain), mover
        assert b"evil.example" not in moved.body, mover
        assert "evil.example" not in moved.headers, mover


def location(answer: Answer) -> list[str]:
    return re.findall(r"(?im)^location: (\S+)", answer.headers)


# --- Sizes


@pytest.mark.parametrize(
    "header",
    [
        f"Cookie: next-auth.session-token={'x' * 500_000}",
        f"Cookie: {'; '.join(f'c{n}=v' for n in range(60_000))}",
        "Cookie: " + ";" * 300_000,
        "X: " + "x" * 1_000_000,
        "\r\n".join(f"X-{n}: y" for n in range(10_000)),
        "Y" * 500_000 + ": x",
    ],
    ids=range(6),
)
def test_oversized_headers_are_refused_at_once(server: Visitor, header: str) -> None:
    started = time.monotonic()
    found = sent(server, request("GET", "/api/auth/session", header, "Connection: close"))
    # A client that still sends when the connection closes may lose the answer.
    assert [answer.status for answer in found] in ([431], [400], [])
    assert time.monotonic() - started < 3


def test_slightly_oversized_headers_get_431(server: Visitor) -> None:
    found = sent(server, request("GET", "/api/auth/session", f"Cookie: {';' * 30_000}", "Connection: close"))
    assert [answer.status for answer in found] == [431]


@pytest.mark.parametrize("cookie", [";" * 20_000, "; ".join(f"c{n}=v" for n in range(2000)), "=" * 9000, '"' * 9000])
@pytest.mark.parametrize("path", ["/", "/api/auth/session", LOGIN])
def test_large_odd_cookies_are_read_fast_as_no_session(server: Visitor, path: str, cookie: str) -> None:
    started = time.monotonic()
    (answer,) = sent(server, request("GET", path, f"Cookie: {cookie}", "Connection: close"))
    assert answer.status == 200
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("path", ["/" + "x" * 4000, "/?" + "x" * 60_000, "/" + "%2e%2e/" * 900, "/" + "x" * 400_000])
def test_a_very_long_url_is_not_found_or_refused(server: Visitor, path: str) -> None:
    found = sent(server, request("GET", path, "Connection: close"))
    assert [answer.status for answer in found] in ([200], [400], [404], [414], [431], [])


@pytest.mark.parametrize("length", [10**6, 10**9, 2**62])
def test_a_huge_content_length_is_refused_before_the_body_arrives(server: Visitor, length: int) -> None:
    started = time.monotonic()
    found = sent(server, request("POST", LOGIN, *A_FORM, f"Content-Length: {length}", body=b"email=x&pa"))
    assert [answer.status for answer in found] == [413]
    assert time.monotonic() - started < 3


def test_a_chunked_body_over_the_limit_is_refused(server: Visitor) -> None:
    pieces = (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 300
    raw = request("POST", LOGIN, *A_FORM, "Transfer-Encoding: chunked", "Connection: close", body=pieces + b"0\r\n\r\n")
    assert [answer.status for answer in sent(server, raw)] in ([413], [])


def test_a_compressed_request_body_is_refused(server: Visitor) -> None:
    import gzip

    body = gzip.compress(b"email=minji%40example.com&password=correct-horse&x=" + b"x" * 10**7)
    headers = (*A_FORM, "Content-Encoding: gzip", f"Content-Length: {len(body)}", "Connection: close")
    (answer,) = sent(server, request("POST", LOGIN, *headers, body=body))
    assert answer.status in (400, 415)


def test_slow_request_bodies_delay_no_other_request(server: Visitor) -> None:
    """As many as a proxy might pass. A proxy that buffers (`docs/operations.md`) passes none."""
    heads = [
        request("POST", LOGIN, *A_FORM, "Content-Length: 100", body=b"e"),
        request("POST", LOGIN, *A_FORM, "Content-Length: 100", "Expect: 100-continue"),
        b"GET / HT",
        b"",
    ]
    opened = [socket.create_connection(("localhost", port_of(server))) for _ in range(16)]
    try:
        for number, connection in enumerate(opened):
            connection.sendall(heads[number % 4])
        honest = Visitor(server.url, {})
        started = time.monotonic()
        assert honest.sign_in().status_code == 303
        assert time.monotonic() - started < 3
    finally:
        for connection in opened:
            connection.close()


# --- Every method and content type at every path

PATHS = ["/", LOGIN, "/auth/logout", "/account", "/health/live", "/health/ready"]
PATHS += [f"/api/auth/{name}" for name in ("session", "csrf", "providers", "signin", "signout", "error", "_log")]
PATHS += [f"/api/auth/{name}" for name in ("signin/email", "callback/email", "signin/kakao", "callback/kakao")]
METHODS = ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO", "PROPFIND"]
KINDS = ["", "text/plain", "application/xml", "application/json;charset=utf-16", "multipart/form-data"]
KINDS += [
    f"multipart/form-data; boundary={'x' * 10_000}",
    "multipart/form-data; boundary=x",
    "application/json, text/html",
]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_at_every_path_gets_an_answer_below_500(server: Visitor, method: str) -> None:
    for path in PATHS:
        found = sent(server, request(method, path, "Content-Length: 0", "Connection: close"))
        assert found, path
        assert found[0].status < 500 or found[0].status == 501, (path, found)
        assert "next-auth.session-token=e" not in found[0].headers
        if method not in ("GET", "POST", "HEAD"):
            assert found[0].status in (400, 404, 405), path


@pytest.mark.parametrize("kind", KINDS, ids=range(len(KINDS)))
def test_another_content_type_is_refused_at_every_path(server: Visitor, kind: str) -> None:
    body = b"--x\r\n\rContent-Disposition: form-data; name=email\r\n\r\nminji@example.com\r\n--x--\r\n"
    for path in PATHS:
        headers = (f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close")
        (answer,) = sent(server, request("POST", path, *headers, body=body))
        assert answer.status in (400, 404, 405, 415) or (path, answer.body) == ("/api/auth/_log", b""), path


HEADERS = (
    *("Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cookie", "If-None-Match", "Origin", "Purpose"),
    *(
        "Referer",
        "Sec-Fetch-Mode",
        "Sec-Fetch-Site",
        "Sec-Purpose",
        "User-Agent",
        "X-Forwarded-For",
        "X-Forwarded-Host",
    ),
    *("X-Forwarded-Method", "X-Forwarded-Uri", "X-Moz", "X-Request-Id"),
)
BYTES = ("é=김; 김=é".encode().decode("latin-1"), "\xff\xfe;q=\xb2, Bearer \xe9", "/\xc3\xa9?\xf0\x9f\x98\x80", "\x80")


@pytest.mark.parametrize("path", ["/", LOGIN, "/auth/verify", "/api/auth/session", "/api/auth/callback/email"])
def test_bytes_that_are_not_ascii_in_any_header_are_no_server_error(server: Visitor, path: str) -> None:
    for value in BYTES:
        for name in HEADERS:
            close = "Connection: close"
            statuses = [each.status for each in sent(server, request("GET", path, f"{name}: {value}", close))]
            assert statuses, name
            assert max(statuses) < 500, name


def test_the_sign_in_url_has_the_forwarded_uri_percent_encoded(server: Visitor) -> None:
    for raw, encoded in (("/\xc3\xa9", "%2F%25C3%25A9"), ("/\xe9", "%2F%25E9")):
        (answer,) = sent(server, request("GET", "/auth/verify", f"X-Forwarded-Uri: {raw}", "Connection: close"))
        assert answer.status == 401
        assert encoded in answer.headers
