"""Forward auth (`/auth/verify`): what a proxy gets before it passes a request on to an app."""

import re
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests

from app import create_app
from tests.support.forge import COOKIE, encrypt, make_claims
from tests.support.redirects import destination
from tests.support.scripted import TOKEN, ScriptedBackend, scripted_backend
from tests.support.site import MINJI, ManualClock, Site, Visitor, cookie_names, make_settings, running_site

VERIFY = "/auth/verify"


def sign_in_address(response: requests.Response) -> str:
    return parse_qs(urlsplit(response.headers["X-Auth-Sign-In"]).query).get("callbackUrl", [""])[0]


def test_an_anonymous_request_gets_401_and_the_sign_in_url(visitor: Visitor) -> None:
    response = visitor.get(VERIFY, headers={"X-Forwarded-Uri": "/rooms?from=1&to=2&q=%ED%95%9C", "Accept": "*/*"})
    assert (response.status_code, response.text, cookie_names(response)) == (401, "", set())
    assert sign_in_address(response) == f"{visitor.url}/rooms?from=1&to=2&q=%ED%95%9C"
    assert response.headers["X-Auth-Sign-In"].startswith(f"{visitor.url}/auth/login/email?")


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        ("/rooms?name=é".encode(), "/rooms?name=%C3%A9"),
        ("/방/?이름=김%20민지".encode(), "/%EB%B0%A9/?%EC%9D%B4%EB%A6%84=%EA%B9%80%20%EB%AF%BC%EC%A7%80"),
        (b"/rooms?name=\xe9", "/rooms?name=%E9"),
        (b"/a\xe2\x80\xa8b\xc2\xa0", "/a%E2%80%A8b%C2%A0"),
        (b"/\xff", "/%FF"),
        (b"//evil.example/\xc3\xa9", ""),
        (b"\xc3\xa9", ""),
    ],
)
def test_bytes_that_are_not_ascii_in_the_forwarded_uri_are_percent_encoded(
    visitor: Visitor, sent: bytes, address: str
) -> None:
    response = visitor.get(VERIFY, headers={"X-Forwarded-Uri": sent})
    assert sign_in_address(response) == (f"{visitor.url}{address}" if address else "")


@pytest.mark.parametrize("language", ["en", "ko", "ja"])
def test_a_browser_whose_proxy_passes_the_401_on_gets_to_the_sign_in_page(visitor: Visitor, language: str) -> None:
    """Traefik does. An empty body would be an empty page."""
    headers = {"X-Forwarded-Uri": "/rooms?a=1&b=<x>", "X-Forwarded-Method": "GET", "Accept-Language": language}
    page = visitor.get_page(VERIFY, headers=headers)
    url = page.response.headers["X-Auth-Sign-In"]
    assert (page.status, cookie_names(page.response)) == (401, set())
    assert destination(page.response) == page.find_all("main//a")[0].get("href") == url
    assert parse_qs(urlsplit(url).query) == {"callbackUrl": [f"{visitor.url}/rooms?a=1&b=%3Cx%3E"]}
    assert page.heading
    assert page.document.get("lang") == language


@pytest.mark.parametrize(
    "headers",
    [{"Accept": "*/*"}, {"Accept": "application/json"}, {"Accept": "image/webp,*/*"}, {"X-Forwarded-Method": "POST"}],
    ids=str,
)
def test_a_script_or_a_form_of_an_app_gets_a_401_without_a_page(visitor: Visitor, headers: dict[str, str]) -> None:
    response = visitor.get(VERIFY, headers={"X-Forwarded-Uri": "/rooms", **headers})
    assert (response.status_code, response.content, cookie_names(response)) == (401, b"", set())


@pytest.mark.parametrize("asked", ["//evil.example", "https://evil.example/", "\\evil", "javascript:alert(1)", "", "x"])
def test_an_invalid_forwarded_uri_is_left_out_of_the_sign_in_url(visitor: Visitor, asked: str) -> None:
    response = visitor.get(VERIFY, headers={"X-Forwarded-Uri": asked})
    assert response.headers["X-Auth-Sign-In"] == f"{visitor.url}/auth/login/email"


