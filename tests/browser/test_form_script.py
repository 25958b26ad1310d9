"""What `static/form.js` adds to the forms, in a real browser, without moving anything on the page."""

import math
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from babel.dates import format_timedelta
from playwright.sync_api import Browser, Page, expect

from dev.backend import PASSWORD
from tests.support.browser import (
    ALL_LOCALES,
    LOGIN,
    NARROW,
    PAGE_STATES,
    PageOpener,
    accessibility_violations,
    fill_credentials,
    page_opener,
    submit_main_form,
)
from tests.support.site import ACCOUNT_PATHS, MINJI, Site, SiteMaker, running_site

pytestmark = pytest.mark.xdist_group("browser")

WITHOUT_SCRIPT_THE_SAME = ["login", "login-wrong", "login-fields", "login-throttled", "account", "home", "not-found"]


@pytest.fixture(scope="module")
def pages() -> Iterator[Site]:
    with running_site(sign_up_url="/join", reset_password_url="/forgot", **ACCOUNT_PATHS) as running:
        yield running


@pytest.fixture
def open_page(browser: Browser, pages: Site) -> Iterator[PageOpener]:
    with page_opener(browser, pages.url, reduced_motion="reduce") as open_one:
        yield open_one


@pytest.fixture
def page(open_page: PageOpener) -> Page:
    return open_page()


_PLACES = """() => [...document.querySelectorAll(
        "body *:not(.password-toggle, .password-toggle *, .password-input input)")].map(one => {
    const {x, y, width, height} = one.getBoundingClientRect()
    return [one.localName, one.className.baseVal ?? one.className, x, y, width, height]
})"""


def places(page: Page) -> Any:
    """Return the positions of all elements, except those that the script adds."""
    return page.evaluate(_PLACES)


def test_the_script_writes_a_duration_as_the_server_does_in_every_language(page: Page) -> None:
    for code in ALL_LOCALES:
        for count, unit in ((57, "second"), (1, "minute"), (2, "minute"), (3, "hour")):
            written = page.evaluate(
                "({lang, count, ...rest}) => new Intl.NumberFormat(lang, {...rest, unitDisplay: 'long'}).format(count)",
                {"lang": code.replace("_", "-"), "style": "unit", "unit": unit, "count": count},
            )
            duration = timedelta(**{f"{unit}s": count})
            assert written == format_timedelta(duration, granularity=unit, threshold=math.inf, locale=code)  # type: ignore[arg-type]


def reveal(page: Page) -> Any:
    return page.get_by_role("button", name="Show password")


def test_a_password_can_be_shown_and_hidden_again(page: Page) -> None:
    page.goto(LOGIN)
    password = page.locator("#password")
    password.fill(PASSWORD)
    expect(password).to_have_attribute("type", "password")
    expect(reveal(page)).to_have_attribute("aria-pressed", "false")
    reveal(page).click()
    expect(password).to_have_attribute("type", "text")
    expect(reveal(page)).to_have_attribute("aria-pressed", "true")
    expect(password).to_be_focused()  # the keyboard of a phone stays open
    reveal(page).click()
    expect(password).to_have_attribute("type", "password")
    expect(password).to_have_value(PASSWORD)
    assert accessibility_violations(page) == []


