"""The HTTP client: answers are never mixed up, deadlines hold, and requests contain only what was meant."""

import asyncio
import gc
import json
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from services.event_loop import run
from services.http.client import MAX_BYTES, HttpClient, UpstreamError
from tests.support.certificates import certificate
from tests.support.faulty_backend import (
    USER,
    FaultyBackend,
    ScriptedResponse,
    faulty_backend,
    half_close,
    hang,
    http_response,
    keep_alive,
    send_after_delay,
    send_then,
    user_body,
)

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])
HEALTHY_USER = http_response(user_body())
STRANGER = http_response(user_body({**USER, "id": 666}))
BODY = json.dumps(user_body()).encode()
MOMENT = 0.05


@pytest.fixture
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture
def client() -> HttpClient:
    return HttpClient("test", max_concurrency=8)


def ask(client: HttpClient, backend: FaultyBackend, path: str = "/user", *, retry: bool = False) -> object:
    """Return the user id of the answer."""
    response = client.send("POST", backend.url + path, {}, within=1, json={}, retry=retry)
    return response.get_path("data", "user", "id")


def fails(client: HttpClient, backend: FaultyBackend, path: str = "/user", *, retry: bool = False) -> UpstreamError:
    with pytest.raises(UpstreamError) as raised:
        ask(client, backend, path, retry=retry)
    return raised.value


# --- Kept connections


