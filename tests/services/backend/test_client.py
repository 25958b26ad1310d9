"""What the backend is sent, and what each of its answers leads to."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import responses

from dev.backend import PASSWORD
from services.backend.user import User
from services.http.aiohttp_adapter import NotSentError
from tests.support.faulty_backend import (
    HEALTHY,
    NO_LIMITS,
    TOKEN,
    USER,
    FaultyBackend,
    assert_sign_in_rejected,
    faulty_backend,
    http_response,
    keep_alive,
    login_body,
    send_after_delay,
    send_then,
    user_body,
)
from tests.support.site import MINJI, ManualClock, Page, Site, SiteMaker, Visitor, cookie_names, running_site
from tests.support.tables import sample_pairs, sample_rows


@pytest.fixture(scope="module")
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(scope="module")
def site(backend: FaultyBackend) -> Iterator[Site]:
    with running_site(backend.url, **NO_LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(backend: FaultyBackend) -> None:
    backend.reset()


@pytest.fixture
def member(visitor: Visitor, backend: FaultyBackend) -> Visitor:
    """A visitor who is signed in."""
    assert visitor.sign_in().status_code == 303
    backend.calls.clear()
    return visitor


# --- Requests


def saved_as(visitor: Visitor) -> Any:
    return visitor.get_session()["user"]["name"]


def all_four(visitor: Visitor) -> None:
    """Sign in, save a new name, sign out: every call to the backend."""
    visitor.sign_in()
    visitor.submit("/account", {"name": "김새봄", "nick_name": ""})
    visitor.submit("/auth/logout", {})


def test_each_call_sends_the_documented_method_path_and_body(backend: FaultyBackend, visitor: Visitor) -> None:
    all_four(visitor)
    assert [(call.method, call.path, call.json) for call in backend.calls] == [
        ("POST", "/login", {"email": MINJI, "password": PASSWORD}),
        ("POST", "/user", None),
        ("PATCH", "/profile", {"name": "김새봄", "nick_name": None}),
        ("POST", "/logout", None),
    ]


def test_each_call_but_the_login_has_the_bearer_token(backend: FaultyBackend, visitor: Visitor) -> None:
    all_four(visitor)
    bearers = [call.headers["Authorization"] for call in backend.calls]
    assert bearers == [None, *[f"Bearer {TOKEN}"] * 3]


def test_no_header_of_the_visitor_is_forwarded(backend: FaultyBackend, site: Site) -> None:
    """With an `Origin`, `Referer` or `Cookie`, Laravel Sanctum would require a CSRF token (419)."""
    all_four(
        site.new_visitor(
            **{
                "Origin": site.url,
                "Referer": f"{site.url}/auth/login/email",
                "Authorization": "Bearer stolen",
                "X-Forwarded-Host": "evil.example",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Port": "443",
                "X-Forwarded-Prefix": "/evil",
                "Forwarded": "for=203.0.113.9",
                "X-Request-Id": "chosen",
                "X-Anything": "else",
            }
        )
    )
    sent = {"Host", "User-Agent", "Accept", "Accept-Encoding", "Accept-Language", "X-Forwarded-For", "X-Request-Id"}
    sent |= {"Content-Type", "Content-Length", "Authorization"}
    assert len(backend.calls) == 4
    for call in backend.calls:
        assert set(call.headers) == sent - ({"Authorization"} if call.path == "/login" else set())
        assert "stolen" not in str(call.headers)
        assert "chosen" not in str(call.headers)


def test_each_call_accepts_json(backend: FaultyBackend, visitor: Visitor) -> None:
    """Otherwise Laravel answers a wrong password with a redirect to HTML."""
    all_four(visitor)
    for call in backend.calls:
        assert call.headers["Accept"] == call.headers["Content-Type"] == "application/json"
        assert re.fullmatch(r"Munjigi/[0-9.]+", call.headers["User-Agent"])


def test_each_call_has_the_request_id_of_the_page(backend: FaultyBackend, visitor: Visitor) -> None:
    response = visitor.sign_in()
    assert {call.headers["X-Request-Id"] for call in backend.calls} == {response.headers["X-Request-Id"]}


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en-GB", "en"),
        ("sv", "ko"),
        ("../../etc", "ko"),
        ("en\tX: y", "ko"),
        ("zh-HK", "zh-Hant,zh-TW;q=0.9"),
        ("zh", "zh-Hans,zh-CN;q=0.9"),
    ],
)
def test_each_call_has_the_language_of_the_page(backend: FaultyBackend, site: Site, asked: str, sent: str) -> None:
    visitor = site.new_visitor(**{"Accept-Language": asked})
    visitor.sign_in()
    assert [call.headers["Accept-Language"] for call in backend.calls] == [sent, sent]
    visitor.get("/?lang=en")
    visitor.submit("/auth/logout", {})
    assert backend.calls[-1].headers["Accept-Language"] == "en"


def test_without_a_proxy_the_visitors_forwarded_headers_are_ignored(backend: FaultyBackend, site: Site) -> None:
    site.new_visitor(**{"X-Forwarded-For": "203.0.113.9", "X-Real-Ip": "203.0.113.9"}).sign_in()
    for call in backend.calls:
        assert call.headers.get_all("X-Forwarded-For") in (["127.0.0.1"], ["::1"])


@pytest.mark.parametrize(
    ("came", "sent"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("198.51.100.1,10.0.0.1,203.0.113.9", "203.0.113.9"),
        ("2001:db8::9", "2001:db8::9"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("[2001:db8::9]:5123", "2001:db8::9"),
        ("203.0.113.9:5123", "203.0.113.9"),
        ("203.0.113.9:5123:1", None),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("evil.example", None),
        ("203.0.113.9\tX-Admin: 1", None),
        ("unknown", None),
        ("2001:db8::1%any text; at all", "2001:db8::1"),
    ],
)
def test_behind_one_proxy_the_client_address_is_the_one_that_it_added(
    shared_site: SiteMaker, backend: FaultyBackend, came: str, sent: str | None
) -> None:
    shared_site(backend.url, proxy_hops=1).new_visitor(**{"X-Forwarded-For": came}).sign_in()
    assert [call.headers.get_all("X-Forwarded-For") for call in backend.calls] == [sent and [sent]] * 2


@pytest.mark.parametrize(
    "password",
    [
        "x" * 64,
        "x" * 72,
        "x" * 73,
        "x" * 128,
        "x" * 1024,
        "가" * 1024,
        " leading and trailing ",
        "\t",
        " ",
        "🔑🚪",
        "e\N{COMBINING ACUTE ACCENT}",
        "\N{LATIN SMALL LETTER E WITH ACUTE}",
        "\u1106\u116e\u11ab",  # 문 as three code points, as macOS may send it
        "a\x00b",
        "\r\n",
        "+&=%25",
        '"}\\u0000{"',
        "\N{FULLWIDTH COMMERCIAL AT}\N{NO-BREAK SPACE}\N{ZERO WIDTH SPACE}",
        "\N{MATHEMATICAL FRAKTUR CAPITAL A}",
    ],
    ids=ascii,
)
def test_a_password_is_sent_unchanged(backend: FaultyBackend, visitor: Visitor, password: str) -> None:
    assert visitor.sign_in(password=password).status_code == 303
    assert backend.requests_to("/login")[0].json == {"email": MINJI, "password": password}


def test_a_password_that_is_not_utf_8_is_refused(backend: FaultyBackend, visitor: Visitor) -> None:
    form = f"csrfToken={visitor.csrf_token()}&email={MINJI}&password=%ff%fe"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert visitor.post("/auth/login/email", data=form, headers=kind).status_code == 400
    assert backend.calls == []


def test_only_the_first_value_of_each_known_form_field_is_sent(backend: FaultyBackend, visitor: Visitor) -> None:
    fields = [
        ("csrfToken", visitor.csrf_token()),
        ("email", MINJI),
        ("email", "jun@example.com"),
        ("password", "first"),
    ]
    fields += [
        ("password", "second"),
        ("email[]", "x"),
        ("user[id]", "1"),
        ("accessToken", "x"),
        ("provider", "google"),
    ]
    assert visitor.post("/auth/login/email?email=query&password=query", data=fields).status_code == 303
    assert backend.requests_to("/login")[0].json == {"email": MINJI, "password": "first"}


# --- Retries


SENT = "services.http.aiohttp_adapter.AiohttpAdapter.send"


@pytest.mark.parametrize(("refusals", "status"), [(0, 303), (1, 303), (2, 503)])
def test_the_user_request_is_repeated_once_if_no_connection_can_be_made(
    backend: FaultyBackend, visitor: Visitor, refusals: int, status: int
) -> None:
    with responses.RequestsMock(target=SENT) as network:
        network.post(f"{backend.url}/login", json=login_body())
        for _ in range(refusals):
            network.post(f"{backend.url}/user", body=NotSentError())
        if status == 303:
            network.post(f"{backend.url}/user", json=user_body())
        else:
            network.post(f"{backend.url}/logout", status=204)
        assert visitor.sign_in().status_code == status
        asked = [call.request.url for call in network.calls if call.request.url == f"{backend.url}/user"]
        assert len(asked) == min(refusals + 1, 2)


def test_a_login_request_is_never_repeated(backend: FaultyBackend, visitor: Visitor) -> None:
    with responses.RequestsMock(target=SENT) as network:
        network.post(f"{backend.url}/login", body=NotSentError())
        assert_sign_in_rejected(visitor, 503)
        assert len(network.calls) == 1


# --- Answers to the login

NAMES = {"name": "새 이름", "nick_name": "새"}
WRONG = "The email address or password is incorrect."
UNVERIFIED = "Your email address is not verified yet."
LINKED = "You cannot sign in this way with this email address."
TWO_FACTOR = "needs an extra verification step"
DOWN = "Our service is not responding right now."
OPERATOR = "Sign-in is not set up correctly on this site."
NO_MATCH = "These credentials do not match our records."
TRACE = {
    "message": "~secret~",
    "exception": "PDOException",
    "file": "/var/www/~secret~.php",
    "line": 7,
    "trace": [{"file": "~secret~"}],
}
HTML = b"<!doctype html><title>~secret~</title><h1>Welcome</h1>"


def invalid(**fields: object) -> bytes:
    """Return a 422 in the format of Laravel's validator."""
    return http_response({"message": "~secret~", "errors": fields}, 422)


