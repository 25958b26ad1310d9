"""What is said to the backend, and what each of its answers comes to."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import responses

from dev.backend import PASSWORD
from services.http.aiohttp_adapter import NotSentError
from tests.faulty_backend import (
    TOKEN,
    UNLIMITED,
    USER,
    FaultyBackend,
    answer,
    faulty_backend,
    kept_open,
    refused,
    token,
    user,
)
from tests.site import MINJI, Page, Site, SiteMaker, Visitor, cookie_names, running_site


@pytest.fixture(scope="module")
def backend() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


@pytest.fixture(scope="module")
def site(backend: FaultyBackend) -> Iterator[Site]:
    with running_site(backend.url, **UNLIMITED) as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(backend: FaultyBackend) -> None:
    backend.heal()


@pytest.fixture
def member(visitor: Visitor, backend: FaultyBackend) -> Visitor:
    """Someone who is signed in already."""
    assert visitor.sign_in().status_code == 303
    backend.calls.clear()
    return visitor


# --- What is sent


def all_four(visitor: Visitor) -> None:
    """Sign in, save a new name, sign out: each call that there is."""
    visitor.sign_in()
    visitor.submit("/account", {"name": "김새봄", "nick_name": ""})
    visitor.submit("/auth/logout", {})


def test_each_call_sends_what_it_has_to_and_nothing_else(backend: FaultyBackend, visitor: Visitor) -> None:
    all_four(visitor)
    assert [(call.method, call.path, call.json) for call in backend.calls] == [
        ("POST", "/login", {"email": MINJI, "password": PASSWORD}),
        ("POST", "/user", None),
        ("PATCH", "/profile", {"name": "김새봄", "nick_name": None}),
        ("POST", "/logout", None),
    ]


def test_the_bearer_goes_with_each_call_but_the_first(backend: FaultyBackend, visitor: Visitor) -> None:
    all_four(visitor)
    bearers = [call.headers["Authorization"] for call in backend.calls]
    assert bearers == [None, *[f"Bearer {TOKEN}"] * 3]


def test_no_header_of_the_visitor_is_handed_on(backend: FaultyBackend, site: Site) -> None:
    """An `Origin`, `Referer` or `Cookie` would make Sanctum want a CSRF token: 419."""
    all_four(
        site.visitor(
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


def test_json_is_asked_for_before_anything_else(backend: FaultyBackend, visitor: Visitor) -> None:
    """Or Laravel answers a wrong password with a redirect to HTML."""
    all_four(visitor)
    for call in backend.calls:
        assert call.headers["Accept"] == call.headers["Content-Type"] == "application/json"
        assert re.fullmatch(r"Munjigi/[0-9.]+", call.headers["User-Agent"])


def test_the_request_id_of_the_page_is_sent_along(backend: FaultyBackend, visitor: Visitor) -> None:
    response = visitor.sign_in()
    assert {call.headers["X-Request-Id"] for call in backend.calls} == {response.headers["X-Request-Id"]}


@pytest.mark.parametrize(
    ("asked", "sent"),
    [("ko-KR,ko;q=0.9,en;q=0.8", "ko"), ("en-GB", "en"), ("fr", "ko"), ("../../etc", "ko"), ("en\tX: y", "ko")],
)
def test_the_language_sent_is_that_of_the_page(backend: FaultyBackend, site: Site, asked: str, sent: str) -> None:
    visitor = site.visitor(**{"Accept-Language": asked})
    visitor.sign_in()
    assert [call.headers["Accept-Language"] for call in backend.calls] == [sent, sent]
    visitor.get("/?lang=en")
    visitor.submit("/auth/logout", {})
    assert backend.calls[-1].headers["Accept-Language"] == "en"


def test_without_a_proxy_the_visitors_own_word_for_their_address_is_not_taken(
    backend: FaultyBackend, site: Site
) -> None:
    site.visitor(**{"X-Forwarded-For": "203.0.113.9", "X-Real-Ip": "203.0.113.9"}).sign_in()
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
def test_behind_one_proxy_the_address_is_the_one_that_it_added(
    shared_site: SiteMaker, backend: FaultyBackend, came: str, sent: str | None
) -> None:
    shared_site(backend.url, proxy_hops=1).visitor(**{"X-Forwarded-For": came}).sign_in()
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
        "\u1106\u116e\u11ab",  # 문 in three letters, as a Mac may send it
        "a\x00b",
        "\r\n",
        "+&=%25",
        '"}\\u0000{"',
        "\N{FULLWIDTH COMMERCIAL AT}\N{NO-BREAK SPACE}\N{ZERO WIDTH SPACE}",
        "\N{MATHEMATICAL FRAKTUR CAPITAL A}",
    ],
    ids=ascii,
)
def test_a_password_is_passed_exactly(backend: FaultyBackend, visitor: Visitor, password: str) -> None:
    assert visitor.sign_in(password=password).status_code == 303
    assert backend.asked("/login")[0].json == {"email": MINJI, "password": password}


def test_a_password_that_is_no_utf_8_is_refused_and_not_mended(backend: FaultyBackend, visitor: Visitor) -> None:
    form = f"csrfToken={visitor.csrf()}&email={MINJI}&password=%ff%fe"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert visitor.post("/auth/login/email", data=form, headers=kind).status_code == 400
    assert backend.calls == []


def test_of_a_form_with_more_than_it_should_have_only_the_first_of_each_field_is_sent(
    backend: FaultyBackend, visitor: Visitor
) -> None:
    fields = [("csrfToken", visitor.csrf()), ("email", MINJI), ("email", "jun@example.com"), ("password", "first")]
    fields += [
        ("password", "second"),
        ("email[]", "x"),
        ("user[id]", "1"),
        ("accessToken", "x"),
        ("provider", "google"),
    ]
    assert visitor.post("/auth/login/email?email=query&password=query", data=fields).status_code == 303
    assert backend.asked("/login")[0].json == {"email": MINJI, "password": "first"}


# --- What is tried again


SENT = "services.http.aiohttp_adapter.AiohttpAdapter.send"


@pytest.mark.parametrize(("refusals", "status"), [(0, 303), (1, 303), (2, 503)])
def test_the_user_is_asked_for_once_more_if_no_connection_can_be_made(
    backend: FaultyBackend, visitor: Visitor, refusals: int, status: int
) -> None:
    with responses.RequestsMock(target=SENT) as network:
        network.post(f"{backend.url}/login", json=token())
        for _ in range(refusals):
            network.post(f"{backend.url}/user", body=NotSentError())
        if status == 303:
            network.post(f"{backend.url}/user", json=user())
        else:
            network.post(f"{backend.url}/logout", status=204)
        assert visitor.sign_in().status_code == status
        asked = [call.request.url for call in network.calls if call.request.url == f"{backend.url}/user"]
        assert len(asked) == min(refusals + 1, 2)


def test_a_sign_in_is_never_sent_again(backend: FaultyBackend, visitor: Visitor) -> None:
    with responses.RequestsMock(target=SENT) as network:
        network.post(f"{backend.url}/login", body=NotSentError())
        refused(visitor, 503)
        assert len(network.calls) == 1


# --- Answers to a sign-in

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
    """422, as Laravel's validator says it."""
    return answer({"message": "~secret~", "errors": fields}, 422)


