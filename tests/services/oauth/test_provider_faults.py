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

from services import signing
from services.oauth.document_cache import FAILURE_PAUSE_SECONDS, FRESH_SECONDS, REFRESH_PAUSE_SECONDS
from tests.support.certificates import server_certificate
from tests.support.faulty_backend import (
    HEALTHY,
    NO_LIMITS,
    FaultyBackend,
    Script,
    ScriptedResponse,
    faulty_backend,
    hang,
    http_response,
    keep_alive,
    reset_connection,
    send_after_delay,
    send_then,
)
from tests.support.http_faults import BROKEN, ENORMOUS, NO_ANSWER, SLOW, UNREADABLE
from tests.support.issuer import (
    ACCESS_TOKEN,
    CLIENT_SECRET,
    CODE,
    DISCOVERY,
    GITHUB,
    JWKS,
    SUBJECT,
    TOKEN,
    TOKEN_PATHS,
    USERINFO,
    Issuer,
    Json,
    as_objects,
    assert_error_page,
    assert_no_secrets_logged,
    assert_rejected,
    assert_signed_in,
    clear_document_cache,
    post_callback,
    post_sign_in,
    reset_servers,
    send_callback,
    sign_in_via_provider,
    start_sign_in,
)
from tests.support.site import ManualClock, Site, SiteMaker, Visitor, cookie_names, running_site
from tests.support.tables import sample_pairs, sample_rows

TIMEOUT, SHORT_TIMEOUT, GRACE = 3.0, 0.5, 3.0
STEPS = (DISCOVERY, JWKS, TOKEN)
"""The answers that a sign-in with an id_token needs."""
SOCIAL = "/login/social/callback/oidc"
NO_JSON: dict[str, Callable[[bytes], bytes]] = {**UNREADABLE, "a key twice": lambda good: good[:-1] + b", " + good[1:]}
EITHER = ("ProviderUnavailable", "OAuthCallback")


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    with running_site(
        backend.url, clock=clock, backend_timeout=TIMEOUT, **issuer.site_settings(), **NO_LIMITS
    ) as running:
        yield running


