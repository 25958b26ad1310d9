"""What people reported about other sign-in pages, tried on this one. docs/field-reports.md has the reports."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import TimestampSigner

from tests.support.redirects import destination
from tests.support.site import Page, Site, Visitor, cookie_names, running_site, serve_in_thread, set_cookies
from tests.support.social_backend import SocialSetup, error_code, new_browser, social_setup

LOGIN = "/auth/login/email"
VERIFY = "/auth/verify"
HANEUL = "haneul.kim@example.com"


@pytest.fixture(scope="module")
def setup() -> Iterator[SocialSetup]:
    with social_setup("kakao", "google", "oidc", "apple", "line", proxy_hops=1) as running:
        yield running


@pytest.fixture
def visitor(setup: SocialSetup) -> Visitor:
    return setup.site.new_visitor()


def fields_of(page: Page) -> dict[str, str]:
    """The values that the first form of this page sends if nothing is typed."""
    form = page.find_all("form")[0]
    return {field.get("name"): field.get("value", "") for field in form.findall(".//input")}


def submit_page(visitor: Visitor, page: Page, **typed: str) -> Page | str:
    """Send the first form of a page, as a browser without scripts does. Return the next page, or its address."""
    response = visitor.post(LOGIN, data={**fields_of(page), "email": HANEUL, "password": "p", **typed})
    return Page(response) if response.status_code >= 400 else destination(response)


# --- Several tabs


def test_a_tab_that_waited_at_the_provider_arrives_after_another_tab_signed_in(setup: SocialSetup) -> None:
    browser = new_browser(setup.site)
    authorization_url = browser.start_sign_in("kakao", callbackUrl="/first?tab=1")
    assert destination(browser.sign_in(HANEUL, callbackUrl="/second")) == f"{browser.url}/second"
    response = browser.send_callback("kakao", setup.providers.approve(authorization_url))
    assert (error_code(response), response.headers["Location"]) == ("", f"{browser.url}/first?tab=1")


def test_each_sign_in_page_leads_to_its_own_address(visitor: Visitor) -> None:
    first, second = (visitor.get_page(f"{LOGIN}?callbackUrl=/{name}") for name in ("first", "second"))
    assert submit_page(visitor, second) == f"{visitor.url}/second"
    renewed = submit_page(visitor, first)
    assert isinstance(renewed, Page), "the sign-in in the second tab has made the token of the first one invalid"
    assert submit_page(visitor, renewed) == f"{visitor.url}/first"


def test_after_a_sign_out_in_another_tab_one_can_sign_in_again(visitor: Visitor) -> None:
    assert submit_page(visitor, visitor.get_page(LOGIN)) == f"{visitor.url}/"
    visitor.submit("/auth/logout", {})
    assert submit_page(visitor, visitor.get_page(LOGIN)) == f"{visitor.url}/"
    assert visitor.is_signed_in


def test_a_page_that_was_restored_without_its_cookies_needs_one_more_click(visitor: Visitor) -> None:
    page = visitor.get_page(f"{LOGIN}?callbackUrl=/rooms")
    visitor.cookies.clear()
    again = submit_page(visitor, page)
    assert isinstance(again, Page)
    assert again.status == 400
    assert again.message
    assert again.input_value("email") == HANEUL
    assert submit_page(visitor, again) == f"{visitor.url}/rooms"


@pytest.mark.parametrize("days", [1, 30])
def test_a_sign_in_page_that_was_open_for_days_still_works(setup: SocialSetup, visitor: Visitor, days: int) -> None:
    class EarlierSigner(TimestampSigner):
        def get_timestamp(self) -> int:
            return super().get_timestamp() - days * 86400

    serializer: Any = SecureCookieSessionInterface().get_signing_serializer(setup.site.app)
    page = visitor.get_page(LOGIN)
    cookie: Any = next(iter(visitor.cookies))
    content = serializer.loads(cookie.value)
    serializer.signer = EarlierSigner
    cookie.value = serializer.dumps(content)
    assert submit_page(visitor, page) == f"{visitor.url}/"


def test_checks_for_the_scripts_of_an_app_do_not_change_where_its_page_returns_to(visitor: Visitor) -> None:
    page = visitor.get(VERIFY, headers={"X-Forwarded-Uri": "/rooms"}).headers["X-Auth-Sign-In"]
    script = visitor.get(VERIFY, headers={"X-Forwarded-Uri": "/api/ping", "X-Requested-With": "XMLHttpRequest"})
    assert cookie_names(script) == set()
    assert submit_page(visitor, visitor.get_page(page)) == f"{visitor.url}/rooms"


# --- Return addresses

WITH_A_QUERY_OF_ITS_OWN = "/openid/authorize?client_id=8&redirect_uri=http%3A%2F%2Flocalhost%2Fcb&state=a%26b%3D1&x=%2B"


@pytest.mark.parametrize("way", ["page", "json", "provider"])
def test_a_return_address_keeps_its_own_query(setup: SocialSetup, way: str) -> None:
    browser, target = new_browser(setup.site), WITH_A_QUERY_OF_ITS_OWN
    if way == "page":
        page = Page(browser.get(LOGIN, params={"callbackUrl": target}))
        assert submit_page(browser, page) == f"{browser.url}{target}"
    elif way == "json":
        fields = {"email": HANEUL, "password": "p", "callbackUrl": target, "json": "true"}
        assert browser.submit("/api/auth/callback/email", fields).json() == {"url": f"{browser.url}{target}"}
    else:
        answer = setup.providers.approve(browser.start_sign_in("google", callbackUrl=target))
        assert browser.send_callback("google", answer).headers["Location"] == f"{browser.url}{target}"


@pytest.mark.parametrize(
    "address",
    ["////evil.example", "/\\evil.example", "/\t/evil.example", "/%09/evil.example", "javascript:alert(1)",
     "http://localhost:3000/rooms", "data:text/html,x", "/%0d%0aSet-Cookie:a=b", "\n//evil.example"],
)  # fmt: skip
@pytest.mark.parametrize("way", ["page", "provider"])
def test_no_return_address_leaves_the_site(setup: SocialSetup, way: str, address: str) -> None:
    browser = new_browser(setup.site)
    if way == "page":
        target = destination(browser.sign_in(HANEUL, callbackUrl=address))
    else:
        answer = setup.providers.approve(browser.start_sign_in("google", callbackUrl=address))
        target = browser.send_callback("google", answer).headers["Location"]
    parts = urlsplit(target)
    assert f"{parts.scheme}://{parts.netloc}" == browser.url
    assert not parts.path.startswith("//")
    assert not {"\r", "\n", "\t", "\\"} & set(target)


PROXY_HEADERS = {
    "X-Forwarded-Proto": "wss",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "1",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Method": "POST",
    "X-Original-URL": "http://evil.example/",
    "X-Rewrite-Url": "/auth/logout",
    "X-HTTP-Method-Override": "DELETE",
    "Forwarded": "host=evil.example;proto=https",
    "X-Auth-User-Id": "1",
    "Authorization": "Bearer x",
}


@pytest.mark.parametrize("name", PROXY_HEADERS)
def test_no_other_header_of_a_proxy_changes_the_answer_to_its_check(visitor: Visitor, name: str) -> None:
    headers = {"X-Forwarded-Uri": "/rooms?a=1&b=2", name: PROXY_HEADERS[name]}
    response = visitor.get(VERIFY, headers=headers)
    sign_in = urlsplit(response.headers["X-Auth-Sign-In"])
    assert (response.status_code, f"{sign_in.scheme}://{sign_in.netloc}") == (401, visitor.url)
    assert parse_qs(sign_in.query) == {"callbackUrl": [f"{visitor.url}/rooms?a=1&b=2"]}


def test_a_script_without_a_session_gets_401_instead_of_the_sign_in_page(visitor: Visitor) -> None:
    response = visitor.get("/account", headers={"Accept": "application/json"})
    assert (response.status_code, response.json()["error"]) == (401, "SessionRequired")


# --- What people type


@pytest.mark.parametrize(
    "password",
    ["_8W+@Tw=5anFD'U8@Q56a7$0pDjl=03p\\s3p[^|N7]#lCRz'x:ly30I/" * 3, " a b ", "비밀번호&=+%20%", '"\\n{{7*7}}<b>',
     "ñé😀", "1" * 1024],
    ids=["171 characters", "spaces", "Korean", "markup", "accents", "1024 characters"],
)  # fmt: skip
@pytest.mark.parametrize("door", [LOGIN, "/api/auth/callback/email"])
def test_a_password_reaches_the_backend_character_by_character(
    setup: SocialSetup, visitor: Visitor, door: str, password: str
) -> None:
    visitor.submit(door, {"email": HANEUL, "password": password})
    assert setup.backend.requests_to("/login")[-1]["password"] == password


@pytest.mark.parametrize("typed", [f" {HANEUL}", f"{HANEUL} ", f"{HANEUL}\t", f"\u3000{HANEUL}\u00a0", f"{HANEUL}\r\n"])
def test_an_address_reaches_the_backend_without_the_spaces_around_it(
    setup: SocialSetup, visitor: Visitor, typed: str
) -> None:
    assert visitor.sign_in(typed).status_code == 303
    assert setup.backend.requests_to("/login")[-1]["email"] == HANEUL


@pytest.mark.parametrize("char", ["\x00", "\x08", "\x0b", "\x1b", "\x7f", "\x85"])
def test_a_control_character_in_an_address_is_explained_on_a_valid_page(
    setup: SocialSetup, visitor: Visitor, char: str
) -> None:
    before = len(setup.backend.calls)
    page = Page(visitor.sign_in(f"haneul{char}kim@example.com"))
    assert (page.status, "in the right format" in page.message) == (422, True)
    assert page.input_value("email") == "haneulkim@example.com"
    assert len(setup.backend.calls) == before


@pytest.mark.parametrize("name", ["csrfToken\0", "email\0", "pass\0word", "\0", "callbackUrl\0"])
def test_a_null_in_the_name_of_a_field_is_no_server_error(visitor: Visitor, name: str) -> None:
    fields = {"email": HANEUL, "password": "p", name: "x"}
    assert visitor.submit(LOGIN, fields).status_code == 303
    assert visitor.post(LOGIN, data=fields).status_code == 400


def test_the_login_form_has_what_keyboards_and_password_managers_look_for(visitor: Visitor) -> None:
    form = visitor.get_page(LOGIN).find_all("form")[0]
    email, password = (field for field in form.findall(".//input") if field.get("type") != "hidden")
    assert [email.get(name) for name in ("id", "name", "type", "autocomplete")] == [
        "email",
        "email",
        "email",
        "username",
    ]
    assert (email.get("autocapitalize"), email.get("inputmode"), email.get("spellcheck")) == ("none", "email", "false")
    assert [password.get(name) for name in ("id", "name", "type", "autocomplete")] == [
        "password", "password", "password", "current-password"
    ]  # fmt: skip


def test_a_failed_sign_in_shows_the_address_as_typed_and_nothing_else_about_the_account(site: Site) -> None:
    page = Page(site.new_visitor().sign_in("MinJi@Example.com", "wrong"))
    assert page.input_value("email") == "MinJi@Example.com"
    assert "민지" not in page.text
    assert "minji@example.com" not in page.text


# --- Signing out and staying signed in


@pytest.mark.parametrize("path", ["/auth/logout", "/api/auth/signout", f"{LOGIN}?callbackUrl=/auth/logout"])
@pytest.mark.parametrize(
    ("method", "headers"),
    [("GET", {"Sec-Purpose": "prefetch"}), ("GET", {"Sec-Purpose": "prefetch;prerender"}),
     ("GET", {"Purpose": "prefetch"}), ("HEAD", {}), ("GET", {})],
    ids=["prefetch", "prerender", "old prefetch", "HEAD", "GET"],
)  # fmt: skip
def test_opening_or_prefetching_a_link_signs_nobody_out(
    visitor: Visitor, method: str, headers: dict[str, str], path: str
) -> None:
    visitor.sign_in(HANEUL)
    response = visitor.request(method, path, headers=headers)
    assert response.headers["Cache-Control"] == "no-store"
    assert visitor.is_signed_in


def test_on_http_only_the_attempt_of_a_cross_site_post_needs_https(setup: SocialSetup) -> None:
    """Safari drops `Secure` cookies of http://localhost without a word. `SameSite=None` cannot do without."""
    browser, lines = new_browser(setup.site), []
    lines += set_cookies(browser.get(LOGIN)) + set_cookies(browser.sign_in(HANEUL))
    for provider in ("kakao", "google", "apple"):
        lines += set_cookies(browser.submit(f"/api/auth/signin/{provider}", {"json": "true"}))
    secure = [line for line in lines if "; Secure" in line]
    assert {line.split("=")[0].rpartition(".")[0] for line in lines} >= {"munjigi", "next-auth", "munjigi.attempt"}
    assert all("; SameSite=Lax" in line for line in lines if line not in secure)
    assert [line.partition("=")[0].startswith("munjigi.attempt.") for line in secure] == [True]


