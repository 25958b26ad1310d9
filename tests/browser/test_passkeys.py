"""The pages with passkeys in Chromium, at the stand-in backend: what a person sees, in browsers of all kinds."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from dev.backend import PASSWORD
from tests.support.authenticator import Authenticator, without_suggestions
from tests.support.browser import (
    LOCALES,
    LOGIN,
    PageOpener,
    accessibility_violations,
    click_and_wait,
    development_site,
    fill_credentials,
    overflowing_elements_on_phone,
    page_opener,
    sign_out_button,
    submit_main_form,
)

pytestmark = [pytest.mark.xdist_group("browser")]

PASSKEYS = "/account/passkeys"
WITHOUT_JSON = """
if (window.PublicKeyCredential) {  // not on about:blank
    delete PublicKeyCredential.parseRequestOptionsFromJSON;
    delete PublicKeyCredential.parseCreationOptionsFromJSON;
    delete PublicKeyCredential.prototype.toJSON;
}
"""
"""What browsers before 2025 do not have."""

REJECT = "([method, name]) => { navigator.credentials[method] = () => Promise.reject(new DOMException('', name)) }"


@pytest.fixture(scope="module")
def site_url() -> Iterator[str]:
    with development_site({"BACKEND": "allauth", "PASSKEYS": "true"}) as url:
        yield url


@pytest.fixture
def open_page(browser: Browser, site_url: str) -> Iterator[PageOpener]:
    with page_opener(browser, site_url) as opener:
        yield opener


def button(page: Page) -> Locator:
    return page.locator(".passkey-form [data-ask]")


def message(page: Page) -> Locator:
    return page.locator(".passkey-form [role=alert]")


def open_passkeys(page: Page) -> None:
    page.goto(f"{LOGIN}?callbackUrl={PASSKEYS}")
    fill_credentials(page)
    submit_main_form(page)


def add_passkey(page: Page) -> None:
    Authenticator(page)
    open_passkeys(page)
    page.locator("#password").fill(PASSWORD)
    page.locator("#password").press("Enter")
    expect(page.get_by_role("status")).to_be_visible()


def sign_out(page: Page) -> None:
    page.goto("/account")
    click_and_wait(sign_out_button(page))


@pytest.mark.parametrize("locale", LOCALES)
def test_the_pages_are_accessible_and_fit_a_phone(open_page: PageOpener, locale: str) -> None:
    page = open_page(locale)
    page.goto(LOGIN)
    expect(button(page)).to_be_visible()
    assert accessibility_violations(page) == []
    assert overflowing_elements_on_phone(page) == []
    open_passkeys(page)
    expect(button(page)).to_be_visible()
    page.locator("#password").fill("wrong")
    page.route("**/options", lambda route: route.fulfill(json={}))
    button(page).click()
    expect(message(page)).not_to_be_empty()
    assert accessibility_violations(page) == []
    assert overflowing_elements_on_phone(page) == []


@pytest.mark.parametrize("locale", LOCALES)
def test_the_list_of_passkeys_is_accessible_and_fits_a_phone(open_page: PageOpener, locale: str) -> None:
    page = open_page(locale)
    add_passkey(page)
    page.goto(PASSKEYS)
    assert accessibility_violations(page) == []
    assert overflowing_elements_on_phone(page) == []
    click_and_wait(page.locator(".session-list a").first)
    for password in ("wrong", PASSWORD):
        assert accessibility_violations(page) == []
        assert overflowing_elements_on_phone(page) == []
        page.locator("#password").fill(password)
        submit_main_form(page)
    expect(page.get_by_role("status")).to_be_visible()


def test_a_passkey_is_removed_without_javascript(browser: Browser, site_url: str) -> None:
    with browser.new_context(base_url=site_url, locale="en") as context:
        page = context.new_page()
        add_passkey(page)
        cookies = context.cookies()
    with browser.new_context(base_url=site_url, locale="en", java_script_enabled=False) as context:
        context.add_cookies([{**cookie} for cookie in cookies])  # type: ignore[typeddict-item]  # what it returned
        page = context.new_page()
        page.goto(PASSKEYS)
        click_and_wait(page.get_by_role("link", name="Remove Chrome, Linux").last)
        page.locator("#password").fill(PASSWORD)
        submit_main_form(page)
        expect(page.get_by_role("status")).to_have_text("The passkey is removed.")


@pytest.mark.parametrize("script", ["", WITHOUT_JSON], ids=["new browser", "older browser"])
def test_a_person_adds_a_passkey_and_signs_in_with_it(open_page: PageOpener, script: str) -> None:
    page = open_page()
    page.add_init_script(script)
    without_suggestions(page)
    add_passkey(page)
    sign_out(page)
    page.goto(f"{LOGIN}?callbackUrl=/account")
    with page.expect_navigation():
        button(page).dblclick()
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def test_a_second_passkey_of_a_device_is_explained_and_a_wrong_password_too(browser: Browser, site_url: str) -> None:
    page = browser.new_page(base_url=site_url, locale="en")  # the console reports the answer 422
    Authenticator(page)
    open_passkeys(page)
    page.locator("#password").fill("wrong")
    button(page).click()
    expect(message(page)).to_have_text("The current password is incorrect.")
    page.evaluate(
        "() => { navigator.credentials.create = () => Promise.reject(new DOMException('', 'InvalidStateError')) }"
    )
    page.locator("#password").fill(PASSWORD)
    button(page).click()
    expect(message(page)).to_have_text("This device has a passkey for your account already.")
    page.context.close()


def test_who_cancels_sees_no_error_and_can_go_on(open_page: PageOpener) -> None:
    page = open_page()
    page.goto(LOGIN)
    page.evaluate(REJECT, ["get", "NotAllowedError"])
    button(page).click()
    expect(button(page)).not_to_have_attribute("aria-busy", "true")
    expect(message(page)).to_be_empty()
    fill_credentials(page)
    submit_main_form(page)
    expect(page).not_to_have_url(LOGIN)


def test_without_webauthn_or_javascript_the_pages_have_no_button(open_page: PageOpener) -> None:
    for page in (open_page(java_script_enabled=False), old_browser(open_page())):
        page.goto(LOGIN)
        expect(page.locator(".passkey-form")).to_be_hidden()
        open_passkeys(page)
        expect(page.locator(".passkey-form")).to_be_hidden()
        expect(page.locator("[data-without-passkeys]")).to_be_visible()


def old_browser(page: Page) -> Any:
    page.add_init_script("delete window.PublicKeyCredential")
    return page
