"""The pages in a real browser, with JavaScript and without, against the running site and with nothing patched.

Whatever a test here opens is watched: the browser has nothing to complain of, and no other host is asked.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

import errors
from dev.backend import ACCOUNTS, PASSWORD
from tests.browser import (
    LOCALES,
    LOGIN,
    NARROW,
    SCHEMES,
    WAYS,
    WRONG,
    NoBrowserError,
    Watch,
    barriers,
    chromium,
    contrast,
    development_site,
    fill_in,
    overhang,
    send,
    sign_out_button,
    style,
    to_account,
    try_to_sign_in,
)
from tests.site import MINJI, Site, SiteMaker, running_site

CODES = sorted({kind.code for kind in errors._below(errors.SiteError)} | {"Default", "NoSuchCode"})
BRANDS = ["#ffffff", "#000000", "#fee500", "#03c75a", "#767676", "#ff0000", "#1b1f1d"]

Opener = Callable[..., Page]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        with chromium() as started:
            yield started
    except NoBrowserError as reason:
        if os.environ.get("CI"):
            pytest.fail(str(reason))
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def pages() -> Iterator[Site]:
    """The site with every link that it can show. Jun has names that are as long as they come."""
    with running_site(sign_up_url="/join", reset_password_url="/forgot") as running:
        assert running.backend
        jun = running.backend.extensions["people"].users["jun@example.com"]
        jun.update(name="가" * 30, nick_name="n" * 200, id="9" * 60)
        yield running


@pytest.fixture
def open_page(browser: Browser, pages: Site) -> Iterator[Opener]:
    """Opens a browser of one's own: no cookies, one empty page, watched until the test ends."""
    opened: list[tuple[BrowserContext, Watch]] = []

    def open_one(locale: str = "en", site_url: str = pages.url, **given: Any) -> Page:
        context = browser.new_context(base_url=site_url, locale=LOCALES[locale], reduced_motion="reduce", **given)
        context.set_default_timeout(10_000)
        page = context.new_page()
        opened.append((context, Watch(page, site_url)))
        return page

    yield open_one
    for context, _ in opened:
        context.close()
    assert [watch.complaints for _, watch in opened] == [[] for _ in opened]


@pytest.fixture
def page(open_page: Opener) -> Page:
    return open_page()


@pytest.fixture
def logs_as_before() -> Iterator[None]:
    """`dev.create_site` sends log lines to standard error; afterwards they go where they went."""
    loggers = [logging.root, logging.getLogger("munjigi"), logging.getLogger("werkzeug")]
    before = [(one, one.handlers[:], one.propagate, one.level) for one in loggers]
    yield
    for one, handlers, propagate, level in before:
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)


def heading(page: Page) -> str:
    return page.locator("h1").inner_text()


def focused(page: Page) -> str:
    """The id of what has the focus, or its text."""
    return str(page.evaluate("(document.activeElement.id || document.activeElement.textContent).trim()"))


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize(
    ("locale", "anonymous", "signed_in", "saved"),
    [
        ("ko", "로그인하지 않았어요", "민지 님으로 로그인했어요", "변경한 내용을 저장했어요."),
        ("en", "Not signed in", "Signed in as 민지", "Your changes are saved."),
    ],
)
def test_a_person_signs_in_changes_their_name_and_signs_out(
    open_page: Opener, make_site: SiteMaker, scripts: bool, locale: str, anonymous: str, signed_in: str, saved: str
) -> None:
    page = open_page(locale, make_site().url, java_script_enabled=scripts)
    page.goto("/")
    assert heading(page) == anonymous
    page.locator("main a").click()
    fill_in(page)
    send(page)
    assert heading(page) == signed_in
    page.locator("main a").click()
    expect(page.locator("#name")).to_have_value("김민지")
    page.locator("#nick_name").fill("새봄")
    send(page)
    expect(page.get_by_role("status")).to_have_text(saved)
    page.goto("/")
    assert heading(page) == signed_in.replace("민지", "새봄")
    sign_out_button(page).click()
    assert heading(page) == anonymous
    page.goto("/account")
    expect(page.locator("#password")).to_be_visible()


def test_a_person_does_it_all_with_the_keyboard(open_page: Opener, make_site: SiteMaker) -> None:
    page = open_page(site_url=make_site().url)
    page.goto("/account")
    page.keyboard.type(MINJI)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    assert heading(page) == "Your account"
    _tab_to(page, "name")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("Saebom")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.locator("#name")).to_have_value("Saebom")
    _tab_to(page, "Sign out")
    page.keyboard.press("Space")
    assert heading(page) == "Not signed in"