# --- Providers


def test_a_state_that_shares_its_first_characters_with_an_attempt_is_refused(setup: SocialSetup) -> None:
    """The cookie's name has eight characters of the state, so the cookie alone proves nothing."""
    browser = new_browser(setup.site)
    answer = setup.providers.approve(browser.start_sign_in("kakao"))
    before = len(setup.providers.calls)
    forged = {**answer, "state": answer["state"][:8] + "x" * (len(answer["state"]) - 8)}
    assert error_code(browser.send_callback("kakao", forged)) == "AttemptExpired"
    assert (len(setup.providers.calls), browser.user_name) == (before, None)


def test_a_callback_in_another_browser_says_what_to_do_and_sends_no_code(setup: SocialSetup) -> None:
    """A phone may open the provider's app, and then another browser than the one where the sign-in began."""
    answer = setup.providers.approve(new_browser(setup.site).start_sign_in("line"))
    other, before = new_browser(setup.site), len(setup.providers.calls)
    response = other.send_callback("line", answer)
    assert error_code(response) == "AttemptExpired"
    assert "began in another browser" in other.get_page(response.headers["Location"]).message
    assert len(setup.providers.calls) == before


EXTRA_PARAMETERS = {
    "session_state": "c2b1.0f",
    "scope": "openid email https://www.googleapis.com/auth/userinfo.email",
    "authuser": "0",
    "prompt": "consent",
    "friendship_status_changed": "true",
    "client_info": "1",
    "email": "somebody@example.com",
    "callbackUrl": "https://evil.example/",
    "json": "true",
    "provider": "google",
}


