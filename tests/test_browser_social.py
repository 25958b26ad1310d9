"""Sign-in through each provider in a real browser: the site as it is developed, its stand-ins on another site.

Nothing is patched. Whatever a test here opens is watched: the browser has nothing to complain of, and no host is
asked but this one and, by going there, the providers'.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from dev.providers import PROVIDERS
from tests.browser import (
    LOCALES,
    LOGIN,
    NARROW,
    SCHEMES,
    Opener,
    barriers,
    beside,
    contrast,
    development_site,
    opener,
    press,
    show_in,
    sign_out_button,
    style,
    too_wide_on_a_phone,
)

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.usefixtures("logs_as_before")]

ALL = list(PROVIDERS)
IN_APP = {
    "KakaoTalk": "Mozilla/5.0 (Linux; Android 14; SM-S911N; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0"
    " Chrome/124.0.0.0 Mobile Safari/537.36;KAKAOTALK 2410880",
    "LINE": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Mobile/15E148 Safari Line/14.9.0",
    "Instagram": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Mobile/21F90 Instagram 334.0.4.32.98 (iPhone15,2; iOS 17_5; ko_KR; ko; scale=3.00; 1179x2556; 605596538)",
}


@pytest.fixture(scope="module")
def site_url(logs_as_before: None) -> Iterator[str]:
    with development_site() as url:
        yield url


@pytest.fixture
def open_page(browser: Browser, site_url: str) -> Iterator[Opener]:
    with opener(browser, site_url, beside(site_url), reduced_motion="reduce") as open_one:
        yield open_one


@pytest.fixture
def page(open_page: Opener) -> Page:
    return open_page()


def way(page: Page, provider: str) -> Any:
    return page.locator(f"button.provider-button-{provider}")


def to_provider(page: Page, provider: str) -> None:
    """From the sign-in page, by its button, to where the provider asks who one is."""
    way(page, provider).click()
    expect(page.get_by_role("heading", name="Who signs in?")).to_be_visible()
    assert f"/{provider}/" in page.url


def decide(
    page: Page, action: str = "Approve", person: str = "haneul", failure: str = "", *, by_hand: bool = False
) -> None:
    """On the provider's page; and wait until the site is there again. `by_hand`: no script posts the form back."""
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
    """Who is signed in here; None for nobody."""
    return page.request.get("/api/auth/session").json().get("user")


def callbacks(page: Page) -> list[Request]:
    """The providers' callbacks that this page makes from here on."""
    found: list[Request] = []
    page.on("request", lambda request: found.append(request) if "/api/auth/callback/" in request.url else None)
    return found


def expect_told(page: Page, role: Literal["alert", "status"], words: str) -> None:
    """On the sign-in page, read out first; nobody is signed in, and the way back is kept."""
    expect(page.get_by_role(role)).to_contain_text(words)
    expect(page.get_by_role(role)).to_be_focused()
    assert page.title().startswith("Error: ") == (role == "alert")
    assert user(page) is None


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
@pytest.mark.parametrize("provider", ALL)
def test_a_person_signs_in_by_the_button_and_comes_to_where_they_were_going(
    open_page: Opener, provider: str, scripts: bool
) -> None:
    page = open_page(java_script_enabled=scripts)
    page.goto("/account")
    to_provider(page, provider)
    decide(page, by_hand=provider == "apple" and not scripts)
    assert page.url.endswith("/account")
    expect(page.locator("h1")).to_have_text("Your account")
    assert user(page)
    assert [one["name"] for one in page.context.cookies() if "attempt" in str(one["name"])] == []


def test_a_provider_may_send_people_on_to_further_origins(page: Page, site_url: str) -> None:
    page.goto(LOGIN)
    to_provider(page, "kakao")
    assert page.url.startswith(f"http://{beside(site_url)[1]}/")
    decide(page)
    expect(page.locator("h1")).to_have_text("Signed in as 하늘")


def test_with_a_form_from_another_site_comes_the_attempts_cookie_and_no_other(page: Page) -> None:
    sent = callbacks(page)
    sign_in(page, "apple")
    posted = sent[0]
    assert posted.method == "POST"
    assert "/api/auth/callback/apple" in posted.url
    names = {pair.partition("=")[0].strip() for pair in (posted.header_value("cookie") or "").split(";")}
    assert len(names) == 1
    assert names.pop().startswith("munjigi.attempt.")
    assert user(page)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("provider", ALL)
def test_who_cancels_is_told_so_calmly_and_can_go_on_another_way(open_page: Opener, provider: str, locale: str) -> None:
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
        ("github", "replayed_code", "took too long or was already used"),
        ("line", "backend_503", "The problem is on our side"),
        ("oidc", "other_state", "took too long or was already used"),
        ("oidc", "backend_422", "did not share it"),
    ],
)
def test_each_failure_has_a_sentence_of_its_own(page: Page, provider: str, failure: str, words: str) -> None:
    page.goto("/account")
    to_provider(page, provider)
    decide(page, failure=failure)
    expect_told(page, "alert", words)
    page.reload()
    expect_told(page, "alert", words)