SAID_BY_ANY = {
    "405": (answer({"message": "The GET method is not supported for route ~secret~."}, 405), 502, OPERATOR),
    "419": (answer({"message": "CSRF token mismatch."}, 419), 502, OPERATOR),
    "429": (answer({"message": "Too Many Attempts."}, 429, Retry_After=57, X_RateLimit_Limit=5), 429, "57 seconds"),
    "429 of Fortify": (answer({"message": "~secret~", "errors": {"email": ["~secret~"]}}, 429), 429, "1 minute"),
    "500": (answer({"message": "Server Error"}, 500), 502, DOWN),
    "500 with a trace": (answer(TRACE, 500), 502, DOWN),
    "503": (answer({"message": "Service Unavailable"}, 503, Retry_After=60, Refresh=15), 503, DOWN),
    "503 as a page": (answer(HTML, 503, Content_Type="text/html"), 503, DOWN),
    **{
        f"{status} as a page": (answer(HTML, status, Content_Type="text/html", Location="/~secret~"), 502, DOWN)
        for status in (101, 200, 203, 206, 300, 301, 302, 303, 304, 307, 308, 408, 413, 501, 502, 504, 520, 599, 999)
    },
    "204": (answer(status=204, Content_Length=None), 502, DOWN),
    "451": (answer({"message": "~secret~"}, 451), 502, OPERATOR),
}
SAID_BY_LOGIN = {
    "wrong, of Laravel": (answer({"message": NO_MATCH, "errors": {"email": [NO_MATCH]}}, 422), 401, WRONG),
    "wrong, of tutorials": (answer({"message": "Unauthorized"}, 401), 401, WRONG),
    "throttled, of Breeze": (invalid(email=["Too many login attempts."]), 401, WRONG),
    "422 for the password": (invalid(password=["~secret~"]), 401, WRONG),
    "422 for nothing": (invalid(), 401, WRONG),
    "422 with errors that are none": (answer({"errors": ["~secret~"]}, 422), 401, WRONG),
    "422 as a page": (answer(HTML, 422), 401, WRONG),
    "400": (answer({"message": "~secret~"}, 400), 401, WRONG),
    "404": (answer({"message": "The route api/v2/login could not be found."}, 404), 401, WRONG),
    "410": (answer({"message": "~secret~"}, 410), 401, WRONG),
    "423": (answer({"message": "~secret~"}, 423), 401, WRONG),
    "403": (answer({"message": "~secret~"}, 403), 403, UNVERIFIED),
    "409": (answer({"message": "~secret~"}, 409), 403, LINKED),
    "two factors": (answer({"two_factor": True}), 403, TWO_FACTOR),
    "no success": (answer({"message": "~secret~", "success": False}), 401, WRONG),
    "200 with a message": (answer({"message": "~secret~"}), 502, DOWN),
    "200 with an error": (answer({"error": "~secret~"}), 502, DOWN),
    "200 without data": (answer({"success": True, "data": None}), 502, DOWN),
    "422 for a field of its own": (invalid(email=["~secret~"], device_name=["~secret~"]), 502, OPERATOR),
}
SAID_BY_USER = {
    "401": (answer({"message": "Unauthenticated."}, 401), 502, DOWN),
    "403": (answer({"message": "Your email address is not verified."}, 403), 403, UNVERIFIED),
    **{
        str(status): (answer({"message": "~secret~"}, status), 502, OPERATOR)
        for status in (400, 404, 409, 410, 422, 423)
    },
    "no user": (answer(user(None)), 502, DOWN),
    "no success": (answer({"message": "~secret~", "success": False}), 502, DOWN),
}