@pytest.fixture(scope="module")
def hasty_site(backend: FaultyBackend, issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    with running_site(
        backend.url, clock=clock, backend_timeout=SHORT_TIMEOUT, **issuer.site_settings(), **NO_LIMITS
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
    reset_servers(issuer, backend, site)
    clear_document_cache(hasty_site)
    caplog.set_level(logging.INFO, "munjigi")
    yield
    assert_no_secrets_logged(caplog)


def valid_body(issuer: Issuer, step: str) -> bytes:
    bodies = {DISCOVERY: issuer.discovery_document, JWKS: lambda: issuer.jwks, TOKEN: issuer.token_response}
    return json.dumps(bodies.get(step, lambda: issuer.userinfo)()).encode()


def with_current_body(issuer: Issuer, step: str, fault: Callable[[bytes], ScriptedResponse]) -> Script:
    """Apply the fault to the body that is right at the time of the call."""

    def script(connection: socket.socket) -> object:
        found = fault(valid_body(issuer, step))
        return (send_then(found, lambda _: False) if isinstance(found, bytes) else found)(connection)

    return script


def assert_fails_at(
    visitor: Visitor, issuer: Issuer, step: str, codes: tuple[str, ...], timeout: float = TIMEOUT
) -> None:
    if step == DISCOVERY:
        response = post_sign_in(visitor)
        url = response.json()["url"]
    else:
        response = sign_in_via_provider(visitor, issuer)
        url = response.headers["Location"]
        assert response.status_code == 303
    assert response.elapsed.total_seconds() < timeout + GRACE
    code = next((code for code in codes if f"error={code}" in url), codes[0])
    assert_error_page(visitor, url, code)


def assert_recovers(
    visitor: Visitor, issuer: Issuer, backend: FaultyBackend, clock: ManualClock, seconds: float
) -> None:
    assert backend.calls == []
    issuer.reset()
    for _ in range(4):  # a busy machine may miss the short deadline, and then the pause starts again
        clock.advance(seconds + 0.1)
        response = sign_in_via_provider(visitor, issuer)
        if "Unavailable" not in response.headers["Location"]:
            break
    assert_signed_in(visitor, response)


# --- Answers that break off, never end, or are not HTTP


@pytest.mark.parametrize(
    ("fault", "step"), sample_pairs(BROKEN, STEPS, max_rows=12) + sample_pairs(ENORMOUS, STEPS, max_rows=4)
)
def test_a_broken_answer_signs_nobody_in(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, clock: ManualClock, fault: str, step: str
) -> None:
    issuer.responses[step] = with_current_body(issuer, step, (BROKEN | ENORMOUS)[fault])
    assert_fails_at(visitor, issuer, step, EITHER if step == TOKEN else EITHER[:1])
    again = 2 if step != TOKEN and fault in NO_ANSWER else 1  # a kept connection may have closed like this
    assert len(issuer.requests_to(step)) == again
    assert_recovers(visitor, issuer, backend, clock, FAILURE_PAUSE_SECONDS)


@pytest.mark.corpus
@pytest.mark.parametrize(("fault", "step"), sample_pairs(SLOW, STEPS, max_rows=2))
def test_a_slow_answer_is_cut_off_at_the_deadline(
    issuer: Issuer, backend: FaultyBackend, hasty_site: Site, clock: ManualClock, fault: str, step: str
) -> None:
    issuer.responses[step] = with_current_body(issuer, step, SLOW[fault])
    visitor = hasty_site.new_visitor()
    assert_fails_at(visitor, issuer, step, EITHER[:1], SHORT_TIMEOUT)
    assert_recovers(visitor, issuer, backend, clock, FAILURE_PAUSE_SECONDS)


@pytest.mark.parametrize(("fault", "step"), sample_pairs(NO_JSON, STEPS, max_rows=8))
def test_an_answer_that_is_no_valid_json_signs_nobody_in(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, clock: ManualClock, fault: str, step: str
) -> None:
    issuer.responses[step] = with_current_body(
        issuer, step, lambda body: keep_alive(http_response(NO_JSON[fault](body)))
    )
    assert_fails_at(visitor, issuer, step, EITHER[1:] if step == TOKEN else EITHER[:1])
    assert_recovers(visitor, issuer, backend, clock, FAILURE_PAUSE_SECONDS)


@pytest.mark.parametrize(("status", "step"), sample_pairs([301, 302, 303, 307, 308], STEPS))
def test_a_redirect_is_not_followed(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, clock: ManualClock, status: int, step: str
) -> None:
    with faulty_backend() as elsewhere:
        place = f"{elsewhere.url}{step}"
        issuer.responses[step] = with_current_body(
            issuer, step, lambda body: keep_alive(http_response(body, status, Location=place))
        )
        assert_fails_at(visitor, issuer, step, EITHER[1:] if step == TOKEN else EITHER[:1])
        assert_recovers(visitor, issuer, backend, clock, FAILURE_PAUSE_SECONDS)
        assert elsewhere.connection_count == 0


@pytest.mark.parametrize("step", [JWKS, USERINFO])
def test_a_kept_connection_that_closes_mid_request_does_not_fail_the_sign_in(
    issuer: Issuer, visitor: Visitor, step: str
) -> None:
    closed: list[bool] = []

    def close_first(connection: socket.socket) -> bool:
        if closed:
            connection.sendall(http_response(valid_body(issuer, step)))
            return True
        closed.append(True)
        return False

    issuer.responses[step] = close_first
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


def test_interim_answers_of_a_provider_are_skipped(issuer: Issuer, visitor: Visitor) -> None:
    """RFC 9110, 15.2: any number of 1xx answers may come before the final one."""
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </app.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    for step in STEPS:
        issuer.responses[step] = with_current_body(issuer, step, lambda body: keep_alive(interim + http_response(body)))
    for _ in range(2):
        assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


def test_a_byte_order_mark_before_a_providers_json_is_skipped(issuer: Issuer, visitor: Visitor) -> None:
    for step in (*STEPS, USERINFO):
        issuer.responses[step] = with_current_body(
            issuer, step, lambda body: keep_alive(http_response(b"\xef\xbb\xbf" + body))
        )
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        *(
            (http_response(b"<html>~secret~", status), "Configuration")
            for status in (400, 401, 403, 404, 409, 410, 422)
        ),
        *((http_response(status=status), "Configuration") for status in (403, 409, 410, 422, 423)),
        (http_response({"message": "~secret~"}, 403, cf_mitigated="challenge"), "Configuration"),
        (http_response(b"<html>~secret~", 500), "BackendUnavailable"),
        (http_response(b"<html>~secret~", 429), "BackendUnavailable"),
        (http_response(b"<html>~secret~"), "BackendUnavailable"),
        (http_response(status=401), "Callback"),
    ],
)
def test_an_answer_to_a_social_sign_in_that_is_not_the_backends_own_says_nothing_about_the_person(
    issuer: Issuer,
    backend: FaultyBackend,
    visitor: Visitor,
    caplog: pytest.LogCaptureFixture,
    raw: bytes,
    code: str,
) -> None:
    backend.responses[SOCIAL] = keep_alive(raw)
    assert_rejected(visitor, sign_in_via_provider(visitor, issuer), code)
    line = next(record for record in caplog.records if record.getMessage() == "sign_in_failed")
    assert line.levelname == "ERROR"
    assert "the social path answered" in line.__dict__["fields"]["reason"]


