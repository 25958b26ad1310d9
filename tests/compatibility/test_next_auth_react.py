"""The unmodified `next-auth/react` from npm, in a browser, works with this site."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from dev.backend import PASSWORD
from tests.support.browser import development_site, submit_sign_in
from tests.support.node import build_bundle, route_front_end
from tests.support.site import MINJI, running_site

CSRF_API = "**/api/auth/csrf"

pytestmark = [pytest.mark.external, pytest.mark.xdist_group("next-auth-react")]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def site_url() -> Iterator[str]:
    with development_site() as url:
        yield url


@pytest.fixture
def person(browser: Browser, bundle: str, site_url: str) -> Iterator[BrowserContext]:
    """A browser with the front end at the site's own origin, as behind one proxy."""
    with browser.new_context(base_url=site_url) as context:
        route_front_end(context, f"{site_url}/front", bundle)
        yield context


@pytest.fixture
def tab(person: BrowserContext) -> Callable[[], Page]:
    def opened() -> Page:
        page = person.new_page()
        page.goto("/front")
        expect(page.locator("#who")).not_to_contain_text("loading")
        return page

    return opened


def sign_in(page: Page, password: str = PASSWORD) -> Any:
    return page.evaluate(
        "([email, password]) => client.signIn('email', {email, password, redirect: false})", [MINJI, password]
    )


def land(page: Page, address: str) -> None:
    """Wait for a redirect to this address and reload: Playwright does not pass redirects to its routes."""
    page.wait_for_url(address)
    page.goto(address)


def shows(page: Page, text: str) -> None:
    expect(page.locator("#who")).to_have_text(text)


def test_the_client_sees_no_session_and_the_list_of_providers(tab: Callable[[], Page]) -> None:
    page = tab()
    shows(page, "unauthenticated: ")
    assert page.evaluate("client.getSession()") is None
    providers = page.evaluate("client.getProviders()")
    assert list(providers)[:3] == ["email", "kakao", "naver"]
    assert {name: one["type"] for name, one in providers.items() if name in ("email", "apple")} == {
        "email": "credentials",
        "apple": "oauth",
    }


def test_a_wrong_password_returns_the_same_error_as_next_auth_v4(tab: Callable[[], Page]) -> None:
    page = tab()
    assert sign_in(page, "wrong") == {"error": "CredentialsSignin", "status": 401, "ok": False, "url": None}
    shows(page, "unauthenticated: ")


def test_the_right_password_signs_in_without_a_reload(tab: Callable[[], Page], site_url: str) -> None:
    page = tab()
    assert sign_in(page) == {"error": None, "status": 200, "ok": True, "url": f"{site_url}/front"}
    shows(page, "authenticated: 민지")
    session = page.evaluate("client.getSession()")
    assert session["user"] == {"id": 1, "name": "김민지", "nick_name": "민지", "email": MINJI}
    assert set(session) == {"user", "expires"}
    assert page.evaluate("expires => new Date(expires) > new Date()", session["expires"])


def test_without_redirect_false_the_client_navigates_to_the_callback_url(
    tab: Callable[[], Page], site_url: str
) -> None:
    page = tab()
    with page.expect_navigation():
        page.evaluate(
            "([email, password]) => { client.signIn('email', {email, password, callbackUrl: '/account'}) }",
            [MINJI, PASSWORD],
        )
    assert page.url == f"{site_url}/account"


def test_an_update_shows_in_this_and_in_other_tabs(tab: Callable[[], Page]) -> None:
    page = tab()
    sign_in(page)
    other = tab()
    shows(other, "authenticated: 민지")
    page.wait_for_timeout(
        1100
    )  # v4 stamps its messages to other tabs in seconds and drops a second one with the same stamp
    assert page.evaluate("update({nick_name: '새이름'})")["user"]["nick_name"] == "새이름"
    shows(page, "authenticated: 새이름")
    shows(other, "authenticated: 새이름")
    assert page.evaluate("update()")["user"]["nick_name"] == "새이름"
    assert page.evaluate("update({nick_name: '민지'})")["user"]["nick_name"] == "민지"