def test_a_signed_in_request_gets_204_and_identity_headers(visitor: Visitor) -> None:
    visitor.sign_in()
    response = visitor.get(VERIFY)
    assert (response.status_code, response.content) == (204, b"")
    told = {name: value for name, value in response.headers.items() if name.startswith("X-Auth-")}
    assert told == {
        "X-Auth-User-Id": "1",
        "X-Auth-User-Email": MINJI,
        "X-Auth-User-Name": "%EA%B9%80%EB%AF%BC%EC%A7%80",
    }
    assert unquote(told["X-Auth-User-Name"]) == "김민지"


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as running:
        yield running


def test_a_name_cannot_inject_a_header(backend: ScriptedBackend) -> None:
    backend.user = {"id": "a\u00e9", "name": "x\u2028y: z, %0d%0aX-Auth-User-Id: 1", "nick_name": None, "email": None}
    with running_site(backend_url=backend.url) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        response = visitor.get(VERIFY)
    assert response.headers["X-Auth-User-Id"] == "a%C3%A9"
    assert re.fullmatch(r"[A-Za-z0-9%._~-]+", response.headers["X-Auth-User-Name"])
    assert unquote(response.headers["X-Auth-User-Name"]) == backend.user["name"]
    assert response.headers["X-Auth-User-Email"] == ""


def test_the_response_sets_no_cookie_whatever_cookies_were_sent(site: Site) -> None:
    for junk in ("next-auth.session-token=x", "next-auth.session-token.0=x; munjigi.visitor=y"):
        response = site.new_visitor(Cookie=junk).get(VERIFY)
        assert (response.status_code, cookie_names(response)) == (401, set())


def test_a_session_that_the_backend_has_revoked_gets_401(backend: ScriptedBackend) -> None:
    clock = ManualClock()
    with running_site(backend_url=backend.url, clock=clock) as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        backend.user_status = 401
        assert visitor.get(VERIFY).status_code == 204, "it is not time yet"
        clock.advance(301)
        response = visitor.get(VERIFY)
        assert (response.status_code, cookie_names(response)) == (401, set())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_get_405(visitor: Visitor, method: str) -> None:
    assert visitor.request(method, VERIFY).status_code == 405


# The access token for an API (FORWARD_ACCESS_TOKEN).


def forged_session(access_token: str) -> str:
    return encrypt(make_claims(accessToken=access_token, sid="one-of-this-site", checked_at=int(time.time())))


def headers_for_the_app(site_settings: dict[str, str]) -> dict[str, str]:
    """Return the headers of a 204, without the identity and those that every response of the site has."""
    site = create_app(make_settings(**{"backend_logout_path": None, "backend_profile_path": None, **site_settings}))
    with site.test_client() as client:
        common = {name for name, _ in client.get("/api/auth/session").headers}
        client.set_cookie(COOKIE, forged_session(TOKEN))
        response = client.get(VERIFY)
    assert response.status_code == 204
    return {name: value for name, value in response.headers if name not in common | {"X-Auth-User-Id"}}


@pytest.mark.parametrize("setting", [{}, {"forward_access_token": "false"}], ids=str)
def test_the_access_token_is_not_forwarded_by_default(setting: dict[str, str]) -> None:
    assert TOKEN not in str(headers_for_the_app(setting))


@pytest.mark.parametrize(
    ("backend", "header"),
    [
        ({}, ("Authorization", f"Bearer {TOKEN}")),
        ({"backend": "spring"}, ("Authorization", f"Bearer {TOKEN}")),
        ({"backend": "payload"}, ("Authorization", f"JWT {TOKEN}")),
        ({"backend": "allauth"}, ("X-Session-Token", TOKEN)),
        ({"backend": "firebase", "backend_api_key": "k"}, ("Authorization", f"Bearer {TOKEN}")),
        ({"backend_token_header": "Authorization: Token {token}"}, ("Authorization", f"Token {TOKEN}")),
        ({"backend_token_header": "Cookie: sid={token}; x=1"}, ("Cookie", f"sid={TOKEN}; x=1")),
    ],
    ids=str,
)
def test_the_access_token_is_forwarded_as_the_backend_gets_it(backend: dict[str, str], header: tuple[str, str]) -> None:
    name, value = header
    assert headers_for_the_app({"forward_access_token": "true", **backend}).get(name) == value