def test_a_code_is_never_sent_twice(issuer: Issuer, visitor: Visitor) -> None:
    issuer.responses[TOKEN] = b""
    assert_rejected(visitor, sign_in_via_provider(visitor, issuer), "ProviderUnavailable")
    assert len(issuer.requests_to(TOKEN)) == 1


# --- Deadlines


@pytest.mark.corpus
def test_provider_and_backend_share_one_deadline(issuer: Issuer, backend: FaultyBackend, hasty_site: Site) -> None:
    visitor = hasty_site.new_visitor()
    for step in (JWKS, TOKEN, USERINFO):
        issuer.responses[step] = with_current_body(
            issuer, step, lambda body: send_after_delay(0.25 * SHORT_TIMEOUT, http_response(body))
        )
    backend.responses[SOCIAL] = send_after_delay(0.4 * SHORT_TIMEOUT, HEALTHY["/login"])
    response = sign_in_via_provider(visitor, issuer)
    assert response.elapsed.total_seconds() < SHORT_TIMEOUT + GRACE
    assert_rejected(visitor, response, "BackendUnavailable")


@pytest.mark.corpus
def test_waiting_for_another_requests_metadata_fetch_counts_against_the_own_deadline(
    issuer: Issuer, hasty_site: Site
) -> None:
    visitor = hasty_site.new_visitor()
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    with fetching(hasty_site, issuer, DISCOVERY) as entry:
        entry.document = None
        assert_fails_at(hasty_site.new_visitor(), issuer, DISCOVERY, EITHER[:1], SHORT_TIMEOUT)


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
    issuer.stop_listening()
    visitor = make_site(backend.url, clock=clock, **issuer.site_settings()).new_visitor()
    assert visitor.get_page("/auth/login/email").status == 200
    assert_fails_at(visitor, issuer, DISCOVERY, EITHER[:1])
    assert visitor.sign_in().status_code == 303
    issuer.listen()
    visitor.cookies.clear()
    backend.reset()
    backend.responses[SOCIAL] = backend.responses["/login"]
    assert_recovers(visitor, issuer, backend, clock, FAILURE_PAUSE_SECONDS)


@pytest.mark.parametrize("step", [DISCOVERY, JWKS])
def test_a_failed_metadata_fetch_is_not_repeated_at_once(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, clock: ManualClock, step: str
) -> None:
    issuer.responses[step] = http_response(b"~secret~", 500)
    for _ in range(3):
        assert_fails_at(visitor, issuer, step, EITHER[:1])
    assert len(issuer.requests_to(step)) == 1
    assert_recovers(visitor, issuer, backend, clock, FAILURE_PAUSE_SECONDS)


