"""Accessibility: screen readers, forced colors, text spacing, target sizes, and the keyboard."""

from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import (
    LOCALES,
    LOGIN,
    NARROW,
    PAGE_STATES,
    PageOpener,
    accessibility_violations,
    click_and_wait,
    computed_style,
    contrast_ratio,
    overflowing_elements,
    overflowing_elements_on_phone,
    page_opener,
)
from tests.support.site import ACCOUNT_PATHS, MINJI, Site, SiteMaker, running_site

pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def pages() -> Iterator[Site]:
    secret = "secret-of-this-test"
    given: dict[str, Any] = {"kakao_client_id": "id", "google_client_id": "id", "google_client_secret": secret}
    with running_site(
        sign_up_url="/join", reset_password_url="/forgot", providers="kakao,google", **ACCOUNT_PATHS, **given
    ) as running:
        yield running


@pytest.fixture
def open_page(browser: Browser, pages: Site) -> Iterator[PageOpener]:
    with page_opener(browser, pages.url) as open_one:
        yield open_one


FORM = """\
  - text: Email address
  - textbox "Email address"
  - text: Password
  - textbox "Password"
  - button "Show password"
  - button "Sign in"
"""
OTHER_WAYS = """\
  - paragraph: or
  - list:
    - listitem:
      - button "Login with Kakao"
    - listitem:
      - button "Sign in with Google"
  - list:
    - listitem:
      - link "Forgot your password?":
        - /url: /forgot
    - listitem:
      - link "Create an account":
        - /url: /join
"""
READ_OUT = {
    "login": f"""\
- main:
  - heading "Sign in" [level=1]
{FORM}{OTHER_WAYS}""",
    "login-throttled": f"""\
- main:
  - heading "Sign in" [level=1]
  - alert "We could not sign you in":
    - heading "We could not sign you in" [level=2]
    - paragraph: Too many attempts.
    - paragraph:
      - text: Try again in
      - timer: 57 seconds
      - text: .
{FORM.replace('"Email address"', '"Email address": throttled@example.com')}{OTHER_WAYS}""",
    "login-fields": f"""\
- main:
  - heading "Sign in" [level=1]
  - alert "Check what you entered":
    - heading "Check what you entered" [level=2]
    - list:
      - listitem:
        - link "Enter an email address in the right format, like name@example.com.":
          - /url: "#email"
      - listitem:
        - link "Enter your password.":
          - /url: "#password"
  - text: Email address
  - paragraph: "Error: Enter an email address in the right format, like name@example.com."
  - textbox "Email address" [invalid]: minji
  - text: Password
  - paragraph: "Error: Enter your password."
  - textbox "Password" [invalid]
  - button "Show password"
  - button "Sign in"
{OTHER_WAYS}""",
    "home-signed-in": """\
- main:
  - heading "Signed in as 민지" [level=1]
  - paragraph: minji@example.com
  - link "Your account":
    - /url: /account
  - button "Sign out"
""",
    "account-saved": """\
- main:
  - status: Your changes are saved.
  - heading "Your account" [level=1]
  - term: Email address
  - definition: minji@example.com
  - term: Account ID
  - definition: "1"
  - text: Name
  - textbox "Name": 김민지
  - text: Nickname
  - textbox "Nickname": 민지
  - button "Save"
  - list:
    - listitem:
      - link "Change your password":
        - /url: /account/password
  - button "Sign out"
  - button "Sign out on all devices"
""",
    "logout": """\
- main:
  - heading "Do you want to sign out?" [level=1]
  - button "Sign out"
  - list:
    - listitem:
      - link "Cancel":
        - /url: /
""",
}
"""The content in the order of a screen reader, from the browser's accessibility tree."""


@pytest.mark.parametrize("way", READ_OUT)
def test_a_screen_reader_reads_each_page_in_the_expected_order(open_page: PageOpener, way: str) -> None:
    page = open_page()
    PAGE_STATES[way](page)
    page.wait_for_load_state("networkidle")
    # A second of the wait may have passed.
    read_out = page.locator("main").aria_snapshot().replace("56 seconds", "57 seconds")
    assert read_out == READ_OUT[way].rstrip("\n")