SAID_BY_ANY = {
    "405": (http_response({"message": "The GET method is not supported for route ~secret~."}, 405), 502, OPERATOR),
    "419": (http_response({"message": "CSRF token mismatch."}, 419), 502, OPERATOR),
    "429": (
        http_response({"message": "Too Many Attempts."}, 429, Retry_After=57, X_RateLimit_Limit=5),
        429,
        "57 seconds",
    ),
    "429 of Fortify": (http_response({"message": "~secret~", "errors": {"email": ["~secret~"]}}, 429), 429, "1 minute"),
    "500": (http_response({"message": "Server Error"}, 500), 502, DOWN),
    "500 with a trace": (http_response(TRACE, 500), 502, DOWN),
    "503": (http_response({"message": "Service Unavailable"}, 503, Retry_After=60, Refresh=15), 503, DOWN),
    "503 as a page": (http_response(HTML, 503, Content_Type="text/html"), 503, DOWN),
    **{
        f"{status} as a page": (http_response(HTML, status, Content_Type="text/html", Location="/~secret~"), 502, DOWN)
        for status in (101, 200, 203, 206, 300, 301, 302, 303, 304, 307, 308, 408, 413, 501, 502, 504, 520, 599, 999)
    },
    "204": (http_response(status=204, Content_Length=None), 502, DOWN),
    "451": (http_response({"message": "~secret~"}, 451), 502, OPERATOR),
}
SAID_BY_LOGIN = {
    "wrong, of Laravel": (http_response({"message": NO_MATCH, "errors": {"email": [NO_MATCH]}}, 422), 401, WRONG),
    "wrong, of tutorials": (http_response({"message": "Unauthorized"}, 401), 401, WRONG),
    "throttled, of Breeze": (invalid(email=["Too many login attempts."]), 401, WRONG),
    "422 for the password": (invalid(password=["~secret~"]), 401, WRONG),
    "422 for nothing": (invalid(), 401, WRONG),
    "422 with errors that are none": (http_response({"errors": ["~secret~"]}, 422), 401, WRONG),
    "400": (http_response({"message": "~secret~"}, 400), 401, WRONG),
    "404": (http_response({"message": "The route api/v2/login could not be found."}, 404), 401, WRONG),
    "410": (http_response({"message": "~secret~"}, 410), 401, WRONG),
    "423": (http_response({"message": "~secret~"}, 423), 401, WRONG),
    "403": (http_response({"message": "~secret~"}, 403), 403, UNVERIFIED),
    "409": (http_response({"message": "~secret~"}, 409), 403, LINKED),
    "two factors": (http_response({"two_factor": True}), 403, TWO_FACTOR),
    "no success": (http_response({"message": "~secret~", "success": False}), 401, WRONG),
    "200 with a message": (http_response({"message": "~secret~"}), 502, DOWN),
    "200 with an error": (http_response({"error": "~secret~"}), 502, DOWN),
    "200 without data": (http_response({"success": True, "data": None}), 502, DOWN),
    "422 for both in one": (invalid(**{"email or password": ["~secret~"]}), 401, WRONG),
    "422 for a field of its own": (invalid(email=["~secret~"], device_name=["~secret~"]), 502, OPERATOR),
}
SAID_BY_USER = {
    "401": (http_response({"message": "Unauthenticated."}, 401), 502, DOWN),
    "403": (http_response({"message": "Your email address is not verified."}, 403), 403, UNVERIFIED),
    **{
        str(status): (http_response({"message": "~secret~"}, status), 502, OPERATOR)
        for status in (400, 404, 409, 410, 422, 423)
    },
    "no user": (http_response(user_body(None)), 502, DOWN),
    "no success": (http_response({"message": "~secret~", "success": False}), 502, DOWN),
}