def test_after_a_failure_the_way_back_is_kept(page: Page) -> None:
    page.goto("/account")
    to_provider(page, "google")
    decide(page, failure="token_503")
    to_provider(page, "kakao")
    decide(page)
    assert page.url.endswith("/account")


@pytest.mark.parametrize(("first", "second"), [("kakao", "google"), ("google", "google"), ("line", "apple")])
def test_two_tabs_do_not_get_into_each_others_way(open_page: Opener, first: str, second: str) -> None:
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
def test_another_account_replaces_the_one_before_whole(open_page: Opener, before: str, after: str) -> None:
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
    expect(page.locator("main")).not_to_contain_text(str(of_before["id"]))  # it has followed
    assert "가나다" not in page.content()


def test_a_page_left_open_in_a_tab_that_no_script_brings_along_leads_to_another_account(open_page: Opener) -> None:
    page = open_page(java_script_enabled=False)
    other = page.context.new_page()
    other.goto(LOGIN)
    sign_in(page, "google")
    press(way(other, "github"))
    expect(other.get_by_role("alert")).to_contain_text("This page was open for too long")
    to_provider(other, "github")
    before = user(page)
    decide(other, person="nameless")
    assert user(page)["id"] != before["id"]


@pytest.mark.parametrize("provider", ["naver", "oidc"])
def test_a_callback_that_comes_again_ends_where_the_first_did(page: Page, provider: str) -> None:
    sent = callbacks(page)
    sign_in(page, provider)
    before = user(page)
    page.goto(sent[-1].url)
    assert page.url.endswith("/account")
    page.reload()
    assert user(page) == before


def test_a_callback_of_somebody_else_signs_nobody_in(open_page: Opener) -> None:
    page, stranger = open_page(), open_page()
    sent = callbacks(page)
    sign_in(page, "github")
    stranger.goto(sent[-1].url)
    expect_told(stranger, "alert", "took too long or was already used")


@pytest.mark.parametrize("provider", ["google", "apple"])
def test_back_leads_to_the_provider_and_then_to_the_sign_in_page(page: Page, provider: str) -> None:
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


def test_the_way_used_last_is_pointed_out(page: Page) -> None:
    page.goto(LOGIN)
    expect(page.get_by_text("Last used")).to_have_count(0)
    sign_in(page, "naver", back_to="/")
    press(sign_out_button(page))
    page.goto(LOGIN)
    expect(page.get_by_text("Last used")).to_have_count(1)
    expect(way(page, "naver")).to_have_accessible_description("Last used")
    expect(way(page, "kakao")).to_have_accessible_description("")
    assert barriers(page) == []
    assert too_wide_on_a_phone(page) == []


@pytest.mark.parametrize("locale", LOCALES)
def test_the_buttons_have_no_barrier_and_fit_a_phone(open_page: Opener, locale: str) -> None:
    page = open_page(locale)
    page.goto(LOGIN)
    expect(page.locator(".provider-button")).to_have_count(len(ALL))
    assert barriers(page) == []
    assert too_wide_on_a_phone(page) == []


def test_each_button_stands_out_from_the_page(page: Page) -> None:
    page.goto(LOGIN)
    for scheme in SCHEMES:
        show_in(page, scheme)
        ground = style(page.locator(".card"), "background-color")
        for provider in ALL:
            own = [style(way(page, provider), name) for name in ("background-color", "border-bottom-color")]
            if provider != "kakao":  # its yellow is its own edge; the words on it are dark
                assert max(contrast(one, ground) for one in own) >= 3, (provider, scheme)


def test_the_tab_key_reaches_each_button_in_order(page: Page) -> None:
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
def test_the_page_between_has_no_barrier_and_a_link_for_who_stays_there(open_page: Opener, locale: str) -> None:
    page = open_page(locale)
    page.route(re.compile("/google/"), _stay)
    page.goto(LOGIN)
    press(way(page, "google"))
    expect(page.locator("h1")).to_contain_text("Google")
    assert barriers(page) == []
    assert too_wide_on_a_phone(page) == []
    page.unroute(re.compile("/google/"), _stay)
    page.locator("main a.button").click()
    decide(page)
    assert user(page)


@pytest.mark.parametrize("app", IN_APP)
def test_inside_another_app_people_learn_what_works_there_before_they_try(open_page: Opener, app: str) -> None:
    page = open_page(user_agent=IN_APP[app], viewport=NARROW)
    page.goto(f"{LOGIN}?callbackUrl=/account")
    note = page.locator("main .notice")
    expect(note).to_contain_text(f"Google sign-in does not work inside {app}.")
    expect(way(page, "google")).to_have_count(0)
    expect(way(page, "kakao")).to_be_visible()
    assert note.get_by_role("link").count() == (app != "Instagram")
    assert barriers(page) == []
    assert too_wide_on_a_phone(page) == []
    sign_in(page, "kakao")
    assert user(page)


def test_a_page_of_the_site_never_asks_a_provider_for_anything(page: Page, site_url: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("/auth/")[0]))
    page.goto(LOGIN)
    assert set(asked) == {site_url}
