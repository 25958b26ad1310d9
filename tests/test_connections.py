"""Connections to a backend or provider: kept where an answer was whole and plain, and never where anything was odd."""

import gc
import json
import socket
import ssl
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import requests
from services.adapter import KeptConnections

from services import adapter
from services.http.client import MOST_BYTES, Upstream, UpstreamFault
from tests.faulty_backend import (
    USER,
    Answer,
    FaultyBackend,
    Script,
    after,
    answer,
    faulty_backend,
    half_close,
    hang,
    kept_open,
    late,
    user,
)
from tests.test_upstream_tls import certificate

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])
HEALTHY_USER = answer(user())
STRANGER = answer(user({**USER, "id": 666}))
BODY = json.dumps(user()).encode()
MOMENT = 0.05


@pytest.fixture
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(8, 8, 8, "test")


def ask(upstream: Upstream, backend: FaultyBackend, path: str = "/user", *, try_again: bool = False) -> object:
    """The user's number, as this answer has it."""
    found = upstream.send("POST", backend.url + path, {}, within=1, json={}, try_again=try_again)
    return found.at("data", "user", "id")


def fault(upstream: Upstream, backend: FaultyBackend, path: str = "/user", *, try_again: bool = False) -> UpstreamFault:
    with pytest.raises(UpstreamFault) as raised:
        ask(upstream, backend, path, try_again=try_again)
    return raised.value


# --- What is kept, and what is not