@pytest.mark.parametrize("said", [*SAID_BY_ANY, *SAID_BY_LOGIN])
def test_each_answer_to_the_login_has_its_status_and_text(backend: FaultyBackend, visitor: Visitor, said: str) -> None:
    raw, status, words = (SAID_BY_ANY | SAID_BY_LOGIN)[said]
    backend.responses["/login"] = keep_alive(raw)
    assert words in assert_sign_in_rejected(visitor, status).message
    assert [call.path for call in backend.calls] == ["/login"]


@pytest.mark.parametrize("said", [*SAID_BY_ANY, *SAID_BY_USER])
def test_each_answer_to_the_user_request_revokes_the_token(backend: FaultyBackend, visitor: Visitor, said: str) -> None:
    raw, status, words = (SAID_BY_ANY | SAID_BY_USER)[said]
    backend.responses["/user"] = keep_alive(raw)
    assert words in assert_sign_in_rejected(visitor, status).message
    assert [call.path for call in backend.calls] == ["/login", "/user", "/logout"]
    assert backend.calls[-1].headers["Authorization"] == f"Bearer {TOKEN}"


def test_an_answer_does_not_reveal_whether_an_account_exists(backend: FaultyBackend, visitor: Visitor) -> None:
    pages = set()
    for raw, status, words in SAID_BY_LOGIN.values():
        if words == WRONG:
            backend.responses["/login"] = keep_alive(raw)
            page = assert_sign_in_rejected(visitor, status)
            pages.add(page.text.replace(page.input_value("csrfToken") or "", ""))
    assert len(pages) == 1


