"""The list of a user's sessions on the account page, in Chromium."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import (
    LOCALES,
    LOGIN,
    accessibility_violations,
    fill_credentials,
    overflowing_elements_on_phone,
    submit_main_form,
)
from tests.support.redis_server import redis_server
from tests.support.site import running_site

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.external]

LONG = "Mozilla/5.0 (Linux; Android 14; SM-S928N) AppleWebKit/537.36 SamsungBrowser/27.0 Chrome/125 Safari/537.36"


@pytest.mark.parametrize("locale", LOCALES)
def test_the_list_is_accessible_and_fits_a_phone_and_another_session_ends(
    browser: Browser, tmp_path: Path, locale: str
) -> None:
    with redis_server(tmp_path) as redis, running_site(redis_url=redis.url) as site:
        other = site.new_visitor(**{"User-Agent": LONG})
        other.sign_in()
        with browser.new_context(base_url=site.url, locale=locale, java_script_enabled=True) as context:
            page = context.new_page()
            page.goto(f"{LOGIN}?callbackUrl=/account")
            fill_credentials(page)
            submit_main_form(page)
            expect(page.locator(".session-list li")).to_have_count(2)
            assert accessibility_violations(page) == []
            assert overflowing_elements_on_phone(page) == []
            page.locator(".session-list button").click()
            expect(page.locator(".session-list li")).to_have_count(1)
            assert not other.is_signed_in