STALE: dict[str, ScriptedResponse] = {
    "500": http_response(b"~secret~", 500),
    "HTML": http_response(b"<h1>"),
    "reset": reset_connection,
    "hang": hang,
}


@pytest.mark.corpus
@pytest.mark.parametrize("step", [DISCOVERY, JWKS])
@pytest.mark.parametrize("fault", STALE)
def test_a_cached_document_is_used_while_the_issuer_fails(
    issuer: Issuer, hasty_site: Site, clock: ManualClock, fault: str, step: str
) -> None:
    visitor = hasty_site.new_visitor()
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    issuer.responses[step] = STALE[fault]
    clock.advance(FRESH_SECONDS + 1)
    for _ in range(3):
        assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    assert len(issuer.requests_to(step)) == (
        3 if fault == "reset" else 2
    )  # a kept connection may have closed like this: one retry
    issuer.reset()
    clock.advance(REFRESH_PAUSE_SECONDS + 1)
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    assert len(issuer.requests_to(step)) == 1


def test_concurrent_sign_ins_fetch_the_metadata_once(issuer: Issuer, site: Site) -> None:
    issuer.responses[DISCOVERY] = with_current_body(
        issuer, DISCOVERY, lambda body: send_after_delay(0.1, http_response(body))
    )
    visitors = [site.new_visitor() for _ in range(8)]
    together(*(partial(start_sign_in, visitor, issuer) for visitor in visitors))
    assert len(issuer.requests_to(DISCOVERY)) == 1


@pytest.mark.parametrize("step", [DISCOVERY, JWKS])
def test_while_one_request_refreshes_a_document_others_use_the_cached_one(
    issuer: Issuer, site: Site, clock: ManualClock, step: str
) -> None:
    visitor = site.new_visitor()
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    clock.advance(FRESH_SECONDS + 1)
    with fetching(site, issuer, step):
        assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    assert len(issuer.requests_to(step)) == 1


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
    **{f"the issuer {value!r}": {"issuer": value} for value in as_objects(None, "", "https://evil.example", [], 5)},
}


@pytest.mark.parametrize(("value", "endpoint"), sample_pairs(UNSAFE_BY_NAME, ENDPOINTS, max_rows=13))
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
        assert_fails_at(visitor, issuer, DISCOVERY, EITHER[:1])
    assert {call.path for call in issuer.calls} == {DISCOVERY}
    assert len(issuer.calls) == 2
    assert_recovers(visitor, issuer, backend, clock, REFRESH_PAUSE_SECONDS)


@pytest.mark.parametrize("change", ["/", "upper", "https"])
def test_the_issuer_in_the_metadata_must_match_exactly(issuer: Issuer, visitor: Visitor, change: str) -> None:
    others = {"/": f"{issuer.url}/", "upper": issuer.url.upper(), "https": issuer.url.replace("http", "https", 1)}
    issuer.metadata = {"issuer": others[change]}
    assert_fails_at(visitor, issuer, DISCOVERY, EITHER[:1])


@pytest.mark.parametrize(
    "said",
    [{"token_endpoint_auth_methods_supported": said} for said in as_objects(None, 5, {}, "client_secret_post", [[]])]
    + [{"scopes_supported": 5}, {"id_token_signing_alg_values_supported": ["none"]}, {"x": "y" * 100_000}],
    ids=lambda said: str(said)[:60],
)  # fmt: skip
def test_other_metadata_may_have_any_value(issuer: Issuer, visitor: Visitor, said: Json) -> None:
    issuer.metadata = said
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


# --- Answers of the token endpoint