def test_every_page_starts_with_the_site_name_and_ends_with_the_languages(open_page: PageOpener) -> None:
    page = open_page()
    page.goto("/nothing-here")
    landmarks = page.locator("body").aria_snapshot(depth=1)
    assert [line.partition(" ")[2].partition(":")[0] for line in landmarks.splitlines() if line[0] == "-"] == [
        "banner", "main", "contentinfo",
    ]  # fmt: skip
    expect(page.get_by_role("contentinfo")).to_match_aria_snapshot(
        dedent("""\
            - navigation "Language":
              - group: "Language: English"
        """)
    )


@pytest.mark.parametrize("scripts", [True, False])
def test_the_list_of_languages_opens_without_a_script_and_by_keyboard(open_page: PageOpener, scripts: bool) -> None:
    page = open_page(viewport=NARROW, java_script_enabled=scripts)
    page.goto(LOGIN)
    link = page.get_by_role("link", name="繁體中文")
    expect(link).to_be_hidden()
    page.locator(".languages summary").focus()
    page.keyboard.press("Enter")
    expect(link).to_be_in_viewport(ratio=1)
    link.click()
    expect(page.locator("h1")).to_have_text("登入")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hant")


def test_escape_and_a_click_beside_it_close_the_list_of_languages(open_page: PageOpener) -> None:
    page = open_page(viewport=NARROW)
    page.goto("/nothing-here")
    button, link = page.locator(".languages summary"), page.get_by_role("link", name="繁體中文")
    button.click()
    assert accessibility_violations(page) == []
    expect(page.locator(".languages ul")).to_be_in_viewport(ratio=1)
    link.focus()
    page.keyboard.press("Escape")
    expect(link).to_be_hidden()
    expect(button).to_be_focused()
    button.click()
    page.locator("h1").click()
    expect(link).to_be_hidden()


def test_the_open_list_of_languages_fits_a_phone(open_page: PageOpener) -> None:
    page = open_page(viewport=NARROW)
    page.goto("/nothing-here")
    page.locator(".languages summary").click()
    expect(page.locator(".languages ul")).to_be_visible()
    assert overflowing_elements_on_phone(page) == []


def test_three_languages_are_links_in_a_row(make_site: SiteMaker, open_page: PageOpener) -> None:
    page = open_page(site_url=make_site(languages="ko,en,ja", default_locale="ko").url)
    page.goto("/nothing-here")
    expect(page.get_by_role("contentinfo").get_by_role("link")).to_have_text(["한국어", "English", "日本語"])


