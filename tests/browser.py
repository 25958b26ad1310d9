"""A real browser, the ways to each page, and what has to be true of a page that it shows."""

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    ViewportSize,
    sync_playwright,
)
from playwright.sync_api import Error as PlaywrightError

import dev
import settings_readers
from dev.backend import PASSWORD
from dev.stand_ins import create_stand_ins
from tests.commands import free_ports
from tests.site import AT_ONCE, MINJI, SECRET, served

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_HIDDEN_FROM_BACK = "--disable-back-forward-cache"
"""Playwright's habit. People's browsers keep the page before alive, so ours does as well."""

LOCALES = settings_readers.languages()
SCHEMES = ("light", "dark")
NARROW: ViewportSize = {"width": 320, "height": 640}
LOGIN = "/auth/login/email"

WRONG = "wrong-horse-6f1d"
"""A password that stands nowhere else, so that it can be looked for."""


class NoBrowserError(Exception):
    """Why there is none."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium, without a window; raises `NoBrowserError` where none can be started."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise NoBrowserError(f"no Chromium here (looked for {', '.join(_NAMES)})")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=program, args=_ARGUMENTS, ignore_default_args=[_HIDDEN_FROM_BACK]
            )
        except PlaywrightError as error:
            raise NoBrowserError(f"{program} does not start: {error.message.splitlines()[0]}") from None
        with browser:
            yield browser


@contextmanager
def development_site(environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a site as `flask run` builds it in this environment, its stand-ins beside it."""
    given = {"SECRET_KEY": SECRET, **AT_ONCE, **(environ or {})}
    port = free_ports()
    with (
        served("127.0.0.1", lambda _: create_stand_ins(dev.completed(given, port), port), port + 1),
        served("localhost", lambda _: dev.create_site(given, port), port),
    ):
        yield f"http://localhost:{port}"


def beside(site_url: str) -> tuple[str, str]:
    """Both names of the host where the stand-ins of a development site are."""
    port = (urlsplit(site_url).port or 0) + 1
    return f"127.0.0.1:{port}", f"localhost:{port}"


Opener = Callable[..., Page]


class Watch:
    """What a page should never give cause for: complaints of the browser, and requests to anyone else.

    `onward`: hosts to which people go on from the site; nothing else is asked of them either.
    """

    def __init__(self, page: Page, site_url: str, onward: Collection[str] = ()) -> None:
        self._host = urlsplit(site_url).netloc
        self._onward = onward
        self._refused: set[str] = set()
        self._seen: list[tuple[str, str]] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._seen.append(("", f"script failed: {error}")))
        page.on("request", self._asked)
        page.on("response", lambda response: self._answered(response.request, response.status))

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") or "Content Security Policy" in message.text:
            self._seen.append((message.location["url"], f"{message.type}: {message.text}"))

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        goes_on = parts.netloc in self._onward and request.is_navigation_request()
        if parts.netloc != self._host and parts.scheme not in ("data", "about") and not goes_on:
            self._seen.append(("", f"asked another host: {request.url}"))

    def _answered(self, request: Request, status: int) -> None:
        if status >= 400 and request.is_navigation_request():
            self._refused.add(request.url)

    @property
    def complaints(self) -> list[str]:
        """All but this one: that a page's own status is 401, 422 or the like, which is honest and not a fault."""
        return [
            f"{text} {url}".rstrip()
            for url, text in self._seen
            if not (url in self._refused and "Failed to load resource" in text)
        ]


@contextmanager
def opener(browser: Browser, site_url: str, onward: Collection[str] = (), **usual: Any) -> Iterator[Opener]:
    """Opens browsers of one's own: no cookies, one empty page, watched until the end. `usual`: of each context."""
    opened: list[tuple[BrowserContext, Watch]] = []

    def open_one(locale: str = "en", site_url: str = site_url, **given: Any) -> Page:
        context = browser.new_context(base_url=site_url, **{**usual, **given})
        context.set_default_timeout(20_000)
        page = context.new_page()
        speak(page, locale)
        opened.append((context, Watch(page, site_url, onward)))
        return page

    yield open_one
    for context, _ in opened:
        _close(context)
    assert [watch.complaints for _, watch in opened] == [[] for _ in opened]


def _close(context: BrowserContext) -> None:
    """When its pages do nothing any more: Chromium once never closed one that was just about to load another."""
    for page in context.pages:
        with suppress(PlaywrightError):  # it was on its way elsewhere
            page.goto("about:blank")
    context.close()