@pytest.mark.parametrize(
    ("given", "seconds", "words"),
    [
        ("30", 30, "30 seconds"),
        ("0", 1, "1 second"),
        ("600", 600, "10 minutes"),
        ("1000000000", 3600, "60 minutes"),
        ("9" * 4000, 3600, "60 minutes"),
        ("9" * 5000, 3600, "60 minutes"),
        ("0" * 5000 + "30", 30, "30 seconds"),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 3600, "60 minutes"),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1, "1 second"),
        ("Wed, 99 Oct 2015 07:28:00 GMT", 60, "1 minute"),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 1, "1 second"),
        ("-1", 60, "1 minute"),
        ("1.5", 2, "2 seconds"),
        ("0.337", 1, "1 second"),
        ("29.0", 29, "29 seconds"),
        ("-1.5", 60, "1 minute"),
        ("1e3", 60, "1 minute"),
        ("+30", 60, "1 minute"),
        ("30, 60", 60, "1 minute"),
        (" 30 ", 30, "30 seconds"),
        ("٣٠", 60, "1 minute"),
        ("²", 60, "1 minute"),
        ("soon", 60, "1 minute"),
        ("", 60, "1 minute"),
        (None, 60, "1 minute"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_retry_after_is_shown_within_limits(
    backend: FaultyBackend, visitor: Visitor, given: str | None, seconds: int, words: str
) -> None:
    backend.responses["/login"] = keep_alive(http_response(status=429, Retry_After=given))
    page = assert_sign_in_rejected(visitor, 429)
    assert f"Try again in {words}." in page.message
    assert page.response.headers["Retry-After"] == str(seconds)


def test_a_backend_in_maintenance_passes_on_its_retry_after(backend: FaultyBackend, visitor: Visitor) -> None:
    backend.responses["/user"] = keep_alive(http_response(HTML, 503, Retry_After=120))
    assert assert_sign_in_rejected(visitor, 503).response.headers["Retry-After"] == "120"


def test_field_errors_of_the_backend_are_shown_at_the_fields(backend: FaultyBackend, visitor: Visitor) -> None:
    backend.responses["/login"] = keep_alive(
        invalid(email=["<script>alert(1)</script>", "~secret~"], password="비밀번호 " + "x" * 300)
    )
    page = assert_sign_in_rejected(visitor, 422)
    said = page.texts("p[@class='field-error']")
    assert said == ["Error: <script>alert(1)</script>", f"Error: 비밀번호 {'x' * 195}"]
    assert all("/auth/static/" in script.get("src") for script in page.find_all("script"))
    assert "~secret~" not in page.text


@pytest.mark.parametrize("said", [None, [], {}, 5, [[]], [None], ["\x00"], {"0": "~secret~"}])
def test_invalid_field_errors_are_replaced_by_our_text(backend: FaultyBackend, visitor: Visitor, said: object) -> None:
    backend.responses["/login"] = keep_alive(invalid(email=said, password=said))
    assert "Check what you entered and try again." in assert_sign_in_rejected(visitor, 422).message


def test_a_required_field_that_we_do_not_send_is_logged(
    backend: FaultyBackend, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    backend.responses["/login"] = keep_alive(invalid(device_name=["~secret~"]))
    assert_sign_in_rejected(visitor, 502)
    assert "device_name" in caplog.records[-1].__dict__["fields"]["reason"]


@pytest.mark.parametrize("status", [200, 201])
def test_status_200_and_201_sign_in(backend: FaultyBackend, visitor: Visitor, status: int) -> None:
    backend.responses["/login"] = keep_alive(http_response(login_body(), status))
    backend.responses["/user"] = keep_alive(http_response(user_body(), status))
    assert visitor.sign_in().status_code == 303
    assert visitor.get_session()["user"] == USER


@pytest.mark.parametrize(
    "text",
    ["17|" + "a" * 40, "17|munjigi_" + "a" * 48, "018f3c1e-0000-7000-8000-000000000000|x", "eyJhbGciOi.e30.c2ln", "x"],
)
def test_a_token_of_any_format_is_used_unchanged(backend: FaultyBackend, visitor: Visitor, text: str) -> None:
    backend.responses["/login"] = keep_alive(http_response(login_body(text)))
    assert visitor.sign_in().status_code == 303
    assert backend.requests_to("/user")[0].headers["Authorization"] == f"Bearer {text}"


@pytest.mark.parametrize("size", [4_096, 4_097, 8_000])
def test_a_token_of_any_size_that_fits_into_the_session_cookie_signs_in(
    backend: FaultyBackend, visitor: Visitor, size: int
) -> None:
    backend.responses["/login"] = keep_alive(http_response(login_body("t" * size)))
    assert visitor.sign_in().status_code == 303
    assert visitor.is_signed_in
    assert visitor.submit("/auth/logout", {}).status_code in (200, 303)
    assert backend.calls[-1].headers["Authorization"] == "Bearer " + "t" * size


@pytest.mark.parametrize("size", [9_000, 50_000])
def test_a_token_that_is_too_large_for_the_session_cookie_is_revoked_and_named_in_the_log(
    backend: FaultyBackend, visitor: Visitor, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    backend.responses["/login"] = keep_alive(http_response(login_body("t" * size)))
    assert OPERATOR in assert_sign_in_rejected(visitor, 502).message
    assert backend.calls[-1].path == "/logout"
    assert f"is over 3 cookies of 3933: the access token has {size}" in caplog.text


def test_the_content_type_of_an_answer_is_ignored(backend: FaultyBackend, visitor: Visitor) -> None:
    backend.responses["/login"] = keep_alive(http_response(login_body(), Content_Type="text/html; charset=euc-kr"))
    backend.responses["/user"] = keep_alive(http_response(user_body(), Content_Type=None))
    assert visitor.sign_in().status_code == 303
    assert visitor.get_session()["user"] == USER


# --- Answers that are not the backend's own

PAGE = b"\xef\xbb\xbf\r\n<!doctype html><title>~secret~</title>"
CHALLENGE: dict[str, Any] = {"cf_mitigated": "challenge", "Content_Type": "text/html; charset=UTF-8"}
WALLS = {
    **{
        f"{status} as a page": (http_response(HTML, status, Content_Type="text/html"), 502, OPERATOR)
        for status in (400, 401, 403, 404, 405, 409, 410, 418, 422, 423, 451)
    },
    "403 as a page after a byte order mark": (http_response(PAGE, 403), 502, OPERATOR),
    "401 as XML": (http_response(b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', 401), 502, OPERATOR),
    "403 of Cloudflare": (http_response(HTML, 403, **CHALLENGE), 502, OPERATOR),
    "403 of Cloudflare as JSON": (http_response({"message": "~secret~"}, 403, **CHALLENGE), 502, OPERATOR),
    "401 of Cloudflare without a body": (http_response(status=401, **CHALLENGE), 502, OPERATOR),
    "503 of Cloudflare": (http_response(HTML, 503, **CHALLENGE), 502, OPERATOR),
    "429 of Cloudflare": (http_response(HTML, 429, **CHALLENGE), 502, OPERATOR),
    "200 of Cloudflare": (http_response(HTML, **CHALLENGE), 502, OPERATOR),
    "202 of AWS WAF": (http_response(HTML, 202, x_amzn_waf_action="challenge"), 502, OPERATOR),
    "405 of AWS WAF": (http_response(HTML, 405, x_amzn_waf_action="captcha"), 502, OPERATOR),
    "403 as text": (http_response(b"error code: 1020", 403, Content_Type="text/plain"), 502, OPERATOR),
    **{
        f"{status} without a body": (http_response(status=status), 502, OPERATOR)
        for status in (400, 403, 404, 409, 410, 422, 423)
    },
    "403 of blanks": (http_response(b"\r\n", 403), 502, OPERATOR),
    "200 as a page": (http_response(HTML, Content_Type="text/html"), 502, DOWN),
    "429 as a page": (http_response(HTML, 429, Retry_After=120), 503, DOWN),
    "502 as a page": (http_response(HTML, 502), 502, DOWN),
}


@pytest.mark.parametrize(("wall", "step"), sample_pairs(WALLS, ["/login", "/user"]))
def test_an_answer_that_is_not_the_backends_own_says_nothing_about_the_person(
    backend: FaultyBackend, visitor: Visitor, caplog: pytest.LogCaptureFixture, step: str, wall: str
) -> None:
    raw, status, words = WALLS[wall]
    backend.responses[step] = keep_alive(raw)
    assert words in assert_sign_in_rejected(visitor, status).message
    line = next(record for record in caplog.records if record.getMessage() == "sign_in_failed")
    assert line.levelname == "ERROR"
    assert f"the {step[1:]} path answered {wall[:3]} with" in line.__dict__["fields"]["reason"]
    assert "~secret~" not in caplog.text


def test_the_log_names_the_bot_protection(
    backend: FaultyBackend, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    backend.responses["/login"] = keep_alive(WALLS["403 of Cloudflare"][0])
    assert_sign_in_rejected(visitor, 502)
    reason = caplog.records[-1].__dict__["fields"]["reason"]
    assert reason == (
        "the login path answered 403 with a challenge of a bot protection (cf-mitigated): let this site's requests pass"
    )


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        (http_response(status=401), 401, WRONG),
        (http_response(status=401, Content_Type="text/html"), 401, WRONG),
        (http_response(b"Unauthorized", 401, Content_Type="text/plain"), 401, WRONG),
        (http_response(b"Bad credentials", 401, Content_Type="text/html"), 401, WRONG),
        (http_response(b"Too many requests, please try again later.", 429), 429, "1 minute"),
        (http_response({"message": "<b>Wrong.</b>"}, 401, Content_Type="text/html"), 401, WRONG),
    ],
)
def test_a_401_without_html_means_wrong_credentials(
    backend: FaultyBackend, visitor: Visitor, raw: bytes, status: int, words: str
) -> None:
    """Spring's filters answer a wrong password without a body, Express with the status as text."""
    backend.responses["/login"] = keep_alive(raw)
    assert words in assert_sign_in_rejected(visitor, status).message


def test_a_wall_in_front_of_the_backend_signs_nobody_out(shared_site: SiteMaker, backend: FaultyBackend) -> None:
    clock = ManualClock()
    site = shared_site(backend.url, clock=clock)
    for number, (raw, _, _) in enumerate(WALLS.values(), 1):
        clock.advance(86400)  # no back-off remains
        backend.responses["/user"] = keep_alive(raw)
        assert site.visitor_signed_in_ago(301, User.from_json(USER)).is_signed_in
        assert len(backend.requests_to("/user")) == number


@pytest.mark.parametrize("raw", [http_response(status=401), http_response({"message": "Unauthenticated."}, 401)])
def test_a_401_without_html_ends_the_session(site: Site, backend: FaultyBackend, raw: bytes) -> None:
    backend.responses["/user"] = keep_alive(raw)
    assert not site.visitor_signed_in_ago(301, User.from_json(USER)).is_signed_in


@pytest.mark.parametrize("wall", sample_rows(WALLS, 10))
def test_a_name_that_a_wall_answered_is_not_saved_and_the_session_stays(
    backend: FaultyBackend, member: Visitor, wall: str
) -> None:
    raw, status, words = WALLS[wall]
    backend.responses["/profile"] = keep_alive(raw)
    page = Page(member.submit("/account", NAMES))
    assert (page.status, page.heading) == (status, "Your account")
    assert words in page.message
    assert saved_as(member) == USER["name"]


@pytest.mark.parametrize("wall", sample_rows(WALLS, 10))
def test_a_token_counts_as_revoked_only_by_an_answer_of_the_backend(
    backend: FaultyBackend, member: Visitor, caplog: pytest.LogCaptureFixture, wall: str
) -> None:
    backend.responses["/logout"] = keep_alive(WALLS[wall][0])
    page = member.get_page(member.submit("/auth/logout", {}).headers["Location"])
    assert "could not reach our service" in page.status_messages[0]
    assert not member.is_signed_in
    assert any(line.startswith("token not revoked: the logout path answered") for line in caplog.messages)


@pytest.mark.parametrize("body", [b"", b"OK", b"{}"])
def test_a_token_is_revoked_by_any_success_that_is_no_page(
    backend: FaultyBackend, member: Visitor, body: bytes
) -> None:
    backend.responses["/logout"] = keep_alive(http_response(body))
    page = member.get_page(member.submit("/auth/logout", {}).headers["Location"])
    assert page.status_messages == ["You are signed out."]


# --- Interim answers (RFC 9110, 15.2)

INTERIM = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </app.css>; rel=preload; as=style\r\n\r\n",
    "103 with a length": b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n",
    "199": b"HTTP/1.1 199 Whatever\r\n\r\n",
    "100, 102 and 103": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\n\r\nHTTP/1.1 103 x\r\nLink: <a>\r\n\r\n",
    "20 times 103": b"HTTP/1.1 103 Early Hints\r\nLink: </app.css>\r\n\r\n" * 20,
}


@pytest.mark.parametrize("interim", INTERIM)
def test_interim_answers_are_skipped_at_every_call(backend: FaultyBackend, visitor: Visitor, interim: str) -> None:
    for path, response in HEALTHY.items():
        backend.responses[path] = keep_alive(INTERIM[interim] + response)
    for _ in range(2):
        assert visitor.sign_in().status_code == 303
        assert visitor.submit("/account", NAMES).status_code == 303
        page = visitor.get_page(visitor.submit("/auth/logout", {}).headers["Location"])
        assert page.status_messages == ["You are signed out."]
    assert backend.connection_count <= 2  # one, or a second of the loop in another thread


def test_an_interim_answer_that_comes_alone_is_waited_for(backend: FaultyBackend, visitor: Visitor) -> None:
    for step in ("/login", "/user"):
        backend.responses[step] = send_then(INTERIM["103"], send_after_delay(0.1, HEALTHY[step]))
    assert visitor.sign_in().status_code == 303


def test_an_interim_answer_before_a_refusal_is_skipped_too(backend: FaultyBackend, visitor: Visitor) -> None:
    backend.responses["/login"] = keep_alive(INTERIM["103"] + http_response({"message": "Unauthorized"}, 401))
    assert WRONG in assert_sign_in_rejected(visitor, 401).message


# --- A byte order mark


def test_a_byte_order_mark_before_json_is_skipped(backend: FaultyBackend, visitor: Visitor) -> None:
    for step, body in (("/login", login_body()), ("/user", user_body())):
        backend.responses[step] = keep_alive(http_response(b"\xef\xbb\xbf" + json.dumps(body).encode()))
    assert visitor.sign_in().status_code == 303
    assert visitor.get_session()["user"] == USER


# --- The backend's own sentence

SENTENCE = "비밀번호가 3회 틀렸습니다. <b>5회</b> 틀리면 잠깁니다."


@pytest.fixture
def frank(shared_site: SiteMaker, backend: FaultyBackend) -> Visitor:
    """A visitor of a site that shows the sentences of its backend."""
    return shared_site(backend.url, backend_show_messages="true", **NO_LIMITS).new_visitor()


def next_auth_sign_in(visitor: Visitor, password: str = "hunter2") -> str:
    """Sign in as next-auth's client does; returns the URL of the answer."""
    fields = {"email": MINJI, "password": password, "json": "true"}
    return str(visitor.submit("/api/auth/callback/email", fields).json()["url"])


def error_parameter(url: str) -> str:
    return parse_qs(urlsplit(url).query)["error"][0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 423, 429])
def test_the_backends_sentence_for_a_refusal_is_shown_if_the_operator_wants_it(
    backend: FaultyBackend, visitor: Visitor, frank: Visitor, status: int
) -> None:
    backend.responses["/login"] = keep_alive(http_response({"message": SENTENCE}, status))
    assert SENTENCE not in Page(visitor.sign_in()).text
    assert SENTENCE in Page(frank.sign_in()).message
    url = next_auth_sign_in(frank)
    assert error_parameter(url) == SENTENCE
    page = frank.get_page(url)
    assert SENTENCE in page.message
    korean = next(link.get("href") for link in page.find_all("a[@lang='ko']"))
    assert SENTENCE in frank.get_page(korean).message
    assert "비밀번호" not in unquote(next_auth_sign_in(visitor))


def test_a_sentence_in_a_link_is_shown_only_if_the_site_signed_it(backend: FaultyBackend, frank: Visitor) -> None:
    backend.responses["/login"] = keep_alive(http_response({"message": SENTENCE}, 401))
    url = next_auth_sign_in(frank)
    changed = frank.get_page(url.replace("message=", "message=x"))
    assert SENTENCE not in changed.text
    assert "evil" not in frank.get_page("/auth/login/email?error=Call+evil&message=Call+evil").message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (http_response({"message": "INVALID_LOGIN"}, 401), WRONG),
        (http_response({"message": ["a list"]}, 401), WRONG),
        (http_response({"message": " \x00\n "}, 401), WRONG),
        (http_response({"error": "another place"}, 401), WRONG),
        (http_response({"message": "the password hunter2 is wrong"}, 401), WRONG),
        (http_response({"message": "SQLSTATE[HY000] in /var/www"}, 500), DOWN),
        (http_response({"message": "No route found"}, 405), OPERATOR),
        (http_response({"message": "Some sentence", "errors": {"device": ["x"]}}, 422), OPERATOR),
        (http_response({"message": "Some sentence", "two_factor": True}), TWO_FACTOR),
        (http_response(b"<p>Some sentence</p>", 401), OPERATOR),
    ],
)
def test_what_is_no_sentence_for_the_person_is_not_shown(
    backend: FaultyBackend, frank: Visitor, raw: bytes, words: str
) -> None:
    backend.responses["/login"] = keep_alive(raw)
    page = Page(frank.sign_in(password="hunter2"))
    assert words in page.message
    assert "hunter2" not in page.text
    assert "sentence" not in page.text
    assert "hunter2" not in next_auth_sign_in(frank)


