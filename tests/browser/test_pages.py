"""The pages in a real browser, with and without JavaScript, against a running site with nothing patched.

Each page is watched: no error in the console, and no request to another host.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import errors
from dev.backend import ACCOUNTS, PASSWORD, accounts
from tests.support.browser import (
    ALL_LOCALES,
    LOCALES,
    LOGIN,
    NARROW,
    PAGE_STATES,
    SCHEMES,
    STATE_STATUSES,
    WRONG_PASSWORD,
    PageOpener,
    accessibility_violations,
    click_and_wait,
    computed_style,
    contrast_ratio,
    development_site,
    fill_credentials,
    open_account,
    overflowing_elements_on_phone,
    page_opener,
    response_status,
    set_color_scheme,
    sign_out_button,
    start_over_in,
    submit_main_form,
    submit_sign_in,
)
from tests.support.site import ACCOUNT_PATHS, MINJI, Site, SiteMaker, running_site

# One worker runs these: the browser starts once, and it keeps two cores busy by itself.
pytestmark = pytest.mark.xdist_group("browser")

with_and_without_scripts = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])

CODES = sorted({kind.code for kind in errors._subclasses(errors.SiteError)} | {"Default", "NoSuchCode"})
BRANDS = ["#ffffff", "#000000", "#fee500", "#03c75a", "#767676", "#ff0000", "#1b1f1d"]


@pytest.fixture(scope="module")
def pages() -> Iterator[Site]:
    """The site with every link that it can show. The account of Jun has the longest allowed names."""
    with running_site(sign_up_url="/join", reset_password_url="/forgot", **ACCOUNT_PATHS) as running:
        assert running.backend
        jun = running.backend.extensions["user_store"].users["jun@example.com"]
        jun.update(name="가" * 30, nick_name="n" * 200, id="9" * 60)
        yield running


@pytest.fixture
def open_page(browser: Browser, pages: Site) -> Iterator[PageOpener]:
    with page_opener(browser, pages.url, reduced_motion="reduce") as open_one:
        yield open_one


@pytest.fixture
def page(open_page: PageOpener) -> Page:
    return open_page()


def expect_heading(page: Page, words: str) -> None:
    expect(page.locator("h1")).to_have_text(words)


def focused(page: Page) -> str:
    """Return the id of the focused element, or its name."""
    words = "(one => one.id || one.ariaLabel || one.textContent)(document.activeElement)"
    return " ".join(str(page.evaluate(words)).split())


def change_language(page: Page, name: str) -> None:
    page.locator(".languages summary").click()
    click_and_wait(page.get_by_role("link", name=name))


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
    make_site: SiteMaker, open_page: PageOpener, scripts: bool, locale: str, anonymous: str, signed_in: str, saved: str
) -> None:
    page = open_page(locale, make_site().url, java_script_enabled=scripts)
    page.goto("/")
    expect_heading(page, anonymous)
    click_and_wait(page.locator("main a"))
    fill_credentials(page)
    submit_main_form(page)
    expect_heading(page, signed_in)
    click_and_wait(page.locator("main a"))
    expect(page.locator("#name")).to_have_value("김민지")
    page.locator("#nick_name").fill("새봄")
    submit_main_form(page)
    expect(page.get_by_role("status")).to_have_text(saved)
    page.goto("/")
    expect_heading(page, signed_in.replace("민지", "새봄"))
    click_and_wait(sign_out_button(page))
    expect_heading(page, anonymous)
    page.goto("/account")
    expect(page.locator("#password")).to_be_visible()


def test_a_person_can_do_everything_with_the_keyboard(make_site: SiteMaker, open_page: PageOpener) -> None:
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


def test_tab_moves_from_the_address_to_the_password_the_button_and_the_links(page: Page) -> None:
    page.goto(LOGIN)
    expect(page.locator("#email")).to_be_focused()
    order = ["email"]
    for _ in range(6):
        page.keyboard.press("Tab")
        order.append(focused(page))
    links = ["Forgot your password?", "Create an account", "Language: English"]
    assert order == ["email", "password", "Show password", "Sign in", *links]


@pytest.mark.parametrize("way", ["home", "login-fields", "account"])
def test_keyboard_focus_is_always_visible(page: Page, way: str) -> None:
    PAGE_STATES[way](page)
    page.locator(".page-header a").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    reached = 0
    # A field with a button inside shows its focus on the surrounding box.
    focused_fields = page.locator(".password-input:has(input:focus), :focus:not(.password-input *)")
    while (here := focused_fields.or_(page.locator("button:focus"))).count():
        assert computed_style(here, "outline-style") == "solid", focused(page)
        assert float(computed_style(here, "outline-width").removesuffix("px")) >= 2, focused(page)
        for scheme in SCHEMES:
            set_color_scheme(page, scheme)
            ring = computed_style(here, "outline-color")
            for ground in (".card", "body"):
                assert contrast_ratio(ring, computed_style(page.locator(ground), "background-color")) >= 3, focused(
                    page
                )
        page.keyboard.press("Tab")
        reached += 1
        assert reached < 30
    assert reached >= 4


@with_and_without_scripts
def test_after_an_error_the_focus_is_on_the_message_and_its_link_leads_to_the_field(
    open_page: PageOpener, scripts: bool
) -> None:
    page = open_page(java_script_enabled=scripts)
    submit_sign_in(page, "minji", "")
    expect(page.get_by_role("alert")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#email")).to_be_focused()
    page.get_by_role("alert").get_by_text("Enter your password.").click()
    expect(page.locator("#password")).to_be_focused()
    expect(page.locator("#password")).to_have_accessible_description("Error: Enter your password.")
    assert page.title().startswith("Error: ")


@pytest.mark.parametrize("way", ["login-wrong", "login-down", "account-wrong"])
def test_every_error_message_has_the_focus_and_is_in_view(open_page: PageOpener, way: str) -> None:
    page = open_page(viewport=NARROW)
    PAGE_STATES[way](page)
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_role("alert")).to_be_in_viewport(ratio=1)


def test_a_notice_that_is_no_error_has_the_focus_with_the_status_role(open_page: PageOpener) -> None:
    page = open_page(viewport=NARROW)
    PAGE_STATES["login-expired"](page)
    expect(page.get_by_role("status")).to_be_focused()
    expect(page.get_by_role("alert")).to_have_count(0)
    assert not page.title().startswith("Error")


@pytest.mark.parametrize("way", PAGE_STATES)
def test_every_page_is_accessible_and_fits_a_phone(page: Page, way: str) -> None:
    for locale in ALL_LOCALES:
        start_over_in(page, locale)
        PAGE_STATES[way](page)
        assert response_status(page) == STATE_STATUSES.get(way, 200)
        expect(page.locator("html")).to_have_attribute("lang", locale.replace("_", "-"))
        if locale in LOCALES:
            assert accessibility_violations(page) == []
        assert overflowing_elements_on_phone(page) == []


def test_a_read_only_account_page_is_accessible_and_fits_a_phone(make_site: SiteMaker, open_page: PageOpener) -> None:
    page = open_page(site_url=make_site(backend_profile_path=None).url)
    open_account(page)
    expect(page.locator("input:visible")).to_have_count(0)
    assert accessibility_violations(page) == []
    assert overflowing_elements_on_phone(page) == []


def test_the_fallback_error_page_is_accessible_and_fits_a_phone(
    make_site: SiteMaker, open_page: PageOpener, tmp_path: Path
) -> None:
    (tmp_path / "home.html").write_text("{{ no_such_thing }}")
    page = open_page(site_url=make_site(templates_dir=tmp_path).url)
    page.goto("/")
    expect_heading(page, "Something went wrong on our side")
    assert accessibility_violations(page) == []
    assert overflowing_elements_on_phone(page) == []


def test_every_error_message_is_accessible(page: Page) -> None:
    found = {}
    for code in CODES:
        page.goto(f"{LOGIN}?error={code}")
        told = page.get_by_role("alert").or_(page.get_by_role("status"))
        expect(told).not_to_be_empty()
        found[code] = accessibility_violations(page)
    assert found == {code: [] for code in CODES}


def test_names_of_any_length_fit_a_phone(page: Page) -> None:
    submit_sign_in(page, "jun@example.com")
    for address in ("/", "/account"):
        page.goto(address)
        assert overflowing_elements_on_phone(page) == []


@pytest.mark.parametrize("brand", BRANDS)
def test_text_is_readable_with_any_brand_color(make_site: SiteMaker, open_page: PageOpener, brand: str) -> None:
    page = open_page(site_url=make_site(brand_color=brand).url)
    for address in ("/", LOGIN):
        page.goto(address)
        assert accessibility_violations(page, contrast_only=True) == []


def test_the_border_of_a_field_has_enough_contrast(page: Page) -> None:
    for way in ("login", "login-fields"):
        PAGE_STATES[way](page)
        for scheme in SCHEMES:
            set_color_scheme(page, scheme)
            for field in ("#email", ".password-input"):
                edge = computed_style(page.locator(field), "border-bottom-color")
                assert contrast_ratio(edge, computed_style(page.locator(".card"), "background-color")) >= 3


def test_a_password_manager_finds_one_form_with_both_fields(page: Page) -> None:
    for way in ("login", "login-wrong", "login-fields"):
        PAGE_STATES[way](page)
        form = page.locator("form:has(input[type=password])")
        expect(form).to_have_count(1)
        for name, kind, filled_with in (("email", "email", "username"), ("password", "password", "current-password")):
            field = form.locator(f"#{name}")
            expect(field).to_have_attribute("name", name)
            expect(field).to_have_attribute("type", kind)
            expect(field).to_have_attribute("autocomplete", filled_with)
        expect(form.locator("button:not([type]), button[type=submit]")).to_have_count(1)
        assert form.get_attribute("autocomplete") is None


@pytest.mark.parametrize("way", ["login", "login-fields", "account"])
def test_a_phone_does_not_zoom_into_a_field(page: Page, way: str) -> None:
    """Safari on iOS zooms into a field with a font below 16 px, and stays there."""
    page.set_viewport_size(NARROW)
    PAGE_STATES[way](page)
    fields = page.locator("input:not([type=hidden])")
    expect(fields).to_have_count(2)
    for field in fields.all():
        assert float(computed_style(field, "font-size").removesuffix("px")) >= 16


def test_a_password_can_be_pasted(page: Page) -> None:
    page.goto(LOGIN)
    fill_credentials(page, PASSWORD, "")
    page.locator("#email").press("ControlOrMeta+A")
    page.locator("#email").press("ControlOrMeta+C")
    page.locator("#password").press("ControlOrMeta+V")
    page.locator("#email").fill(MINJI)
    submit_main_form(page)
    expect_heading(page, "Signed in as 민지")


@pytest.mark.parametrize("email", [MINJI, "minji", "down@example.com", "throttled@example.com"])
def test_after_a_failed_sign_in_the_form_keeps_the_address_but_not_the_password(page: Page, email: str) -> None:
    submit_sign_in(page, email, WRONG_PASSWORD)
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator("#email")).to_have_value(email)
    expect(page.locator("#password")).to_have_value("")
    assert WRONG_PASSWORD not in page.content()


@with_and_without_scripts
def test_changing_the_language_keeps_the_return_address(open_page: PageOpener, scripts: bool) -> None:
    page = open_page("ko", java_script_enabled=scripts)
    page.goto("/account")
    expect_heading(page, "로그인")
    change_language(page, "English")
    expect_heading(page, "Sign in")
    expect(page.locator(".languages a", has_text="English")).to_have_attribute("aria-current", "true")
    fill_credentials(page, password=WRONG_PASSWORD)
    submit_main_form(page)
    expect(page.get_by_role("alert")).to_contain_text("is incorrect")
    change_language(page, "한국어")
    expect_heading(page, "로그인")
    page.goto("/")
    expect_heading(page, "로그인하지 않았어요")
    page.go_back()
    fill_credentials(page)
    submit_main_form(page)
    assert page.url.endswith("/account")
    expect_heading(page, "내 계정")


def test_the_back_button_shows_nothing_of_the_user_after_sign_out(page: Page) -> None:
    submit_sign_in(page)
    page.goto("/account")
    expect(page.get_by_text(MINJI)).to_be_visible()
    click_and_wait(sign_out_button(page))
    expect_heading(page, "Not signed in")
    for _ in range(2):
        page.go_back()
        expect(page.get_by_role("navigation", name="Language")).to_be_visible()
        assert MINJI not in page.content()
        assert "민지" not in page.content()


def test_a_custom_logo_is_shown(make_site: SiteMaker, open_page: PageOpener) -> None:
    page = open_page(site_url=make_site(logo_url="/auth/static/mark.svg").url)
    page.goto(LOGIN)
    assert page.locator("img.logo").evaluate("picture => picture.naturalHeight") > 0


@pytest.mark.usefixtures("restore_logging")
@pytest.mark.parametrize("kind", ["email", "username", "phone", "any"])
def test_the_development_site_lists_the_accounts_to_try(open_page: PageOpener, kind: str) -> None:
    with development_site({"LOGIN_IDENTIFIER": kind}) as url:
        page = open_page(site_url=url)
        page.goto(LOGIN)
        panel = page.get_by_role("region", name="Development: accounts to try")
        expect(panel).to_contain_text(PASSWORD)
        for account, _ in accounts("laravel"):
            expect(panel.get_by_role("rowheader", name=account.identifiers(kind)[0], exact=True)).to_be_visible()
        for identifier in ACCOUNTS[0].identifiers(kind):
            expect(panel).to_contain_text(identifier)
        assert accessibility_violations(page) == []
        assert overflowing_elements_on_phone(page) == []


def test_other_sites_list_no_accounts_to_try(page: Page) -> None:
    page.goto(LOGIN)
    assert PASSWORD not in page.content()
    assert "@example.com" not in page.content()
    expect(page.get_by_role("region")).to_have_count(0)