def head(*lines: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", *lines, "", ""]).encode()


LENGTH = f"Content-Length: {len(BODY)}"
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
PLAIN = {
    "a length": answer(user()),
    "chunks": head("Transfer-Encoding: chunked") + CHUNKS,
    "chunks with an extension and a trailer": head("Transfer-Encoding: Chunked")
    + b"%x;a=b\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(BODY), BODY),
    "204": answer(status=204, Content_Length=None),
    "204 of no bytes": answer(status=204),
    "an empty 401": answer(status=401),
    "100 before": head(status="100 Continue") + answer(user()),
    "HTTP/1.0 that asks to be kept": head("Connection: keep-alive", LENGTH, version="1.0") + BODY,
}
ODD: dict[str, Answer] = {
    "it is to be closed": kept_open(answer(user(), Connection="close")),
    "HTTP/1.0": kept_open(head(LENGTH, version="1.0") + BODY),
    "another answer at once": kept_open(answer(user()) + STRANGER),
    "another answer later": after(answer(user()), late(MOMENT / 2, STRANGER)),
    "a byte too many": kept_open(answer(user()) + b"\n"),
    "a body for a 204": kept_open(answer(BODY, 204)),
    "a body for a 204 later": after(answer(status=204, Content_Length=5), late(2 * MOMENT, STRANGER)),
    "chunks for a 304": kept_open(head("Transfer-Encoding: chunked", status="304 x") + CHUNKS),
    "hints before": after(head(status="103 Early Hints"), late(2 * MOMENT, STRANGER)),
    "hints with a length": after(head("Content-Length: 5", status="103 x"), late(2 * MOMENT, STRANGER)),
    "another protocol": after(head("Connection: Upgrade", status="101 x"), late(2 * MOMENT, STRANGER)),
    "a length and chunks": kept_open(head(LENGTH, "Transfer-Encoding: chunked") + CHUNKS),
    "a length and an unknown coding": kept_open(head("Transfer-Encoding: identity", LENGTH) + BODY),
    "the same length twice": kept_open(head(LENGTH, LENGTH) + BODY),
    "a length with a sign": kept_open(head(f"Content-Length: +{len(BODY)}") + BODY),
    "a length with an underscore": kept_open(head("Content-Length: 1_0") + BODY[:10]),
    "a line that is no header": kept_open(head(LENGTH, "no header") + BODY),
    "too many bytes": kept_open(answer(b" " * (MOST_BYTES + 2))),
    "too many bytes, the last of them later": after(
        head(f"Content-Length: {MOST_BYTES + 2}") + b" " * (MOST_BYTES + 1), late(2 * MOMENT, STRANGER)
    ),
    "half closed": after(answer(user()), half_close),
    "closed": answer(user()),
}


@pytest.mark.parametrize("said", PLAIN)
def test_after_a_plain_answer_the_connection_serves_the_next_call(
    backend: FaultyBackend, upstream: Upstream, said: str
) -> None:
    backend.answers["/login"] = kept_open(PLAIN[said])
    for _ in range(3):
        upstream.send("POST", f"{backend.url}/login", {}, within=1, json={})
        assert ask(upstream, backend) == USER["id"]
    assert backend.connections == 1


@pytest.mark.parametrize("said", ODD)
def test_after_an_odd_one_no_call_goes_over_it_and_nobody_gets_anothers_answer(
    backend: FaultyBackend, upstream: Upstream, said: str
) -> None:
    backend.answers["/login"] = ODD[said]
    for number in range(1, 3):
        with suppress(UpstreamFault):
            ask(upstream, backend, "/login")
        time.sleep(MOMENT)
        backend.answers["/user"] = kept_open(answer(user(), Connection="close"))
        assert ask(upstream, backend) == USER["id"]
        assert backend.connections == 2 * number


def test_an_answer_without_a_length_ends_with_its_connection(backend: FaultyBackend, upstream: Upstream) -> None:
    for version in ("1.0", "1.1"):
        backend.answers["/user"] = head(version=version) + BODY
        assert ask(upstream, backend) == USER["id"]


def test_each_place_has_connections_of_its_own(backend: FaultyBackend, upstream: Upstream) -> None:
    with faulty_backend() as other:
        for _ in range(2):
            for one in (backend, other):
                ask(upstream, one)
                assert len(one.calls) == len(backend.calls)
        assert (backend.connections, other.connections) == (1, 1)


def test_over_tls_too_connections_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, context = certificate(tmp_path), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with faulty_backend(context) as backend:
        upstream = Upstream(1, 1, 1, "test")
        for _ in range(3):
            assert ask(upstream, backend) == USER["id"]
            time.sleep(MOMENT)
        assert backend.connections == 1


def test_the_host_is_named_before_its_certificate_is_shown(tmp_path: Path) -> None:
    """Or a server of many names cannot know which certificate to show."""
    context, names = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(certificate(tmp_path))
    context.sni_callback = lambda _, name, __: names.append(name)
    with faulty_backend(context) as backend, pytest.raises(UpstreamFault, match="certificate"):
        Upstream(1, 1, 1, "test").send("POST", backend.url.replace("127.0.0.1", "localhost"), {}, within=1)
    assert names == ["localhost"]


def test_a_host_gets_as_many_connections_as_there_were_calls_at_once(
    backend: FaultyBackend, upstream: Upstream
) -> None:
    everybody = threading.Barrier(4)

    def together(connection: socket.socket) -> bool:
        everybody.wait(5)
        connection.sendall(HEALTHY_USER)
        return True

    backend.answers["/login"] = together
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(lambda _: ask(upstream, backend, "/login"), range(4))) == [USER["id"]] * 4
    assert backend.connections == 4


def test_of_the_kept_connections_the_one_used_last_goes_first(backend: FaultyBackend, upstream: Upstream) -> None:
    """The others may fall idle and be closed, as the other side likes."""
    both, used = threading.Barrier(2), []

    def together(connection: socket.socket) -> bool:
        both.wait(5)
        connection.sendall(HEALTHY_USER)
        return True

    def alone(connection: socket.socket) -> bool:
        used.append(connection.getpeername())
        connection.sendall(HEALTHY_USER)
        return True

    backend.answers |= {"/login": together, "/user": alone}
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: ask(upstream, backend, "/login"), range(2)))
    for _ in range(4):
        ask(upstream, backend)
    assert (backend.connections, len(set(used))) == (2, 1)