def test_a_password_that_is_longer_than_the_sentence_is_not_shown(backend: FaultyBackend, frank: Visitor) -> None:
    password = "hunter2 " * 50
    backend.responses["/login"] = keep_alive(http_response({"message": f"{password} is wrong"}, 401))
    assert "hunter2" not in Page(frank.sign_in(password=password)).text


def test_a_long_sentence_is_cut_and_cannot_reorder_the_page(backend: FaultyBackend, frank: Visitor) -> None:
    text = "a\N{RIGHT-TO-LEFT OVERRIDE}b " + "x" * 5000
    backend.responses["/login"] = keep_alive(http_response({"message": text}, 401))
    assert Page(frank.sign_in()).texts("div[@role='alert']/p")[0] == "ab " + "x" * 196
    assert len(next_auth_sign_in(frank)) < 2000


# --- Answers to a profile update


def test_the_saved_names_are_those_of_the_backends_answer(backend: FaultyBackend, member: Visitor) -> None:
    backend.responses["/profile"] = keep_alive(http_response(user_body({**USER, "name": "Cut by the backend"})))
    assert member.submit("/account", NAMES).status_code == 303
    assert saved_as(member) == "Cut by the backend"
    assert [call.path for call in backend.calls] == ["/profile"]


@pytest.mark.parametrize(
    "raw",
    [
        http_response({"message": "Saved."}),
        http_response(user_body(None)),
        http_response(status=204, Content_Length=None),
        http_response(b"OK", 202, Content_Type="text/plain"),
    ],
)
def test_without_a_user_in_the_profile_answer_the_user_is_requested(
    backend: FaultyBackend, member: Visitor, raw: bytes
) -> None:
    backend.responses["/profile"] = keep_alive(raw)
    backend.responses["/user"] = keep_alive(http_response(user_body({**USER, **NAMES})))
    assert member.submit("/account", NAMES).status_code == 303
    assert saved_as(member) == "새 이름"