SPENT = {"error": "invalid_grant"}
REFUSALS: dict[str, tuple[int, object, str]] = {
    "invalid_grant": (400, {"error": "invalid_grant"}, "AttemptExpired"),
    "invalid_grant with 200": (200, {"error": "invalid_grant"}, "AttemptExpired"),
    "invalid_grant in capitals": (400, {"error": "INVALID_GRANT"}, "AttemptExpired"),
    **{f"invalid_grant, described as {said!r}": (400, {**SPENT, "error_description": said}, "AttemptExpired")
       for said in as_objects("~secret~", "코드가 만료되었습니다", 'a "quoted" word', "a\r\nb", 5, ["x"], {"a": 1})},
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
       for error in as_objects(None, 5, [], {"code": "invalid_grant"}, "~secret~ \r\n", "", "x" * 9999, "unheard_of")},
    "an error beside tokens": (200, {"error": "", "access_token": ACCESS_TOKEN, "id_token": "x"}, "OAuthCallback"),
    "a form": (200, f"access_token={ACCESS_TOKEN}&token_type=bearer".encode(), "OAuthCallback"),
}  # fmt: skip


@pytest.mark.parametrize("row", sample_rows(REFUSALS, 21))
def test_each_token_endpoint_error_has_its_code_and_log_level(
    issuer: Issuer,
    backend: FaultyBackend,
    visitor: Visitor,
    clock: ManualClock,
    caplog: pytest.LogCaptureFixture,
    row: str,
) -> None:
    status, body, code = REFUSALS[row]
    issuer.responses[TOKEN] = http_response(body, status)
    assert_rejected(visitor, sign_in_via_provider(visitor, issuer), code)
    line = caplog.records[-1]
    assert line.levelno == (logging.ERROR if code in (*EITHER, "Configuration") else logging.INFO)
    assert issuer.requests_to(USERINFO) == []
    assert_recovers(visitor, issuer, backend, clock, 0)


@pytest.mark.parametrize("status", [201, 202, 206, 304, 307, 400, 401, 403])
def test_a_token_answer_counts_only_with_status_200(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, status: int
) -> None:
    issuer.responses[TOKEN] = with_current_body(issuer, TOKEN, lambda body: keep_alive(http_response(body, status)))
    assert_rejected(visitor, sign_in_via_provider(visitor, issuer), "OAuthCallback")
    assert backend.calls == []


@pytest.mark.parametrize(
    "said",
    [*({"expires_in": value} for value in as_objects("3600", "x", -1, 0, None, True, [], {}, 10**400)),
     *({"expires_at": value} for value in as_objects("x", [], {}, None, 1.5)), {"token_type": "bearer"},
     {"token_type": "BEARER"},
     {"token_type": ...}, {"refresh_token": ["x"]}, {"scope": 5}, {"scope": "openid"}, {"error_description": "x"}],
    ids=lambda said: str(said)[:60],
)  # fmt: skip
def test_unused_fields_of_the_token_answer_may_have_any_value(issuer: Issuer, visitor: Visitor, said: Json) -> None:
    issuer.token_fields = said
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e9"])
def test_an_infinite_expiry_in_the_token_answer_is_ignored(issuer: Issuer, visitor: Visitor, text: str) -> None:
    issuer.token_fields = {"expires_in": "@@", "expires_at": "@@"}
    issuer.responses[TOKEN] = with_current_body(
        issuer, TOKEN, lambda body: http_response(body.replace(b'"@@"', text.encode()))
    )
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


@pytest.mark.parametrize(
    "said",
    [*({"access_token": value}
       for value in as_objects(..., None, "", 5, [], {}, True, "a b", "a\r\nX: y", "é")),
     *({"token_type": value} for value in as_objects("mac", "dpop", "", None, 5, ["Bearer"]))],
    ids=lambda said: str(said)[:60],
)  # fmt: skip
def test_without_a_bearer_token_the_userinfo_is_not_requested(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, said: Json
) -> None:
    issuer.token_fields = said
    assert_rejected(visitor, sign_in_via_provider(visitor, issuer), "OAuthCallback")
    assert issuer.requests_to(USERINFO) == []
    assert backend.calls == []


# --- Answers of the userinfo endpoint