def test_a_token_that_the_header_cannot_have_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """It replaces the header of a client all the same."""
    site = create_app(make_settings(forward_access_token="true", backend_token_header="Cookie: sid={token}"))
    with site.test_client() as client:
        client.set_cookie(COOKIE, forged_session("a;b=c"))
        response = client.get(VERIFY)
    assert (response.status_code, response.headers["Cookie"]) == (204, "")
    assert "access token not forwarded" in caplog.text
    assert "a;b=c" not in caplog.text


@pytest.mark.parametrize("headers", [{"X-Forwarded-Method": "POST", "Origin": "https://evil.example"}, {}], ids=str)
def test_no_answer_but_the_204_has_the_token(headers: dict[str, str]) -> None:
    site = create_app(make_settings(forward_access_token="true"))
    with site.test_client() as client:
        if headers:
            client.set_cookie(COOKIE, forged_session(TOKEN))
        response = client.get(VERIFY, headers=headers)
    assert response.status_code == (403 if headers else 401)
    assert "Authorization" not in response.headers
    assert TOKEN not in f"{response.headers}{response.text}"


# CSRF: requests of other sites that change something at the app.

_SAME = {"Sec-Fetch-Site": "same-origin"}
_NULL = {"Origin": "null"}
_CROSS = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


def verify(visitor: Visitor, method: str | None, **headers: str) -> requests.Response:
    """Ask about a request with this method and these headers; `SITE` in a value is the site's origin."""
    sent = {name.replace("_", "-"): value.replace("SITE", visitor.url) for name, value in headers.items()}
    return visitor.get(VERIFY, headers={**({} if method is None else {"X-Forwarded-Method": method}), **sent})


@pytest.fixture(scope="module")
def member() -> Iterator[Visitor]:
    with running_site() as site:
        visitor = site.new_visitor()
        visitor.sign_in()
        yield visitor


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "BREW"])
def test_an_unsafe_request_passes_from_the_own_site_only(member: Visitor, method: str) -> None:
    assert verify(member, method, Origin="SITE", **_SAME).status_code == 204
    assert verify(member, method, **_CROSS).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "SITE"},
        {"Origin": "SITE/"[:-1], "Sec-Fetch-Site": "none"},
        _SAME,
        _NULL | _SAME,
    ],
    ids=str,
)
def test_an_unsafe_request_of_the_own_site_or_of_no_browser_passes(member: Visitor, headers: dict[str, str]) -> None:
    assert verify(member, "POST", **headers).status_code == 204


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "https://evil.example", **_SAME},
        {"Origin": "SITE.evil.example"},
        {"Origin": "SITE@evil.example"},
        {"Origin": "SITE, https://evil.example"},
        {"Origin": "SITE SITE"},
        {"Origin": "SITE", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "SITE", "Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "Same-Origin"},
        {"Sec-Fetch-Site": "same-origin, same-origin"},
        {"Sec-Fetch-Site": "whatever"},
        {"Sec-Fetch-Site": ""},
        _NULL,
        _NULL | {"Sec-Fetch-Site": "cross-site"},
        _NULL | {"Sec-Fetch-Site": "same-site"},
        _NULL | {"Sec-Fetch-Site": "none"},
        {"Origin": "NULL", **_SAME},
        {"Origin": ""},
        {"Origin": "SITE:1"},
        {"Origin": "ftp://localhost"},
        {"Origin": "\xff\xfe"},
        {"Origin": "https://[::1"},
        {"Origin": "x" * 4000},
        {"Origin": "https://evil.example", "Host": "evil.example", "X-Forwarded-Host": "evil.example"},
    ],
    ids=str,
)
def test_an_unsafe_request_of_another_site_is_refused(member: Visitor, headers: dict[str, str]) -> None:
    response = verify(member, "POST", X_Forwarded_Uri="/orders", **headers)
    assert (response.status_code, cookie_names(response)) == (403, set())
    assert response.headers["Content-Type"].startswith("text/plain")
    assert not {name for name in response.headers if name.startswith("X-Auth")} | {"Location"} & {*response.headers}
    assert response.headers["X-Request-Id"] in response.text