def show_in(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")


def fill_in(page: Page, email: str = MINJI, password: str = PASSWORD) -> None:
    page.locator("#email").fill(email)
    page.locator("#password").fill(password)


def speak(page: Page, locale: str) -> None:
    """From here on as someone else: a browser in this language, that has not been here before."""
    page.context.clear_cookies()
    page.context.set_extra_http_headers({"Accept-Language": locale})


def press(button: Locator) -> None:
    """And wait for the page that comes of it."""
    with button.page.expect_navigation():
        button.click()


def send(page: Page) -> None:
    """Press the button of the page's main form."""
    press(page.locator("main button.button-primary").first)


def try_to_sign_in(page: Page, email: str = MINJI, password: str = PASSWORD) -> None:
    page.goto(LOGIN)
    fill_in(page, email, password)
    send(page)


def to_account(page: Page) -> None:
    try_to_sign_in(page)
    page.goto("/account")


def sign_out_button(page: Page) -> Locator:
    return page.locator("form[action$='/auth/logout'] button").first


def _to_home_signed_out(page: Page) -> None:
    try_to_sign_in(page)
    press(sign_out_button(page))


def _to_logout(page: Page) -> None:
    try_to_sign_in(page)
    page.goto("/auth/logout")


def _to_account_wrong(page: Page) -> None:
    to_account(page)
    page.locator("#name").fill("n" * 31)
    send(page)


def _to_account_saved(page: Page) -> None:
    to_account(page)
    send(page)


def _to_cookies_blocked(page: Page) -> None:
    page.goto(LOGIN)
    fill_in(page)
    page.context.clear_cookies()
    send(page)


def _to_wrong_method(page: Page) -> None:
    page.goto(LOGIN)
    page.locator("main form").first.evaluate("form => { form.action = '/' }")
    send(page)


WAYS: dict[str, Callable[[Page], object]] = {
    "home": lambda page: page.goto("/"),
    "home-signed-in": try_to_sign_in,
    "home-signed-out": _to_home_signed_out,
    "login": lambda page: page.goto(LOGIN),
    "login-fields": lambda page: try_to_sign_in(page, "minji", ""),
    "login-wrong": lambda page: try_to_sign_in(page, password=WRONG),
    "login-unverified": lambda page: try_to_sign_in(page, "unverified@example.com"),
    "login-throttled": lambda page: try_to_sign_in(page, "throttled@example.com"),
    "login-down": lambda page: try_to_sign_in(page, "down@example.com"),
    "login-expired": lambda page: page.goto(f"{LOGIN}?error=SessionExpired&callbackUrl=/account"),
    "login-cancelled": lambda page: page.goto(f"{LOGIN}?error=Cancelled"),
    "login-cookies": _to_cookies_blocked,
    "logout": _to_logout,
    "account": to_account,
    "account-wrong": _to_account_wrong,
    "account-saved": _to_account_saved,
    "not-found": lambda page: page.goto("/nothing-here"),
    "wrong-method": _to_wrong_method,
}
"""Each page and main state of the site, and how a person comes to see it."""

STATUSES = {
    "login-fields": 422,
    "login-wrong": 401,
    "login-unverified": 403,
    "login-throttled": 429,
    "login-down": 503,
    "login-cookies": 400,
    "account-wrong": 422,
    "not-found": 404,
    "wrong-method": 405,
}
"""With which status they come, if not with 200."""


def status(page: Page) -> int:
    """Of the answer that the page came with."""
    return int(page.evaluate("performance.getEntriesByType('navigation')[0].responseStatus"))


_AXE = Axe()
_RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},  # of WCAG 2.2, off unless asked for
}
_CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
_RUN = """async rules => {
    const {passes, violations, incomplete} = await axe.run(rules)
    const unclear = incomplete.filter(rule => rule.id === "color-contrast")
    const faults = [...violations, ...unclear].flatMap(rule => rule.nodes.map(
        node => `${rule.id}: ${node.html} (${node.failureSummary})`))
    return passes.length ? faults : ["axe looked at nothing"]
}"""
"""The answer in full is so long that sending it takes longer than finding it."""


def barriers(page: Page, *, contrast_alone: bool = False) -> list[str]:
    """What axe finds, in light and in dark, a line a fault. A contrast that it cannot judge is one too."""
    page.evaluate(_AXE.axe_script)
    show_in(page, "dark")
    in_dark = [f"in dark: {fault}" for fault in page.evaluate(_RUN, _CONTRAST)]
    show_in(page, "light")
    return in_dark + list(page.evaluate(_RUN, _CONTRAST if contrast_alone else _RULES))


def style(element: Locator, name: str) -> str:
    """The value that a CSS property has in the end."""
    return str(element.evaluate("(element, name) => getComputedStyle(element).getPropertyValue(name)", name))


def contrast(first: str, second: str) -> float:
    """Between two computed colours `rgb(…)`, 1 to 21, as WCAG 2.2 defines it."""
    darker, lighter = sorted((_luminance(first), _luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    assert color.startswith("rgb("), f"not opaque: {color}"
    shares = (int(part) / 255 for part in color.removeprefix("rgb(").rstrip(")").split(","))
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


_TOO_WIDE = """() => {
    const page = document.documentElement
    const cut = one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline"
    const texts = [...document.querySelectorAll("body *:not(input, svg, svg *, .visually-hidden)")].filter(cut)
    return [
        ...(page.scrollWidth > page.clientWidth ? [`the page by ${page.scrollWidth - page.clientWidth} px`] : []),
        ...texts.map(one => `${one.localName}: ${one.textContent.trim()}`),
    ]
}"""


def too_wide(page: Page) -> list[str]:
    """What does not fit: the page into its window, or a text into its box."""
    return list(page.evaluate(_TOO_WIDE))


_BROKEN = """() => [...document.querySelectorAll("button, button *, .button")].flatMap(one => {
    const words = [...one.childNodes].filter(node => node.nodeType === Node.TEXT_NODE && node.data.trim())
    const tops = words.flatMap(node => {
        const range = new Range()
        range.selectNode(node)
        return [...range.getClientRects()].map(line => line.top)
    })
    return new Set(tops).size > 1 ? [`in two lines: ${one.textContent.trim()}`] : []
})"""


def too_wide_on_a_phone(page: Page) -> list[str]:
    """The same in 320 pixels, which 1280 are at 400 % (WCAG 2.2, 1.4.10), with each button in one line; and then in
    letters twice as large too.
    """
    page.set_viewport_size(NARROW)
    found = too_wide(page) + list(page.evaluate(_BROKEN))
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    return found + [f"in large letters, {one}" for one in too_wide(page)]