def test_an_update_of_the_user_id_changes_nothing(tab: Callable[[], Page]) -> None:
    page = tab()
    sign_in(page)
    assert page.evaluate("update({id: 2, email: 'admin@example.com'})") is None
    shows(page, "authenticated: 민지")
    assert page.evaluate("client.getSession()")["user"]["email"] == MINJI


def test_signing_out_shows_in_other_tabs(tab: Callable[[], Page], site_url: str) -> None:
    page = tab()
    sign_in(page)
    other = tab()
    shows(other, "authenticated: 민지")
    assert page.evaluate("client.signOut({redirect: false})") == {"url": f"{site_url}/front"}
    shows(page, "unauthenticated: ")
    shows(other, "unauthenticated: ")


def test_a_sign_out_in_the_front_end_updates_the_sites_own_pages(
    tab: Callable[[], Page], person: BrowserContext
) -> None:
    page, own = tab(), person.new_page()
    submit_sign_in(own)
    shows(page, "authenticated: 민지")
    page.evaluate("client.signOut({redirect: false})")
    expect(own.locator("h1")).to_have_text("Not signed in")


def test_a_page_that_requires_a_session_redirects_to_the_login_page_and_back(
    person: BrowserContext, site_url: str
) -> None:
    page = person.new_page()
    page.goto("/front?required")
    page.wait_for_url("**/auth/login/email?**")
    expect(page.get_by_role("status")).to_be_visible()
    page.fill("#email", MINJI)
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    land(page, f"{site_url}/front?required")
    shows(page, "authenticated: 민지")


def test_a_social_sign_in_goes_to_the_provider_and_returns(tab: Callable[[], Page], site_url: str) -> None:
    page = tab()
    with page.expect_navigation():
        page.evaluate("() => { client.signIn('google') }")
    page.get_by_role("button", name="Approve").click()
    land(page, f"{site_url}/front")
    expect(page.locator("#who")).to_contain_text("authenticated: ")


def test_a_failed_csrf_check_is_an_error_not_a_success_as_in_v4(tab: Callable[[], Page]) -> None:
    page = tab()
    page.route(CSRF_API, lambda route: route.fulfill(json={"csrfToken": "wrong"}))
    page.context.request.get("/api/auth/csrf")
    assert sign_in(page) == {"error": "FormExpired", "status": 400, "ok": False, "url": None}
    shows(page, "unauthenticated: ")


def test_the_client_works_below_a_base_path(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    api = "/login-site/api/auth"
    folder = tmp_path_factory.mktemp("bundle")
    bundle = build_bundle(folder, BASE_PATH=api, NEXTAUTH_URL=f"http://localhost{api}")
    asked = []
    with running_site(path="/login-site") as site, browser.new_context() as context:
        here = f"{site.url}/login-site"
        route_front_end(context, f"{here}/front", bundle)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{here}/front")
        shows(page, "unauthenticated: ")
        assert page.evaluate("client.getProviders()")["email"]["callbackUrl"] == f"{site.url}{api}/callback/email"
        assert sign_in(page, "wrong")["error"] == "CredentialsSignin"
        assert sign_in(page) == {"error": None, "status": 200, "ok": True, "url": f"{here}/front"}
        shows(page, "authenticated: 민지")
        assert page.evaluate("update({nick_name: '새이름'})")["user"]["nick_name"] == "새이름"
        page.reload()
        shows(page, "authenticated: 새이름")
        assert page.evaluate("client.signOut({redirect: false, callbackUrl: '/login-site/'})") == {"url": f"{here}/"}
        shows(page, "unauthenticated: ")
    assert {url for url in asked if not url.startswith(here)} == set()
