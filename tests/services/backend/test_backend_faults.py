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
    SECRET_MARK,
    TOKEN,
    UNLIMITED,
    USER,
    Answer,
    FaultyBackend,
    after,
    answer,
    drip,
    faulty_backend,
    hang,
    kept_open,
    late,
    lets_in,
    refused,
    reset,
    token,
    user,
)
from tests.support.http_faults import BROKEN, ENDLESS, ENORMOUS, MIB, NO_ANSWER, SLOW, UNREADABLE
from tests.support.memory import read_memory
from tests.support.site import MINJI, Page, Site, SiteMaker, Visitor, cookie_names, running_site
from tests.support.tables import some, spread

TIMEOUT, SHORT_TIMEOUT, GRACE = 2.0, 0.35, 0.5
STEPS = ("/login", "/user")
"""At the second step a token has been issued."""
GOOD = {"/login": json.dumps(token()).encode(), "/user": json.dumps(user()).encode()}
"""Bodies that sign in. Most faults contain one, so that a client that ignores the fault would sign the user in."""


@pytest.fixture(scope="module")
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(scope="module")
def site(backend: FaultyBackend) -> Iterator[Site]:
    with running_site(backend.url, backend_timeout=TIMEOUT, **UNLIMITED) as running:
        yield running


@pytest.fixture(scope="module")
def hasty_site(backend: FaultyBackend) -> Iterator[Site]:
    with running_site(backend.url, backend_timeout=SHORT_TIMEOUT, **UNLIMITED) as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(backend: FaultyBackend) -> None:
    backend.heal()