@pytest.mark.parametrize(
    "method", ["get", "Get", "head", "GET,POST", "GET, POST", "POST,GET", "GET POST", "", "GETS", "\xe9", "G" * 4000]
)
def test_any_other_spelling_of_a_method_is_unsafe(member: Visitor, method: str) -> None:
    assert verify(member, method, **_CROSS).status_code == 403
    assert verify(member, method, Origin="SITE").status_code == 204


@pytest.mark.parametrize("method", ["GET", "HEAD", None])
def test_links_from_other_sites_work(member: Visitor, method: str | None) -> None:
    assert verify(member, method, **_CROSS).status_code == 204


@pytest.mark.parametrize(
    "name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method", "X-Method"]
)
def test_a_header_that_overrides_the_method_makes_no_request_safe(member: Visitor, name: str) -> None:
    assert verify(member, "POST", **_CROSS, **{name: "GET"}).status_code == 403


@pytest.mark.parametrize(
    "handshake",
    [
        {"Sec-WebSocket-Version": "13"},
        {"Sec-WebSocket-Version": "8, 13"},
        {"Sec-Fetch-Mode": "websocket"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", None])
def test_only_the_own_site_can_open_a_websocket(member: Visitor, method: str | None, handshake: dict[str, str]) -> None:
    assert verify(member, method, **handshake, **_CROSS).status_code == 403
    assert verify(member, method, **handshake, Origin="http://evil.example").status_code == 403
    assert verify(member, method, **handshake, Origin="SITE").status_code == 204
    assert verify(member, method, **handshake).status_code == 204


def test_an_app_that_gets_the_token_is_protected_even_if_the_proxy_does_not_send_the_method() -> None:
    site = create_app(make_settings(forward_access_token="true"))
    with site.test_client() as client:
        client.set_cookie(COOKIE, forged_session(TOKEN))
        assert client.get(VERIFY, headers=_CROSS).status_code == 403
        assert client.get(VERIFY, headers={"X-Forwarded-Method": "GET", **_CROSS}).status_code == 204
        assert client.get(VERIFY, headers=_SAME).status_code == 204
        assert client.get(VERIFY).status_code == 204


def test_a_cross_site_request_without_a_session_is_refused_and_not_sent_to_sign_in(visitor: Visitor) -> None:
    """`SameSite` keeps the cookie back. A sign-in would end with a GET of what was posted."""
    response = verify(visitor, "POST", X_Forwarded_Uri="/orders", Accept="text/html", **_CROSS)
    assert (response.status_code, "X-Auth-Sign-In" in response.headers) == (403, False)
    assert verify(visitor, "POST", Origin="SITE", **_SAME).status_code == 401


def test_a_refusal_says_in_the_log_what_was_wrong(member: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        response = verify(member, "DELETE", X_Forwarded_Uri="/orders/7?key=secret", **_CROSS)
    (line,) = [record for record in caplog.records if record.getMessage().startswith("cross-site request to an app")]
    assert line.levelname == "WARNING"
    for part in ("DELETE", "'/orders/7'", "https://evil.example", "cross-site", f"site_url={member.url}"):
        assert part in line.message
    assert "secret" not in caplog.text
    assert response.headers["X-Request-Id"] in response.text
    (event,) = [record for record in caplog.records if record.msg == "csrf_failed"]
    assert event.fields["outcome"] == "OriginMismatch"  # type: ignore[attr-defined]  # set by `extra`


@pytest.mark.parametrize("language", ["en", "ko", "ja"])
def test_a_refusal_is_in_the_language_of_the_visitor(member: Visitor, language: str) -> None:
    texts = {"en": "another web address", "ko": "다른 주소", "ja": "別のアドレス"}
    assert texts[language] in verify(member, "POST", Accept_Language=language, **_CROSS).text