def head(*lines: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", *lines, "", ""]).encode()


LENGTH = f"Content-Length: {len(BODY)}"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
PLAIN = {
    "a length": http_response(user_body()),
    "chunks": head("Transfer-Encoding: chunked") + CHUNKS,
    "chunks with an extension and a trailer": head("Transfer-Encoding: Chunked")
    + b"%x;a=b\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(BODY), BODY),
    "204": http_response(status=204, Content_Length=None),
    "204 of no bytes": http_response(status=204),
    "an empty 401": http_response(status=401),
    "100 before": head(status="100 Continue") + http_response(user_body()),
    "hints before": head(status="103 Early Hints") + http_response(user_body()),
    "hints with a length": head("Content-Length: 5", status="103 x") + http_response(user_body()),
    "a line break behind it": http_response(user_body()) + b"\n",
    "HTTP/1.0 that asks to be kept": head("Connection: keep-alive", LENGTH, version="1.0") + BODY,
}
ODD: dict[str, ScriptedResponse] = {
    "it is to be closed": keep_alive(http_response(user_body(), Connection="close")),
    "HTTP/1.0": keep_alive(head(LENGTH, version="1.0") + BODY),
    "another answer at once": keep_alive(http_response(user_body()) + STRANGER),
    "another answer later": send_then(http_response(user_body()), send_after_delay(MOMENT / 2, STRANGER)),
    "a body for a 204": keep_alive(http_response(BODY, 204)),
    "a body for a 204 later": send_then(
        http_response(status=204, Content_Length=5), send_after_delay(2 * MOMENT, STRANGER)
    ),
    "chunks for a 304": keep_alive(head("Transfer-Encoding: chunked", status="304 x") + CHUNKS),
    "another protocol": send_then(head("Connection: Upgrade", status="101 x"), send_after_delay(2 * MOMENT, STRANGER)),
    "a length and chunks": keep_alive(head(LENGTH, "Transfer-Encoding: chunked") + CHUNKS),
    "a length and an unknown coding": keep_alive(head("Transfer-Encoding: identity", LENGTH) + BODY),
    "the same length twice": keep_alive(head(LENGTH, LENGTH) + BODY),
    "a length with a sign": keep_alive(head(f"Content-Length: +{len(BODY)}") + BODY),
    "a length with an underscore": keep_alive(head("Content-Length: 1_0") + BODY[:10]),
    "a line that is no header": keep_alive(head(LENGTH, "no header") + BODY),
    "too many bytes, the last of them later": send_then(
        head(f"Content-Length: {MAX_BYTES + 2}") + b" " * (MAX_BYTES + 1), send_after_delay(2 * MOMENT, STRANGER)
    ),
    "half closed": send_then(http_response(user_body()), half_close),
    "closed": http_response(user_body()),
}


@pytest.mark.parametrize("said", PLAIN)
def test_after_a_complete_answer_the_connection_is_reused(
    backend: FaultyBackend, client: HttpClient, said: str
) -> None:
    backend.responses["/login"] = keep_alive(PLAIN[said])
    for _ in range(3):
        client.send("POST", f"{backend.url}/login", {}, within=1, json={})
        assert ask(client, backend) == USER["id"]
    assert backend.connection_count == 1


@pytest.mark.parametrize("said", ODD)
def test_after_an_irregular_answer_the_connection_is_not_reused(
    backend: FaultyBackend, client: HttpClient, said: str
) -> None:
    backend.responses["/login"] = ODD[said]
    for number in range(1, 3):
        with suppress(UpstreamError):
            ask(client, backend, "/login")
        time.sleep(MOMENT)
        backend.responses["/user"] = keep_alive(http_response(user_body(), Connection="close"))
        assert ask(client, backend) == USER["id"]
        assert backend.connection_count == 2 * number


BODIES_OF_NO_CONTENT: dict[str, bytes] = {
    "of an announced length": http_response(BODY, 204),
    "in chunks": head("Transfer-Encoding: chunked", status="204 No Content") + CHUNKS,
    "that is not announced": head(status="204 No Content") + BODY,
    "of a 304": head(LENGTH, status="304 Not Modified") + BODY,
}


@pytest.mark.parametrize("body", BODIES_OF_NO_CONTENT)
def test_a_body_that_comes_with_a_204_is_ignored(backend: FaultyBackend, client: HttpClient, body: str) -> None:
    backend.responses["/login"] = keep_alive(BODIES_OF_NO_CONTENT[body])
    for _ in range(2):
        response = client.send("POST", f"{backend.url}/login", {}, within=10, json={})
        assert (response.status, response.body) == (304 if "304" in body else 204, b"")


def test_an_answer_without_a_length_ends_with_its_connection(backend: FaultyBackend, client: HttpClient) -> None:
    for version in ("1.0", "1.1"):
        backend.responses["/user"] = head(version=version) + BODY
        assert ask(client, backend) == USER["id"]


def test_tls_connections_are_reused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, context = certificate(tmp_path), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with faulty_backend(context) as backend:
        client = HttpClient("test", max_concurrency=1)
        for _ in range(3):
            assert ask(client, backend) == USER["id"]
            time.sleep(MOMENT)
        assert backend.connection_count == 1


def test_connections_are_closed_with_their_client(backend: FaultyBackend) -> None:
    over = threading.Event()

    def until_it_ends(connection: socket.socket) -> None:
        connection.recv(1)
        over.set()

    backend.responses["/user"] = send_then(http_response(user_body()), until_it_ends)
    client = HttpClient("test", max_concurrency=1)
    ask(client, backend)
    del client
    gc.collect()
    assert over.wait(5)


# --- Retries


def test_a_login_over_a_kept_connection_that_closes_is_not_repeated(backend: FaultyBackend, client: HttpClient) -> None:
    ask(client, backend)
    backend.responses["/login"] = lambda _: False
    assert fails(client, backend, "/login").status == 502
    assert backend.connection_count == 1
    assert len(backend.requests_to("/login")) == 1


def test_a_call_with_retry_is_repeated_once(backend: FaultyBackend, client: HttpClient) -> None:
    backend.responses["/user"] = b""
    error = fails(client, backend, retry=True)
    assert error.reason == "the answer broke off or is no HTTP (ConnectionError)"
    assert len(backend.requests_to("/user")) == 2


# --- Requests


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nX: y", "a\rX: y", "a\0"], ids=ascii)
def test_a_header_value_with_a_line_break_is_refused(backend: FaultyBackend, client: HttpClient, value: str) -> None:
    for headers in ({"X-A": value}, {value: "x"}):
        with pytest.raises(UpstreamError) as raised:
            client.send("POST", f"{backend.url}/user", headers, within=1)
        assert raised.value.status == 502
    with pytest.raises(UpstreamError):
        client.send(value, f"{backend.url}/user", {}, within=1)
    assert backend.calls == []


@contextmanager
def listening(family: socket.AddressFamily, address: str) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the address of a server that answers once, and what it received."""
    received: list[bytes] = []
    with socket.create_server((address, 0), family=family) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                received.append(connection.recv(65536))
                connection.sendall(HEALTHY_USER)

        threading.Thread(target=serve, daemon=True).start()
        name = f"[{address}]" if ":" in address else address
        yield f"{name}:{server.getsockname()[1]}", received


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=str)
def test_a_call_sends_no_credentials_of_the_machine(
    client: HttpClient, family: socket.AddressFamily, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text(f"machine {address} login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with listening(family, address) as (place, received):
        client.send("POST", f"http://{place}/a b?c=d e#f", {"X-A": "b"}, within=1, json={"email": "x"})
    head, _, body = received[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /a%20b?c=d%20e HTTP/1.1"
    assert {line.partition(":")[0] for line in lines[1:]} == {
        "Host", "User-Agent", "Accept-Encoding", "X-A", "Content-Type", "Content-Length",
    }  # fmt: skip
    assert f"Host: {place}" in lines
    assert body == b'{"email": "x"}'


def test_cookies_of_an_answer_are_not_kept(backend: FaultyBackend, client: HttpClient) -> None:
    backend.responses["/login"] = keep_alive(http_response(user_body(), Set_Cookie="a=b"))
    ask(client, backend, "/login")
    ask(client, backend)
    assert backend.calls[-1].headers["Cookie"] is None


def test_calls_use_the_proxy_except_for_no_proxy_hosts(backend: FaultyBackend) -> None:
    with listening(socket.AF_INET, "127.0.0.1") as (place, received):
        client = HttpClient("test", max_concurrency=1, proxy=f"http://user:secret@{place}", no_proxy=("127.0.0.1",))
        assert ask(client, backend) == USER["id"]
        assert received == []
        client.send("GET", "http://api.example.com/x", {}, within=1)
    assert received[0].startswith(b"GET http://api.example.com/x HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " in received[0]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "//127.0.0.1/", "http://"])
def test_an_invalid_url_is_an_upstream_error(client: HttpClient, url: str) -> None:
    with pytest.raises(UpstreamError) as raised:
        client.send("GET", url, {}, within=1)
    assert raised.value.status == 502


# --- Deadlines


@pytest.mark.filterwarnings("ignore:Sending a large body")
def test_a_server_that_does_not_read_costs_no_more_than_the_deadline(client: HttpClient) -> None:
    with faulty_backend() as backend:
        backend.on_connect = lambda _: time.sleep(1)
        started = time.monotonic()
        with pytest.raises(UpstreamError) as raised:
            client.send("POST", f"{backend.url}/user", {}, within=0.3, json="x" * 2**24)
        assert raised.value.status == 504
        assert time.monotonic() - started < 0.8


@pytest.mark.corpus
@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_slow_dns_lookup_counts_against_the_deadline_and_delays_no_other_host(
    backend: FaultyBackend, client: HttpClient, make_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """A resolver may hang for half a minute. Calls for the same name share one lookup."""
    asked, answered, real = list[str](), threading.Event(), socket.getaddrinfo

    def hanging(host: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        if host.startswith("dead"):
            answered.wait(5)
            raise socket.gaierror
        return real(host, *args, **kwargs)

    def call(host: str) -> int:
        url = f"http://{host}:{backend.url.rpartition(':')[2]}/user"
        try:
            return client.send("POST", url, {}, within=0.6, json={}).status
        except UpstreamError as error:
            return error.status

    async def calls() -> list[int]:
        dead = [f"dead{number % 8}.example.com" for number in range(24)]
        results = asyncio.gather(*(run(call, host) for host in dead))
        await asyncio.sleep(MOMENT)
        alive = await run(call, "localhost")
        assert not results.done()
        found = [alive, *await results]
        answered.set()
        await client.aclose()
        return found

    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=make_loop) as runner:
        patch.setattr(socket, "getaddrinfo", hanging)
        started = time.monotonic()
        assert runner.run(calls()) == [200] + [504] * 24
        assert time.monotonic() - started < 2
    assert len(asked) == 9


# --- Reading the answer


def test_a_compressed_answer_is_decoded_although_it_was_not_requested(
    backend: FaultyBackend, client: HttpClient
) -> None:
    backend.responses["/user"] = keep_alive(http_response(zlib.compress(BODY, wbits=31), Content_Encoding="gzip"))
    for _ in range(2):
        assert ask(client, backend) == USER["id"]
    assert backend.connection_count == 1


def test_an_invalid_content_length_is_refused_at_once(backend: FaultyBackend, client: HttpClient) -> None:
    backend.responses["/user"] = send_then(head("Content-Length: -1"), hang)
    started = time.monotonic()
    assert fails(client, backend).status == 502
    assert time.monotonic() - started < 0.5


def test_a_body_over_the_limit_is_refused_when_the_limit_is_reached(backend: FaultyBackend, client: HttpClient) -> None:
    backend.responses["/user"] = send_then(head("Content-Length: 9999999") + b" " * (MAX_BYTES + 2), hang)
    assert fails(client, backend).reason == f"answer 200 is over {MAX_BYTES} bytes"


# --- Concurrency limits


def test_calls_over_the_limit_of_a_host_are_queued(backend: FaultyBackend) -> None:
    client, at_once, most = HttpClient("test", max_concurrency=3), [0], [0]
    lock = threading.Lock()

    def counted(connection: socket.socket) -> bool:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(MOMENT)
        with lock:
            at_once[0] -= 1
        connection.sendall(HEALTHY_USER)
        return True

    backend.responses["/user"] = counted
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(lambda _: ask(client, backend), range(12))) == [USER["id"]] * 12
    assert most == [3]


@pytest.mark.corpus
def test_a_full_queue_fails_at_once_and_a_queued_call_after_half_its_time(backend: FaultyBackend) -> None:
    client = HttpClient("test", max_concurrency=1)
    backend.responses["/user"] = hang
    with ThreadPoolExecutor(20) as pool:
        started = time.monotonic()

        def call(_: int) -> tuple[float, UpstreamError]:
            error = fails(client, backend)
            return time.monotonic() - started, error

        told = sorted(pool.map(call, range(20)), key=lambda one: one[0])
    assert [error.status for _, error in told] == [503] * 19 + [504]
    assert [error.reason for _, error in told[:19]] == ["too many calls wait for it already"] * 19
    assert all(seconds < 0.4 for seconds, _ in told[:9]), "ten wait for a slot, one has it, the others are too many"
    assert all(0.4 < seconds < 0.8 for seconds, _ in told[9:19])


@pytest.mark.corpus
@pytest.mark.parametrize("fault", ["hang", "closed", "no HTTP", "refused", "too long"])
def test_a_failed_call_always_frees_its_slot(backend: FaultyBackend, fault: str) -> None:
    client = HttpClient("test", max_concurrency=1)
    answers: dict[str, ScriptedResponse] = {
        "hang": hang,
        "closed": b"",
        "no HTTP": b"x",
        "too long": keep_alive(http_response(b" " * (MAX_BYTES + 2))),
    }
    for _ in range(3):
        if fault == "refused":
            with pytest.raises(UpstreamError):
                client.send("POST", "http://127.0.0.1:1/", {}, within=0.2)
        else:
            backend.responses["/user"] = answers[fault]
            fails(client, backend)
    backend.responses["/user"] = HEALTHY_USER
    assert ask(client, backend) == USER["id"]


@pytest.mark.corpus
def test_a_slow_host_takes_no_slot_of_another_host(backend: FaultyBackend) -> None:
    client = HttpClient("test", max_concurrency=1)
    backend.responses["/user"] = hang
    with faulty_backend() as other, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(fails, client, backend)
        time.sleep(MOMENT)
        started = time.monotonic()
        assert ask(client, other) == USER["id"]
        assert time.monotonic() - started < 0.5
        assert slow.result().status == 504