@pytest.fixture(autouse=True)
def clean_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that the log has no traceback, no secret, no e-mail address and no text of the backend."""
    caplog.set_level(logging.INFO, "munjigi")
    yield
    for record in caplog.get_records("call"):
        line = f"{record.getMessage()} {getattr(record, 'fields', '')}"
        assert record.exc_info is None, line
        assert SECRET_MARK not in line
        assert MINJI not in line


def refused_in_time(visitor: Visitor, status: int | tuple[int, ...], timeout: float = TIMEOUT) -> Page:
    page = refused(visitor, *(status if isinstance(status, tuple) else (status,)))
    assert page.response.elapsed.total_seconds() < timeout + GRACE
    return page


def fails_then_heals(
    visitor: Visitor, backend: FaultyBackend, step: str, status: int | tuple[int, ...], timeout: float, times: int = 1
) -> None:
    """The sign-in fails at this step, an issued token is revoked, and the next sign-in works."""
    page = refused_in_time(visitor, status, timeout)
    assert len(backend.asked(step)) == times
    assert bearers(backend, "/logout") == ([f"Bearer {TOKEN}"] if step == "/user" else [])
    backend.heal()
    assert lets_in(visitor, page)


def bearers(backend: FaultyBackend, path: str) -> list[str | None]:
    return [call.headers["Authorization"] for call in backend.asked(path)]


def shown(value: object) -> str:
    return getattr(value, "__name__", str(value)[:60])


# --- Answers that break off, never end, or are not HTTP


@pytest.mark.parametrize(("fault", "step"), spread([*BROKEN, *ENORMOUS], STEPS))
def test_a_broken_answer_signs_nobody_in(backend: FaultyBackend, visitor: Visitor, fault: str, step: str) -> None:
    backend.answers[step] = (BROKEN | ENORMOUS)[fault](GOOD[step])
    # A kept connection may have closed like this, and reading the user again is safe.
    twice = step == "/user" and fault in NO_ANSWER
    fails_then_heals(visitor, backend, step, (502, 504) if fault in ENDLESS else (502,), TIMEOUT, 2 if twice else 1)


@pytest.mark.parametrize(("fault", "step"), spread(SLOW, STEPS))
def test_a_slow_answer_is_cut_off_at_the_deadline(
    hasty_site: Site, backend: FaultyBackend, fault: str, step: str
) -> None:
    backend.answers[step] = SLOW[fault](GOOD[step])
    fails_then_heals(hasty_site.visitor(), backend, step, 504, SHORT_TIMEOUT)


def test_both_backend_calls_share_one_deadline(hasty_site: Site, backend: FaultyBackend) -> None:
    for step in STEPS:
        backend.answers[step] = late(0.7 * SHORT_TIMEOUT, HEALTHY[step])
    refused_in_time(hasty_site.visitor(), 504, SHORT_TIMEOUT)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.parametrize("fault", some(ENORMOUS, 5))
def test_an_enormous_answer_is_not_read_into_memory(backend: FaultyBackend, visitor: Visitor, fault: str) -> None:
    backend.answers["/login"] = ENORMOUS[fault](GOOD["/login"])
    fields = {"csrfToken": visitor.csrf(), "email": MINJI, "password": "x"}
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = read_memory("VmRSS")
    visitor.post("/auth/login/email", data=fields)
    assert read_memory("VmHWM") - before < 20 * MIB


# --- Complete answers without a usable content


@pytest.mark.parametrize(("fault", "step"), spread(UNREADABLE, STEPS))
def test_an_answer_that_is_no_valid_json_signs_nobody_in(
    backend: FaultyBackend, visitor: Visitor, fault: str, step: str
) -> None:
    backend.answers[step] = kept_open(answer(UNREADABLE[fault](GOOD[step])))
    fails_then_heals(visitor, backend, step, 502, TIMEOUT)


NEITHER: tuple[object, ...] = (None, [], {}, "", 1.5, True, [TOKEN], [USER])
"""Values that are neither an object with content, nor a string, nor a positive number."""
NO_TOKEN: tuple[object, ...] = (
    *NEITHER,
    *({"data": value} for value in (*NEITHER, "~secret~", 5, {"plainTextToken": TOKEN}, [token()])),
    *({"data": {"token": value}} for value in (*NEITHER, "~secret~", 5, TOKEN, {"accessToken": TOKEN})),
    *(token(value) for value in (*NEITHER, 5, " ", f" {TOKEN}", {"token": TOKEN})),
    *(token(TOKEN + tail) for tail in (" ", "\t", "\n", "\r\nX: y", "\x00", "\x7f", "é", "토큰", "x" * 4096)),
    {"plainTextToken": TOKEN},
    {"token": {"plainTextToken": TOKEN}},
)


@pytest.mark.parametrize("body", NO_TOKEN, ids=shown)
def test_without_a_valid_token_the_user_is_not_requested(
    backend: FaultyBackend, visitor: Visitor, body: object
) -> None:
    backend.answers["/login"] = kept_open(answer(body))
    refused(visitor, 502)
    assert [call.path for call in backend.calls] == ["/login"]


NO_USER: tuple[object, ...] = (
    *NEITHER,
    *({"data": value} for value in (*NEITHER, "~secret~", 5, USER, [user()])),
    *(user(value) for value in (*NEITHER, "~secret~", 5, {"name": "~secret~"}, {"ID": 7})),
    *(user({**USER, "id": value}) for value in (*NEITHER, 0, -1, False, 1.0, 2**63, 10**400, {"id": 7})),
    *(user({**USER, "id": value}) for value in (" ", " 7", "7\r\nX: y", "7\x00", "\ud800", "7" * 256)),
    {"user": USER},
    USER,
)


@pytest.mark.parametrize("body", NO_USER, ids=shown)
def test_without_a_valid_user_the_token_is_revoked(backend: FaultyBackend, visitor: Visitor, body: object) -> None:
    backend.answers["/user"] = kept_open(answer(body))
    refused(visitor, 502)
    assert bearers(backend, "/logout") == [f"Bearer {TOKEN}"]


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
    backend.answers["/user"] = kept_open(answer(user({**USER, **given})))
    assert visitor.sign_in().status_code == 303
    assert visitor.session()["user"] == {**USER, **kept}
    assert visitor.page("/account").status == 200


# --- Redirects


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_is_not_followed(
    backend: FaultyBackend, visitor: Visitor, status: int, step: str
) -> None:
    with faulty_backend() as elsewhere:
        backend.answers[step] = kept_open(answer(b"~secret~", status, Location=f"{elsewhere.url}{step}"))
        fails_then_heals(visitor, backend, step, 502, TIMEOUT)
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "place", ["/user", "", "http://[::1", "//", "file:///etc/passwd", "https://user:~secret~@/", None]
)
def test_a_redirect_to_the_same_host_or_to_an_invalid_url_is_not_followed(
    backend: FaultyBackend, visitor: Visitor, place: str | None
) -> None:
    backend.answers["/login"] = kept_open(answer(status=302, Location=place))
    refused(visitor, 502)
    assert [call.path for call in backend.calls] == ["/login"]


# --- No connection


def test_an_unreachable_backend_is_503_until_it_returns(make_site: SiteMaker) -> None:
    with faulty_backend() as backend:
        visitor = make_site(backend.url).visitor()
        backend.refuse()
        page = refused_in_time(visitor, 503)
        backend.listen()
        assert lets_in(visitor, page)


def test_if_the_backend_disappears_before_revocation_the_log_says_so(
    make_site: SiteMaker, caplog: pytest.LogCaptureFixture
) -> None:
    with faulty_backend() as backend:
        visitor = make_site(backend.url).visitor()

        def last_words(connection: socket.socket) -> None:
            backend.refuse()
            connection.sendall(answer(token(), Connection="close"))

        backend.answers["/login"] = last_words
        page = refused_in_time(visitor, 503)
        assert "token not revoked: /logout: no connection can be made" in caplog.messages
        backend.heal()
        backend.listen()
        assert lets_in(visitor, page)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (answer({"message": "~secret~"}, 500), "the logout path answered 500"),
        (answer(status=302, Location="/~secret~"), "the logout path answered 302"),
        (reset, "/logout: the answer broke off or is no HTTP (ConnectionError)"),
        (hang, "/logout: no full answer in time"),
    ],
    ids=shown,
)
def test_a_token_that_cannot_be_revoked_is_logged_without_delay(
    hasty_site: Site, backend: FaultyBackend, caplog: pytest.LogCaptureFixture, fault: Answer, reason: str
) -> None:
    backend.answers["/user"] = late(SHORT_TIMEOUT, b"") if fault is hang else kept_open(answer(status=500))
    backend.answers["/logout"] = fault
    refused_in_time(hasty_site.visitor(), 504 if fault is hang else 502, SHORT_TIMEOUT)
    assert f"token not revoked: {reason}" in caplog.messages
    assert "revoked: False" in caplog.text


def test_without_a_logout_path_the_log_says_that_the_token_was_not_revoked(
    make_site: SiteMaker, backend: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.answers["/user"] = kept_open(answer(user(None)))
    refused(make_site(backend.url, backend_logout_path=None).visitor(), 502)
    assert not backend.asked("/logout")
    assert "revoked: False" in caplog.text


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
        refused_in_time(site.visitor(), 504, SHORT_TIMEOUT)


# --- Connections that are kept


def test_a_connection_that_the_backend_closed_is_not_reused(backend: FaultyBackend, visitor: Visitor) -> None:
    for _ in range(3):
        assert visitor.sign_in().status_code == 303
        backend.hang_up()
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

    backend.answers["/login"] = kept_open(HEALTHY["/login"])
    backend.answers["/user"] = close_first
    assert visitor.sign_in().status_code == 303
    assert len(backend.asked("/user")) == 2


def test_an_unsolicited_answer_is_not_used_for_the_next_request(backend: FaultyBackend, visitor: Visitor) -> None:
    stranger = answer(user({**USER, "id": 666}))
    said = threading.Event()

    def and_later(connection: socket.socket) -> bool:
        time.sleep(0.02)
        connection.sendall(stranger)
        said.set()
        return True

    backend.answers["/login"] = kept_open(HEALTHY["/login"] + stranger)
    backend.answers["/user"] = after(HEALTHY["/user"], and_later)
    for _ in range(3):
        said.clear()
        assert visitor.sign_in().status_code == 303
        assert visitor.session()["user"] == USER
        assert said.wait(5)


def test_cookies_of_the_backend_are_not_sent_back(backend: FaultyBackend, visitor: Visitor) -> None:
    cookies = "\r\n".join(["laravel_session=~secret~", *(f"Set-Cookie: a{n}=~secret~; Path=/" for n in range(80))])
    for step in STEPS:
        backend.answers[step] = kept_open(answer(GOOD[step], Set_Cookie=cookies))
    for _ in range(2):
        response = visitor.sign_in()
        assert response.status_code == 303
        assert cookie_names(response) == {"munjigi.visitor", "munjigi.device", "next-auth.session-token"}
    assert not any("Cookie" in call.headers for call in backend.calls)


# --- TLS


def test_over_tls_a_slow_answer_is_cut_off_at_the_deadline(
    make_site: SiteMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, context = server_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with faulty_backend(context) as backend:
        assert make_site(backend.url).visitor().sign_in().status_code == 303
        backend.answers["/login"] = drip(answer(token()))
        site = make_site(backend.url, backend_timeout=SHORT_TIMEOUT)
        refused_in_time(site.visitor(), 504, SHORT_TIMEOUT)


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
        refused_in_time(make_site(backend.url).visitor(), 502)
        assert backend.calls == []
    assert "TLS" in str(caplog.records[-1].__dict__["fields"])


def test_a_plain_http_server_at_an_https_url_gets_no_password(make_site: SiteMaker) -> None:
    with faulty_backend() as backend:
        backend.greeting = after(answer(b"~secret~", 400), hang)
        refused_in_time(make_site(backend.url.replace("http:", "https:")).visitor(), 502)


def test_a_tls_handshake_that_stalls_times_out_at_the_deadline(make_site: SiteMaker) -> None:
    with faulty_backend() as backend:
        backend.greeting = hang
        site = make_site(backend.url.replace("http:", "https:"), backend_timeout=SHORT_TIMEOUT)
        refused_in_time(site.visitor(), 504, SHORT_TIMEOUT)