def ended(over: list[float]) -> Script:
    """An answer, after which it is noted when the other side has closed the connection."""

    def until_it_ends(connection: socket.socket) -> bool:
        goes_on = bool(connection.recv(1, socket.MSG_PEEK))
        if not goes_on:
            over.append(time.monotonic())
        return goes_on

    return after(HEALTHY_USER, until_it_ends)


def test_of_a_crowds_connections_those_that_nobody_uses_are_closed(
    backend: FaultyBackend, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "_LONGEST_IDLE", 0.1)
    over: list[float] = []
    everybody = threading.Barrier(3)

    def together(connection: socket.socket) -> bool:
        everybody.wait(5)
        return bool(ended(over)(connection))

    backend.answers["/login"] = together
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: ask(upstream, backend, "/login"), range(3)))
    time.sleep(0.2)
    assert over == []
    ask(upstream, backend)  # over the one used last, which then is the only one of late
    time.sleep(MOMENT)
    assert len(over) == 2


def test_of_eight_hosts_at_most_connections_are_kept(upstream: Upstream) -> None:
    over: list[float] = []
    with ExitStack() as stack:
        backends = [stack.enter_context(faulty_backend()) for _ in range(10)]
        for one in backends:
            one.answers["/user"] = ended(over)
            ask(upstream, one)
        time.sleep(MOMENT)
        assert len(over) == 2


def test_connections_end_with_the_site_that_keeps_them(backend: FaultyBackend) -> None:
    """A socket that Python has to close by itself is a warning, and warnings are errors here."""
    over = threading.Event()

    def until_it_ends(connection: socket.socket) -> None:
        connection.recv(1)
        over.set()

    backend.answers["/user"] = after(answer(user()), until_it_ends)
    upstream = Upstream(1, 1, 1, "test")
    ask(upstream, backend)
    del upstream
    gc.collect()
    assert over.wait(5)


# --- What is sent again


def test_a_sign_in_over_a_kept_connection_that_closes_without_a_word_is_not_sent_again(
    backend: FaultyBackend, upstream: Upstream
) -> None:
    ask(upstream, backend)
    backend.answers["/login"] = lambda _: False
    assert fault(upstream, backend, "/login").status == 502
    assert backend.connections == 1
    assert len(backend.asked("/login")) == 1


@pytest.mark.parametrize("first", [b"HTTP/1.1 100 Continue\r\n\r\n", b"H", b"\r\n"], ids=ascii)
def test_nor_is_any_call_of_whose_answer_a_byte_came(backend: FaultyBackend, upstream: Upstream, first: bytes) -> None:
    backend.answers["/user"] = first
    assert fault(upstream, backend, try_again=True).status == 502
    assert len(backend.asked("/user")) == 1


def test_what_may_be_sent_again_is_once(backend: FaultyBackend, upstream: Upstream) -> None:
    backend.answers["/user"] = b""
    assert fault(upstream, backend, try_again=True).reason == "the answer broke off or is no HTTP (ConnectionError)"
    assert len(backend.asked("/user")) == 2


# --- What is sent


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nX: y", "a\rX: y", "a\0"], ids=ascii)
@pytest.mark.parametrize("place", ["value", "name", "method"])
def test_nothing_that_could_begin_another_line_is_sent(backend: FaultyBackend, value: str, place: str) -> None:
    request = requests.Request("POST", f"{backend.url}/user").prepare()
    if place == "method":
        request.method = value
    else:
        request.headers[value if place == "name" else "X-A"] = value if place == "value" else "x"
    with pytest.raises(requests.exceptions.InvalidHeader):
        KeptConnections(1).send(request, timeout=(1, 1))
    assert backend.connections == 0