@pytest.mark.parametrize("said", [*SAID_BY_ANY, *SAID_BY_LOGIN])
def test_what_an_answer_to_a_sign_in_means(backend: FaultyBackend, visitor: Visitor, said: str) -> None:
    raw, status, words = (SAID_BY_ANY | SAID_BY_LOGIN)[said]
    backend.answers["/login"] = kept_open(raw)
    assert words in refused(visitor, status).problem
    assert [call.path for call in backend.calls] == ["/login"]


@pytest.mark.parametrize("said", [*SAID_BY_ANY, *SAID_BY_USER])
def test_what_an_answer_means_when_the_token_is_out_already(
    backend: FaultyBackend, visitor: Visitor, said: str
) -> None:
    raw, status, words = (SAID_BY_ANY | SAID_BY_USER)[said]
    backend.answers["/user"] = kept_open(raw)
    assert words in refused(visitor, status).problem
    assert [call.path for call in backend.calls] == ["/login", "/user", "/logout"]
    assert backend.calls[-1].headers["Authorization"] == f"Bearer {TOKEN}"


def test_whether_an_account_exists_does_not_show(backend: FaultyBackend, visitor: Visitor) -> None:
    pages = set()
    for raw, status, words in SAID_BY_LOGIN.values():
        if words == WRONG:
            backend.answers["/login"] = kept_open(raw)
            page = refused(visitor, status)
            pages.add(page.text.replace(page.value("csrfToken") or "", ""))
    assert len(pages) == 1


