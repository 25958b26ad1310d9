"""Ten tabs of one browser, over the time at which the access token expires."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import LOGIN, fill_credentials, submit_main_form
from tests.support.rotating_backend import LIFE, SETTINGS, RotatingBackend, rotating_backend
from tests.support.site import ManualClock, Site, running_site

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture
def backend() -> Iterator[RotatingBackend]:
    with rotating_backend() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def site(backend: RotatingBackend, clock: ManualClock) -> Iterator[Site]:
    with running_site(backend.url, clock=clock, **SETTINGS) as running:
        yield running


@pytest.fixture
def person(browser: Browser, site: Site) -> Iterator[BrowserContext]:
    with browser.new_context(base_url=site.url, locale="en") as context:
        yield context


RELOAD = "() => { location.reload(); fetch('/api/auth/session') }"


def test_ten_tabs_stay_signed_in_while_the_tokens_rotate(
    person: BrowserContext, backend: RotatingBackend, clock: ManualClock
) -> None:
    first = person.new_page()
    first.goto(f"{LOGIN}?callbackUrl=/account")
    fill_credentials(first)
    submit_main_form(first)
    tabs: list[Page] = [first, *(person.new_page() for _ in range(9))]
    for tab in tabs[1:]:
        tab.goto("/account")
    backend.delay = 0.5
    for round_number in range(1, 4):
        clock.advance(LIFE)
        for tab in tabs:
            tab.evaluate(RELOAD)
        for tab in tabs:
            tab.wait_for_load_state()
            expect(tab.locator("h1")).to_have_text("Your account")
        assert len(backend.refreshes) == round_number
    assert len(set(backend.refreshes)) == 3
    assert backend.families == {"f0": 3}
