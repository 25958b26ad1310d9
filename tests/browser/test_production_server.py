"""The production server in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import LOGIN, fill_credentials, sign_out_button, submit_main_form
from tests.support.production import production_server
from tests.support.site import Visitor

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.server]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitor]:
    with production_server(tmp_path_factory.mktemp("server")) as (_, visitor):
        yield visitor


@pytest.mark.parametrize("cookie", ["name=김", "이름=값", "name=\u00e9\u00ff; path=/", "name=🙂"])
def test_a_non_ascii_cookie_of_another_app_does_not_prevent_sign_in_and_sign_out(
    browser: Browser, server: Visitor, cookie: str, tmp_path: Path
) -> None:
    """Any page of the same host can set such a cookie."""
    with browser.new_context(base_url=server.url, locale="en") as context:
        page = context.new_page()
        page.goto(LOGIN)
        page.evaluate("cookie => { document.cookie = cookie }", cookie)
        page.goto(LOGIN)
        assert page.evaluate("document.cookie")
        fill_credentials(page)
        submit_main_form(page)
        expect(page.locator("h1")).to_contain_text("Signed in as")
        page.reload()
        expect(page.locator("h1")).to_contain_text("Signed in as")
        sign_out_button(page).click()
        expect(page.locator("h1")).not_to_contain_text("Signed in as")
