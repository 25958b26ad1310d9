"""An issuer that fails in every way: nobody is signed in, no request takes long, nothing leaks.

Once the issuer works again, sign-in works without a restart.
"""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from itsdangerous import TimestampSigner

from services.oauth.metadata_cache import FAILURE_PAUSE_SECONDS, FRESH_SECONDS, REFRESH_PAUSE_SECONDS
from tests.support.certificates import server_certificate
from tests.support.faulty_backend import (
    HEALTHY,
    UNLIMITED,
    Answer,
    FaultyBackend,
    Script,
    after,
    answer,
    faulty_backend,
    hang,
    kept_open,
    late,
    reset,
)
from tests.support.http_faults import BROKEN, ENORMOUS, NO_ANSWER, SLOW, UNREADABLE
from tests.support.issuer import (
    ACCESS_TOKEN,
    CLIENT_SECRET,
    CODE,
    DISCOVERY,
    GITHUB,
    KEYS,
    SUBJECT,
    TOKEN,
    TOKEN_PATHS,
    USERINFO,
    Issuer,
    Json,
    all_is_well,
    come_back,
    come_back_by_form,
    depart,
    forget,
    hold_to_silence,
    let_in,
    mixed,
    start,
    stopped,
    travel,
    turned_away,
)
from tests.support.site import ManualClock, Site, SiteMaker, Visitor, running_site
from tests.support.tables import some, spread

TIMEOUT, SHORT_TIMEOUT, GRACE = 3.0, 0.5, 0.7
STEPS = (DISCOVERY, KEYS, TOKEN, USERINFO)
SOCIAL = "/login/social/callback/oidc"
NO_JSON: dict[str, Callable[[bytes], bytes]] = {**UNREADABLE, "a key twice": lambda good: good[:-1] + b", " + good[1:]}
EITHER = ("ProviderUnavailable", "OAuthCallback")


@pytest.fixture(scope="module")
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def issuer(clock: ManualClock) -> Iterator[Issuer]:
    running = Issuer()
    running.clock = clock
    yield running
    running.refuse()
    running.hang_up()


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    with running_site(backend.url, clock=clock, backend_timeout=TIMEOUT, **issuer.settings(), **UNLIMITED) as running:
        yield running


