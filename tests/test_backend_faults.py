"""A backend that breaks in every way there is: nobody is signed in, nobody waits for long, nothing leaks."""

import json
import logging
import re
import socket
import ssl
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.faulty_backend import (
    HEALTHY,
    NO_LIMITS,
    SECRET_MARKER,
    TOKEN,
    USER,
    FaultyBackend,
    ScriptedResponse,
    assert_sign_in_rejected,
    can_retry_sign_in,
    faulty_backend,
    flood,
    half_close,
    hang,
    http_response,
    keep_alive,
    login_body,
    reset_connection,
    send_after_delay,
    send_slowly,
    send_then,
    user_body,
)
from tests.site import MINJI, Page, Site, SiteMaker, Visitor, cookie_names, running_site
from tests.tables import sample_pairs, sample_rows

TIMEOUT, SHORT_TIMEOUT, GRACE = 2.0, 0.35, 0.5
STEPS = ("/login", "/user")
"""At the second one a token is out already."""
GOOD = {"/login": json.dumps(login_body()).encode(), "/user": json.dumps(user_body()).encode()}
"""Bodies that sign in. Most faults wrap one, so that whoever overlooks the fault lets the person in."""


@pytest.fixture(scope="module")
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(scope="module")
def site(backend: FaultyBackend) -> Iterator[Site]:
    with running_site(backend.url, backend_timeout=TIMEOUT, **NO_LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def hasty_site(backend: FaultyBackend) -> Iterator[Site]:
    with running_site(backend.url, backend_timeout=SHORT_TIMEOUT, **NO_LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(backend: FaultyBackend) -> None:
    backend.reset()


@pytest.fixture(autouse=True)
def clean_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happens, the log has no traceback, no secret, no address, nothing that a backend said."""
    caplog.set_level(logging.INFO, "munjigi")
    yield
    for record in caplog.get_records("call"):
        line = f"{record.getMessage()} {getattr(record, 'facts', '')}"
        assert record.exc_info is None, line
        assert SECRET_MARKER not in line
        assert MINJI not in line


def assert_rejected_in_time(visitor: Visitor, status: int | tuple[int, ...], timeout: float = TIMEOUT) -> Page:
    page = assert_sign_in_rejected(visitor, *(status if isinstance(status, tuple) else (status,)))
    assert page.response.elapsed.total_seconds() < timeout + GRACE
    return page


def assert_fails_then_recovers(
    visitor: Visitor, backend: FaultyBackend, step: str, status: int | tuple[int, ...], timeout: float, times: int = 1
) -> None:
    """Sign-in fails at this step; a token that was out by then is revoked; once all is well it works."""
    page = assert_rejected_in_time(visitor, status, timeout)
    assert len(backend.requests_to(step)) == times
    assert authorization_headers(backend, "/logout") == ([f"Bearer {TOKEN}"] if step == "/user" else [])
    backend.reset()
    assert can_retry_sign_in(visitor, page)


def authorization_headers(backend: FaultyBackend, path: str) -> list[str | None]:
    return [call.headers["Authorization"] for call in backend.requests_to(path)]


def shown(value: object) -> str:
    return getattr(value, "__name__", str(value)[:60])


# --- Answers that break off, never end, or are no HTTP

MIB = 1024 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def unterminated_chunks(good: bytes) -> bytes:
    """A whole answer, less the chunk that would end it."""
    return CHUNKED + chunk(good[:10]) + chunk(good[10:])


def gzip_compress(data: bytes) -> bytes:
    return zlib.compress(data, wbits=31)


@cache
def gzip_bomb() -> bytes:
    """64 MiB in 64 kB."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(b" " * MIB) for _ in range(64)) + packer.flush()


BROKEN: dict[str, Callable[[bytes], ScriptedResponse]] = {
    "closed": lambda _: b"",
    "closed within the head": lambda _: HEAD[:-8],
    "half closed": lambda _: half_close,
    "reset": lambda _: reset_connection,
    "reset within the head": lambda _: send_then(HEAD, reset_connection),
    "reset within the body": lambda good: send_then(http_response(good)[:-5], reset_connection),
    "a length that is too long": lambda good: http_response(good, Content_Length=len(good) + 1),
    "a length that is too short": lambda good: keep_alive(http_response(good, Content_Length=len(good) - 1)),
    "a length below zero": lambda good: http_response(good, Content_Length=-1),
    "two lengths": lambda good: http_response(good, Content_Length=f"{len(good)}\r\nContent-Length: 5"),
    "chunks without a last one": unterminated_chunks,
    "a chunk that is too short": lambda good: CHUNKED + b"%x\r\n%b" % (len(good) + 9, good),
    "a chunk of x bytes": lambda good: unterminated_chunks(good) + b"x\r\n",
    "a chunk of -1 bytes": lambda good: unterminated_chunks(good) + b"-1\r\n",
    "a chunk of -5 bytes": lambda good: unterminated_chunks(good) + b"-5\r\n",
    "HTTP/0.9": lambda good: good,
    "another protocol": lambda _: b"SSH-2.0-~secret~\r\n",
    "a TLS alert": lambda _: b"\x15\x03\x03\x00\x02\x02\x46",
    "garbage": lambda _: bytes(range(256)) * 10,
    "a status that is no number": lambda good: http_response(good).replace(b" 200 ", b" ~secret~ "),
    "gzip that is none": lambda good: keep_alive(http_response(good, Content_Encoding="gzip")),
    "gzip that breaks off": lambda good: keep_alive(http_response(gzip_compress(good)[:-20], Content_Encoding="gzip")),
    "100 layers of gzip": lambda good: keep_alive(
        http_response(gzip_compress(good), Content_Encoding=", ".join(["gzip"] * 100))
    ),
}
ENORMOUS: dict[str, Callable[[bytes], ScriptedResponse]] = {
    "100 MB": lambda good: send_then(HEAD + b"Content-Length: 104857600\r\n\r\n" + good, flood(b" " * MIB)),
    "100 MB with a 401": lambda _: send_then(b"HTTP/1.1 401 No\r\n\r\n", flood(b" " * MIB, 100)),
    "a body without end": lambda good: send_then(HEAD + b"\r\n" + good, flood(b" " * MIB)),
    "chunks without end": lambda good: send_then(unterminated_chunks(good), flood(chunk(b" " * MIB))),
    "a chunk of -1 bytes and 100 MB": lambda good: send_then(
        unterminated_chunks(good) + b"-1\r\n", flood(b" " * MIB, 100)
    ),
    "a chunk size without end": lambda good: send_then(unterminated_chunks(good), flood(b"0" * MIB)),
    "a trailer without end": lambda good: send_then(unterminated_chunks(good) + b"0\r\nX: ", flood(b"x" * MIB)),
    "a header without end": lambda _: send_then(HEAD + b"X: ", flood(b"x" * MIB)),
    "a status line without end": lambda _: send_then(b"HTTP/1.1 200 ", flood(b"x" * MIB)),
    "10,000 headers": lambda good: http_response(
        good, X="\r\n".join(["1", *(f"X-{n}: ~secret~" for n in range(10_000))])
    ),
    "200 cookies": lambda good: http_response(good, X="1" + "\r\nSet-Cookie: a=~secret~" * 200),
    "a gzip bomb": lambda _: keep_alive(http_response(gzip_bomb(), Content_Encoding="gzip")),
    "a gzip bomb in one chunk": lambda _: (
        HEAD + b"Content-Encoding: gzip\r\n" + CHUNKED[len(HEAD) :] + chunk(gzip_bomb())
    ),
    "a gzip bomb in a gzip bomb": lambda _: keep_alive(
        http_response(gzip_compress(gzip_bomb()), Content_Encoding="gzip, gzip")
    ),
}
SLOW: dict[str, Callable[[bytes], ScriptedResponse]] = {
    "no answer": lambda _: hang,
    "a dripping head": lambda good: send_slowly(http_response(good)),
    "a dripping body": lambda good: send_then(http_response(good)[: -len(good)], send_slowly(good)),
    "dripping trailers": lambda good: send_then(unterminated_chunks(good) + b"0\r\n", flood(b"X: y\r\n", pause=0.01)),
    "100 Continue again and again": lambda _: flood(b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.001),
}


ENDLESS = ("a chunk size without end", "a trailer without end")  # read on until there is no time left
NO_ANSWER = ("closed", "half closed", "closed within the head", "reset", "reset within the head")


@pytest.mark.parametrize(("fault", "step"), sample_pairs([*BROKEN, *ENORMOUS], STEPS))
def test_a_broken_answer_signs_nobody_in(backend: FaultyBackend, visitor: Visitor, fault: str, step: str) -> None:
    backend.responses[step] = (BROKEN | ENORMOUS)[fault](GOOD[step])
    # A kept connection may have ended like this, and to read the user twice does no harm.
    twice = step == "/user" and fault in NO_ANSWER
    assert_fails_then_recovers(
        visitor, backend, step, (502, 504) if fault in ENDLESS else (502,), TIMEOUT, 2 if twice else 1
    )


@pytest.mark.parametrize(("fault", "step"), sample_pairs(SLOW, STEPS))
def test_a_slow_answer_is_cut_off_at_the_deadline(
    hasty_site: Site, backend: FaultyBackend, fault: str, step: str
) -> None:
    backend.responses[step] = SLOW[fault](GOOD[step])
    assert_fails_then_recovers(hasty_site.new_visitor(), backend, step, 504, SHORT_TIMEOUT)


def test_both_calls_share_one_deadline(hasty_site: Site, backend: FaultyBackend) -> None:
    for step in STEPS:
        backend.responses[step] = send_after_delay(0.7 * SHORT_TIMEOUT, HEALTHY[step])
    assert_rejected_in_time(hasty_site.new_visitor(), 504, SHORT_TIMEOUT)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("fault", sample_rows(ENORMOUS, 5))
def test_an_enormous_answer_is_not_taken_into_memory(backend: FaultyBackend, visitor: Visitor, fault: str) -> None:
    backend.responses["/login"] = ENORMOUS[fault](GOOD["/login"])
    fields = {"csrfToken": visitor.csrf_token(), "email": MINJI, "password": "x"}
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = memory("VmRSS")
    visitor.post("/auth/login/email", data=fields)
    assert memory("VmHWM") - before < 20 * MIB


def memory(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


# --- Whole answers that say nothing of use


def beside(value: bytes) -> Callable[[bytes], bytes]:
    """A good body with a further member of this value."""
    return lambda good: good[:-1] + b', "x": ' + value + b"}"


UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "HTML": lambda _: b"<!doctype html><title>Sign in</title><h1>~secret~</h1>",
    "JSON in HTML": lambda good: b"<pre>" + good + b"</pre>",
    "null": lambda _: b"null",
    "a list": lambda good: b"[" + good + b"]",
    "a text": lambda good: json.dumps(good.decode()).encode(),
    "a number": lambda _: b"5",
    "cut": lambda good: good[:-1],
    "twice": lambda good: good + good,
    "a key twice": lambda good: b'{"data": null, ' + good[1:],
    "BOM": lambda good: b"\xef\xbb\xbf" + good,
    "UTF-16": lambda good: good.decode().encode("utf-16"),
    "UTF-32": lambda good: good.decode().encode("utf-32"),
    "invalid UTF-8": beside(b'"\xff"'),
    "a text of quotes without end": lambda _: b"[" * 33 + b'"' + b'\\"' * 20_000,
    "a surrogate in UTF-8": beside(b'"\xed\xa0\x80"'),
    "NaN": beside(b"NaN"),
    "Infinity": beside(b"-Infinity"),
    "a number of 5,000 digits": beside(b"9" * 5000),
    "100,000 levels": beside(b"[" * 100_000 + b"]" * 100_000),
}


@pytest.mark.parametrize(("fault", "step"), sample_pairs(UNREADABLE, STEPS))
def test_a_body_that_is_no_sound_json_signs_nobody_in(
    backend: FaultyBackend, visitor: Visitor, fault: str, step: str
) -> None:
    backend.responses[step] = keep_alive(http_response(UNREADABLE[fault](GOOD[step])))
    assert_fails_then_recovers(visitor, backend, step, 502, TIMEOUT)


NEITHER: tuple[object, ...] = (None, [], {}, "", 1.5, True, [TOKEN], [USER])
"""No object with anything in it, no text, no number above zero."""
NO_TOKEN: tuple[object, ...] = (
    *NEITHER,
    *({"data": value} for value in (*NEITHER, "~secret~", 5, {"plainTextToken": TOKEN}, [login_body()])),
    *({"data": {"token": value}} for value in (*NEITHER, "~secret~", 5, TOKEN, {"accessToken": TOKEN})),
    *(login_body(value) for value in (*NEITHER, 5, " ", f" {TOKEN}", {"token": TOKEN})),
    *(login_body(TOKEN + tail) for tail in (" ", "\t", "\n", "\r\nX: y", "\x00", "\x7f", "é", "토큰", "x" * 4096)),
    {"plainTextToken": TOKEN},
    {"token": {"plainTextToken": TOKEN}},
)


@pytest.mark.parametrize("body", NO_TOKEN, ids=shown)
def test_without_a_sound_token_the_user_is_not_asked_for(
    backend: FaultyBackend, visitor: Visitor, body: object
) -> None:
    backend.responses["/login"] = keep_alive(http_response(body))
    assert_sign_in_rejected(visitor, 502)
    assert [call.path for call in backend.calls] == ["/login"]


NO_USER: tuple[object, ...] = (
    *NEITHER,
    *({"data": value} for value in (*NEITHER, "~secret~", 5, USER, [user_body()])),
    *(user_body(value) for value in (*NEITHER, "~secret~", 5, {"name": "~secret~"}, {"ID": 7})),
    *(user_body({**USER, "id": value}) for value in (*NEITHER, 0, -1, False, 1.0, 2**63, 10**400, {"id": 7})),
    *(user_body({**USER, "id": value}) for value in (" ", " 7", "7\r\nX: y", "7\x00", "\ud800", "7" * 256)),
    {"user": USER},
    USER,
)


@pytest.mark.parametrize("body", NO_USER, ids=shown)
def test_without_a_sound_user_the_token_is_revoked(backend: FaultyBackend, visitor: Visitor, body: object) -> None:
    backend.responses["/user"] = keep_alive(http_response(body))
    assert_sign_in_rejected(visitor, 502)
    assert authorization_headers(backend, "/logout") == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"name": "n" * 3000}, {"name": "n" * 200}),
        ({"nick_name": "n" * 100_000}, {"nick_name": "n" * 200}),
        ({"email": f"{'m' * 300}@example.com"}, {"email": "m" * 254}),
        ({"name": "<script>alert(1)</script>"}, {"name": "<script>alert(1)</script>"}),
        ({"name": "a\ud800b\x00c\r\nd"}, {"name": "abcd"}),
        ({"name": "\N{RIGHT-TO-LEFT OVERRIDE}gnod"}, {"name": "\N{RIGHT-TO-LEFT OVERRIDE}gnod"}),
        ({"name": None, "nick_name": None, "email": None}, {"name": None, "nick_name": None, "email": None}),
        ({"name": 5, "nick_name": ["x"], "email": {}}, {"name": None, "nick_name": None, "email": None}),
        ({"avatar": "x" * 100_000, "role": "admin", "password": "x"}, {}),
        ({f"field{n}": n for n in range(500)}, {}),
        ({"id": "018f3c1e-uuid"}, {"id": "018f3c1e-uuid"}),
    ],
    ids=shown,
)
def test_a_strange_user_signs_in_with_bounded_clean_fields(
    backend: FaultyBackend, visitor: Visitor, given: dict[str, object], kept: dict[str, object]
) -> None:
    backend.responses["/user"] = keep_alive(http_response(user_body({**USER, **given})))
    assert visitor.sign_in().status_code == 303
    assert visitor.get_session()["user"] == {**USER, **kept}
    assert visitor.get_page("/account").status == 200