@pytest.mark.parametrize(
    "fault",
    sample_rows([*BROKEN, *ENORMOUS, *NO_JSON, *SLOW, "400", "401", "403", "404", "429", "500", "503", "307"], 10),
)
def test_a_failing_userinfo_endpoint_does_not_prevent_a_sign_in_that_the_id_token_proves(
    issuer: Issuer, visitor: Visitor, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    raw = json.dumps(issuer.userinfo).encode()
    if fault.isdigit():
        issuer.responses[USERINFO] = http_response(raw, int(fault), Location="/elsewhere")
    elif fault in NO_JSON:
        issuer.responses[USERINFO] = keep_alive(http_response(NO_JSON[fault](raw)))
    else:
        issuer.responses[USERINFO] = (BROKEN | ENORMOUS | SLOW)[fault](raw)
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    assert any(line.startswith(f"optional call to a provider failed: {USERINFO}") for line in caplog.messages)


@pytest.mark.parametrize("fault", sample_rows([*BROKEN, *NO_JSON], 8))
def test_a_failing_user_endpoint_signs_nobody_in_without_an_id_token(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, fault: str
) -> None:
    raw = json.dumps({"id": 5, "login": "haneul"}).encode()
    is_json_fault = fault in NO_JSON
    issuer.responses[GITHUB["user"]] = (
        keep_alive(http_response(NO_JSON[fault](raw))) if is_json_fault else BROKEN[fault](raw)
    )
    response = sign_in_via_provider(visitor, issuer, "github")
    code = next((code for code in EITHER if f"error={code}" in response.headers["Location"]), "")
    assert_rejected(visitor, response, code)
    assert backend.calls == []


@pytest.mark.corpus
@pytest.mark.parametrize("fault", ["no http_response", pytest.param("a dripping body", marks=pytest.mark.corpus)])
def test_slow_github_addresses_do_not_prevent_sign_in(issuer: Issuer, visitor: Visitor, fault: str) -> None:
    issuer.responses[GITHUB["emails"]] = SLOW[fault](b"[]" + b" " * 100)
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer, "github"))


# --- Sizes: what goes into no cookie has no bound of its own

SIZES = (4_096, 4_097, 100_000)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("provider", ["oidc", "github"])
def test_an_access_token_of_any_size_signs_in_and_reaches_the_backend(
    issuer: Issuer, backend: FaultyBackend, visitor: Visitor, provider: str, size: int
) -> None:
    token = "t" * size
    issuer.token_fields = {"access_token": token}
    issuer.responses[GITHUB["token"]] = http_response({"access_token": token, "token_type": "bearer"})
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer, provider))
    (call,) = backend.requests_to(f"/login/social/callback/{provider}")
    assert call.json == {"social_token": token}


@pytest.mark.parametrize("size", SIZES)
def test_an_id_token_of_any_size_signs_in(issuer: Issuer, visitor: Visitor, size: int) -> None:
    issuer.extra_claims = {"groups": "g" * size}
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


@pytest.mark.parametrize("size", SIZES)
def test_further_fields_of_a_token_response_may_have_any_size(issuer: Issuer, visitor: Visitor, size: int) -> None:
    issuer.token_fields = {"refresh_token": "r" * size, "scope": "s " * size, "expires_in": "9" * 30}
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


@pytest.mark.parametrize("size", SIZES)
def test_a_userinfo_of_any_size_signs_in(issuer: Issuer, visitor: Visitor, size: int) -> None:
    issuer.userinfo = {"sub": SUBJECT, "name": "하늘" * size, "picture": "https://e.co/" + "p" * size}
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


