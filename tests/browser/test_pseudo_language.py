"""Every page from right to left, in texts that are a third longer, on a phone and on a desktop.

The pseudo-language has no plain Latin letters. A word in such letters comes from a template or a script that does not
translate it, or is something of the visitor that is not isolated from the sentence around it (`<bdi>`).
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from dev import pseudo_language
from tests.support.browser import (
    LOGIN,
    NARROW,
    PAGE_STATES,
    STATE_STATUSES,
    PageOpener,
    accessibility_violations,
    computed_style,
    overflowing_elements,
    page_opener,
    response_status,
    submit_sign_in,
)
from tests.support.site import ACCOUNT_PATHS, LINK_PATHS, Site, running_site

pytestmark = pytest.mark.xdist_group("browser")

LANGUAGE = "ar-001"
DESKTOP: ViewportSize = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def pages() -> Iterator[Site]:
    secret = "secret-of-this-test"
    given: dict[str, Any] = {"kakao_client_id": "id", "google_client_id": "id", "google_client_secret": secret}
    with running_site(
        providers="kakao,google",
        sign_up_url="/join",
        reset_password_url="/forgot",
        **given,
        **ACCOUNT_PATHS,
        **LINK_PATHS,
    ) as running:
        pseudo_language.install(running.app)
        yield running


@pytest.fixture
def open_page(browser: Browser, pages: Site) -> Iterator[PageOpener]:
    with page_opener(browser, pages.url, reduced_motion="reduce") as open_one:
        yield open_one


BACKEND_SENTENCES = {
    "The name field must not be greater than 30 characters.",
    "The provided password does not match your current password.",
    "The email has already been taken.",
}
"""A backend knows the language of the page, and may not have it."""

_UNTRANSLATED = """() => {
    const foreign = "bdi:not(.error-summary *, .field-error *), code, svg, .avatar, [lang]:not(html)"
    const names = /\\b(Munjigi|Google|Kakao|Chrome|Linux)\\b/g
    const attributes = ["aria-label", "alt", "title", "placeholder", "data-message", "data-done-message"]
    const texts = [document.title]
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
        const {parentElement: parent, data} = walker.currentNode
        if (!parent.closest(foreign) && parent.checkVisibility()) texts.push(data)
    }
    for (const element of document.querySelectorAll("body *")) {
        if (!element.closest(foreign)) texts.push(...attributes.map(name => element.getAttribute(name) ?? ""))
    }
    return texts.map(text => text.replace(names, "").trim()).filter(text => /[A-Za-z]{2}/.test(text))
}"""
_OUTSIDE = """() => [...document.querySelectorAll("body *:not(.visually-hidden)")].filter(element => {
    const {left, right, width} = element.getBoundingClientRect()
    return width && (left < -0.5 || right > innerWidth + 0.5)
}).map(element => `outside the window: ${element.outerHTML.slice(0, 80)}`)"""


def layout_faults(page: Page) -> list[str]:
    return overflowing_elements(page) + list(page.evaluate(_OUTSIDE))


def _open_providers(page: Page) -> None:
    submit_sign_in(page)
    page.goto("/account/providers")


STATES: dict[str, Callable[[Page], object]] = {**PAGE_STATES, "providers": _open_providers}


@pytest.mark.parametrize("way", STATES)
def test_every_page_reads_from_right_to_left_with_longer_texts(open_page: PageOpener, way: str) -> None:
    page = open_page(LANGUAGE, viewport=DESKTOP)
    STATES[way](page)
    assert response_status(page) == STATE_STATUSES.get(way, 200)
    expect(page.locator("html")).to_have_attribute("lang", LANGUAGE)
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    assert set(page.evaluate(_UNTRANSLATED)) <= BACKEND_SENTENCES
    assert layout_faults(page) == []
    page.set_viewport_size(NARROW)
    assert layout_faults(page) == []
    assert accessibility_violations(page) == []


def test_what_belongs_to_the_end_of_a_line_is_on_the_left(open_page: PageOpener) -> None:
    page = open_page(LANGUAGE)
    page.goto(LOGIN)
    field = page.locator(".password-input").bounding_box()
    toggle = page.locator(".password-toggle").bounding_box()
    assert field
    assert toggle
    assert toggle["x"] + toggle["width"] < field["x"] + field["width"] / 2
    mark = page.locator(".provider-button svg").first.bounding_box()
    text = page.locator(".provider-button span").first.bounding_box()
    assert mark
    assert text
    assert mark["x"] > text["x"]


def test_an_address_is_typed_from_left_to_right_below_its_label(open_page: PageOpener) -> None:
    page = open_page(LANGUAGE)
    page.goto(LOGIN)
    for field in ("#email", "#password"):
        expect(page.locator(field)).to_have_css("direction", "ltr")
        assert computed_style(page.locator(field), "text-align") in ("right", "-webkit-right")
    page.goto("/auth/register")
    page.locator("#name").fill("김민지")
    expect(page.locator("#name")).to_have_css("direction", "ltr")
    page.locator("#name").fill("فاطمة")
    expect(page.locator("#name")).to_have_css("direction", "rtl")
