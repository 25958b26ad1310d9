"""Connected providers and the checkbox "Stay signed in" in Chromium, at the development site with its stand-ins."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import (
    LINK_STATES,
    LOCALES,
    LOGIN,
    NARROW,
    PageOpener,
    accessibility_violations,
    choose_person,
    click_and_wait,
    development_site,
    overflowing_elements_on_phone,
    page_opener,
    response_status,
    stand_in_hosts,
    submit_main_form,
    submit_sign_in,
)
from tests.support.site import MINJI

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.usefixtures("restore_logging")]
PAGE = "/account/providers"
SESSION = "next-auth.session-token"
WAYS: dict[str, dict[str, Any]] = {
    "desktop-ko": {"locale": "ko"},
    "phone-en": {"locale": "en", "viewport": NARROW},
    "no-script-ja": {"locale": "ja", "java_script_enabled": False},
}


@pytest.fixture(scope="module")
def site_url(restore_logging: None) -> Iterator[str]:
    with development_site({"REMEMBER_ME": "true"}) as url:
        yield url


@pytest.fixture
def open_page(browser: Browser, site_url: str) -> Iterator[PageOpener]:
    with page_opener(browser, site_url, stand_in_hosts(site_url), reduced_motion="reduce") as opener:
        yield opener


def button_of(page: Page, provider: str) -> Any:
    return page.locator(f"form:has(input[name=link])[action$='/signin/{provider}'] button")


def session_expiry(page: Page) -> float:
    """When the browser deletes the session cookie: seconds since 1970, or -1 if it does when it is closed."""
    return next(cookie["expires"] for cookie in page.context.cookies() if cookie["name"] == SESSION)


@pytest.mark.parametrize("way", WAYS)
def test_from_a_refused_sign_in_to_a_connected_provider(open_page: PageOpener, site_url: str, way: str) -> None:
    """The address of the person at the provider belongs to an account with a password."""
    page = open_page(**WAYS[way])
    provider = {"desktop-ko": "kakao", "phone-en": "google", "no-script-ja": "apple"}[way]
    page.goto(f"{LOGIN}?callbackUrl=/account")
    page.locator(f"button.provider-button-{provider}").click()
    choose_person(page, "taken")
    expect(page.get_by_role("alert")).to_be_visible()
    page.locator("#email").fill(MINJI)
    page.locator("#password").fill("correct-horse")
    submit_main_form(page)
    assert page.url.startswith(f"{site_url}{PAGE}/connect")
    page.locator("main button.button-primary").click()
    choose_person(page, "taken")
    page.wait_for_url(f"{site_url}/account")
    expect(page.get_by_role("status")).to_be_visible()
    assert page.request.get("/api/auth/session").json()["user"]["email"] == MINJI
    # Next time the provider is enough.
    page.context.clear_cookies()
    page.goto(f"{LOGIN}?callbackUrl=/account/providers")
    page.locator(f"button.provider-button-{provider}").click()
    choose_person(page, "taken")
    page.wait_for_url(f"{site_url}{PAGE}")
    assert page.request.get("/api/auth/session").json()["user"]["email"] == MINJI
    expect(button_of(page, provider)).to_have_count(0)
    click_and_wait(page.locator(f"button[name=provider][value={provider}]"))
    expect(page.get_by_role("status")).to_be_visible()
    expect(button_of(page, provider)).to_have_count(1)


def test_the_page_connects_and_the_session_stays(open_page: PageOpener, site_url: str) -> None:
    page = open_page()
    submit_sign_in(page, "jun@example.com")
    before = page.request.get("/api/auth/session").json()["user"]
    page.goto("/account")
    click_and_wait(page.locator(f"a[href='{PAGE}']"))
    button_of(page, "github").click()
    choose_person(page, "nameless")
    page.wait_for_url(f"{site_url}{PAGE}")
    expect(page.get_by_role("status")).to_have_text("GitHub is connected.")
    assert page.request.get("/api/auth/session").json()["user"] == before


def test_cancelling_at_the_provider_says_so(open_page: PageOpener) -> None:
    page = open_page()
    submit_sign_in(page)
    page.goto(PAGE)
    button_of(page, "line").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("p[role=status]")).to_have_text("Nothing was connected, because you cancelled it.")


@pytest.mark.parametrize("ticked", [True, False])
@pytest.mark.parametrize("script", [True, False])
def test_the_checkbox_counts_for_the_password_and_for_the_providers(
    open_page: PageOpener, site_url: str, *, ticked: bool, script: bool
) -> None:
    page = open_page(java_script_enabled=script)
    page.goto(LOGIN)
    expect(page.locator("#rememberMe")).not_to_be_checked()
    page.locator("#rememberMe").set_checked(ticked)
    page.locator("#email").fill(MINJI)
    page.locator("#password").fill("correct-horse")
    with page.expect_navigation():
        page.keyboard.press("Enter")  # presses "Sign in", not the button of a provider
    assert page.url == f"{site_url}/"
    assert (session_expiry(page) > 0) is ticked
    page.context.clear_cookies()
    page.goto(LOGIN)
    page.locator("#rememberMe").set_checked(ticked)
    page.locator("button.provider-button-kakao").click()
    choose_person(page, "haneul")
    page.wait_for_url(f"{site_url}/")
    assert (session_expiry(page) > 0) is ticked


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("state", LINK_STATES)
def test_each_state_is_accessible_and_fits_a_phone(open_page: PageOpener, state: str, locale: str) -> None:
    page = open_page(locale)
    LINK_STATES[state](page)
    assert response_status(page) in (200, 401)
    assert not re.search(r"%\(\w+\)s", page.locator("main").inner_text())
    assert accessibility_violations(page) == []
    assert overflowing_elements_on_phone(page) == []
