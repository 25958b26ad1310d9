"""Sign-up, a forgotten password, verification and another password in Chromium, as a person goes through them."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import (
    NARROW,
    NEW_PASSWORD,
    PageOpener,
    ask_for_mail,
    development_site,
    page_opener,
    response_status,
    sign_up,
    stand_in_hosts,
    submit_main_form,
    submit_sign_in,
)

OTHER_PASSWORD = "red-whale-32"
WAYS: dict[str, dict[str, Any]] = {
    "desktop-ko": {"locale": "ko"},
    "phone-en": {"locale": "en", "viewport": NARROW},
    "no-script-ja": {"locale": "ja", "java_script_enabled": False},
}


@pytest.fixture(scope="module")
def site_url() -> Iterator[str]:
    with development_site() as url:
        yield url


@pytest.fixture
def open_page(browser: Browser, site_url: str) -> Iterator[PageOpener]:
    with page_opener(browser, site_url, stand_in_hosts(site_url)) as opener:
        yield opener


def follow_last_mail(page: Page, site_url: str) -> None:
    """Open the mails of the stand-in backend, and follow the link of the last one."""
    page.goto(f"http://{stand_in_hosts(site_url)[0]}/mail")
    page.locator("main section a").first.click()
    page.wait_for_url(re.compile(f"^{site_url}/"))


def set_new_password(page: Page, password: str) -> None:
    page.locator("#new_password").fill(password)
    submit_main_form(page)


@pytest.mark.parametrize("way", WAYS)
def test_from_the_sign_up_to_another_password(open_page: PageOpener, site_url: str, way: str) -> None:
    page, email = open_page(**WAYS[way]), f"sora-{way}@example.com"
    page.goto("/auth/login/email")
    page.locator("a[href='/auth/register']").click()
    sign_up(page, email)
    assert email in page.locator("main").inner_text()
    follow_last_mail(page, site_url)
    submit_main_form(page)
    assert page.url == f"{site_url}/auth/login/email"
    submit_sign_in(page, email, NEW_PASSWORD)
    page.goto("/account")
    page.locator("a[href='/account/password']").click()
    page.locator("#password").fill(NEW_PASSWORD)
    set_new_password(page, OTHER_PASSWORD)
    assert page.url == f"{site_url}/account"
    assert page.locator("[role=status]").count() == 1


@pytest.mark.parametrize("way", WAYS)
def test_from_a_forgotten_password_to_a_new_one(open_page: PageOpener, site_url: str, way: str) -> None:
    page, email = open_page(**WAYS[way]), f"yuna-{way}@example.com"
    sign_up(page, email)
    follow_last_mail(page, site_url)
    submit_main_form(page)
    ask_for_mail(page, "/auth/password/forgot", email)
    follow_last_mail(page, site_url)
    set_new_password(page, "short")
    assert response_status(page) == 422
    assert "token" not in page.url, "the code is in the form, and no longer in the address"
    set_new_password(page, OTHER_PASSWORD)
    assert page.url == f"{site_url}/auth/login/email"
    submit_sign_in(page, email, OTHER_PASSWORD)
    assert page.url == f"{site_url}/"
