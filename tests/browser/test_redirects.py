"""An app beside the site redirects on: in Chromium, a person arrives there after signing in and after signing out."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import (
    LOGIN,
    PageOpener,
    accessibility_violations,
    close_context,
    fill_credentials,
    overflowing_elements_on_phone,
    page_opener,
)
from tests.support.site import Site, running_site, serve_in_thread

pytestmark = pytest.mark.xdist_group("browser")

with_and_without_scripts = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
each_hop = pytest.mark.parametrize("hop", ["/rooms", "/hop", "/two-hops", "/app/../hop", "/api/auth/signin-not-ours"])
requested: list[str] = []
"""The paths at which the app has redirected on."""


def _page(start_response: Any, text: str) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/html")])
    return [f'<!doctype html><html lang="en"><title>x</title><link rel="icon" href="data:,"><h1>{text}</h1>'.encode()]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The site with an app at the same origin, as behind one proxy, and with another site at another origin."""

    def elsewhere(_: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return _page(start_response, "Another origin")

    with serve_in_thread("127.0.0.1", lambda _: elsewhere) as port, running_site() as running:
        other_origin = f"http://127.0.0.1:{port}/"
        locations = {
            "/hop": other_origin,
            "/two-hops": "/hop",
            "/api/auth/signin-not-ours": other_origin,
            "/mobile": "myapp://signed-in",
        }
        munjigi = running.app.wsgi_app

        def both(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            path = environ["PATH_INFO"]
            if path == "/rooms":
                return _page(start_response, "Rooms")
            if path not in locations:
                return munjigi(environ, start_response)
            requested.append(path)
            start_response("302 Found", [("Location", locations[path])])
            return []

        running.app.wsgi_app = both  # type: ignore[method-assign]
        running.other_host = f"127.0.0.1:{port}"  # type: ignore[attr-defined]
        yield running


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[PageOpener]:
    with page_opener(browser, site.url, [site.other_host]) as open_one:  # type: ignore[attr-defined]
        yield open_one


def sign_in(page: Page, target: str) -> None:
    page.goto(f"{LOGIN}?callbackUrl={target}")
    fill_credentials(page)
    page.locator("main button.button-primary").first.click()


@with_and_without_scripts
@each_hop
def test_a_person_arrives_where_the_app_redirects_on_to(open_page: PageOpener, hop: str, scripts: bool) -> None:
    page = open_page(java_script_enabled=scripts)
    goal = "Rooms" if hop == "/rooms" else "Another origin"
    sign_in(page, hop)
    expect(page.locator("h1")).to_have_text(goal)
    page.goto(f"/auth/logout?callbackUrl={hop}")
    page.locator("main button.button-primary").first.click()
    expect(page.locator("h1")).to_have_text(goal)
    page.goto("/")
    expect(page.locator("h1")).to_have_text("Not signed in")


@with_and_without_scripts
def test_an_app_that_opens_a_mobile_app_is_reached(browser: Browser, site: Site, scripts: bool) -> None:
    """There is no such app here, so Chromium stays on the page in between, which has a link."""
    context: BrowserContext = browser.new_context(base_url=site.url, java_script_enabled=scripts, locale="en")
    messages: list[str] = []
    for start in (f"{LOGIN}?callbackUrl=/mobile", "/auth/logout?callbackUrl=/mobile"):
        page = context.new_page()  # in the last one, Chromium may still be at the address of the app
        page.on("console", lambda message: messages.append(message.text))
        requested.clear()
        page.goto(start)
        if start.startswith(LOGIN):
            fill_credentials(page)
        page.locator("main button.button-primary").first.click()
        expect(page.locator("h1")).to_have_text("Taking you to the next page")
        expect(page.get_by_role("status")).to_contain_text("You are signed")
        expect(page.get_by_role("link", name="Continue")).to_have_attribute("href", f"{site.url}/mobile")
        for _ in range(200):
            if requested:
                break
            page.wait_for_timeout(100)
        assert set(requested) == {"/mobile"}
        page.goto("/")  # also waits for the console
    assert not [text for text in messages if "Content Security Policy" in text]
    close_context(context)


def test_the_back_button_leads_past_the_page_in_between(open_page: PageOpener) -> None:
    page = open_page()
    page.goto("/")
    sign_in(page, "/rooms")
    expect(page.locator("h1")).to_have_text("Rooms")
    page.go_back(wait_until="commit")  # to the sign-in page, which sends a signed-in person on
    expect(page.locator("h1")).to_have_text("Rooms")
    page.go_back(wait_until="commit")
    expect(page.locator("h1")).to_have_text("Signed in as 민지")


def test_the_page_in_between_is_accessible_and_fits_a_phone(open_page: PageOpener, site: Site) -> None:
    page = open_page()
    page.route(f"{site.url}/rooms", lambda route: route.fulfill(status=204))  # the browser stays on the page
    for locale in ("en", "ko", "ja"):
        page.context.set_extra_http_headers({"Accept-Language": locale})
        with page.expect_response(f"{site.url}/rooms"):  # the page is no longer on its way to the next one
            sign_in(page, "/rooms")
        expect(page.locator("a.button-primary")).to_be_visible()
        assert accessibility_violations(page) == []
        assert overflowing_elements_on_phone(page) == []
        page.context.clear_cookies()


@with_and_without_scripts
def test_a_browser_that_gets_the_401_of_forward_auth_arrives_at_the_sign_in_page(
    browser: Browser, site: Site, scripts: bool
) -> None:
    """As behind Traefik, which passes the 401 on."""
    headers = {"X-Forwarded-Uri": "/rooms", "X-Forwarded-Method": "GET"}
    context = browser.new_context(
        base_url=site.url, java_script_enabled=scripts, locale="en", extra_http_headers=headers
    )
    page = context.new_page()
    answer = page.goto("/auth/verify")
    assert answer
    assert answer.status == 401
    expect(page.locator("h1")).to_have_text("Sign in")
    fill_credentials(page)
    page.locator("main button.button-primary").first.click()
    expect(page.locator("h1")).to_have_text("Rooms")
    context.close()