SAID_BY_PROFILE = {
    **{name: case for name, case in SAID_BY_ANY.items() if not re.match("20[0346]", name)},
    "400": (http_response({"message": "~secret~"}, 400), 502, OPERATOR),
    "404": (http_response({"message": "The route could not be found."}, 404), 502, OPERATOR),
    "422 for a name": (invalid(name=["Too <b>long</b>.", "~secret~"]), 422, "Too <b>long</b>."),
    "422 for something else": (invalid(locale=["~secret~"]), 422, "Check what you entered and try again."),
    "a user without an id": (http_response(user_body({"name": "~secret~"})), 502, DOWN),
}


@pytest.mark.parametrize("said", SAID_BY_PROFILE)
def test_a_name_that_was_not_saved_stays_in_the_form(backend: FaultyBackend, member: Visitor, said: str) -> None:
    raw, status, words = SAID_BY_PROFILE[said]
    backend.responses["/profile"] = keep_alive(raw)
    page = Page(member.submit("/account", NAMES))
    assert (page.status, page.heading) == (status, "Your account")
    assert words in page.message
    assert "~secret~" not in page.text
    assert (page.input_value("name"), page.input_value("nick_name")) == ("새 이름", "새")
    assert saved_as(member) == USER["name"]
    assert len(backend.requests_to("/profile")) == 1