@pytest.mark.parametrize("size", SIZES)
def test_metadata_of_any_size_signs_in(issuer: Issuer, visitor: Visitor, size: int) -> None:
    issuer.metadata = {"scopes_supported": ["s" * 10] * (size // 10), "claims_supported": "c" * size}
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


@pytest.mark.parametrize("code", ["c", "c" * 2_049, "c" * 8_000, "4/0Ab~c+%&=!"])
def test_a_code_of_any_size_is_exchanged_unchanged(issuer: Issuer, visitor: Visitor, code: str) -> None:
    params = start_sign_in(visitor, issuer)
    assert_signed_in(visitor, send_callback(visitor, params, code=code))
    assert issuer.last_token_request()["code"] == code


def test_further_parameters_of_a_callback_may_be_long(issuer: Issuer, visitor: Visitor) -> None:
    params = start_sign_in(visitor, issuer)
    assert_signed_in(visitor, send_callback(visitor, params, session_state="s" * 4_000, scope="openid " * 500))


def test_apples_name_may_come_with_a_long_form(issuer: Issuer, visitor: Visitor) -> None:
    params = start_sign_in(visitor, issuer, "apple")
    user = json.dumps({"email": "h@example.com", "more": "x" * 20_000, "name": {"firstName": "하늘"}})
    response = post_callback(visitor, params, user=user, id_token="x" * 20_000, code="c" * 4_000)
    assert "next-auth.session-token" in cookie_names(response)


def test_a_header_of_20_kb_does_not_matter(issuer: Issuer, visitor: Visitor) -> None:
    for step in (*STEPS, USERINFO):
        issuer.responses[step] = with_current_body(
            issuer, step, lambda body: http_response(body, Content_Security_Policy="p" * 20_000)
        )
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


@pytest.mark.parametrize(
    ("raw", "limit"),
    [
        (http_response({}, X="x" * 70_000), "65536 bytes"),
        (http_response({}, X="\r\n".join(["1", *["X-Other: 1"] * 200])), "128"),
        (http_response({"x": "x" * 2**20}), "1048576 bytes"),
    ],
)
def test_the_log_names_the_limit_that_a_providers_answer_exceeds(
    issuer: Issuer, visitor: Visitor, caplog: pytest.LogCaptureFixture, raw: bytes, limit: str
) -> None:
    issuer.responses[TOKEN] = raw
    assert_rejected(visitor, sign_in_via_provider(visitor, issuer), "ProviderUnavailable")
    assert limit in caplog.records[-1].__dict__["fields"]["reason"]


# --- Which calls are made


def test_the_userinfo_is_not_requested_if_the_id_token_is_complete(issuer: Issuer, visitor: Visitor) -> None:
    issuer.responses[USERINFO] = http_response(b"", 500)
    issuer.extra_claims = {"name": "하늘", "email": "h@example.com"}
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


def test_a_person_who_withholds_the_address_signs_in_without_one(issuer: Issuer, visitor: Visitor) -> None:
    issuer.token_fields, issuer.userinfo = {"scope": "openid"}, {"sub": SUBJECT}
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


def test_an_issuer_without_a_userinfo_endpoint_signs_in(issuer: Issuer, visitor: Visitor) -> None:
    issuer.metadata = {"userinfo_endpoint": None}
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


@pytest.mark.parametrize("status", [200, 401, 403, 404])
def test_withheld_github_addresses_do_not_prevent_sign_in(issuer: Issuer, visitor: Visitor, status: int) -> None:
    issuer.responses[GITHUB["emails"]] = http_response({"message": "~secret~"}, status)
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer, "github"))


@pytest.mark.parametrize(("status", "code"), [(403, "OAuthCallback"), (429, "ProviderUnavailable")])
def test_a_refused_github_user_signs_nobody_in(issuer: Issuer, visitor: Visitor, status: int, code: str) -> None:
    issuer.responses[GITHUB["user"]] = http_response({"message": "~secret~"}, status)
    assert_rejected(visitor, sign_in_via_provider(visitor, issuer, "github"), code)


# --- The callback


@pytest.mark.parametrize(
    ("error", "code"),
    [("access_denied", "Cancelled"), ("ACCESS_DENIED", "Cancelled"), ("user_cancelled_authorize", "Cancelled"),
     ("server_error", "ProviderUnavailable"), ("temporarily_unavailable", "ProviderUnavailable"),
     ("invalid_scope", "Configuration"), ("unauthorized_client", "Configuration"), ("invalid_request", "Configuration"),
     ("invalid_grant", "AttemptExpired"), ("login_required", "OAuthCallback"), ("~secret~\r\n", "OAuthCallback")],
)  # fmt: skip
def test_each_error_in_the_callback_has_its_code(issuer: Issuer, visitor: Visitor, error: str, code: str) -> None:
    asked = start_sign_in(visitor, issuer)
    issuer.calls = []
    response = send_callback(visitor, asked, error=error, error_description="~secret~")
    assert_rejected(visitor, response, code)
    assert issuer.calls == []