# --- Redirects


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_nowhere(backend: FaultyBackend, visitor: Visitor, status: int, step: str) -> None:
    with faulty_backend() as elsewhere:
        backend.responses[step] = keep_alive(http_response(b"~secret~", status, Location=f"{elsewhere.url}{step}"))
        assert_fails_then_recovers(visitor, backend, step, 502, TIMEOUT)
        assert elsewhere.connection_count == 0


@pytest.mark.parametrize(
    "place", ["/user", "", "http://[::1", "//", "file:///etc/passwd", "https://user:~secret~@/", None]
)
def test_not_even_to_a_place_of_its_own_or_to_none(backend: FaultyBackend, visitor: Visitor, place: str | None) -> None:
    backend.responses["/login"] = keep_alive(http_response(status=302, Location=place))
    assert_sign_in_rejected(visitor, 502)
    assert [call.path for call in backend.calls] == ["/login"]


# --- No connection


def test_a_backend_that_is_not_there_is_unavailable_until_it_is(make_site: SiteMaker) -> None:
    with faulty_backend() as backend:
        visitor = make_site(backend.url).new_visitor()
        backend.stop_listening()
        page = assert_rejected_in_time(visitor, 503)
        backend.listen()
        assert can_retry_sign_in(visitor, page)


def test_when_the_backend_goes_before_the_token_is_revoked_the_log_says_so(
    make_site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    with faulty_backend() as backend:
        visitor = make_site(backend.url).new_visitor()

        def last_words(connection: socket.socket) -> None:
            backend.stop_listening()
            connection.sendall(http_response(login_body(), Connection="close"))

        backend.responses["/login"] = last_words
        page = assert_rejected_in_time(visitor, 503)
        assert "token not revoked: /logout: no connection can be made" in caplog.messages
        backend.reset()
        backend.listen()
        assert can_retry_sign_in(visitor, page)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (http_response({"message": "~secret~"}, 500), "the logout path answered 500"),
        (http_response(status=302, Location="/~secret~"), "the logout path answered 302"),
        (reset_connection, "/logout: the answer broke off or is no HTTP (ConnectionError)"),
        (hang, "/logout: no full answer in time"),
    ],
    ids=shown,
)
def test_a_token_that_cannot_be_revoked_is_in_the_log_and_costs_no_time(
    hasty_site: Site, backend: FaultyBackend, caplog: pytest.LogCaptureFixture, fault: ScriptedResponse, reason: str
) -> None:
    backend.responses["/user"] = (
        send_after_delay(SHORT_TIMEOUT, b"") if fault is hang else keep_alive(http_response(status=500))
    )
    backend.responses["/logout"] = fault
    assert_rejected_in_time(hasty_site.new_visitor(), 504 if fault is hang else 502, SHORT_TIMEOUT)
    assert f"token not revoked: {reason}" in caplog.messages
    assert "revoked: False" in caplog.text


