"""The fields of a new account after a provider, in Chromium: on a phone and a desktop, with and without JavaScript."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from dev.backend import TAKEN_PHONE
from tests.support.browser import (
    LOCALES,
    LOGIN,
    PageOpener,
    accessibility_violations,
    click_and_wait,
    development_site,
    overflowing_elements_on_phone,
    page_opener,
    stand_in_hosts,
    submit_main_form,
)

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("restore_logging")]
PHONE, DESKTOP = ViewportSize(width=390, height=844), ViewportSize(width=1280, height=900)


@pytest.fixture
def site(restore_logging: None) -> Iterator[str]:
    """A site for each test: a person has an account afterwards."""
    with development_site({"PROVIDERS": "kakao"}) as url:
        yield url


@pytest.fixture
def open_page(browser: Browser, site: str) -> Iterator[PageOpener]:
    with page_opener(browser, site, navigable_hosts=stand_in_hosts(site)) as opener:
        yield opener


def come_from_provider(page: Page) -> None:
    """Sign in with a provider's account that is new at the backend, which wants further fields."""
    page.goto(f"{LOGIN}?callbackUrl=/account")
    page.locator("form[action*='/api/auth/signin'] button, button[formaction*='/api/auth/signin']").first.click()
    page.locator("input[value=haneul]").check()
    page.locator("#failure").select_option("backend_fields")
    page.get_by_role("button", name="Approve").click()
    page.wait_for_url(re.compile(r"/auth/login/register"))


@pytest.mark.parametrize(
    "options",
    [{"viewport": PHONE}, {"viewport": DESKTOP}, {"viewport": PHONE, "java_script_enabled": False}],
    ids=["phone", "desktop", "without JavaScript"],
)
def test_a_person_corrects_a_field_and_is_signed_in(open_page: PageOpener, options: dict[str, Any]) -> None:
    page = open_page(**options)
    come_from_provider(page)
    expect(page.locator("#name")).to_be_focused()
    page.locator("#name").fill("김하늘")
    expect(page.locator("#email")).to_have_value("haneul.kim@example.com")
    expect(page.locator("input[type=password]")).to_have_count(0)
    page.locator("#phone").fill(TAKEN_PHONE)
    submit_main_form(page)
    expect(page.locator("#phone-error")).to_contain_text("already been taken")
    page.locator("#phone").fill("010-1234-5678")
    submit_main_form(page)
    page.wait_for_url(re.compile(r"/account$"))
    expect(page.get_by_role("status")).to_have_text("Your account is created, and you are signed in.")
    expect(page.locator("main")).to_contain_text("haneul.kim@example.com")


@pytest.mark.parametrize("locale", LOCALES)
def test_the_page_is_accessible_fits_a_phone_and_can_be_left(open_page: PageOpener, locale: str) -> None:
    page = open_page(locale)
    come_from_provider(page)
    expect(page.locator("html")).to_have_attribute("lang", locale)
    assert accessibility_violations(page) == []
    assert overflowing_elements_on_phone(page) == []
    submit_main_form(page)
    expect(page.locator(".error-summary")).to_be_visible()
    assert accessibility_violations(page) == []
    assert overflowing_elements_on_phone(page) == []
    click_and_wait(page.locator(".link-list button"))
    expect(page).to_have_url(re.compile(r"/auth/login/email"))
