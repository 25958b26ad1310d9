"""A backend that fails in every way: nobody is signed in, no request takes long, nothing leaks."""

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.certificates import server_certificate
from tests.support.faulty_backend import (
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
from tests.support.http_faults import BROKEN, ENDLESS, ENORMOUS, MIB, NO_ANSWER, SLOW, UNREADABLE
from tests.support.memory import read_memory
from tests.support.site import MINJI, Page, Site, SiteMaker, Visitor, cookie_names, running_site
from tests.support.tables import sample_pairs, sample_rows

TIMEOUT, SHORT_TIMEOUT, GRACE = 2.0, 0.35, 3.0
STEPS = ("/login", "/user")
"""At the second step a token has been issued."""
GOOD = {"/login": json.dumps(login_body()).encode(), "/user": json.dumps(user_body()).encode()}
"""Bodies that sign in. Most faults contain one, so that a client that ignores the fault would sign the user in."""


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
    """Check that the log has no traceback, no secret, no e-mail address and no text of the backend."""
    caplog.set_level(logging.INFO, "munjigi")
    yield
    for record in caplog.get_records("call"):
        line = f"{record.getMessage()} {getattr(record, 'fields', '')}"
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
    """The sign-in fails at this step, an issued token is revoked, and the next sign-in works."""
    page = assert_rejected_in_time(visitor, status, timeout)
    assert len(backend.requests_to(step)) == times
    assert authorization_headers(backend, "/logout") == ([f"Bearer {TOKEN}"] if step == "/user" else [])
    backend.reset()
    assert can_retry_sign_in(visitor, page)


def authorization_headers(backend: FaultyBackend, path: str) -> list[str | None]:
    return [call.headers["Authorization"] for call in backend.requests_to(path)]


def shown(value: object) -> str:
    return getattr(value, "__name__", str(value)[:60])


# --- Answers that break off, never end, or are not HTTP


@pytest.mark.parametrize(("fault", "step"), sample_pairs([*BROKEN, *ENORMOUS], STEPS, max_rows=12))
def test_a_broken_answer_signs_nobody_in(backend: FaultyBackend, visitor: Visitor, fault: str, step: str) -> None:
    backend.responses[step] = (BROKEN | ENORMOUS)[fault](GOOD[step])
    # A kept connection may have closed like this, and reading the user again is safe.
    twice = step == "/user" and fault in NO_ANSWER
    assert_fails_then_recovers(
        visitor, backend, step, (502, 504) if fault in ENDLESS else (502,), TIMEOUT, 2 if twice else 1
    )


@pytest.mark.corpus
@pytest.mark.parametrize(("fault", "step"), sample_pairs(SLOW, STEPS))
def test_a_slow_answer_is_cut_off_at_the_deadline(
    hasty_site: Site, backend: FaultyBackend, fault: str, step: str
) -> None:
    backend.responses[step] = SLOW[fault](GOOD[step])
    assert_fails_then_recovers(hasty_site.new_visitor(), backend, step, 504, SHORT_TIMEOUT)


def test_both_backend_calls_share_one_deadline(hasty_site: Site, backend: FaultyBackend) -> None:
    for step in STEPS:
        backend.responses[step] = send_after_delay(0.7 * SHORT_TIMEOUT, HEALTHY[step])
    assert_rejected_in_time(hasty_site.new_visitor(), 504, SHORT_TIMEOUT)


@pytest.mark.corpus
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("fault", sample_rows(ENORMOUS, 5))
def test_an_enormous_answer_is_not_read_into_memory(backend: FaultyBackend, visitor: Visitor, fault: str) -> None:
    backend.responses["/login"] = ENORMOUS[fault](GOOD["/login"])
    fields = {"csrfToken": visitor.csrf_token(), "email": MINJI, "password": "x"}
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = read_memory("VmRSS")
    visitor.post("/auth/login/email", data=fields)
    assert read_memory("VmHWM") - before < 20 * MIB


# --- Complete answers without a usable content


@pytest.mark.parametrize(("fault", "step"), sample_pairs(UNREADABLE, STEPS))
def test_an_answer_that_is_no_valid_json_signs_nobody_in(
    backend: FaultyBackend, visitor: Visitor, fault: str, step: str
) -> None:
    backend.responses[step] = keep_alive(http_response(UNREADABLE[fault](GOOD[step])))
    assert_fails_then_recovers(visitor, backend, step, 502, TIMEOUT)


NEITHER: tuple[object, ...] = (None, [], {}, "", 1.5, True, [TOKEN], [USER])
"""Values that are neither an object with content, nor a string, nor a positive number."""
NO_TOKEN: tuple[object, ...] = (
    *NEITHER,
    *({"data": value} for value in (*NEITHER, "~secret~", 5, {"plainTextToken": TOKEN}, [login_body()])),
    *({"data": {"token": value}} for value in (*NEITHER, "~secret~", 5, TOKEN, {"accessToken": TOKEN})),
    *(login_body(value) for value in (*NEITHER, 5, " ", f" {TOKEN}", {"token": TOKEN})),
    *(login_body(TOKEN + tail) for tail in (" ", "\t", "\n", "\r\nX: y", "\x00", "\x7f", "é", "토큰")),
    {"plainTextToken": TOKEN},
    {"token": {"plainTextToken": TOKEN}},
)


@pytest.mark.parametrize("body", NO_TOKEN, ids=shown)
def test_without_a_valid_token_the_user_is_not_requested(
    backend: FaultyBackend, visitor: Visitor, body: object
) -> None:
    backend.responses["/login"] = keep_alive(http_response(body))
    assert_sign_in_rejected(visitor, 502)
    assert [call.path for call in backend.calls] == ["/login"]


NO_USER: tuple[object, ...] = (
    *NEITHER,
    *({"data": value} for value in (*NEITHER, "~secret~", 5, USER, [user_body()])),
    *(user_body(value) for value in (*NEITHER, "~secret~", 5, {"name": "~secret~"}, {"ID": 7})),
    *(user_body({**USER, "id": value}) for value in (*NEITHER, 0, -1, False, 1.0, 10**255, 10**400, {"id": 7})),
    *(user_body({**USER, "id": value}) for value in (" ", " 7", "7\r\nX: y", "7\x00", "\ud800", "7" * 256)),
    {"user": USER},
    USER,
)


@pytest.mark.parametrize("body", NO_USER, ids=shown)
def test_without_a_valid_user_the_token_is_revoked(backend: FaultyBackend, visitor: Visitor, body: object) -> None:
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
def test_an_unusual_user_signs_in_with_cleaned_and_truncated_fields(
    backend: FaultyBackend, visitor: Visitor, given: dict[str, object], kept: dict[str, object]
) -> None:
    backend.responses["/user"] = keep_alive(http_response(user_body({**USER, **given})))
    assert visitor.sign_in().status_code == 303
    assert visitor.get_session()["user"] == {**USER, **kept}
    assert visitor.get_page("/account").status == 200


# --- Redirects


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(
    backend: FaultyBackend, visitor: Visitor, status: int, step: str
) -> None:
    with faulty_backend() as elsewhere:
        backend.responses[step] = keep_alive(http_response(b"~secret~", status, Location=f"{elsewhere.url}{step}"))
        assert_fails_then_recovers(visitor, backend, step, 502, TIMEOUT)
        assert elsewhere.connection_count == 0


@pytest.mark.parametrize(
    "place", ["/user", "", "http://[::1", "//", "file:///etc/passwd", "https://user:~secret~@/", None]
)
def test_a_redirect_to_the_same_host_or_to_an_invalid_url_is_not_followed(
    backend: FaultyBackend, visitor: Visitor, place: str | None
) -> None:
    backend.responses["/login"] = keep_alive(http_response(status=302, Location=place))
    assert_sign_in_rejected(visitor, 502)
    assert [call.path for call in backend.calls] == ["/login"]


# --- No connection


def test_an_unreachable_backend_is_503_until_it_returns(make_site: SiteMaker) -> None:
    with faulty_backend() as backend:
        visitor = make_site(backend.url).new_visitor()
        backend.stop_listening()
        page = assert_rejected_in_time(visitor, 503)
        backend.listen()
        assert can_retry_sign_in(visitor, page)


def test_if_the_backend_disappears_before_revocation_the_log_says_so(
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


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (http_response({"message": "~secret~"}, 500), "the logout path answered 500"),
        (
            http_response(status=302, Location="/~secret~"),
            "the logout path answered 302, a redirect: check BACKEND_URL",
        ),
        (reset_connection, "/logout: the answer broke off or is no HTTP (ConnectionError)"),
        (hang, "/logout: no full answer in time"),
    ],
    ids=shown,
)
def test_a_token_that_cannot_be_revoked_is_logged_without_delay(
    hasty_site: Site, backend: FaultyBackend, caplog: pytest.LogCaptureFixture, fault: ScriptedResponse, reason: str
) -> None:
    backend.responses["/user"] = (
        send_after_delay(SHORT_TIMEOUT, b"") if fault is hang else keep_alive(http_response(status=500))
    )
    backend.responses["/logout"] = fault
    assert_rejected_in_time(hasty_site.new_visitor(), 504 if fault is hang else 502, SHORT_TIMEOUT)
    assert f"token not revoked: {reason}" in caplog.messages
    assert "revoked: False" in caplog.text


