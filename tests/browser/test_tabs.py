"""A change of the session in one tab updates the other tabs of the site."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import (
    LOGIN,
    PageMonitor,
    click_and_wait,
    development_site,
    fill_credentials,
    sign_out_button,
    submit_main_form,
    submit_sign_in,
)

pytestmark = pytest.mark.xdist_group("browser")

Tabs = Callable[..., Page]
SESSION_API = "**/api/auth/session"


@pytest.fixture(scope="module")
def site_url() -> Iterator[str]:
    with development_site() as url:
        yield url


@pytest.fixture
def person(browser: Browser, site_url: str) -> Iterator[BrowserContext]:
    with browser.new_context(base_url=site_url, locale="en") as context:
        yield context


@pytest.fixture
def tab(person: BrowserContext, site_url: str) -> Iterator[Tabs]:
    """Return a function that opens a tab of one browser; each tab is watched until the test ends."""
    watches = []

    def opened(path: str = "/") -> Page:
        page = person.new_page()
        watches.append(PageMonitor(page, site_url))
        page.goto(path)
        return page

    yield opened
    assert [watch.problems for watch in watches] == [[] for _ in watches]


def heading(page: Page, text: str) -> None:
    expect(page.locator("h1")).to_have_text(text)


def test_signing_in_in_one_tab_updates_the_other_tabs(tab: Tabs) -> None:
    home, waiting, page = tab(), tab(f"{LOGIN}?error=SessionRequired&callbackUrl=/account"), tab(LOGIN)
    fill_credentials(page)
    submit_main_form(page)
    heading(home, "Signed in as 민지")
    heading(waiting, "Your account")


def test_a_code_that_was_entered_in_one_tab_leads_the_other_tabs_on(tab: Tabs) -> None:
    page, waiting = tab(), tab()
    submit_sign_in(page, "nextstep@example.com")
    waiting.goto("/auth/login/verify?callbackUrl=/account")
    page.locator("#code").fill("123456")
    submit_main_form(page)
    heading(waiting, "Your account")


def test_signing_out_in_one_tab_clears_the_other_tabs(tab: Tabs) -> None:
    page = tab()
    submit_sign_in(page)
    account, asked = tab("/account"), tab("/auth/logout")
    click_and_wait(sign_out_button(page))
    heading(account, "Sign in")
    heading(asked, "Not signed in")


def test_a_new_name_shows_in_other_tabs_and_keeps_unsaved_input(tab: Tabs) -> None:
    page = tab()
    submit_sign_in(page)
    home, typing = tab(), tab("/account")
    typing.locator("#name").fill("half a na")
    page.goto("/account")
    page.locator("#nick_name").fill("새이름")
    submit_main_form(page)
    heading(home, "Signed in as 새이름")
    expect(typing.locator("#name")).to_have_value("half a na")
    page.locator("#nick_name").fill("민지")
    submit_main_form(page)
    heading(home, "Signed in as 민지")


def test_a_tab_with_a_failed_form_reloads_with_get(tab: Tabs) -> None:
    failed = tab(LOGIN)
    fill_credentials(failed, password="wrong")
    submit_main_form(failed)
    posts: list[str] = []
    failed.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    submit_sign_in(tab())
    heading(failed, "Signed in as 민지")
    assert posts == []


@pytest.mark.parametrize("answer", [{"status": 503, "json": {}}, {"body": "no JSON"}], ids=["fault", "no JSON"])
def test_a_page_stays_as_it_is_if_the_session_request_fails(person: BrowserContext, answer: Any) -> None:
    home = person.new_page()
    submit_sign_in(home)
    home.route(SESSION_API, lambda route: route.fulfill(**answer))
    with home.expect_response(SESSION_API):
        home.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    heading(home, "Signed in as 민지")


def test_tabs_that_disagree_do_not_reload_each_other_forever(tab: Tabs) -> None:
    loads: list[str] = []
    first = tab()
    with first.expect_response(SESSION_API):  # the second tab notifies the first; both have the same session so far
        second = tab()
    for page in (first, second):
        page.route(SESSION_API, lambda route: route.fulfill(json={"user": {"id": 7}}))
        page.on("load", lambda page: loads.append(page.url))
    tab().wait_for_timeout(1000)
    assert 0 < len(loads) <= 2


def test_a_tab_that_becomes_visible_shows_the_current_session(tab: Tabs, person: BrowserContext) -> None:
    page = tab()
    submit_sign_in(page)
    heading(page, "Signed in as 민지")
    person.clear_cookies()  # no event reaches this tab
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    heading(page, "Not signed in")
