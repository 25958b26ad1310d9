"""Sign-in through each provider in a real browser, at the development site with its stand-ins on another origin.

Nothing is patched. Each page is watched: no error in the console, and no request to a host other than the site,
except by navigation to the providers.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from dev.providers import stand_ins
from tests.support.browser import (
    LOCALES,
    LOGIN,
    NARROW,
    SCHEMES,
    PageOpener,
    accessibility_violations,
    click_and_wait,
    computed_style,
    contrast_ratio,
    development_site,
    overflowing_elements_on_phone,
    page_opener,
    set_color_scheme,
    sign_out_button,
    stand_in_hosts,
)

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.usefixtures("restore_logging")]

ALL = list(stand_ins())
IN_APP = {
    "KakaoTalk": "Mozilla/5.0 (Linux; Android 14; SM-S911N; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0"
    " Chrome/124.0.0.0 Mobile Safari/537.36;KAKAOTALK 2410880",
    "LINE": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Mobile/15E148 Safari Line/14.9.0",
    "Instagram": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Mobile/21F90 Instagram 334.0.4.32.98 (iPhone15,2; iOS 17_5; ko_KR; ko; scale=3.00; 1179x2556; 605596538)",
}


@pytest.fixture(scope="module")
def site_url(restore_logging: None) -> Iterator[str]:
    with development_site() as url:
        yield url


@pytest.fixture
def open_page(browser: Browser, site_url: str) -> Iterator[PageOpener]:
    with page_opener(browser, site_url, stand_in_hosts(site_url), reduced_motion="reduce") as open_one:
        yield open_one


@pytest.fixture
def page(open_page: PageOpener) -> Page:
    return open_page()


def way(page: Page, provider: str) -> Any:
    return page.locator(f"button.provider-button-{provider}")


def to_provider(page: Page, provider: str) -> None:
    """Go from the login page, with the provider's button, to the provider's page."""
    way(page, provider).click()
    expect(page.get_by_role("heading", name="Who signs in?")).to_be_visible()
    assert f"/{provider}/" in page.url


def decide(
    page: Page, action: str = "Approve", person: str = "haneul", failure: str = "", *, by_hand: bool = False
) -> None:
    """Choose on the provider's page and wait for the site. `by_hand`: no script posts the form back."""
    page.locator(f"input[value={person}]").check()
    page.locator("#failure").select_option(failure)
    page.get_by_role("button", name=action).click()
    if by_hand:
        page.get_by_role("button", name="Continue").click()
    page.wait_for_url(re.compile(r"//localhost:\d+/(auth/login/email.*|account|)$"))


def sign_in(page: Page, provider: str, person: str = "haneul", back_to: str = "/account") -> None:
    page.goto(f"{LOGIN}?callbackUrl={back_to}")
    to_provider(page, provider)
    decide(page, person=person)


def user(page: Page) -> Any:
    """Return the signed-in user, or None."""
    return page.request.get("/api/auth/session").json().get("user")


def callbacks(page: Page) -> list[Request]:
    """Return a list that collects the callback requests of this page from now on."""
    found: list[Request] = []
    page.on("request", lambda request: found.append(request) if "/api/auth/callback/" in request.url else None)
    return found


def expect_told(page: Page, role: Literal["alert", "status"], words: str) -> None:
    """Check that the login page has the focus on this message, nobody is signed in, and the return address is kept."""
    expect(page.get_by_role(role)).to_contain_text(words)
    expect(page.get_by_role(role)).to_be_focused()
    assert page.title().startswith("Error: ") == (role == "alert")
    assert user(page) is None


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("provider", ALL)
def test_a_person_signs_in_with_the_button_and_returns_to_the_requested_page(
    open_page: PageOpener, provider: str, scripts: bool
) -> None:
    page = open_page(java_script_enabled=scripts)
    page.goto("/account")
    to_provider(page, provider)
    decide(page, by_hand=provider == "apple" and not scripts)
    assert page.url.endswith("/account")
    expect(page.locator("h1")).to_have_text("Your account")
    assert user(page)
    assert [one["name"] for one in page.context.cookies() if "attempt" in str(one["name"])] == []


def test_a_provider_may_redirect_to_a_further_origin(page: Page, site_url: str) -> None:
    page.goto(LOGIN)
    to_provider(page, "kakao")
    assert page.url.startswith(f"http://{stand_in_hosts(site_url)[1]}/")
    decide(page)
    expect(page.locator("h1")).to_have_text("Signed in as 하늘")


