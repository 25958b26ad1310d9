"""Forward auth (`/auth/verify`): what a proxy gets before it passes a request on to an app."""

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests

from tests.support.redirects import destination
from tests.support.scripted import ScriptedBackend, scripted_backend
from tests.support.site import MINJI, ManualClock, Site, Visitor, cookie_names, running_site

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
