"""An app whose pages the unmodified `withAuth` of next-auth 4 protects, in Chromium."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import PageOpener, click_and_wait, fill_credentials, page_opener, submit_main_form
from tests.support.commands import free_port_pair
from tests.support.node import CLEAN_ENVIRON, HERE, find_node
from tests.support.site import MINJI, SECRET, running_site

pytestmark = [pytest.mark.external, pytest.mark.xdist_group("browser")]


@contextmanager
def app_with_middleware(sign_in_page: str, admitted: str) -> Iterator[str]:
    port = free_port_pair()
    url = f"http://localhost:{port}"
    with running_site(site_url=url) as site:
        environ = {
            **CLEAN_ENVIRON,
            "ADMITTED": admitted,
            "MUNJIGI_PORT": site.url.rpartition(":")[2],
            "NEXTAUTH_SECRET": SECRET,
            "NEXTAUTH_URL": url,
            "PORT": str(port),
            "SIGN_IN_PAGE": sign_in_page,
        }
        command = [find_node(), str(HERE / "next_auth_middleware.mjs")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", env=environ) as process:
            try:
                assert process.stdout
                assert process.stdout.readline().strip() == url
                yield url
            finally:
                process.terminate()


@pytest.fixture(params=["", "/auth/login/email", "/api/auth/signin"], ids=["no pages", "pages.signIn", "the default"])
def app_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with app_with_middleware(request.param, "jun@example.com") as url:
        yield url


@pytest.fixture
def open_page(browser: Browser, app_url: str) -> Iterator[PageOpener]:
    with page_opener(browser, app_url) as open_one:
        yield open_one


def expect_heading(page: Page, text: str) -> None:
    expect(page.locator("h1")).to_have_text(text)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_user_whom_the_app_does_not_admit_can_change_account(open_page: PageOpener, scripts: bool) -> None:
    page = open_page(java_script_enabled=scripts)
    page.goto("/admin?tab=1")
    fill_credentials(page, MINJI)
    page.locator("main button.button-primary").click()
    expect_heading(page, "This account cannot open that page")
    expect(page.locator("main")).to_contain_text("You are signed in as 민지.")
    page.reload()
    expect_heading(page, "This account cannot open that page")
    click_and_wait(page.get_by_role("button", name="Sign in with another account"))
    expect_heading(page, "Sign in")
    fill_credentials(page, "jun@example.com")
    page.locator("main button.button-primary").click()
    expect_heading(page, "Admin")
    assert page.url.endswith("/admin?tab=1")


def test_a_user_whom_the_app_admits_never_sees_that_page(open_page: PageOpener) -> None:
    page = open_page()
    page.goto("/auth/login/email")
    fill_credentials(page, "jun@example.com")
    submit_main_form(page)
    for _ in range(4):
        page.goto("/admin")
        expect_heading(page, "Admin")