def test_a_cross_site_callback_post_brings_the_attempt_cookie_only(page: Page) -> None:
    sent = callbacks(page)
    sign_in(page, "apple")
    posted = sent[0]
    assert posted.method == "POST"
    assert "/api/auth/callback/apple" in posted.url
    names = {pair.partition("=")[0].strip() for pair in (posted.header_value("cookie") or "").split(";")}
    assert len(names) == 1
    assert names.pop().startswith("munjigi.attempt.")
    assert user(page)


@pytest.mark.parametrize(("provider", "locale"), [*((each, "en") for each in ALL), ("kakao", "ko"), ("line", "ja")])
def test_a_cancelled_sign_in_shows_a_notice_and_another_way_works(
    open_page: PageOpener, provider: str, locale: str
) -> None:
    page = open_page(locale)
    page.goto("/account")
    to_provider(page, provider)
    decide(page, "Cancel")
    expect_told(
        page,
        "status",
        {"en": "Sign-in was cancelled.", "ko": "로그인을 취소했어요.", "ja": "ログインをキャンセルしました。"}[locale],
    )
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("html")).to_have_attribute("lang", locale)
    to_provider(page, "naver")
    decide(page)
    assert page.url.endswith("/account")


@pytest.mark.parametrize(
    ("provider", "failure", "words"),
    [
        ("google", "wrong_nonce", "did not confirm your sign-in"),
        ("kakao", "token_503", "is not responding right now"),
        ("naver", "backend_409", "Sign in the way you did before"),
        ("apple", "server_error", "is not responding right now"),
        ("apple", "backend_429", "Too many attempts"),
        ("github", "replayed_code", "took too long, was already used, or began in another browser"),
        ("line", "backend_503", "The problem is on our side"),
        ("oidc", "other_state", "took too long, was already used, or began in another browser"),
        ("oidc", "backend_422", "did not share it"),
    ],
)
def test_each_provider_failure_has_its_own_message(page: Page, provider: str, failure: str, words: str) -> None:
    page.goto("/account")
    to_provider(page, provider)
    decide(page, failure=failure)
    expect_told(page, "alert", words)
    page.reload()
    expect_told(page, "alert", words)


def test_the_return_address_is_kept_after_a_failure(page: Page) -> None:
    page.goto("/account")
    to_provider(page, "google")
    decide(page, failure="token_503")
    to_provider(page, "kakao")
    decide(page)
    assert page.url.endswith("/account")


@pytest.mark.parametrize(("first", "second"), [("kakao", "google"), ("google", "google"), ("line", "apple")])
def test_two_tabs_sign_in_independently(open_page: PageOpener, first: str, second: str) -> None:
    page = open_page()
    other = page.context.new_page()
    page.goto(f"{LOGIN}?callbackUrl=/account")
    other.goto(LOGIN)
    to_provider(page, first)
    to_provider(other, second)
    decide(page)
    assert page.url.endswith("/account")
    decide(other)
    expect(other.locator("h1")).to_contain_text("Signed in as")


@pytest.mark.parametrize(("before", "after"), [("google", "kakao"), ("github", "apple"), ("apple", "oidc")])
def test_signing_in_with_another_account_replaces_the_first_one_completely(
    open_page: PageOpener, before: str, after: str
) -> None:
    page = open_page()
    other = page.context.new_page()
    for one, provider in ((page, before), (other, after)):
        one.goto(f"{LOGIN}?callbackUrl=/account")
        to_provider(one, provider)
    decide(page, person="long")
    of_before = user(page)
    decide(other, person="nameless")
    of_after = user(page)
    assert of_after["id"] != of_before["id"]
    assert of_after["email"] in ("nameless@example.com", None)
    assert of_after["email"] != of_before["email"]
    expect(page.locator("main")).not_to_contain_text(str(of_before["id"]))  # the page has updated
    assert "가나다" not in page.content()


def test_an_outdated_login_page_without_javascript_leads_to_another_account(open_page: PageOpener) -> None:
    page = open_page(java_script_enabled=False)
    other = page.context.new_page()
    other.goto(LOGIN)
    sign_in(page, "google")
    click_and_wait(way(other, "github"))
    expect(other.get_by_role("alert")).to_contain_text("This page was open for too long")
    to_provider(other, "github")
    before = user(page)
    decide(other, person="nameless")
    assert user(page)["id"] != before["id"]


@pytest.mark.parametrize("provider", ["naver", "oidc"])
def test_opening_the_callback_again_ends_on_the_same_page(page: Page, provider: str) -> None:
    sent = callbacks(page)
    sign_in(page, provider)
    before = user(page)
    page.goto(sent[-1].url)
    assert page.url.endswith("/account")
    page.reload()
    assert user(page) == before