@pytest.mark.parametrize(("minutes", "in_time"), [(14, True), (16, False)])
def test_an_attempt_expires_after_fifteen_minutes(
    issuer: Issuer, visitor: Visitor, monkeypatch: pytest.MonkeyPatch, minutes: int, in_time: bool
) -> None:
    asked = start_sign_in(visitor, issuer)
    monkeypatch.setattr(signing._Signer, "get_timestamp", lambda _: int(time.time()) + minutes * 60)
    response = send_callback(visitor, asked)
    if in_time:
        assert_signed_in(visitor, response)
    else:
        assert_rejected(visitor, response, "AttemptExpired")
        assert issuer.requests_to(TOKEN) == []
        assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


@pytest.mark.parametrize("user", [None, "~secret~", "[" * 5000, '{"name": {"firstName": 5}}', '{"name": "x"}'])
def test_apples_user_field_may_be_missing_or_invalid(issuer: Issuer, visitor: Visitor, user: str | None) -> None:
    form = {} if user is None else {"user": user}
    response = post_callback(visitor, start_sign_in(visitor, issuer, "apple"), **form)
    assert "next-auth.session-token" in response.headers["Set-Cookie"]


def test_an_expired_apple_client_secret_is_a_configuration_error(
    issuer: Issuer, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.responses[TOKEN_PATHS["apple"]] = http_response({"error": "invalid_client"}, 400)
    response = post_callback(visitor, start_sign_in(visitor, issuer, "apple"))
    assert_rejected(visitor, response, "Configuration")
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
    visitor = make_site(backend.url, **issuer.site_settings()).new_visitor()
    if fault:
        assert_fails_at(visitor, issuer, DISCOVERY, EITHER[:1])
        assert issuer.calls == []
    else:
        assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
        issuer.metadata = {
            "jwks_uri": issuer.url.replace("https:", "http:")
        }  # if the issuer uses https, all of its URLs have to
        forget_all = make_site(backend.url, **issuer.site_settings()).new_visitor()
        assert_fails_at(forget_all, issuer, DISCOVERY, EITHER[:1])
    issuer.stop_listening()
    issuer.close_connections()


# --- Secrets


def test_secrets_are_sent_to_the_token_endpoint_only(issuer: Issuer, visitor: Visitor) -> None:
    issuer.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    assert issuer.last_token_request() | {"code": CODE, "client_secret": CLIENT_SECRET} == issuer.last_token_request()
    for call in issuer.calls:
        said = f"{call.path}{call.headers}{call.body!r}"
        assert call.path == TOKEN or not any(secret in said for secret in (CLIENT_SECRET, CODE, "code_verifier"))
        assert call.path == USERINFO or ACCESS_TOKEN not in said


@pytest.mark.parametrize("said", [None, False, "true", 1])
def test_without_announced_support_the_iss_parameter_is_optional(
    issuer: Issuer, visitor: Visitor, said: object
) -> None:
    issuer.metadata = {"authorization_response_iss_parameter_supported": said}
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))


def test_with_announced_support_the_iss_parameter_is_required(issuer: Issuer, visitor: Visitor) -> None:
    issuer.metadata = {"authorization_response_iss_parameter_supported": True}
    assert_rejected(visitor, sign_in_via_provider(visitor, issuer), "OAuthCallback")
    assert_rejected(
        visitor, send_callback(visitor, start_sign_in(visitor, issuer), iss="https://evil.example"), "OAuthCallback"
    )
    assert issuer.requests_to(TOKEN) == []
    assert_signed_in(visitor, send_callback(visitor, start_sign_in(visitor, issuer), iss=issuer.url))
