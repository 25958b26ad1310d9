"""Passkeys in Chromium, whose authenticator is virtual, at backends that hold them and run unmodified."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, Route, expect

from tests.support.authenticator import Authenticator, without_suggestions
from tests.support.browser import LOGIN, click_and_wait, fill_credentials, sign_out_button, submit_main_form
from tests.support.real_backends import PASSKEY_PROGRAMS, Account, RealBackend, running_backend
from tests.support.site import Site, running_site

pytestmark = [pytest.mark.external, pytest.mark.server, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module", params=PASSKEY_PROGRAMS)
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBackend]:
    with running_backend(request.param, tmp_path_factory.mktemp(request.param), PASSKEY_PROGRAMS) as running:
        yield running


@pytest.fixture(scope="module")
def site(backend: RealBackend) -> Iterator[Site]:
    with running_site(passkeys="true", **backend.site_settings) as running:
        if backend.id == "better-auth":  # a setting of its plugin: the origin of the site
            requests.post(f"{backend.url}/test/site", json={"site_url": running.url}, timeout=60)
        yield running


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    with browser.new_context(base_url=site.url, locale="en") as context:
        context.set_default_timeout(30_000)
        yield context.new_page()


def passkey_button(page: Page) -> Any:
    return page.locator(".passkey-form [data-ask]")


def add_passkey(page: Page, account: Account) -> None:
    page.goto(f"{LOGIN}?callbackUrl=/account")
    fill_credentials(page, account.identifier, account.password)
    submit_main_form(page)
    click_and_wait(page.get_by_role("link", name="Add a passkey"))
    if page.locator("#password").count():
        page.locator("#password").fill(account.password)
    click_and_wait(passkey_button(page))
    expect(page.get_by_role("status")).to_contain_text("Your passkey is added")


def sign_out(page: Page) -> None:
    click_and_wait(sign_out_button(page))
    expect(page.get_by_role("status")).to_contain_text("You are signed out")


def test_a_person_adds_a_passkey_and_signs_in_with_it(page: Page, backend: RealBackend) -> None:
    account, _ = backend.create_account(), Authenticator(page)
    without_suggestions(page)
    add_passkey(page, account)
    sign_out(page)
    page.goto(f"{LOGIN}?callbackUrl=/account")
    click_and_wait(passkey_button(page))
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    expect(page.locator("main")).to_contain_text(account.email)


def test_a_passkey_that_was_removed_signs_nobody_in(page: Page, backend: RealBackend) -> None:
    account, _ = backend.create_account(), Authenticator(page)
    without_suggestions(page)
    add_passkey(page, account)
    page.goto("/account/passkeys")
    click_and_wait(page.get_by_role("link", name="Remove Chrome, Linux"))
    if page.locator("#password").count():
        page.locator("#password").fill(account.password)
    submit_main_form(page)
    expect(page.get_by_role("status")).to_have_text("The passkey is removed.")
    expect(page.locator("main")).to_contain_text("You have no passkeys yet.")
    page.goto("/account")
    sign_out(page)
    page.goto(LOGIN)
    click_and_wait(passkey_button(page))
    expect(page.locator(".error-summary")).to_contain_text("This passkey was not accepted")


def test_a_passkey_is_among_the_suggestions_of_the_field(page: Page, backend: RealBackend) -> None:
    """The virtual authenticator takes the suggestion at once: the person has touched no button."""
    account, _ = backend.create_account(), Authenticator(page)
    add_passkey(page, account)
    sign_out(page)
    page.goto(f"{LOGIN}?callbackUrl=/account")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible(timeout=60_000)
    expect(page.locator("main")).to_contain_text(account.email)


def test_a_person_who_does_not_unlock_the_device_stays_on_the_page(page: Page, backend: RealBackend) -> None:
    account, authenticator = backend.create_account(), Authenticator(page)
    add_passkey(page, account)
    sign_out(page)
    authenticator.set_verified(is_verified=False)
    page.goto(LOGIN)
    passkey_button(page).click()
    expect(passkey_button(page)).not_to_have_attribute("aria-busy", "true")
    expect(page.locator(".passkey-form [role=alert]")).to_be_empty()
    fill_credentials(page, "nobody@example.com", account.password)
    submit_main_form(page)
    expect(page.locator(".error-summary")).to_contain_text("incorrect")


def test_a_passkey_that_the_backend_does_not_know_is_refused(
    page: Page, browser: Browser, site: Site, backend: RealBackend
) -> None:
    """Of another account's key, under the name of this one: its signature is wrong."""
    account, authenticator = backend.create_account(), Authenticator(page)
    add_passkey(page, account)
    sign_out(page)
    (own,) = authenticator.credentials
    with browser.new_context(base_url=site.url, locale="en") as context:
        other_page = context.new_page()
        other_account, other = backend.create_account(), Authenticator(other_page)
        add_passkey(other_page, other_account)
        (foreign,) = other.credentials
    authenticator.forget_all()
    authenticator.add({**own, "privateKey": foreign["privateKey"]})
    page.goto(LOGIN)
    expect(page.locator(".error-summary")).to_contain_text("This passkey was not accepted", timeout=60_000)
    assert page.request.get("/api/auth/session").json() == {}


def test_an_answer_counts_once_and_in_its_browser_only(
    page: Page, browser: Browser, site: Site, backend: RealBackend
) -> None:
    account, _ = backend.create_account(), Authenticator(page)
    without_suggestions(page)
    add_passkey(page, account)
    sign_out(page)
    sent: list[dict[str, str]] = []

    def keep(route: Route) -> None:
        sent.append(dict(route.request.post_data_json or {}))
        route.abort()

    page.route("**/auth/login/passkey", keep)
    page.goto(LOGIN)
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/auth/login/passkey")):
        passkey_button(page).click()
    answer = sent[-1]["credential"]
    page.unroute("**/auth/login/passkey")

    stranger = site.new_visitor()
    stranger.post("/auth/passkey/options", json={"csrfToken": stranger.csrf_token()})
    assert stranger.submit("/auth/login/passkey", {"credential": answer}).status_code == 400
    assert not stranger.is_signed_in

    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    first, second = site.new_visitor(), site.new_visitor()
    for visitor in (first, second):
        visitor.cookies.update(cookies)
    assert first.submit("/auth/login/passkey", {"credential": answer}).status_code == 303
    assert first.get_session()["user"]["email"] == account.email
    assert second.submit("/auth/login/passkey", {"credential": answer}).status_code == 400
    assert not second.is_signed_in


def test_after_a_passkey_the_backend_wants_it_beside_the_password_too(page: Page, backend: RealBackend) -> None:
    """What allauth does: a passkey is a second factor as well. The page of the next step has the button."""
    if backend.id != "allauth":
        pytest.skip("the backend signs in with the password alone")
    account, _ = backend.create_account(), Authenticator(page)
    without_suggestions(page)
    add_passkey(page, account)
    sign_out(page)
    page.goto(f"{LOGIN}?callbackUrl=/account")
    fill_credentials(page, account.identifier, account.password)
    submit_main_form(page)
    expect(page.get_by_role("heading", name="Enter a recovery code")).to_be_visible()
    click_and_wait(passkey_button(page))
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def test_without_javascript_the_page_is_as_before(browser: Browser, site: Site) -> None:
    with browser.new_context(base_url=site.url, locale="en", java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(LOGIN)
        expect(page.locator(".passkey-form")).to_be_hidden()
        expect(page.locator("#password")).to_be_visible()