@pytest.mark.parametrize(
    ("given", "seconds", "words"),
    [
        ("30", 30, "30 seconds"),
        ("0", 1, "1 second"),
        ("600", 600, "10 minutes"),
        ("1000000000", 3600, "60 minutes"),
        ("9" * 4000, 3600, "60 minutes"),
        ("9" * 5000, 60, "1 minute"),
        ("Fri, 31 Dec 2100 23:59:59 GMT", 3600, "60 minutes"),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1, "1 second"),
        ("Wed, 99 Oct 2015 07:28:00 GMT", 60, "1 minute"),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 1, "1 second"),
        ("-1", 60, "1 minute"),
        ("1.5", 60, "1 minute"),
        ("²", 60, "1 minute"),
        ("soon", 60, "1 minute"),
        ("", 60, "1 minute"),
        (None, 60, "1 minute"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_wait_that_is_asked_for_is_shown_within_reason(
    backend: FaultyBackend, visitor: Visitor, given: str | None, seconds: int, words: str
) -> None:
    backend.answers["/login"] = kept_open(answer(status=429, Retry_After=given))
    page = refused(visitor, 429)
    assert f"Try again in {words}." in page.problem
    assert page.response.headers["Retry-After"] == str(seconds)


def test_maintenance_says_when_to_come_back(backend: FaultyBackend, visitor: Visitor) -> None:
    backend.answers["/user"] = kept_open(answer(HTML, 503, Retry_After=120))
    assert refused(visitor, 503).response.headers["Retry-After"] == "120"


def test_what_the_backend_says_of_both_fields_is_shown_at_them(backend: FaultyBackend, visitor: Visitor) -> None:
    backend.answers["/login"] = kept_open(
        invalid(email=["<script>alert(1)</script>", "~secret~"], password="비밀번호 " + "x" * 300)
    )
    page = refused(visitor, 422)
    said = page.texts("p[@class='field-error']")
    assert said == ["Error: <script>alert(1)</script>", f"Error: 비밀번호 {'x' * 195}"]
    assert all("/auth/static/" in script.get("src") for script in page.all("script"))
    assert "~secret~" not in page.text


@pytest.mark.parametrize("said", [None, [], {}, 5, [[]], [None], ["\x00"], {"0": "~secret~"}])
def test_messages_that_are_none_leave_a_sentence_of_ours(
    backend: FaultyBackend, visitor: Visitor, said: object
) -> None:
    backend.answers["/login"] = kept_open(invalid(email=said, password=said))
    assert "Check what you entered and try again." in refused(visitor, 422).problem


def test_the_operator_is_told_which_field_the_backend_wants(
    backend: FaultyBackend, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    backend.answers["/login"] = kept_open(invalid(device_name=["~secret~"]))
    refused(visitor, 502)
    assert "device_name" in caplog.records[-1].__dict__["facts"]["reason"]


@pytest.mark.parametrize("status", [200, 201])
def test_both_kinds_of_success_sign_in(backend: FaultyBackend, visitor: Visitor, status: int) -> None:
    backend.answers["/login"] = kept_open(answer(token(), status))
    backend.answers["/user"] = kept_open(answer(user(), status))
    assert visitor.sign_in().status_code == 303
    assert visitor.session()["user"] == USER


@pytest.mark.parametrize(
    "text",
    ["17|" + "a" * 40, "17|munjigi_" + "a" * 48, "018f3c1e-0000-7000-8000-000000000000|x", "eyJhbGciOi.e30.c2ln", "x"],
)
def test_a_token_of_any_shape_is_taken_as_it_is(backend: FaultyBackend, visitor: Visitor, text: str) -> None:
    backend.answers["/login"] = kept_open(answer(token(text)))
    assert visitor.sign_in().status_code == 303
    assert backend.asked("/user")[0].headers["Authorization"] == f"Bearer {text}"


def test_an_answer_counts_whatever_it_says_its_type_is(backend: FaultyBackend, visitor: Visitor) -> None:
    backend.answers["/login"] = kept_open(answer(token(), Content_Type="text/html; charset=euc-kr"))
    backend.answers["/user"] = kept_open(answer(user(), Content_Type=None))
    assert visitor.sign_in().status_code == 303
    assert visitor.session()["user"] == USER


# --- Answers to a new name

NAMES = {"name": "새 이름", "nick_name": "새"}


def saved_as(visitor: Visitor) -> Any:
    return visitor.session()["user"]["name"]


def test_the_names_are_shown_as_the_backend_has_them_now(backend: FaultyBackend, member: Visitor) -> None:
    backend.answers["/profile"] = kept_open(answer(user({**USER, "name": "Cut by the backend"})))
    assert member.submit("/account", NAMES).status_code == 303
    assert saved_as(member) == "Cut by the backend"
    assert [call.path for call in backend.calls] == ["/profile"]


@pytest.mark.parametrize(
    "raw",
    [
        answer({"message": "Saved."}),
        answer(user(None)),
        answer(status=204, Content_Length=None),
        answer(b"OK", 202, Content_Type="text/plain"),
    ],
)
def test_if_the_backend_does_not_say_they_are_read_from_it(backend: FaultyBackend, member: Visitor, raw: bytes) -> None:
    backend.answers["/profile"] = kept_open(raw)
    backend.answers["/user"] = kept_open(answer(user({**USER, **NAMES})))
    assert member.submit("/account", NAMES).status_code == 303
    assert saved_as(member) == "새 이름"


SAID_BY_PROFILE = {
    **{name: case for name, case in SAID_BY_ANY.items() if not re.match("20[0346]", name)},
    "400": (answer({"message": "~secret~"}, 400), 502, OPERATOR),
    "404": (answer({"message": "The route could not be found."}, 404), 502, OPERATOR),
    "422 for a name": (invalid(name=["Too <b>long</b>.", "~secret~"]), 422, "Too <b>long</b>."),
    "422 for something else": (invalid(locale=["~secret~"]), 422, "Check what you entered and try again."),
    "a user without an id": (answer(user({"name": "~secret~"})), 502, DOWN),
}


@pytest.mark.parametrize("said", SAID_BY_PROFILE)
def test_a_name_that_is_not_saved_is_not_lost_either(backend: FaultyBackend, member: Visitor, said: str) -> None:
    raw, status, words = SAID_BY_PROFILE[said]
    backend.answers["/profile"] = kept_open(raw)
    page = Page(member.submit("/account", NAMES))
    assert (page.status, page.heading) == (status, "Your account")
    assert words in page.problem
    assert "~secret~" not in page.text
    assert (page.value("name"), page.value("nick_name")) == ("새 이름", "새")
    assert saved_as(member) == USER["name"]
    assert len(backend.asked("/profile")) == 1


def test_saving_too_often_says_how_long_to_wait(backend: FaultyBackend, member: Visitor) -> None:
    backend.answers["/profile"] = kept_open(answer(status=429, Retry_After=30))
    response = member.submit("/account", NAMES)
    assert "30 seconds" in Page(response).problem
    assert response.headers["Retry-After"] == "30"


def test_saving_with_a_token_that_is_over_ends_the_session(backend: FaultyBackend, member: Visitor) -> None:
    backend.answers["/profile"] = kept_open(answer({"message": "Unauthenticated."}, 401))
    response = member.submit("/account", NAMES)
    assert response.status_code == 401
    assert "You were signed out" in Page(response).problem
    assert "next-auth.session-token" in cookie_names(response)
    assert not member.is_signed_in


# --- Answers to signing out


@pytest.mark.parametrize("status", [200, 201, 202, 204, 401])
def test_a_token_that_is_gone_is_gone(backend: FaultyBackend, member: Visitor, status: int) -> None:
    backend.answers["/logout"] = kept_open(answer({"message": "~secret~"} if status != 204 else b"", status))
    page = member.page(member.submit("/auth/logout", {}).headers["Location"])
    assert page.notes == ["You are signed out."]
    assert not member.is_signed_in


@pytest.mark.parametrize("status", [302, 400, 403, 404, 405, 419, 422, 429, 500, 502, 503])
def test_a_token_that_may_live_on_is_said_to_and_the_session_ends_all_the_same(
    backend: FaultyBackend, member: Visitor, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    backend.answers["/logout"] = kept_open(answer({"message": "~secret~"}, status, Location="/user"))
    page = member.page(member.submit("/auth/logout", {}).headers["Location"])
    assert "could not reach our service" in page.notes[0]
    assert not member.is_signed_in
    assert f"token not revoked: the logout path answered {status}" in caplog.messages
    assert [call.path for call in backend.calls] == ["/logout"]


def test_without_a_logout_path_nobody_is_told(make_site: SiteMaker, backend: FaultyBackend) -> None:
    visitor = make_site(backend.url, backend_logout_path=None).visitor()
    visitor.sign_in()
    page = visitor.page(visitor.submit("/auth/logout", {}).headers["Location"])
    assert page.notes == ["You are signed out."]
    assert not backend.asked("/logout")