@pytest.fixture(scope="module")
def hasty_site(backend: FaultyBackend, issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    with running_site(
        backend.url, clock=clock, backend_timeout=SHORT_TIMEOUT, **issuer.settings(), **UNLIMITED
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def well(
    issuer: Issuer,
    backend: FaultyBackend,
    site: Site,
    hasty_site: Site,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[None]:
    clock.reset()
    all_is_well(issuer, backend, site)
    forget(hasty_site)
    caplog.set_level(logging.INFO, "munjigi")
    yield
    hold_to_silence(caplog)


def good(issuer: Issuer, step: str) -> bytes:
    bodies = {DISCOVERY: issuer.document, KEYS: lambda: issuer.published, TOKEN: issuer.token_answer}
    return json.dumps(bodies.get(step, lambda: issuer.person)()).encode()


def wrapped(issuer: Issuer, step: str, fault: Callable[[bytes], Answer]) -> Script:
    """Apply the fault to the body that is right at the time of the call."""

    def script(connection: socket.socket) -> object:
        found = fault(good(issuer, step))
        return (after(found, lambda _: False) if isinstance(found, bytes) else found)(connection)

    return script


def fails(visitor: Visitor, issuer: Issuer, step: str, codes: tuple[str, ...], timeout: float = TIMEOUT) -> None:
    if step == DISCOVERY:
        response = depart(visitor, issuer)
        url = response.json()["url"]
    else:
        response = travel(visitor, issuer)
        url = response.headers["Location"]
        assert response.status_code == 303
    assert response.elapsed.total_seconds() < timeout + GRACE
    code = next((code for code in codes if f"error={code}" in url), codes[0])
    stopped(visitor, url, code)


def heals(visitor: Visitor, issuer: Issuer, backend: FaultyBackend, clock: ManualClock, seconds: float) -> None:
    assert backend.calls == []
    issuer.heal()
    clock.advance(seconds + 0.1)
    response = travel(visitor, issuer)
    if "Unavailable" in response.headers["Location"]:  # a busy machine may miss this short deadline once
        response = travel(visitor, issuer)
    let_in(visitor, response)


# --- Answers that break off, never end, or are not HTTP


@pytest.mark.parametrize(("fault", "step"), spread(BROKEN, STEPS, most=12) + spread(ENORMOUS, STEPS, most=4))
def test_a_broken_answer_signs_nobody_in(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, clock: ManualClock, fault: str, step: str
) -> None:
    issuer.answers[step] = wrapped(issuer, step, (BROKEN | ENORMOUS)[fault])
    fails(visitor, issuer, step, EITHER if step in (TOKEN, USERINFO) else EITHER[:1])
    again = 2 if step != TOKEN and fault in NO_ANSWER else 1  # a kept connection may have closed like this
    assert len(issuer.asked(step)) == again
    heals(visitor, issuer, backend, clock, FAILURE_PAUSE_SECONDS)


@pytest.mark.parametrize(("fault", "step"), spread(SLOW, STEPS, most=2))
def test_a_slow_answer_is_cut_off_at_the_deadline(
    issuer: Issuer, backend: FaultyBackend, hasty_site: Site, clock: ManualClock, fault: str, step: str
) -> None:
    issuer.answers[step] = wrapped(issuer, step, SLOW[fault])
    visitor = hasty_site.visitor()
    fails(visitor, issuer, step, EITHER[:1], SHORT_TIMEOUT)
    heals(visitor, issuer, backend, clock, FAILURE_PAUSE_SECONDS)


@pytest.mark.parametrize(("fault", "step"), spread(NO_JSON, STEPS, most=8))
def test_an_answer_that_is_no_valid_json_signs_nobody_in(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, clock: ManualClock, fault: str, step: str
) -> None:
    issuer.answers[step] = wrapped(issuer, step, lambda body: kept_open(answer(NO_JSON[fault](body))))
    fails(visitor, issuer, step, EITHER[1:] if step in (TOKEN, USERINFO) else EITHER[:1])
    heals(visitor, issuer, backend, clock, FAILURE_PAUSE_SECONDS)


@pytest.mark.parametrize(("status", "step"), spread([301, 302, 303, 307, 308], STEPS))
def test_a_redirect_is_not_followed(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, clock: ManualClock, status: int, step: str
) -> None:
    with faulty_backend() as elsewhere:
        place = f"{elsewhere.url}{step}"
        issuer.answers[step] = wrapped(issuer, step, lambda body: kept_open(answer(body, status, Location=place)))
        fails(visitor, issuer, step, EITHER[1:] if step in (TOKEN, USERINFO) else EITHER[:1])
        heals(visitor, issuer, backend, clock, FAILURE_PAUSE_SECONDS)
        assert elsewhere.connections == 0


@pytest.mark.parametrize("step", [KEYS, USERINFO])
def test_a_kept_connection_that_closes_mid_request_does_not_fail_the_sign_in(
    issuer: Issuer, visitor: Visitor, step: str
) -> None:
    closed: list[bool] = []

    def close_first(connection: socket.socket) -> bool:
        if closed:
            connection.sendall(answer(good(issuer, step)))
            return True
        closed.append(True)
        return False

    issuer.answers[step] = close_first
    let_in(visitor, travel(visitor, issuer))


def test_a_code_is_never_sent_twice(issuer: Issuer, visitor: Visitor) -> None:
    issuer.answers[TOKEN] = b""
    turned_away(visitor, travel(visitor, issuer), "ProviderUnavailable")
    assert len(issuer.asked(TOKEN)) == 1


# --- Deadlines


def test_provider_and_backend_share_one_deadline(issuer: Issuer, backend: FaultyBackend, hasty_site: Site) -> None:
    visitor = hasty_site.visitor()
    for step in (KEYS, TOKEN, USERINFO):
        issuer.answers[step] = wrapped(issuer, step, lambda body: late(0.25 * SHORT_TIMEOUT, answer(body)))
    backend.answers[SOCIAL] = late(0.4 * SHORT_TIMEOUT, HEALTHY["/login"])
    response = travel(visitor, issuer)
    assert response.elapsed.total_seconds() < SHORT_TIMEOUT + GRACE
    turned_away(visitor, response, "BackendUnavailable")


def test_waiting_for_another_requests_metadata_fetch_counts_against_the_own_deadline(
    issuer: Issuer, hasty_site: Site
) -> None:
    visitor = hasty_site.visitor()
    let_in(visitor, travel(visitor, issuer))
    with fetching(hasty_site, issuer, DISCOVERY) as entry:
        entry.document = None
        fails(hasty_site.visitor(), issuer, DISCOVERY, EITHER[:1], SHORT_TIMEOUT)


@contextmanager
def fetching(site: Site, issuer: Issuer, step: str) -> Iterator[Any]:
    """Run the body while another request fetches this document."""
    documents, under_way = site.app.extensions["munjigi"].oauth.metadata._cache, threading.Event()
    url, done = issuer.url + step, threading.Event()

    def fetch() -> object:
        under_way.set()
        return done.wait(10)

    with ThreadPoolExecutor(1) as other:
        fetched = other.submit(documents._fetching.run, url, fetch, 10)
        under_way.wait(10)
        try:
            yield documents._entries[url]
        finally:
            done.set()
            fetched.result()


def together(*works: Callable[[], object]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- Cached metadata


def test_an_issuer_that_is_down_at_startup_affects_only_its_own_sign_in(
    issuer: Issuer, backend: FaultyBackend, make_site: SiteMaker, clock: ManualClock
) -> None:
    issuer.refuse()
    visitor = make_site(backend.url, clock=clock, **issuer.settings()).visitor()
    assert visitor.page("/auth/login/email").status == 200
    fails(visitor, issuer, DISCOVERY, EITHER[:1])
    assert visitor.sign_in().status_code == 303
    issuer.listen()
    visitor.cookies.clear()
    backend.heal()
    backend.answers[SOCIAL] = backend.answers["/login"]
    heals(visitor, issuer, backend, clock, FAILURE_PAUSE_SECONDS)


@pytest.mark.parametrize("step", [DISCOVERY, KEYS])
def test_a_failed_metadata_fetch_is_not_repeated_at_once(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, clock: ManualClock, step: str
) -> None:
    issuer.answers[step] = answer(b"~secret~", 500)
    for _ in range(3):
        fails(visitor, issuer, step, EITHER[:1])
    assert len(issuer.asked(step)) == 1
    heals(visitor, issuer, backend, clock, FAILURE_PAUSE_SECONDS)


STALE: dict[str, Answer] = {"500": answer(b"~secret~", 500), "HTML": answer(b"<h1>"), "reset": reset, "hang": hang}


@pytest.mark.parametrize("step", [DISCOVERY, KEYS])
@pytest.mark.parametrize("fault", STALE)
def test_a_cached_document_is_used_while_the_issuer_fails(
    issuer: Issuer, hasty_site: Site, clock: ManualClock, fault: str, step: str
) -> None:
    visitor = hasty_site.visitor()
    let_in(visitor, travel(visitor, issuer))
    issuer.answers[step] = STALE[fault]
    clock.advance(FRESH_SECONDS + 1)
    for _ in range(3):
        let_in(visitor, travel(visitor, issuer))
    assert len(issuer.asked(step)) == (
        3 if fault == "reset" else 2
    )  # a kept connection may have closed like this: one retry
    issuer.heal()
    clock.advance(REFRESH_PAUSE_SECONDS + 1)
    let_in(visitor, travel(visitor, issuer))
    assert len(issuer.asked(step)) == 1


def test_concurrent_sign_ins_fetch_the_metadata_once(issuer: Issuer, site: Site) -> None:
    issuer.answers[DISCOVERY] = wrapped(issuer, DISCOVERY, lambda body: late(0.1, answer(body)))
    visitors = [site.visitor() for _ in range(8)]
    together(*(partial(start, visitor, issuer) for visitor in visitors))
    assert len(issuer.asked(DISCOVERY)) == 1


@pytest.mark.parametrize("step", [DISCOVERY, KEYS])
def test_while_one_request_refreshes_a_document_others_use_the_cached_one(
    issuer: Issuer, site: Site, clock: ManualClock, step: str
) -> None:
    visitor = site.visitor()
    let_in(visitor, travel(visitor, issuer))
    clock.advance(FRESH_SECONDS + 1)
    with fetching(site, issuer, step):
        let_in(visitor, travel(visitor, issuer))
    assert len(issuer.asked(step)) == 1


ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
UNSAFE: tuple[object, ...] = (
    "http://issuer.example/x", "http://169.254.169.254/latest", "file:///etc/passwd", "gopher://127.0.0.1/", "//x/y",
    "javascript:alert(1)", "data:,x", "/token", "", "https://", "https:///x", "https://[::1", "http://[",
    "http://127.0.0.1@evil.example/",
    "http://127.0.0.1.evil.example/", "http://127.0.0.1:99999/", "https://example.com:x/", "https://e\u2100.example/",
    "https://user:pw@example.com/", "\x00",
    5, [], {}, True, ["https://example.com"],
)  # fmt: skip
UNSAFE_BY_NAME = {repr(value): value for value in UNSAFE}
MISSTATED: dict[str, Json] = {
    **{f"no {name}": {name: None} for name in ENDPOINTS if name != "userinfo_endpoint"},
    **{f"the issuer {value!r}": {"issuer": value} for value in mixed(None, "", "https://evil.example", [], 5)},
}


@pytest.mark.parametrize(("value", "endpoint"), spread(UNSAFE_BY_NAME, ENDPOINTS, most=13))
def test_metadata_with_an_unsafe_url_start_no_sign_in(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, clock: ManualClock, value: str, endpoint: str
) -> None:
    starts_nothing(issuer, backend, visitor, clock, {endpoint: UNSAFE_BY_NAME[value]})


@pytest.mark.parametrize("fault", MISSTATED)
def test_incomplete_metadata_start_no_sign_in(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, clock: ManualClock, fault: str
) -> None:
    starts_nothing(issuer, backend, visitor, clock, MISSTATED[fault])


def starts_nothing(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, clock: ManualClock, metadata: Json
) -> None:
    issuer.metadata = metadata
    for _ in range(3):
        fails(visitor, issuer, DISCOVERY, EITHER[:1])
    assert {call.path for call in issuer.calls} == {DISCOVERY}
    assert len(issuer.calls) == 2
    heals(visitor, issuer, backend, clock, REFRESH_PAUSE_SECONDS)


@pytest.mark.parametrize("change", ["/", "upper", "https"])
def test_the_issuer_in_the_metadata_must_match_exactly(issuer: Issuer, visitor: Visitor, change: str) -> None:
    others = {"/": f"{issuer.url}/", "upper": issuer.url.upper(), "https": issuer.url.replace("http", "https", 1)}
    issuer.metadata = {"issuer": others[change]}
    fails(visitor, issuer, DISCOVERY, EITHER[:1])


@pytest.mark.parametrize(
    "said", [{"token_endpoint_auth_methods_supported": said} for said in mixed(None, 5, {}, "client_secret_post", [[]])]
    + [{"scopes_supported": 5}, {"id_token_signing_alg_values_supported": ["none"]}, {"x": "y" * 100_000}],
    ids=lambda said: str(said)[:60],
)  # fmt: skip
def test_other_metadata_may_have_any_value(issuer: Issuer, visitor: Visitor, said: Json) -> None:
    issuer.metadata = said
    let_in(visitor, travel(visitor, issuer))


# --- Answers of the token endpoint

SPENT = {"error": "invalid_grant"}
REFUSALS: dict[str, tuple[int, object, str]] = {
    "invalid_grant": (400, {"error": "invalid_grant"}, "AttemptExpired"),
    "invalid_grant with 200": (200, {"error": "invalid_grant"}, "AttemptExpired"),
    "invalid_grant in capitals": (400, {"error": "INVALID_GRANT"}, "AttemptExpired"),
    **{f"invalid_grant, described as {said!r}": (400, {**SPENT, "error_description": said}, "AttemptExpired")
       for said in mixed("~secret~", "코드가 만료되었습니다", 'a "quoted" word', "a\r\nb", 5, ["x"], {"a": 1})},
    "invalid_client": (401, {"error": "invalid_client"}, "Configuration"),
    **{error: (400, {"error": error}, "Configuration")
       for error in ("unauthorized_client", "redirect_uri_mismatch", "invalid_scope", "invalid_request")},
    "access_denied": (400, {"error": "access_denied"}, "Cancelled"),
    "temporarily_unavailable": (400, {"error": "temporarily_unavailable"}, "ProviderUnavailable"),
    "temporarily_unavailable with 503": (503, {"error": "temporarily_unavailable"}, "ProviderUnavailable"),
    "429": (429, {}, "ProviderUnavailable"),
    "429 with an error": (429, {"error": "rate_limited"}, "ProviderUnavailable"),
    "429 in HTML": (429, b"<h1>~secret~</h1>", "ProviderUnavailable"),
    **{f"{status}": (status, b"<h1>~secret~</h1>", "ProviderUnavailable") for status in (500, 502, 503, 504, 520, 599)},
    "500 with an error": (500, {"error": "invalid_grant"}, "ProviderUnavailable"),
    "404": (404, b"<h1>~secret~</h1>", "OAuthCallback"),
    "400 and nothing": (400, {}, "OAuthCallback"),
    "204": (204, b"", "OAuthCallback"),
    **{f"the error {error!r}": (400, {"error": error}, "OAuthCallback")
       for error in mixed(None, 5, [], {"code": "invalid_grant"}, "~secret~ \r\n", "", "x" * 9999, "unheard_of")},
    "an error beside tokens": (200, {"error": "", "access_token": ACCESS_TOKEN, "id_token": "x"}, "OAuthCallback"),
    "a form": (200, f"access_token={ACCESS_TOKEN}&token_type=bearer".encode(), "OAuthCallback"),
}  # fmt: skip


@pytest.mark.parametrize("row", some(REFUSALS, 21))
def test_each_token_endpoint_error_has_its_code_and_log_level(
    issuer: Issuer,
    backend: FaultyBackend,
    visitor: Visitor,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    row: str,
) -> None:
    status, body, code = REFUSALS[row]
    issuer.answers[TOKEN] = answer(body, status)
    turned_away(visitor, travel(visitor, issuer), code)
    line = caplog.records[-1]
    assert line.levelno == (logging.ERROR if code in (*EITHER, "Configuration") else logging.INFO)
    assert issuer.asked(USERINFO) == []
    heals(visitor, issuer, backend, clock, 0)


@pytest.mark.parametrize("status", [201, 202, 206, 304, 307, 400, 401, 403])
def test_a_token_answer_counts_only_with_status_200(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, status: int
) -> None:
    issuer.answers[TOKEN] = wrapped(issuer, TOKEN, lambda body: kept_open(answer(body, status)))
    code = "ProviderUnavailable" if status == 304 else "OAuthCallback"  # in HTTP, a 304 has no body
    turned_away(visitor, travel(visitor, issuer), code)
    assert backend.calls == []


@pytest.mark.parametrize(
    "said",
    [*({"expires_in": value} for value in mixed("3600", "x", -1, 0, None, True, [], {}, 10**400)),
     *({"expires_at": value} for value in mixed("x", [], {}, None, 1.5)), {"token_type": "bearer"},
     {"token_type": "BEARER"},
     {"token_type": ...}, {"refresh_token": ["x"]}, {"scope": 5}, {"scope": "openid"}, {"error_description": "x"}],
    ids=lambda said: str(said)[:60],
)  # fmt: skip
def test_unused_fields_of_the_token_answer_may_have_any_value(issuer: Issuer, visitor: Visitor, said: Json) -> None:
    issuer.tokens = said
    let_in(visitor, travel(visitor, issuer))


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e9"])
def test_an_infinite_expiry_in_the_token_answer_is_ignored(issuer: Issuer, visitor: Visitor, text: str) -> None:
    issuer.tokens = {"expires_in": "@@", "expires_at": "@@"}
    issuer.answers[TOKEN] = wrapped(issuer, TOKEN, lambda body: answer(body.replace(b'"@@"', text.encode())))
    let_in(visitor, travel(visitor, issuer))


@pytest.mark.parametrize(
    "said",
    [*({"access_token": value} for value in mixed(..., None, "", 5, [], {}, True, "a b", "a\r\nX: y", "é", "x" * 5000)),
     *({"token_type": value} for value in mixed("mac", "dpop", "", None, 5, ["Bearer"]))],
    ids=lambda said: str(said)[:60],
)  # fmt: skip
def test_without_a_bearer_token_the_userinfo_is_not_requested(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, said: Json
) -> None:
    issuer.tokens = said
    turned_away(visitor, travel(visitor, issuer), "OAuthCallback")
    assert issuer.asked(USERINFO) == []
    assert backend.calls == []


# --- Answers of the userinfo endpoint


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "OAuthCallback"), (401, "OAuthCallback"), (403, "OAuthCallback"), (404, "OAuthCallback")]
    + [(status, "ProviderUnavailable") for status in (429, 500, 502, 503, 504)],
)
def test_a_refused_userinfo_request_signs_nobody_in(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, clock: ManualClock, status: int, code: str
) -> None:
    issuer.answers[USERINFO] = wrapped(issuer, USERINFO, lambda body: answer(body, status))
    turned_away(visitor, travel(visitor, issuer), code)
    heals(visitor, issuer, backend, clock, 0)


def test_the_userinfo_is_not_requested_if_the_id_token_is_complete(issuer: Issuer, visitor: Visitor) -> None:
    issuer.answers[USERINFO] = answer(b"", 500)
    issuer.claims = {"name": "하늘", "email": "h@example.com"}
    let_in(visitor, travel(visitor, issuer))


def test_a_person_who_withholds_the_address_signs_in_without_one(issuer: Issuer, visitor: Visitor) -> None:
    issuer.tokens, issuer.person = {"scope": "openid"}, {"sub": SUBJECT}
    let_in(visitor, travel(visitor, issuer))


def test_an_issuer_without_a_userinfo_endpoint_signs_in(issuer: Issuer, visitor: Visitor) -> None:
    issuer.metadata = {"userinfo_endpoint": None}
    let_in(visitor, travel(visitor, issuer))


@pytest.mark.parametrize("status", [200, 401, 403, 404])
def test_withheld_github_addresses_do_not_prevent_sign_in(issuer: Issuer, visitor: Visitor, status: int) -> None:
    issuer.answers[GITHUB["emails"]] = answer({"message": "~secret~"}, status)
    let_in(visitor, travel(visitor, issuer, "github"))


@pytest.mark.parametrize(("status", "code"), [(403, "OAuthCallback"), (429, "ProviderUnavailable")])
def test_a_refused_github_user_signs_nobody_in(issuer: Issuer, visitor: Visitor, status: int, code: str) -> None:
    issuer.answers[GITHUB["user"]] = answer({"message": "~secret~"}, status)
    turned_away(visitor, travel(visitor, issuer, "github"), code)


# --- The callback


@pytest.mark.parametrize(
    ("error", "code"),
    [("access_denied", "Cancelled"), ("ACCESS_DENIED", "Cancelled"), ("user_cancelled_authorize", "Cancelled"),
     ("server_error", "ProviderUnavailable"), ("temporarily_unavailable", "ProviderUnavailable"),
     ("invalid_scope", "Configuration"), ("unauthorized_client", "Configuration"), ("invalid_request", "Configuration"),
     ("invalid_grant", "AttemptExpired"), ("login_required", "OAuthCallback"), ("~secret~\r\n", "OAuthCallback")],
)  # fmt: skip
def test_each_error_in_the_callback_has_its_code(issuer: Issuer, visitor: Visitor, error: str, code: str) -> None:
    asked = start(visitor, issuer)
    issuer.calls = []
    response = come_back(visitor, asked, error=error, error_description="~secret~")
    turned_away(visitor, response, code)
    assert issuer.calls == []


@pytest.mark.parametrize(("minutes", "in_time"), [(14, True), (16, False)])
def test_an_attempt_expires_after_fifteen_minutes(
    issuer: Issuer, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, minutes: int, in_time: bool
) -> None:
    asked = start(visitor, issuer)
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: int(time.time()) + minutes * 60)
    response = come_back(visitor, asked)
    if in_time:
        let_in(visitor, response)
    else:
        turned_away(visitor, response, "AttemptExpired")
        assert issuer.asked(TOKEN) == []
        let_in(visitor, travel(visitor, issuer))