def test_nor_does_a_header_get_that_far(backend: FaultyBackend, upstream: Upstream) -> None:
    with pytest.raises(UpstreamFault) as raised:
        upstream.send("POST", f"{backend.url}/user", {"X-A": "a\r\nX: y"}, within=1)
    assert raised.value.status == 502
    assert backend.connections == 0


@contextmanager
def told(family: socket.AddressFamily, address: str) -> Iterator[tuple[str, list[bytes]]]:
    """Where somebody listens who answers once; the packets that they got."""
    packets: list[bytes] = []
    with socket.create_server((address, 0), family=family) as server:

        def serve() -> None:
            with server.accept()[0] as connection:
                packets.append(connection.recv(65536))
                connection.sendall(HEALTHY_USER)

        threading.Thread(target=serve, daemon=True).start()
        name = f"[{address}]" if ":" in address else address
        yield f"{name}:{server.getsockname()[1]}", packets


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=str)
def test_a_call_is_one_packet_and_names_its_host_and_nobodys_password(
    upstream: Upstream, family: socket.AddressFamily, address: str
) -> None:
    with told(family, address) as (place, packets):
        upstream.send("POST", f"http://user:secret@{place}/a b?c=d e#f", {}, within=1, json={"email": "x"})
    assert packets[0].startswith(f"POST /a%20b?c=d%20e HTTP/1.1\r\nHost: {place}\r\n".encode())
    assert packets[0].endswith(b'\r\n\r\n{"email": "x"}')
    assert b"secret" not in packets[0]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "//127.0.0.1/", "http://"])
def test_an_address_that_is_none_is_a_fault_like_others(upstream: Upstream, url: str) -> None:
    with pytest.raises(UpstreamFault) as raised:
        upstream.send("GET", url, {}, within=1)
    assert raised.value.status == 502


def test_who_does_not_take_what_is_sent_costs_no_more_than_the_call_has(upstream: Upstream) -> None:
    with faulty_backend() as backend:
        backend.greeting = lambda _: time.sleep(1)
        started = time.monotonic()
        with pytest.raises(UpstreamFault) as raised:
            upstream.send("POST", f"{backend.url}/user", {}, within=0.3, json="x" * 2**24)
        assert raised.value.status == 504
        assert time.monotonic() - started < 0.8


def refusal_before_the_end(connection: socket.socket) -> None:
    connection.sendall(answer(status=413))
    connection.shutdown(socket.SHUT_WR)
    time.sleep(MOMENT)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the reset takes the answer with it")
def test_who_answers_before_all_is_sent_and_hangs_up_is_heard(backend: FaultyBackend, upstream: Upstream) -> None:
    backend.greeting = refusal_before_the_end
    assert upstream.send("POST", f"{backend.url}/user", {}, within=1, json="x" * 2**24).status == 413


# --- What is read


def test_what_is_packed_though_nobody_asked_is_unpacked(backend: FaultyBackend, upstream: Upstream) -> None:
    backend.answers["/user"] = kept_open(answer(zlib.compress(BODY, wbits=31), Content_Encoding="gzip"))
    for _ in range(2):
        assert ask(upstream, backend) == USER["id"]
    assert backend.connections == 1


def test_a_length_that_is_no_number_is_refused_before_anything_is_waited_for(
    backend: FaultyBackend, upstream: Upstream
) -> None:
    backend.answers["/user"] = after(head("Content-Length: -1"), hang)
    started = time.monotonic()
    assert fault(upstream, backend).reason == "answer 200 has a length that is no number"
    assert time.monotonic() - started < 0.5


def test_so_is_a_body_that_is_too_long_when_it_has_come_so_far(backend: FaultyBackend, upstream: Upstream) -> None:
    backend.answers["/user"] = after(head("Content-Length: 9999999") + b" " * (MOST_BYTES + 1), hang)
    assert fault(upstream, backend).reason == f"answer 200 is over {MOST_BYTES} bytes"