_EDGES = """() => [...document.querySelectorAll(
        "button:not(.password-toggle), .button, .error-summary, .notice, .password-input, .field > input")]
    .map(one => {
        const {borderTopWidth: width, borderTopStyle: line, borderTopColor: edge} = getComputedStyle(one)
        return [one.outerHTML.slice(0, 60), parseFloat(width), line, edge]
    })"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("way", ["login", "login-fields", "login-expired", "login-wrong"])
def test_in_forced_colors_every_control_has_a_visible_border(open_page: PageOpener, way: str, scheme: str) -> None:
    page = open_page(forced_colors="active", color_scheme=scheme)
    PAGE_STATES[way](page)
    page.locator(":focus").blur()  # a focused element has a border of another color
    ground = computed_style(page.locator("body"), "background-color")
    edges = page.evaluate(_EDGES)
    assert len(edges) >= 4
    for what, width, line, edge in edges:
        assert (width >= 1, line) == (True, "solid"), what
        assert contrast_ratio(edge, ground) >= 3, what


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_forced_colors_every_icon_is_visible(open_page: PageOpener, scheme: str) -> None:
    page = open_page(forced_colors="active", color_scheme=scheme)
    page.goto(LOGIN)
    ground = computed_style(page.locator("body"), "background-color")
    for drawn in page.locator(".mark path, .provider-button svg [fill]:not(g)").all():
        assert contrast_ratio(computed_style(drawn, "fill"), ground) >= 3, drawn.evaluate("one => one.outerHTML")
    for drawn in page.locator(".provider-button svg [stroke], .password-toggle svg path").all():
        assert contrast_ratio(computed_style(drawn, "stroke"), ground) >= 3, drawn.evaluate("one => one.outerHTML")


_MOVING = """() => [...document.querySelectorAll("*")].flatMap(one => {
    const {transitionDuration, animationName} = getComputedStyle(one)
    return transitionDuration === "0s" && animationName === "none" ? [] : [one.localName]
})"""


def test_nothing_moves_with_prefers_reduced_motion(open_page: PageOpener) -> None:
    calm, usual = open_page(reduced_motion="reduce"), open_page(reduced_motion="no-preference")
    for page in (calm, usual):
        page.goto(LOGIN)
    assert calm.evaluate(_MOVING) == []
    assert "button" in usual.evaluate(_MOVING)


def test_with_increased_text_spacing_nothing_is_cut_off(open_page: PageOpener) -> None:
    """WCAG 2.2, 1.4.12 Text Spacing."""
    for way in ("login-fields", "login-throttled", "account"):
        page = open_page(viewport=NARROW, bypass_csp=True)
        PAGE_STATES[way](page)
        page.add_style_tag(
            content="* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em"
            " !important } p { margin-bottom: 2em !important }"
        )
        assert overflowing_elements(page) == []


_SMALL = """() => [...document.querySelectorAll("a, button, input:not([type=hidden])")].flatMap(one => {
    const {width, height} = one.getBoundingClientRect()
    return one.hidden || (width >= 24 && height >= 24) ? [] : [one.outerHTML]
})"""


@pytest.mark.parametrize("way", ["login", "login-fields", "account", "logout", "not-found", "home-signed-in"])
def test_every_control_is_at_least_24_pixels_large(open_page: PageOpener, way: str) -> None:
    """24 by 24 pixels (WCAG 2.2, 2.5.8 Target Size), without its exceptions."""
    page = open_page(viewport=NARROW)
    PAGE_STATES[way](page)
    assert page.evaluate(_SMALL) == []


def test_a_focused_field_is_never_hidden(open_page: PageOpener) -> None:
    """WCAG 2.2, 2.4.11 Focus Not Obscured."""
    page = open_page(viewport={"width": 320, "height": 256})
    PAGE_STATES["login-fields"](page)
    for _ in range(12):
        page.keyboard.press("Tab")
        here = page.locator(":focus")
        if here.count():
            expect(here).to_be_in_viewport(ratio=0.99)
            assert here.evaluate(
                "one => { const {x, y, width, height} = one.getClientRects()[0];"
                " return one.contains(document.elementFromPoint(x + width / 2, y + height / 2)) }"
            )


def test_a_keyboard_user_can_correct_the_form_and_sign_in(open_page: PageOpener) -> None:
    page = open_page()
    PAGE_STATES["login-fields"](page)
    expect(page.get_by_role("alert")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#email")).to_be_focused()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type(MINJI)
    page.keyboard.press("Tab")
    page.keyboard.type("correct-horse")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Signed in as 민지")


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize(("kind", "name"), [("username", "username"), ("phone", "phone"), ("any", "identifier")])
def test_the_form_for_each_kind_of_identifier_is_accessible(
    make_site: SiteMaker, open_page: PageOpener, kind: str, name: str, locale: str
) -> None:
    page = open_page(locale, viewport=NARROW, site_url=make_site(login_identifier=kind).url)
    page.goto(LOGIN)
    expect(page.locator(f"#{name}")).to_be_focused()
    assert accessibility_violations(page) == []
    page.locator(f"#{name}").fill("\uff0b")
    click_and_wait(page.locator("form:has(input[type=password]) button.button-primary"))
    assert accessibility_violations(page) == []
    assert overflowing_elements(page) == []
    page.get_by_role("alert").get_by_role("link").first.click()
    expect(page.locator(":focus")).to_have_attribute("id", name if kind == "phone" else "password")


def test_the_name_fields_have_autocomplete_attributes(open_page: PageOpener) -> None:
    page = open_page()
    PAGE_STATES["account"](page)
    for name, filled_with in (("name", "name"), ("nick_name", "nickname")):
        expect(page.locator(f"#{name}")).to_have_attribute("autocomplete", filled_with)


@pytest.mark.parametrize("locale", LOCALES)
def test_a_shown_password_and_the_caps_lock_hint_are_accessible(open_page: PageOpener, locale: str) -> None:
    page = open_page(locale)
    page.goto(LOGIN)
    page.locator("#password").fill("correct-horse")
    page.locator(".password-toggle").click()
    page.locator("#password").evaluate(
        "one => one.dispatchEvent(new KeyboardEvent('keydown', {modifierCapsLock: true}))"
    )
    expect(page.locator(".caps-lock-hint")).not_to_be_empty()
    assert accessibility_violations(page) == []