@pytest.mark.parametrize("provider", ["kakao", "oidc"])
def test_further_parameters_of_a_callback_are_ignored(setup: SocialSetup, provider: str) -> None:
    browser = new_browser(setup.site)
    answer = setup.providers.approve(browser.start_sign_in(provider, callbackUrl="/rooms"))
    response = browser.send_callback(provider, {**EXTRA_PARAMETERS, **answer})
    assert (response.status_code, response.headers["Location"]) == (303, f"{browser.url}/rooms")
    assert browser.user_name == "하늘"


# --- The backend


@dataclass
class PlainBackend:
    """A backend whose answers have any content type, status and headers."""

    content_type: str | None = "application/json"
    login: tuple[str, list[tuple[str, str]], bytes] | None = None
    calls: list[dict[str, str]] = field(default_factory=list)
    """Path and request headers of each call."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        self.calls.append({name: value for name, value in environ.items() if isinstance(value, str)})
        if self.login and environ["PATH_INFO"] == "/login":
            status, headers, body = self.login
        else:
            status, headers = "200 OK", [("Content-Type", self.content_type)] if self.content_type else []
            data = {"token": {"plainTextToken": "1|abc"}, "user": {"id": 7, "name": "홍길동", "email": "h@e.co"}}
            body = json.dumps({"data": data}).encode()
        start_response(status, headers)
        return [body]


@pytest.fixture(scope="module")
def plain() -> Iterator[tuple[PlainBackend, Site]]:
    backend = PlainBackend()
    with (
        serve_in_thread("127.0.0.1", lambda _: backend) as port,
        running_site(f"http://127.0.0.1:{port}") as site,
    ):
        yield backend, site


@pytest.mark.parametrize("content_type", ["text/html; charset=UTF-8", "text/plain", "Application/HAL+JSON", None])
def test_the_content_type_of_a_backends_json_does_not_matter(
    plain: tuple[PlainBackend, Site], content_type: str | None
) -> None:
    backend, site = plain
    backend.content_type, backend.login = content_type, None
    visitor = site.new_visitor()
    assert visitor.sign_in().status_code == 303
    assert visitor.get_session()["user"]["name"] == "홍길동"


@pytest.mark.parametrize("status", ["301 x", "302 x", "303 x", "307 x", "308 x"])
def test_a_backend_that_redirects_to_its_own_sign_in_page_signs_nobody_in(
    plain: tuple[PlainBackend, Site], status: str
) -> None:
    """Laravel does, for a request without `Accept: application/json`."""
    backend, site = plain
    backend.login = (status, [("Location", "/user"), ("Content-Type", "text/html")], b"<title>Redirecting</title>")
    backend.calls.clear()
    visitor = site.new_visitor()
    page = Page(visitor.sign_in())
    assert (page.status, visitor.is_signed_in) == (502, False)
    assert [(call["PATH_INFO"], call["HTTP_ACCEPT"]) for call in backend.calls] == [("/login", "application/json")]
