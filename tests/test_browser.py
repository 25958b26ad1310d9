"""The pages in a real browser, with JavaScript and without, against the running site and with nothing patched.

Whatever a test here opens is watched: the browser has nothing to complain of, and no other host is asked.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import errors
from dev.backend import ACCOUNTS, PASSWORD
from tests.browser import (
    LOCALES,
    LOGIN,
    NARROW,
    SCHEMES,
    STATUSES,
    WAYS,
    WRONG,
    Opener,
    barriers,
    contrast,
    development_site,
    fill_in,
    opener,
    press,
    send,
    show_in,
    sign_out_button,
    speak,
    status,
    style,
    to_account,
    too_wide_on_a_phone,
    try_to_sign_in,
)
from tests.site import MINJI, Site, SiteMaker, running_site

# One worker runs these: a browser is started once, and two cores are busy with one.
pytestmark = pytest.mark.xdist_group("browser")

with_and_without_scripts = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])

CODES = sorted({kind.code for kind in errors._subclasses(errors.SiteError)} | {"Default", "NoSuchCode"})
BRANDS = ["#ffffff", "#000000", "#fee500", "#03c75a", "#767676", "#ff0000", "#1b1f1d"]


@pytest.fixture(scope="module")
def pages() -> Iterator[Site]:
    """The site with every link that it can show. Jun has names that are as long as they come."""
    with running_site(sign_up_url="/join", reset_password_url="/forgot") as running:
        assert running.backend
        jun = running.backend.extensions["people"].users["jun@example.com"]
        jun.update(name="가" * 30, nick_name="n" * 200, id="9" * 60)
        yield running


@pytest.fixture
def open_page(browser: Browser, pages: Site) -> Iterator[Opener]:
    with opener(browser, pages.url, reduced_motion="reduce") as open_one:
        yield open_one


@pytest.fixture
def page(open_page: Opener) -> Page:
    return open_page()


def expect_heading(page: Page, words: str) -> None:
    expect(page.locator("h1")).to_have_text(words)


def focused(page: Page) -> str:
    """The id of what has the focus, or its name."""
    words = "(one => (one.id || one.ariaLabel || one.textContent).trim())(document.activeElement)"
    return str(page.evaluate(words))


@with_and_without_scripts
@pytest.mark.parametrize(
    ("locale", "anonymous", "signed_in", "saved"),
    [
        ("ko", "로그인하지 않았어요", "민지 님으로 로그인했어요", "변경한 내용을 저장했어요."),
        ("en", "Not signed in", "Signed in as 민지", "Your changes are saved."),
        ("ja", "ログインしていません", "민지さんとしてログインしています", "変更を保存しました。"),
    ],
    ids=["ko", "en", "ja"],
)
def test_a_person_signs_in_changes_their_name_and_signs_out(
    make_site: SiteMaker, open_page: Opener, scripts: bool, locale: str, anonymous: str, signed_in: str, saved: str
) -> None:
    page = open_page(locale, make_site().url, java_script_enabled=scripts)
    page.goto("/")
    expect_heading(page, anonymous)
    press(page.locator("main a"))
    fill_in(page)
    send(page)
    expect_heading(page, signed_in)
    press(page.locator("main a"))
    expect(page.locator("#name")).to_have_value("김민지")
    page.locator("#nick_name").fill("새봄")
    send(page)
    expect(page.get_by_role("status")).to_have_text(saved)
    page.goto("/")
    expect_heading(page, signed_in.replace("민지", "새봄"))
    press(sign_out_button(page))
    expect_heading(page, anonymous)
    page.goto("/account")
    expect(page.locator("#password")).to_be_visible()


def test_a_person_does_it_all_with_the_keyboard(make_site: SiteMaker, open_page: Opener) -> None:
    page = open_page(site_url=make_site().url)
    page.goto("/account")
    expect(page.locator("#email")).to_be_focused()
    page.keyboard.type(MINJI)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect_heading(page, "Your account")
    _tab_to(page, "name")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("Saebom")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_be_visible()
    expect(page.locator("#name")).to_have_value("Saebom")
    _tab_to(page, "Sign out")
    page.keyboard.press("Space")
    expect_heading(page, "Not signed in")


def _tab_to(page: Page, wanted: str) -> None:
    for _ in range(20):
        page.keyboard.press("Tab")
        if focused(page) == wanted:
            return
    pytest.fail(f"the Tab key does not reach {wanted}")


def test_tab_goes_from_the_address_to_the_password_the_button_and_the_links(page: Page) -> None:
    page.goto(LOGIN)
    expect(page.locator("#email")).to_be_focused()
    order = ["email"]
    for _ in range(8):
        page.keyboard.press("Tab")
        order.append(focused(page))
    links = ["Forgot your password?", "Create an account", "English", "日本語", "한국어"]
    assert order == ["email", "password", "Show password", "Sign in", *links]


@pytest.mark.parametrize("way", ["home", "login-fields", "account"])
def test_whatever_the_tab_key_reaches_shows_it(page: Page, way: str) -> None:
    WAYS[way](page)
    page.locator(".top a").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    reached = 0
    # A field in a box with a button shows it on the box.
    while (here := page.locator(".box:has(input:focus), :focus:not(.box *)").or_(page.locator("button:focus"))).count():
        assert style(here, "outline-style") == "solid", focused(page)
        assert float(style(here, "outline-width").removesuffix("px")) >= 2, focused(page)
        for scheme in SCHEMES:
            show_in(page, scheme)
            ring = style(here, "outline-color")
            for ground in (".card", "body"):
                assert contrast(ring, style(page.locator(ground), "background-color")) >= 3, focused(page)
        page.keyboard.press("Tab")
        reached += 1
        assert reached < 30
    assert reached >= 4


@with_and_without_scripts
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


@pytest.mark.parametrize("way", ["login-wrong", "login-down", "account-wrong"])
def test_every_failure_is_read_out_first_and_seen_at_once(open_page: Opener, way: str) -> None:
    page = open_page(viewport=NARROW)
    WAYS[way](page)
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_role("alert")).to_be_in_viewport(ratio=1)


def test_what_is_no_failure_is_said_first_too_but_calmly(open_page: Opener) -> None:
    page = open_page(viewport=NARROW)
    WAYS["login-expired"](page)
    expect(page.get_by_role("status")).to_be_focused()
    expect(page.get_by_role("alert")).to_have_count(0)
    assert not page.title().startswith("Error")


@pytest.mark.parametrize("way", WAYS)
def test_no_page_has_a_barrier_and_each_fits_a_phone(page: Page, way: str) -> None:
    for locale in LOCALES:
        speak(page, locale)
        WAYS[way](page)
        assert status(page) == STATUSES.get(way, 200)
        expect(page.locator("html")).to_have_attribute("lang", locale)
        assert barriers(page) == []
        assert too_wide_on_a_phone(page) == []


def test_an_account_that_only_shows_has_no_barrier_and_fits_a_phone(make_site: SiteMaker, open_page: Opener) -> None:
    page = open_page(site_url=make_site(backend_profile_path=None).url)
    to_account(page)
    expect(page.locator("input:visible")).to_have_count(0)
    assert barriers(page) == []
    assert too_wide_on_a_phone(page) == []


def test_the_page_of_last_resort_has_no_barrier_and_fits_a_phone(
    make_site: SiteMaker, open_page: Opener, tmp_path: Path
) -> None:
    (tmp_path / "home.html").write_text("{{ no_such_thing }}")
    page = open_page(site_url=make_site(templates_dir=tmp_path).url)
    page.goto("/")
    expect_heading(page, "Something went wrong on our side")
    assert barriers(page) == []
    assert too_wide_on_a_phone(page) == []


@pytest.mark.parametrize("locale", LOCALES)
def test_no_error_has_a_barrier(open_page: Opener, locale: str) -> None:
    page = open_page(locale)
    found = {}
    for code in CODES:
        page.goto(f"{LOGIN}?error={code}")
        told = page.get_by_role("alert").or_(page.get_by_role("status"))
        expect(told).not_to_be_empty()
        found[code] = barriers(page)
    assert found == {code: [] for code in CODES}


def test_names_of_any_length_fit_a_phone(page: Page) -> None:
    try_to_sign_in(page, "jun@example.com")
    for address in ("/", "/account"):
        page.goto(address)
        assert too_wide_on_a_phone(page) == []


@pytest.mark.parametrize("brand", BRANDS)
def test_any_brand_colour_can_be_read(make_site: SiteMaker, open_page: Opener, brand: str) -> None:
    page = open_page(site_url=make_site(brand_color=brand).url)
    for address in ("/", LOGIN):
        page.goto(address)
        assert barriers(page, contrast_alone=True) == []


def test_the_edge_of_a_field_stands_out(page: Page) -> None:
    for way in ("login", "login-fields"):
        WAYS[way](page)
        for scheme in SCHEMES:
            show_in(page, scheme)
            for field in ("#email", ".box"):
                edge = style(page.locator(field), "border-bottom-color")
                assert contrast(edge, style(page.locator(".card"), "background-color")) >= 3


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
    expect_heading(page, "Signed in as 민지")


@pytest.mark.parametrize("email", [MINJI, "minji", "down@example.com", "throttled@example.com"])
def test_a_page_that_comes_again_knows_the_address_and_not_the_password(page: Page, email: str) -> None:
    try_to_sign_in(page, email, WRONG)
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#email")).to_have_value(email)
    expect(page.locator("#password")).to_have_value("")
    assert WRONG not in page.content()


@with_and_without_scripts
def test_a_chosen_language_stays_and_so_does_the_way_back(open_page: Opener, scripts: bool) -> None:
    page = open_page("ko", java_script_enabled=scripts)
    page.goto("/account")
    expect_heading(page, "로그인")
    press(page.get_by_role("link", name="English"))
    expect_heading(page, "Sign in")
    expect(page.get_by_role("link", name="English")).to_have_attribute("aria-current", "true")
    fill_in(page, password=WRONG)
    send(page)
    expect(page.get_by_role("alert")).to_contain_text("is incorrect")
    press(page.get_by_role("link", name="한국어"))
    expect_heading(page, "로그인")
    page.goto("/")
    expect_heading(page, "로그인하지 않았어요")
    page.go_back()
    fill_in(page)
    send(page)
    assert page.url.endswith("/account")
    expect_heading(page, "내 계정")


def test_back_after_signing_out_shows_nothing_of_the_person(page: Page) -> None:
    try_to_sign_in(page)
    page.goto("/account")
    expect(page.get_by_text(MINJI)).to_be_visible()
    press(sign_out_button(page))
    expect_heading(page, "Not signed in")
    for _ in range(2):
        page.go_back()
        expect(page.get_by_role("link", name="English")).to_be_visible()
        assert MINJI not in page.content()
        assert "민지" not in page.content()


def test_a_logo_of_ones_own_is_shown(make_site: SiteMaker, open_page: Opener) -> None:
    page = open_page(site_url=make_site(logo_url="/auth/static/mark.svg").url)
    page.goto(LOGIN)
    assert page.locator("img.logo").evaluate("picture => picture.naturalHeight") > 0


@pytest.mark.usefixtures("logs_as_before")
def test_the_accounts_to_try_are_listed_where_the_site_is_developed(open_page: Opener) -> None:
    with development_site() as url:
        page = open_page(site_url=url)
        page.goto(LOGIN)
        panel = page.get_by_role("region", name="Development: accounts to try")
        expect(panel).to_contain_text(PASSWORD)
        for account in ACCOUNTS:
            expect(panel.get_by_role("rowheader", name=account.email)).to_be_visible()
        assert barriers(page) == []
        assert too_wide_on_a_phone(page) == []


def test_no_account_to_try_is_listed_anywhere_else(page: Page) -> None:
    page.goto(LOGIN)
    assert PASSWORD not in page.content()
    assert "@example.com" not in page.content()
    expect(page.get_by_role("region")).to_have_count(0)