def test_a_callback_url_of_another_browser_signs_nobody_in(open_page: PageOpener) -> None:
    page, stranger = open_page(), open_page()
    sent = callbacks(page)
    sign_in(page, "github")
    stranger.goto(sent[-1].url)
    expect_told(stranger, "alert", "took too long, was already used, or began in another browser")


@pytest.mark.parametrize("provider", ["google", "apple"])
def test_the_back_button_returns_to_the_provider_and_then_to_the_login_page(page: Page, provider: str) -> None:
    page.goto(f"{LOGIN}?callbackUrl=/account")
    to_provider(page, provider)
    page.go_back(wait_until="commit")
    expect(way(page, provider)).to_be_visible()
    to_provider(page, provider)
    decide(page)
    before = user(page)
    page.go_back(wait_until="commit")
    expect(page.get_by_role("heading", name="Who signs in?")).to_be_visible()
    decide(page)
    assert page.url.endswith(("/account", "/"))
    assert user(page) == before


def test_the_last_used_provider_is_marked(page: Page) -> None:
    page.goto(LOGIN)
    expect(page.get_by_text("Last used")).to_have_count(0)
    sign_in(page, "naver", back_to="/")
    click_and_wait(sign_out_button(page))
    page.goto(LOGIN)
    expect(page.get_by_text("Last used")).to_have_count(1)
    expect(way(page, "naver")).to_have_accessible_description("Last used")
    expect(way(page, "kakao")).to_have_accessible_description("")
    assert accessibility_violations(page) == []
    assert overflowing_elements_on_phone(page) == []


@pytest.mark.parametrize("locale", LOCALES)
def test_the_provider_buttons_are_accessible_and_fit_a_phone(open_page: PageOpener, locale: str) -> None:
    page = open_page(locale)
    page.goto(LOGIN)
    expect(page.locator(".provider-button")).to_have_count(len(ALL))
    assert accessibility_violations(page) == []
    assert overflowing_elements_on_phone(page) == []


def test_each_provider_button_has_enough_contrast(page: Page) -> None:
    page.goto(LOGIN)
    for scheme in SCHEMES:
        set_color_scheme(page, scheme)
        ground = computed_style(page.locator(".card"), "background-color")
        for provider in ALL:
            own = [computed_style(way(page, provider), name) for name in ("background-color", "border-bottom-color")]
            if provider != "kakao":  # its yellow needs no border; the text on it is dark
                assert max(contrast_ratio(one, ground) for one in own) >= 3, (provider, scheme)


def test_tab_reaches_each_provider_button_in_order(page: Page) -> None:
    page.goto(LOGIN)
    page.locator("main form button.button-primary").focus()
    reached = []
    for _ in ALL:
        page.keyboard.press("Tab")
        reached.append(page.locator(":focus").inner_text())
    assert reached == page.locator(".provider-button").all_inner_texts()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Who signs in?")).to_be_visible()


def _stay(route: Route) -> None:
    route.fulfill(status=204)


@pytest.mark.parametrize("locale", LOCALES)
def test_the_redirect_page_is_accessible_and_has_a_link(open_page: PageOpener, locale: str) -> None:
    page = open_page(locale)
    page.route(re.compile("/google/"), _stay)
    page.goto(LOGIN)
    click_and_wait(way(page, "google"))
    expect(page.locator("h1")).to_contain_text("Google")
    assert accessibility_violations(page) == []
    assert overflowing_elements_on_phone(page) == []
    page.unroute(re.compile("/google/"), _stay)
    page.locator("main a.button").click()
    decide(page)
    assert user(page)


@pytest.mark.parametrize("app", IN_APP)
def test_inside_an_in_app_browser_the_page_says_which_providers_do_not_work(open_page: PageOpener, app: str) -> None:
    page = open_page(user_agent=IN_APP[app], viewport=NARROW)
    page.goto(f"{LOGIN}?callbackUrl=/account")
    note = page.locator("main .notice")
    expect(note).to_contain_text(f"Google sign-in does not work inside {app}.")
    expect(way(page, "google")).to_have_count(0)
    expect(way(page, "kakao")).to_be_visible()
    assert note.get_by_role("link").count() == (app != "Instagram")
    assert accessibility_violations(page) == []
    assert overflowing_elements_on_phone(page) == []
    sign_in(page, "kakao")
    assert user(page)


def test_the_login_page_requests_nothing_from_a_provider(page: Page, site_url: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("/auth/")[0]))
    page.goto(LOGIN)
    assert set(asked) == {site_url}