def test_without_a_logout_path_the_log_says_that_the_token_was_not_revoked(
    make_site: SiteMaker, backend: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.responses["/user"] = keep_alive(http_response(user_body(None)))
    assert_sign_in_rejected(make_site(backend.url, backend_logout_path=None).new_visitor(), 502)
    assert not backend.requests_to("/logout")
    assert "revoked: False" in caplog.text


@pytest.mark.corpus
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux leaves a connection waiting when the queue is full")
def test_a_connection_that_is_not_accepted_times_out_at_the_deadline(make_site: SiteMaker) -> None:
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


def test_a_connection_that_the_backend_closed_is_not_reused(backend: FaultyBackend, visitor: Visitor) -> None:
    for _ in range(3):
        assert visitor.sign_in().status_code == 303
        backend.close_connections()
        time.sleep(0.01)


def test_a_kept_connection_that_closes_mid_request_does_not_fail_the_sign_in(
    backend: FaultyBackend, visitor: Visitor
) -> None:
    """The close shows only after the user request is sent, and that one may be repeated."""
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


def test_an_unsolicited_answer_is_not_used_for_the_next_request(backend: FaultyBackend, visitor: Visitor) -> None:
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


def test_cookies_of_the_backend_are_not_sent_back(backend: FaultyBackend, visitor: Visitor) -> None:
    cookies = "\r\n".join(["laravel_session=~secret~", *(f"Set-Cookie: a{n}=~secret~; Path=/" for n in range(80))])
    for step in STEPS:
        backend.responses[step] = keep_alive(http_response(GOOD[step], Set_Cookie=cookies))
    for _ in range(2):
        response = visitor.sign_in()
        assert response.status_code == 303
        assert cookie_names(response) == {"munjigi.visitor", "munjigi.device", "next-auth.session-token"}
    assert not any("Cookie" in call.headers for call in backend.calls)


# --- TLS


@pytest.mark.corpus
def test_over_tls_a_slow_answer_is_cut_off_at_the_deadline(
    make_site: SiteMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = server_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with faulty_backend(context) as backend:
        assert make_site(backend.url).new_visitor().sign_in().status_code == 303
        backend.responses["/login"] = send_slowly(http_response(login_body()))
        site = make_site(backend.url, backend_timeout=SHORT_TIMEOUT)
        assert_rejected_in_time(site.new_visitor(), 504, SHORT_TIMEOUT)


@pytest.mark.parametrize("fault", ["signed by nobody known", "over", "for another address"])
def test_an_invalid_certificate_gets_no_password(
    make_site: SiteMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: str,
) -> None:
    file, context = server_certificate(
        tmp_path, "127.0.0.2" if fault == "for another address" else "127.0.0.1", -1 if fault == "over" else 1
    )
    if fault != "signed by nobody known":
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with faulty_backend(context) as backend:
        assert_rejected_in_time(make_site(backend.url).new_visitor(), 502)
        assert backend.calls == []
    assert "TLS" in str(caplog.records[-1].__dict__["fields"])


def test_a_plain_http_server_at_an_https_url_gets_no_password(make_site: SiteMaker) -> None:
    with faulty_backend() as backend:
        backend.on_connect = send_then(http_response(b"~secret~", 400), hang)
        assert_rejected_in_time(make_site(backend.url.replace("http:", "https:")).new_visitor(), 502)


@pytest.mark.corpus
def test_a_tls_handshake_that_stalls_times_out_at_the_deadline(make_site: SiteMaker) -> None:
    with faulty_backend() as backend:
        backend.on_connect = hang
        site = make_site(backend.url.replace("http:", "https:"), backend_timeout=SHORT_TIMEOUT)
        assert_rejected_in_time(site.new_visitor(), 504, SHORT_TIMEOUT)