def test_without_a_logout_path_the_log_says_that_the_token_is_still_good(
    make_site: SiteMaker, backend: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.responses["/user"] = keep_alive(http_response(user_body(None)))
    assert_sign_in_rejected(make_site(backend.url, backend_logout_path=None).new_visitor(), 502)
    assert not backend.requests_to("/logout")
    assert "revoked: False" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux leaves a connection waiting when the queue is full")
def test_a_connection_that_is_never_made_is_given_up_at_the_deadline(make_site: SiteMaker) -> None:
    with ExitStack() as stack:
        wall = stack.enter_context(socket.socket())
        wall.bind(("127.0.0.1", 0))
        wall.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(wall.getsockname())
        site = make_site(f"http://127.0.0.1:{wall.getsockname()[1]}", backend_timeout=SHORT_TIMEOUT)
        assert_rejected_in_time(site.new_visitor(), 504, SHORT_TIMEOUT)


# --- Connections that are kept


def test_a_connection_that_the_backend_has_closed_meanwhile_is_not_used(
    backend: FaultyBackend, visitor: Visitor
) -> None:
    for _ in range(3):
        assert visitor.sign_in().status_code == 303
        backend.close_connections()
        time.sleep(0.01)


def test_a_kept_connection_that_closes_without_a_word_costs_no_sign_in(
    backend: FaultyBackend, visitor: Visitor
) -> None:
    """The close is seen only when the call for the user has gone out: it may safely come twice."""
    closed: list[bool] = []

    def close_first(connection: socket.socket) -> bool:
        if not closed:
            closed.append(True)
            return False
        connection.sendall(HEALTHY["/user"])
        return True

    backend.responses["/login"] = keep_alive(HEALTHY["/login"])
    backend.responses["/user"] = close_first
    assert visitor.sign_in().status_code == 303
    assert len(backend.requests_to("/user")) == 2


def test_what_the_backend_says_unasked_is_nobodys_answer(backend: FaultyBackend, visitor: Visitor) -> None:
    stranger = http_response(user_body({**USER, "id": 666}))
    said = threading.Event()

    def and_later(connection: socket.socket) -> bool:
        time.sleep(0.02)
        connection.sendall(stranger)
        said.set()
        return True

    backend.responses["/login"] = keep_alive(HEALTHY["/login"] + stranger)
    backend.responses["/user"] = send_then(HEALTHY["/user"], and_later)
    for _ in range(3):
        said.clear()
        assert visitor.sign_in().status_code == 303
        assert visitor.get_session()["user"] == USER
        assert said.wait(5)


def test_cookies_of_the_backend_are_not_brought_back(backend: FaultyBackend, visitor: Visitor) -> None:
    cookies = "\r\n".join(["laravel_session=~secret~", *(f"Set-Cookie: a{n}=~secret~; Path=/" for n in range(80))])
    for step in STEPS:
        backend.responses[step] = keep_alive(http_response(GOOD[step], Set_Cookie=cookies))
    for _ in range(2):
        response = visitor.sign_in()
        assert response.status_code == 303
        assert cookie_names(response) == {"munjigi.visitor", "munjigi.device", "next-auth.session-token"}
    assert not any("Cookie" in call.headers for call in backend.calls)


# --- TLS


def certificate(folder: Path, address: str = "127.0.0.1", days: int = 1) -> tuple[Path, ssl.SSLContext]:
    """For a backend at this address, good for so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=backend")
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = folder / "backend.pem"
    file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


def test_over_tls_too_a_slow_answer_is_cut_off_at_the_deadline(
    make_site: SiteMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with faulty_backend(context) as backend:
        assert make_site(backend.url).new_visitor().sign_in().status_code == 303
        backend.responses["/login"] = send_slowly(http_response(login_body()))
        site = make_site(backend.url, backend_timeout=SHORT_TIMEOUT)
        assert_rejected_in_time(site.new_visitor(), 504, SHORT_TIMEOUT)


@pytest.mark.parametrize("fault", ["signed by nobody known", "over", "for another address"])
def test_a_certificate_that_proves_nothing_gets_no_password(
    make_site: SiteMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    file, context = certificate(
        tmp_path, "127.0.0.2" if fault == "for another address" else "127.0.0.1", -1 if fault == "over" else 1
    )
    if fault != "signed by nobody known":
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with faulty_backend(context) as backend:
        assert_rejected_in_time(make_site(backend.url).new_visitor(), 502)
        assert backend.calls == []
    assert "TLS" in str(caplog.records[-1].__dict__["facts"])


def test_a_backend_without_tls_gets_no_password_where_it_should_have_it(make_site: SiteMaker) -> None:
    with faulty_backend() as backend:
        backend.on_connect = send_then(http_response(b"~secret~", 400), hang)
        assert_rejected_in_time(make_site(backend.url.replace("http:", "https:")).new_visitor(), 502)


def test_a_tls_handshake_that_stops_is_given_up_at_the_deadline(make_site: SiteMaker) -> None:
    with faulty_backend() as backend:
        backend.on_connect = hang
        site = make_site(backend.url.replace("http:", "https:"), backend_timeout=SHORT_TIMEOUT)
        assert_rejected_in_time(site.new_visitor(), 504, SHORT_TIMEOUT)
