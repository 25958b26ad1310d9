"""The next step of a sign-in in Chromium: on a phone and a desktop, with and without JavaScript."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from dev.next_steps import CODE, RECOVERY_CODE
from tests.support.browser import (
    PageOpener,
    click_and_wait,
    development_site,
    page_opener,
    submit_main_form,
    submit_sign_in,
)

pytestmark = pytest.mark.browser
STEN, IDA = "nextstep@example.com", "identity@example.com"
PHONE, DESKTOP = ViewportSize(width=390, height=844), ViewportSize(width=1280, height=900)
every_browser = pytest.mark.parametrize(
    "options",
    [{"viewport": PHONE}, {"viewport": DESKTOP}, {"viewport": PHONE, "java_script_enabled": False}],
    ids=["phone", "desktop", "without JavaScript"],
)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with development_site() as url:
        yield url


@pytest.fixture
def open_page(browser: Browser, site: str) -> Iterator[PageOpener]:
    port = int(site.rpartition(":")[2]) + 1
    with page_opener(browser, site, navigable_hosts=[f"127.0.0.1:{port}"]) as opener:
        yield opener


def signed_in_as(page: Page, email: str) -> None:
    page.goto("/account")
    expect(page.locator("main")).to_contain_text(email)


@every_browser
@pytest.mark.parametrize("locale", ["en", "ko"])
def test_a_code_that_was_pasted_with_a_space_signs_in(
    open_page: PageOpener, options: dict[str, Any], locale: str
) -> None:
    page = open_page(locale, **options)
    submit_sign_in(page, STEN)
    expect(page.locator("#code")).to_be_focused()
    page.locator("#code").fill("000 000")
    submit_main_form(page)
    expect(page.locator(".error-summary")).to_be_focused()
    page.locator("#code").fill(f"{CODE[:3]} {CODE[3:]}")
    submit_main_form(page)
    signed_in_as(page, STEN)


@every_browser
def test_a_recovery_code_signs_in_and_the_browser_is_trusted_afterwards(
    open_page: PageOpener, options: dict[str, Any]
) -> None:
    page = open_page(**options)
    submit_sign_in(page, STEN)
    page.locator("#trust").check()
    page.locator("#code").fill(CODE)
    submit_main_form(page)
    signed_in_as(page, STEN)
    click_and_wait(page.locator("form[action$='/auth/logout'] button").first)
    submit_sign_in(page, STEN)
    signed_in_as(page, STEN)
    page.context.clear_cookies()
    submit_sign_in(page, STEN)
    click_and_wait(page.locator("button[value=recovery]"))
    page.locator("#code").fill(RECOVERY_CODE)
    submit_main_form(page)
    signed_in_as(page, STEN)


@every_browser
def test_a_page_of_the_backend_leads_out_and_back(open_page: PageOpener, options: dict[str, Any]) -> None:
    page = open_page(**options)
    submit_sign_in(page, IDA)
    click_and_wait(page.locator("a.button-primary"))
    expect(page.locator("h1")).to_have_text("Identity check")
    with page.expect_navigation():
        page.locator("a").click()
    assert page.context.request.get("/api/auth/session").json() == {}  # the way back alone finishes nothing
    submit_main_form(page)
    signed_in_as(page, IDA)


def test_the_time_until_another_code_counts_down(open_page: PageOpener) -> None:
    page = open_page()
    submit_sign_in(page, STEN)
    expect(page.locator("form.resend [role=timer]")).to_have_text("58 seconds", timeout=30_000)


def test_cancelling_leads_back_to_the_sign_in_page(open_page: PageOpener) -> None:
    page = open_page()
    submit_sign_in(page, STEN)
    click_and_wait(page.locator("form[action$='/cancel'] button"))
    expect(page.locator(".notice")).to_contain_text("cancelled")