def _tab_to(page: Page, wanted: str) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if focused(page) == wanted:
            return
    pytest.fail(f"the Tab key does not reach {wanted}")


def test_tab_goes_from_the_address_to_the_password_the_button_and_the_links(page: Page) -> None:
    page.goto(LOGIN)
    order = [focused(page)]
    for _ in range(6):
        page.keyboard.press("Tab")
        order.append(focused(page))
    assert order == ["email", "password", "Sign in", "Forgot your password?", "Create an account", "English", "한국어"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("way", ["home", "login-fields", "account"])
def test_whatever_the_tab_key_reaches_shows_it(open_page: Opener, way: str, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    WAYS[way](page)
    reached = set()
    while True:
        page.keyboard.press("Tab")
        if focused(page) in reached or page.locator("body:focus").count():
            break
        reached.add(focused(page))
        here = page.locator(":focus")
        assert style(here, "outline-style") == "solid", focused(page)
        assert float(style(here, "outline-width").removesuffix("px")) >= 2, focused(page)
        for behind in ("main", "body"):
            assert contrast(style(here, "outline-color"), style(page.locator(behind), "background-color")) >= 3
    assert len(reached) >= 4


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_after_a_failure_the_focus_is_on_what_went_wrong_and_from_there_on_the_field(
    open_page: Opener, scripts: bool
) -> None:
    page = open_page(java_script_enabled=scripts)
    try_to_sign_in(page, "minji", "")
    expect(page.get_by_role("alert")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#email")).to_be_focused()
    page.get_by_role("alert").get_by_text("Enter your password.").click()
    expect(page.locator("#password")).to_be_focused()
    expect(page.locator("#password")).to_have_accessible_description("Error: Enter your password.")
    assert page.title().startswith("Error: ")


@pytest.mark.parametrize("way", ["login-wrong", "login-down", "login-expired", "account-wrong"])
def test_every_failure_is_read_out_first(page: Page, way: str) -> None:
    WAYS[way](page)
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_role("alert")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("way", WAYS)
def test_no_page_has_a_barrier(open_page: Opener, way: str, locale: str) -> None:
    page = open_page(locale)
    WAYS[way](page)
    assert page.locator("html").get_attribute("lang") == locale
    assert barriers(page) == []


@pytest.mark.parametrize("locale", LOCALES)
def test_an_account_that_only_shows_has_no_barrier(open_page: Opener, make_site: SiteMaker, locale: str) -> None:
    page = open_page(locale, make_site(backend_profile_path=None).url)
    to_account(page)
    expect(page.locator("input:visible")).to_have_count(0)
    assert barriers(page) == []


@pytest.mark.parametrize("code", CODES)
def test_no_error_has_a_barrier(page: Page, code: str) -> None:
    for locale in LOCALES:
        page.goto(f"{LOGIN}?error={code}&lang={locale}")
        expect(page.get_by_role("alert")).to_be_focused()
        expect(page.get_by_role("alert")).to_contain_text(re.compile("[가-힣]" if locale == "ko" else "[a-z]"))
        assert barriers(page) == []


@pytest.mark.parametrize("brand", BRANDS)
def test_any_brand_colour_can_be_read(open_page: Opener, make_site: SiteMaker, brand: str) -> None:
    page = open_page(site_url=make_site(brand_color=brand).url)
    for address in ("/", LOGIN):
        page.goto(address)
        assert barriers(page, only="color-contrast") == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_edge_of_a_field_stands_out(open_page: Opener, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    WAYS["login-fields"](page)
    page.locator("#password").evaluate("field => field.closest('.field').classList.remove('wrong')")
    for field in ("#email", "#password"):
        edge = style(page.locator(field), "border-bottom-color")
        assert contrast(edge, style(page.locator("main"), "background-color")) >= 3


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("way", [*WAYS, "home-long-names", "account-long-names"])
def test_no_page_scrolls_sideways_on_a_narrow_phone_or_with_large_text(
    open_page: Opener, way: str, locale: str
) -> None:
    page = open_page(locale, viewport=NARROW)
    if way in WAYS:
        WAYS[way](page)
    else:
        try_to_sign_in(page, "jun@example.com")
        page.goto("/account" if way == "account-long-names" else "/")
    assert overhang(page) == 0
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert overhang(page) == 0
    for hidden in page.locator("h1, p, a, button, label, dd").all():
        assert hidden.evaluate(
            "one => one.matches('.unseen') || one.scrollWidth <= one.clientWidth + 1 || "
            "getComputedStyle(one).display === 'inline'"
        ), hidden.inner_text()


def test_a_password_manager_finds_one_form_with_both_fields(page: Page) -> None:
    for way in ("login", "login-wrong", "login-fields"):
        WAYS[way](page)
        form = page.locator("form:has(input[type=password])")
        expect(form).to_have_count(1)
        for name, kind, filled_with in (("email", "email", "username"), ("password", "password", "current-password")):
            field = form.locator(f"#{name}")
            expect(field).to_have_attribute("name", name)
            expect(field).to_have_attribute("type", kind)
            expect(field).to_have_attribute("autocomplete", filled_with)
        expect(form.locator("button:not([type]), button[type=submit]")).to_have_count(1)
        assert form.get_attribute("autocomplete") is None


def test_a_password_can_be_pasted(page: Page) -> None:
    page.goto(LOGIN)
    fill_in(page, PASSWORD, "")
    page.locator("#email").press("ControlOrMeta+A")
    page.locator("#email").press("ControlOrMeta+C")
    page.locator("#password").press("ControlOrMeta+V")
    page.locator("#email").fill(MINJI)
    send(page)
    assert heading(page) == "Signed in as 민지"


@pytest.mark.parametrize("email", [MINJI, "minji", "down@example.com", "throttled@example.com"])
def test_a_page_that_comes_again_knows_the_address_and_not_the_password(page: Page, email: str) -> None:
    try_to_sign_in(page, email, WRONG)
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#email")).to_have_value(email)
    expect(page.locator("#password")).to_have_value("")
    assert WRONG not in page.content()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_chosen_language_stays_and_so_does_the_way_back(open_page: Opener, scripts: bool) -> None:
    page = open_page("ko", java_script_enabled=scripts)
    page.goto("/account")
    assert heading(page) == "로그인"
    page.get_by_role("link", name="English").click()
    assert heading(page) == "Sign in"
    expect(page.get_by_role("link", name="English")).to_have_attribute("aria-current", "true")
    fill_in(page, password=WRONG)
    send(page)
    expect(page.get_by_role("alert")).to_contain_text("is not right")
    page.get_by_role("link", name="한국어").click()
    assert heading(page) == "로그인"
    page.goto("/")
    assert heading(page) == "로그인하지 않았어요"
    page.go_back()
    fill_in(page)
    send(page)
    assert page.url.endswith("/account")
    assert heading(page) == "내 계정"


def test_back_after_signing_out_shows_nothing_of_the_person(page: Page) -> None:
    try_to_sign_in(page)
    page.goto("/account")
    expect(page.get_by_text(MINJI)).to_be_visible()
    sign_out_button(page).click()
    assert heading(page) == "Not signed in"
    for _ in range(2):
        page.go_back()
        expect(page.get_by_role("link", name="English")).to_be_visible()
        assert MINJI not in page.content()
        assert "민지" not in page.content()


def test_a_logo_of_ones_own_is_shown(open_page: Opener, make_site: SiteMaker) -> None:
    page = open_page(site_url=make_site(logo_url="/auth/static/mark.svg").url)
    page.goto(LOGIN)
    assert page.locator("img.logo").evaluate("picture => picture.naturalHeight") > 0


@pytest.mark.usefixtures("logs_as_before")
def test_the_accounts_to_try_are_listed_where_the_site_is_developed(open_page: Opener) -> None:
    with development_site() as url:
        page = open_page(site_url=url, viewport=NARROW)
        page.goto(LOGIN)
        panel = page.get_by_role("region", name="Development: accounts to try")
        expect(panel).to_contain_text(PASSWORD)
        for account in ACCOUNTS:
            expect(panel.get_by_role("rowheader", name=account.email)).to_be_visible()
        assert overhang(page) == 0
        assert barriers(page) == []


def test_no_account_to_try_is_listed_anywhere_else(page: Page) -> None:
    page.goto(LOGIN)
    assert PASSWORD not in page.content()
    assert "@example.com" not in page.content()
    expect(page.get_by_role("region")).to_have_count(0)