def test_a_throttled_profile_update_says_how_long_to_wait(backend: FaultyBackend, member: Visitor) -> None:
    backend.responses["/profile"] = keep_alive(http_response(status=429, Retry_After=30))
    response = member.submit("/account", NAMES)
    assert "30 seconds" in Page(response).message
    assert response.headers["Retry-After"] == "30"


def test_a_401_to_a_profile_update_ends_the_session(backend: FaultyBackend, member: Visitor) -> None:
    backend.responses["/profile"] = keep_alive(http_response({"message": "Unauthenticated."}, 401))
    response = member.submit("/account", NAMES)
    assert response.status_code == 401
    assert "You were signed out" in Page(response).message
    assert "next-auth.session-token" in cookie_names(response)
    assert not member.is_signed_in


# --- Answers to a logout


@pytest.mark.parametrize("status", [200, 201, 202, 204, 401])
def test_a_revoked_token_signs_out_without_a_warning(backend: FaultyBackend, member: Visitor, status: int) -> None:
    backend.responses["/logout"] = keep_alive(http_response({"message": "~secret~"} if status != 204 else b"", status))
    page = member.get_page(member.submit("/auth/logout", {}).headers["Location"])
    assert page.status_messages == ["You are signed out."]
    assert not member.is_signed_in


@pytest.mark.parametrize("status", [302, 400, 403, 404, 405, 419, 422, 429, 500, 502, 503])
def test_a_failed_revocation_shows_a_warning_and_still_ends_the_session(
    backend: FaultyBackend, member: Visitor, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    backend.responses["/logout"] = keep_alive(http_response({"message": "~secret~"}, status, Location="/user"))
    page = member.get_page(member.submit("/auth/logout", {}).headers["Location"])
    assert "could not reach our service" in page.status_messages[0]
    assert not member.is_signed_in
    assert f"token not revoked: the logout path answered {status}" in caplog.text
    assert [call.path for call in backend.calls] == ["/logout"]


def test_without_a_logout_path_the_backend_is_not_called(make_site: SiteMaker, backend: FaultyBackend) -> None:
    visitor = make_site(backend.url, backend_logout_path=None).new_visitor()
    visitor.sign_in()
    page = visitor.get_page(visitor.submit("/auth/logout", {}).headers["Location"])
    assert page.status_messages == ["You are signed out."]
    assert not backend.requests_to("/logout")