@pytest.mark.parametrize("user", [None, "~secret~", "[" * 5000, '{"name": {"firstName": 5}}', '{"name": "x"}'])
def test_apples_user_field_may_be_missing_or_invalid(issuer: Issuer, visitor: Visitor, user: str | None) -> None:
    form = {} if user is None else {"user": user}
    response = come_back_by_form(visitor, start(visitor, issuer, "apple"), **form)
    assert "next-auth.session-token" in response.headers["Set-Cookie"]


def test_an_expired_apple_client_secret_is_a_configuration_error(
    issuer: Issuer, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.answers[TOKEN_PATHS["apple"]] = answer({"error": "invalid_client"}, 400)
    response = come_back_by_form(visitor, start(visitor, issuer, "apple"))
    turned_away(visitor, response, "Configuration")
    line = caplog.records[-1]
    assert line.levelno == logging.ERROR
    assert "invalid_client: check the settings of apple" in str(line.__dict__["fields"])


# --- TLS


@pytest.mark.parametrize("fault", ["", "signed by nobody known", "over", "for another address"])
def test_an_issuer_with_an_invalid_certificate_gets_no_request(
    backend: FaultyBackend, make_site: SiteMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    address, days = ("127.0.0.2" if fault == "for another address" else "127.0.0.1"), (-1 if fault == "over" else 1)
    file, context = server_certificate(tmp_path, address, days)
    if fault != "signed by nobody known":
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
    issuer = Issuer(context)
    visitor = make_site(backend.url, **issuer.settings()).visitor()
    if fault:
        fails(visitor, issuer, DISCOVERY, EITHER[:1])
        assert issuer.calls == []
    else:
        let_in(visitor, travel(visitor, issuer))
        issuer.metadata = {
            "jwks_uri": issuer.url.replace("https:", "http:")
        }  # if the issuer uses https, all of its URLs have to
        forget_all = make_site(backend.url, **issuer.settings()).visitor()
        fails(forget_all, issuer, DISCOVERY, EITHER[:1])
    issuer.refuse()
    issuer.hang_up()


# --- Secrets


def test_secrets_are_sent_to_the_token_endpoint_only(issuer: Issuer, visitor: Visitor) -> None:
    issuer.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    let_in(visitor, travel(visitor, issuer))
    assert issuer.form() | {"code": CODE, "client_secret": CLIENT_SECRET} == issuer.form()
    for call in issuer.calls:
        said = f"{call.path}{call.headers}{call.body!r}"
        assert call.path == TOKEN or not any(secret in said for secret in (CLIENT_SECRET, CODE, "code_verifier"))
        assert call.path == USERINFO or ACCESS_TOKEN not in said


@pytest.mark.parametrize("said", [None, False, "true", 1])
def test_without_announced_support_the_iss_parameter_is_optional(
    issuer: Issuer, visitor: Visitor, said: object
) -> None:
    issuer.metadata = {"authorization_response_iss_parameter_supported": said}
    let_in(visitor, travel(visitor, issuer))


def test_with_announced_support_the_iss_parameter_is_required(issuer: Issuer, visitor: Visitor) -> None:
    issuer.metadata = {"authorization_response_iss_parameter_supported": True}
    turned_away(visitor, travel(visitor, issuer), "OAuthCallback")
    turned_away(visitor, come_back(visitor, start(visitor, issuer), iss="https://evil.example"), "OAuthCallback")
    assert issuer.asked(TOKEN) == []
    let_in(visitor, come_back(visitor, start(visitor, issuer), iss=issuer.url))
