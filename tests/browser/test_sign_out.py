"""A sign-out that goes on at the provider, in a real browser, at the development site with its stand-ins."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import LOGIN, PageOpener, development_site, page_opener, stand_in_hosts

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.usefixtures("restore_logging")]

SETTINGS = {"PROVIDERS": "oidc,kakao,google", "OIDC_LOGOUT": "true", "KAKAO_LOGOUT": "true"}


@pytest.fixture(scope="module")
def site_url(restore_logging: None) -> Iterator[str]:
    with development_site(SETTINGS) as url:
        yield url


@pytest.fixture
def open_page(browser: Browser, site_url: str) -> Iterator[PageOpener]:
    with page_opener(browser, site_url, stand_in_hosts(site_url), reduced_motion="reduce") as open_one:
        yield open_one


def sign_in(page: Page, provider: str) -> None:
    to_provider(page, provider)
    page.locator("input[value=haneul]").check()
    page.get_by_role("button", name="Approve").click()
    page.wait_for_url("**/account")


def to_provider(page: Page, provider: str) -> None:
    page.goto(f"{LOGIN}?callbackUrl=/account")
    page.locator(f"button.provider-button-{provider}").click()
    expect(page.get_by_role("heading", name="Who signs in?")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("provider", ["oidc", "kakao"])
def test_the_session_at_the_provider_ends_and_the_person_arrives_where_they_were_going(
    open_page: PageOpener, site_url: str, provider: str, javascript: bool
) -> None:
    page = open_page(java_script_enabled=javascript)
    sign_in(page, provider)
    page.goto("/auth/logout?callbackUrl=/an-app%3Fa%3D1")
    page.locator("main button.button-primary").click()
    expect(page.get_by_text("Signed in here as haneul.")).to_be_visible()
    assert f"/{provider}/" in page.url
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{site_url}/an-app?a=1")
    to_provider(page, provider)
    assert page.get_by_text("Signed in here as").count() == 0


def test_who_stays_signed_in_at_the_provider_is_signed_out_here(open_page: PageOpener) -> None:
    page = open_page()
    sign_in(page, "oidc")
    page.goto("/auth/logout?callbackUrl=/")
    page.locator("main button.button-primary").click()
    page.get_by_role("button", name="Stay signed in").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    page.goto("/account")
    assert "/auth/login/email" in page.url


def test_a_provider_without_the_setting_is_not_asked(open_page: PageOpener, site_url: str) -> None:
    page = open_page()
    sign_in(page, "google")
    page.goto("/auth/logout?callbackUrl=/")
    page.locator("main button.button-primary").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()
    assert page.url == f"{site_url}/"