def test_a_password_can_be_shown_with_the_keyboard(page: Page) -> None:
    page.goto(LOGIN)
    page.locator("#password").focus()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("#password")).to_have_attribute("type", "text")
    expect(reveal(page)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#password")).to_have_attribute("type", "password")


def test_a_shown_password_is_hidden_again_on_submit(page: Page) -> None:
    """Otherwise browsers would suggest it on the next visit, as any other text field."""
    page.goto(LOGIN)
    fill_credentials(page)
    reveal(page).click()
    page.evaluate(
        "addEventListener('submit', () => sessionStorage.setItem('sent as', document.querySelector('#password').type))"
    )
    page.locator("#password").press("Enter")
    page.wait_for_url("**/")
    assert page.evaluate("sessionStorage.getItem('sent as')") == "password"
    expect(page.locator("h1")).to_have_text("Signed in as 민지")


def test_a_password_manager_may_fill_in_late_without_events(page: Page) -> None:
    page.goto(LOGIN)
    page.wait_for_load_state("networkidle")
    reveal(page).click()
    reveal(page).click()
    page.evaluate(
        "([email, password]) => { document.querySelector('#email').value = email;"
        " document.querySelector('#password').value = password }",
        [MINJI, PASSWORD],
    )
    submit_main_form(page)
    expect(page.locator("h1")).to_have_text("Signed in as 민지")


def test_without_javascript_there_is_no_show_password_button(open_page: PageOpener) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(LOGIN)
    expect(page.locator(".password-toggle")).to_be_hidden()
    expect(page.get_by_role("button")).to_have_count(1)


@pytest.mark.parametrize(("locale", "words"), [("en", "Caps Lock is on"), ("ko", "Caps Lock이 켜져 있어요")])
def test_a_hint_is_shown_while_caps_lock_is_on(open_page: PageOpener, locale: str, words: str) -> None:
    page = open_page(locale, viewport=NARROW)
    page.goto(LOGIN)
    before = places(page)
    hint, password = page.locator(".caps-lock-hint"), page.locator("#password")
    expect(hint).to_have_attribute("aria-live", "polite")
    for event, on in (("keydown", True), ("keyup", False), ("pointerdown", True), ("blur", False)):
        kind = {"keydown": "KeyboardEvent", "keyup": "KeyboardEvent", "pointerdown": "PointerEvent"}.get(event, "Event")
        password.evaluate(
            "(one, [kind, event, on]) => one.dispatchEvent(new window[kind](event, {modifierCapsLock: on}))",
            [kind, event, on],
        )
        expect(hint).to_have_text(words if on else "")
        hint_class = "caps-lock-hint"
        assert [one for one in places(page) if one[1] != hint_class] == [one for one in before if one[1] != hint_class]


@pytest.mark.parametrize(
    ("locale", "after_three_seconds", "over"),
    [("en", "Try again in 54 seconds.", "You can try again now."),
     ("ko", "54초 뒤에 다시 시도해 주세요.", "이제 다시 시도할 수 있어요."),
     ("ja", "54 秒後にもう一度お試しください。", "もう一度お試しいただけます。")],
    ids=["en", "ko", "ja"],
)  # fmt: skip
def test_the_wait_counts_down_silently_and_its_end_is_announced(
    open_page: PageOpener, locale: str, after_three_seconds: str, over: str
) -> None:
    page = open_page(locale)
    page.clock.install()
    page.goto(f"{LOGIN}?error=TooManyAttempts&wait=57")
    told = page.get_by_role("alert")
    page.clock.run_for(3_000)
    expect(told).to_contain_text(re.compile(re.escape(after_three_seconds).replace("54", "(5[0-4]|[1-4][0-9])")))
    expect(told.get_by_role("timer")).to_have_count(1)  # a timer is not announced (WAI-ARIA 1.2)
    page.clock.run_for(55_000)
    expect(told).to_contain_text(over)
    expect(page.get_by_role("timer")).to_have_count(0)


def test_a_long_wait_counts_down_in_minutes(page: Page) -> None:
    page.clock.install()
    page.goto(f"{LOGIN}?error=TooManyAttempts&wait=300")
    expect(page.get_by_role("alert")).to_contain_text("Try again in 5 minutes.")
    page.clock.run_for(61_000)
    expect(page.get_by_role("alert")).to_contain_text("Try again in 4 minutes.")
    page.clock.run_for(150_000)
    expect(page.get_by_role("alert")).to_contain_text("Try again in 2 minutes.")


def test_a_wait_of_many_hours_counts_down_in_hours(page: Page) -> None:
    page.clock.install()
    page.goto(f"{LOGIN}?error=TooManyAttempts&wait=60000")
    expect(page.get_by_role("alert")).to_contain_text("Try again in 17 hours.")
    page.clock.run_for(3_600_000)
    expect(page.get_by_role("alert")).to_contain_text("Try again in 16 hours.")


def test_a_form_is_sent_once_however_often_the_button_is_clicked(make_site: SiteMaker, open_page: PageOpener) -> None:
    page = open_page(site_url=make_site(delay=0.4).url)
    page.goto(LOGIN)
    fill_credentials(page)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.locator("button.button-primary").evaluate("one => { one.click(); setTimeout(() => one.click(), 150) }")
    page.wait_for_url("**/")
    assert len(sent) == 1
    expect(page.locator("h1")).to_have_text("Signed in as 민지")


def test_a_form_can_be_sent_again_after_three_seconds(page: Page) -> None:
    page.goto(LOGIN)
    page.evaluate(
        "sent = 0; addEventListener('submit', event => { sent += !event.defaultPrevented; event.preventDefault() })"
    )
    send = "document.querySelector('main form').dispatchEvent({event})"
    fake = (
        "Object.defineProperty(new SubmitEvent('submit', {bubbles: true, cancelable: true}), 'timeStamp', {value: %d})"
    )
    sent = []
    for at in (1_000, 3_900, 4_100):
        page.evaluate(send.replace("{event}", fake % at))
        sent.append(page.evaluate("sent"))
    assert sent == [1, 1, 2]


def test_a_form_restored_from_the_back_forward_cache_can_be_sent_again(page: Page) -> None:
    page.goto(LOGIN)
    page.wait_for_load_state("networkidle")
    page.evaluate(
        "sent = 0; addEventListener('submit', event => { sent += !event.defaultPrevented; event.preventDefault() })"
    )
    page.locator("button.button-primary").dblclick()
    expect(page.locator("form[aria-busy=true]")).to_have_count(1)
    assert page.evaluate("sent") == 1
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(page.locator("form[aria-busy=true]")).to_have_count(0)
    page.locator("button.button-primary").click()
    assert page.evaluate("sent") == 2


@pytest.mark.parametrize("way", WITHOUT_SCRIPT_THE_SAME)
def test_javascript_moves_nothing_on_the_page(open_page: PageOpener, way: str) -> None:
    found = []
    for scripts in (True, False):
        page = open_page(java_script_enabled=scripts, viewport=NARROW)
        PAGE_STATES[way](page)
        page.wait_for_load_state("networkidle")
        found.append(places(page))
    assert len(found[0]) > 10
    assert found[0] == found[1]


_SHIFTS = """() => new Promise(resolve => new PerformanceObserver(
    list => resolve(list.getEntries().reduce((sum, one) => sum + one.value, 0))
).observe({type: "layout-shift", buffered: true}) || setTimeout(() => resolve(0), 300))"""


def test_nothing_moves_while_a_logo_loads(make_site: SiteMaker, open_page: PageOpener) -> None:
    page = open_page(site_url=make_site(logo_url="/auth/static/mark.svg?late").url, viewport=NARROW)

    def late(route: Any) -> None:
        page.wait_for_timeout(200)
        route.fulfill(
            content_type="image/svg+xml",
            body='<svg xmlns="http://www.w3.org/2000/svg" width="900" height="300"/>',
        )

    page.route("**/mark.svg?late", late)
    page.goto(LOGIN)
    assert page.locator(".logo").evaluate("one => one.naturalWidth") == 900
    assert page.evaluate(_SHIFTS) == 0
