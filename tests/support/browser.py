"""Start Chromium, open each page and state of the site, and check accessibility and layout."""

import itertools
import os
import shutil
import signal
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Playwright,
    Request,
    ViewportSize,
    sync_playwright,
)
from playwright.sync_api import Error as PlaywrightError

import dev
import settings_readers
from dev.backend import PASSWORD
from dev.stand_ins import create_stand_ins
from tests.support.commands import free_port_pair
from tests.support.site import MINJI, NO_LIMITS_ENVIRON, SECRET, serve_in_thread

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
_DISABLE_BACK_FORWARD_CACHE = "--disable-back-forward-cache"
"""An option that Playwright sets. It is removed, since browsers of users have the back/forward cache."""

ALL_LOCALES = settings_readers.languages()
LOCALES = ("en", "ko")
"""For what differs between scripts, not between texts."""
SCHEMES = ("light", "dark")
NARROW: ViewportSize = {"width": 320, "height": 640}
LOGIN = "/auth/login/email"
CONFIRM = "/auth/login/confirm"

NEW_PASSWORD = "blue-whale-31"
"""A password for a new account, or a new one for an old account."""
WRONG_PASSWORD = "wrong-horse-6f1d"
"""A password that occurs nowhere else, so that tests can search for it."""


MAX_TEST_SECONDS = 240.0
"""A test that takes longer hangs. The slowest takes 45 s on a busy machine."""


class NoBrowserError(Exception):
    """No browser is installed, or it does not start."""


class Chromium:
    """The installed Chromium, headless. It is started when it is needed, and again after it was killed."""

    def __init__(self, playwright: Playwright) -> None:
        self._playwright = playwright
        self._browser: Browser | None = None
        self._mark = f"MUNJIGI_TEST_BROWSER={uuid.uuid4().hex}"
        """In the environment of its processes, by which `kill` finds them."""

    def get(self) -> Browser:
        """Return the running browser. Raises `NoBrowserError`."""
        if self._browser is None or not self._browser.is_connected():
            self._browser = self._launch()
        return self._browser

    @contextmanager
    def watched(self) -> Iterator[Browser]:
        """Yield the browser for one test, which fails after `MAX_TEST_SECONDS`.

        Closing a page has no timeout in Playwright, and Chromium may hang there.
        """
        browser = self.get()
        watch = threading.Timer(MAX_TEST_SECONDS, self.kill)
        watch.start()
        try:
            yield browser
        finally:
            watch.cancel()

    def kill(self) -> None:
        """Kill the browser's processes, from any thread. On systems with `/proc`; elsewhere, nothing happens."""
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # the process has ended, or is another user's
                if self._mark.encode() in environ.read_bytes():
                    os.kill(int(environ.parent.name), signal.SIGKILL)

    def close(self) -> None:
        if self._browser and self._browser.is_connected():
            self._browser.close()

    def _launch(self) -> Browser:
        program = next(filter(None, map(shutil.which, _NAMES)), None)
        if program is None:
            raise NoBrowserError(f"Chromium is not installed (looked for {', '.join(_NAMES)})")
        name, _, value = self._mark.partition("=")
        try:
            return self._playwright.chromium.launch(
                executable_path=program,
                args=_ARGUMENTS,
                ignore_default_args=[_DISABLE_BACK_FORWARD_CACHE],
                env={**os.environ, name: value},
            )
        except PlaywrightError as error:
            raise NoBrowserError(f"{program} does not start: {error.message.splitlines()[0]}") from None


@contextmanager
def chromium() -> Iterator[Chromium]:
    with sync_playwright() as playwright:
        started = Chromium(playwright)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def development_site(environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run the site and its stand-ins as `flask run` does with these settings. Yields its URL."""
    settings = {"SECRET_KEY": SECRET, **NO_LIMITS_ENVIRON, **(environ or {})}
    port = free_port_pair()
    with (
        serve_in_thread("127.0.0.1", lambda _: create_stand_ins(dev.completed(settings, port), port), port + 1),
        serve_in_thread("localhost", lambda _: dev.create_site(settings, port), port),
    ):
        yield f"http://localhost:{port}"


def stand_in_hosts(site_url: str) -> tuple[str, str]:
    """Return both host names, with port, of the stand-ins of a development site."""
    port = (urlsplit(site_url).port or 0) + 1
    return f"127.0.0.1:{port}", f"localhost:{port}"


PageOpener = Callable[..., Page]


class PageMonitor:
    """Records console errors, CSP violations and requests to other hosts.

    `navigable_hosts`: other hosts that the page may navigate to; it must not load anything else from them.
    """

    def __init__(self, page: Page, site_url: str, navigable_hosts: Collection[str] = ()) -> None:
        self._host = urlsplit(site_url).netloc
        self._navigable_hosts = navigable_hosts
        self._error_urls: set[str] = set()
        self._messages: list[tuple[str, str]] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._messages.append(("", f"script failed: {error}")))
        page.on("request", self._on_request)
        page.on("response", lambda response: self._on_response(response.request, response.status))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") or "Content Security Policy" in message.text:
            self._messages.append((message.location["url"], f"{message.type}: {message.text}"))

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        may_navigate = parts.netloc in self._navigable_hosts and request.is_navigation_request()
        if parts.netloc != self._host and parts.scheme not in ("data", "about") and not may_navigate:
            self._messages.append(("", f"request to another host: {request.url}"))

    def _on_response(self, request: Request, status: int) -> None:
        if status >= 400 and request.is_navigation_request():
            self._error_urls.add(request.url)

    @property
    def problems(self) -> list[str]:
        """All messages, except those about an expected error status (401, 422) of the page itself."""
        return [
            f"{text} {url}".rstrip()
            for url, text in self._messages
            if not (url in self._error_urls and "Failed to load resource" in text)
        ]


@contextmanager
def page_opener(
    browser: Browser, site_url: str, navigable_hosts: Collection[str] = (), **default_options: Any
) -> Iterator[PageOpener]:
    """Yield a function that opens an empty page in a new browser context. At the end no page may have problems.

    `default_options`: options of each context.
    """
    opened: list[tuple[BrowserContext, PageMonitor]] = []

    def open_page(locale: str = "en", site_url: str = site_url, **options: Any) -> Page:
        context = browser.new_context(base_url=site_url, **{**default_options, **options})
        context.set_default_timeout(20_000)
        page = context.new_page()
        start_over_in(page, locale)
        opened.append((context, PageMonitor(page, site_url, navigable_hosts)))
        return page

    yield open_page
    for context, _ in opened:
        close_context(context)
    assert [monitor.problems for _, monitor in opened] == [[] for _ in opened]


def close_context(context: BrowserContext) -> None:
    """Close the context after its pages are idle: Chromium may hang when a page is about to navigate."""
    for page in context.pages:
        with suppress(PlaywrightError):  # the page was navigating
            page.goto("about:blank")
    context.close()


def set_color_scheme(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")


def fill_credentials(page: Page, email: str = MINJI, password: str = PASSWORD) -> None:
    page.locator("#email").fill(email)
    page.locator("#password").fill(password)


def start_over_in(page: Page, locale: str) -> None:
    """Continue as a new visitor: without cookies, with this language."""
    page.context.clear_cookies()
    page.context.set_extra_http_headers({"Accept-Language": locale})


def click_and_wait(button: Locator) -> None:
    """Click, and wait for the navigation."""
    with button.page.expect_navigation():
        button.click()


def submit_main_form(page: Page) -> None:
    """Submit the main form of the page, and wait for the navigation."""
    click_and_wait(page.locator("main button.button-primary").first)


def submit_sign_in(page: Page, email: str = MINJI, password: str = PASSWORD) -> None:
    page.goto(LOGIN)
    fill_credentials(page, email, password)
    submit_main_form(page)


def open_account(page: Page) -> None:
    submit_sign_in(page)
    page.goto("/account")


def sign_out_button(page: Page) -> Locator:
    return page.locator("form[action$='/auth/logout'] button").first


def _open_home_signed_out(page: Page) -> None:
    submit_sign_in(page)
    click_and_wait(sign_out_button(page))


def _open_logout(page: Page) -> None:
    submit_sign_in(page)
    page.goto("/auth/logout")


def _open_account_with_error(page: Page) -> None:
    open_account(page)
    page.locator("#name").fill("n" * 31)
    submit_main_form(page)


def _open_register_with_error(page: Page) -> None:
    page.goto("/auth/register")
    page.locator("#email").fill(MINJI)
    page.locator("#name").fill("Minji")
    page.locator("#password").fill("short")
    submit_main_form(page)


def sign_up(page: Page, email: str, password: str = NEW_PASSWORD) -> None:
    page.goto("/auth/register")
    page.locator("#email").fill(email)
    page.locator("#name").fill("Sora")
    page.locator("#password").fill(password)
    submit_main_form(page)


_numbers = itertools.count(1)


def _open_sign_up_sent(page: Page) -> None:
    sign_up(page, f"sora{next(_numbers)}@example.com")


def ask_for_mail(page: Page, path: str, email: str = MINJI) -> None:
    page.goto(path)
    page.locator("#email").fill(email)
    submit_main_form(page)


def _open_reset_expired(page: Page) -> None:
    page.goto("/auth/password/reset?token=x&email=minji@example.com")
    page.locator("#new_password").fill(NEW_PASSWORD)
    submit_main_form(page)


def _open_verify_expired(page: Page) -> None:
    page.goto("/auth/email/verify?token=x")
    submit_main_form(page)


def _open_account_password(page: Page) -> None:
    submit_sign_in(page)
    page.goto("/account/password")


def _open_account_password_wrong(page: Page) -> None:
    _open_account_password(page)
    page.locator("#password").fill(WRONG_PASSWORD)
    page.locator("#new_password").fill(NEW_PASSWORD)
    submit_main_form(page)


def _open_account_saved(page: Page) -> None:
    open_account(page)
    submit_main_form(page)


def _open_confirm_wrong(page: Page) -> None:
    submit_sign_in(page)
    page.goto(CONFIRM)
    page.locator("#password").fill(WRONG_PASSWORD)
    submit_main_form(page)


def _open_confirm(page: Page) -> None:
    submit_sign_in(page)
    page.goto(f"{CONFIRM}?callbackUrl=/account")


def _open_login_without_cookies(page: Page) -> None:
    page.goto(LOGIN)
    fill_credentials(page)
    page.context.clear_cookies()
    submit_main_form(page)


def _open_not_admitted(page: Page) -> None:
    submit_sign_in(page)
    for _ in range(3):
        page.goto(f"{LOGIN}?callbackUrl=/nothing-here")


def _open_wrong_method(page: Page) -> None:
    page.goto(LOGIN)
    page.locator("main form").first.evaluate("form => { form.action = '/' }")
    submit_main_form(page)


def _open_verify(page: Page, account: str = "nextstep@example.com") -> None:
    submit_sign_in(page, account)


def _open_verify_wrong(page: Page) -> None:
    _open_verify(page)
    page.locator("#code").fill("000 000")
    submit_main_form(page)


def _open_verify_resend_early(page: Page) -> None:
    _open_verify(page)
    click_and_wait(page.locator("form.resend button"))


def _open_verify_recovery(page: Page) -> None:
    _open_verify(page)
    click_and_wait(page.locator("button[value=recovery]"))


def _open_verify_return(page: Page) -> None:
    _open_verify(page, "identity@example.com")
    page.goto("/auth/login/verify/return")


PAGE_STATES: dict[str, Callable[[Page], object]] = {
    "home": lambda page: page.goto("/"),
    "home-signed-in": submit_sign_in,
    "home-signed-out": _open_home_signed_out,
    "login": lambda page: page.goto(LOGIN),
    "login-fields": lambda page: submit_sign_in(page, "minji", ""),
    "login-wrong": lambda page: submit_sign_in(page, password=WRONG_PASSWORD),
    "login-unverified": lambda page: submit_sign_in(page, "unverified@example.com"),
    "login-throttled": lambda page: submit_sign_in(page, "throttled@example.com"),
    "login-down": lambda page: submit_sign_in(page, "down@example.com"),
    "login-expired": lambda page: page.goto(f"{LOGIN}?error=SessionExpired&callbackUrl=/account"),
    "login-cancelled": lambda page: page.goto(f"{LOGIN}?error=Cancelled"),
    "login-cookies": _open_login_without_cookies,
    "login-not-admitted": _open_not_admitted,
    "confirm": _open_confirm,
    "confirm-wrong": _open_confirm_wrong,
    "verify": _open_verify,
    "verify-wrong": _open_verify_wrong,
    "verify-early": _open_verify_resend_early,
    "verify-recovery": _open_verify_recovery,
    "verify-other-page": lambda page: _open_verify(page, "identity@example.com"),
    "verify-return": _open_verify_return,
    "logout": _open_logout,
    "account": open_account,
    "account-wrong": _open_account_with_error,
    "account-saved": _open_account_saved,
    "account-password": _open_account_password,
    "account-password-wrong": _open_account_password_wrong,
    "register": lambda page: page.goto("/auth/register"),
    "register-wrong": _open_register_with_error,
    "register-sent": _open_sign_up_sent,
    "forgot": lambda page: page.goto("/auth/password/forgot"),
    "forgot-sent": lambda page: ask_for_mail(page, "/auth/password/forgot"),
    "reset": lambda page: page.goto("/auth/password/reset?token=x&email=minji@example.com"),
    "reset-expired": _open_reset_expired,
    "reset-without-link": lambda page: page.goto("/auth/password/reset"),
    "email-verify": lambda page: page.goto("/auth/email/verify?token=x"),
    "email-verify-expired": _open_verify_expired,
    "email-resend": lambda page: page.goto("/auth/email/resend"),
    "email-resend-sent": lambda page: ask_for_mail(page, "/auth/email/resend"),
    "not-found": lambda page: page.goto("/nothing-here"),
    "wrong-method": _open_wrong_method,
}
"""How to open each page and state of the site."""

STATE_STATUSES = {
    "login-fields": 422,
    "login-wrong": 401,
    "login-unverified": 403,
    "login-throttled": 429,
    "login-down": 503,
    "login-cookies": 400,
    "login-not-admitted": 403,
    "confirm-wrong": 401,
    "verify-wrong": 401,
    "verify-early": 429,
    "account-wrong": 422,
    "account-password-wrong": 422,
    "register-wrong": 422,
    "reset-expired": 400,
    "email-verify-expired": 400,
    "not-found": 404,
    "wrong-method": 405,
}
"""The HTTP status of states whose status is not 200."""


def response_status(page: Page) -> int:
    """Return the HTTP status of the page."""
    return int(page.evaluate("performance.getEntriesByType('navigation')[0].responseStatus"))


_AXE = Axe()
_RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"],
    "rules": {"target-size": {"enabled": True}},  # WCAG 2.2; axe disables it by default
}
_CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
_RUN_AXE = """async rules => {
    const {passes, violations, incomplete} = await axe.run(rules)
    const unclear = incomplete.filter(rule => rule.id === "color-contrast")
    const faults = [...violations, ...unclear].flatMap(rule => rule.nodes.map(
        node => `${rule.id}: ${node.html} (${node.failureSummary})`))
    return passes.length || faults.length ? faults : [`axe checked nothing at ${location} (${document.readyState})`]
}"""
"""Returns only the violations: the full result is large and slow to transfer."""


def accessibility_violations(page: Page, *, contrast_only: bool = False) -> list[str]:
    """Return the violations that axe reports in light and dark mode, with contrasts that it cannot determine."""
    page.evaluate(_AXE.axe_script)
    set_color_scheme(page, "dark")
    dark_violations = [f"in dark: {violation}" for violation in page.evaluate(_RUN_AXE, _CONTRAST)]
    set_color_scheme(page, "light")
    return dark_violations + list(page.evaluate(_RUN_AXE, _CONTRAST if contrast_only else _RULES))


def computed_style(element: Locator, name: str) -> str:
    """Return the computed value of a CSS property."""
    return str(element.evaluate("(element, name) => getComputedStyle(element).getPropertyValue(name)", name))


def contrast_ratio(first: str, second: str) -> float:
    """Return the contrast ratio (WCAG 2.2), 1 to 21, of two computed colors `rgb(…)`."""
    darker, lighter = sorted((_luminance(first), _luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    assert color.startswith("rgb("), f"not opaque: {color}"
    shares = (int(part) / 255 for part in color.removeprefix("rgb(").rstrip(")").split(","))
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


_OVERFLOWING = """() => {
    const page = document.documentElement
    const cut = one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline"
    const shown = [...document.querySelectorAll("body *:not(input, svg, svg *, .visually-hidden)")]
        .filter(one => one.checkVisibility())
    const texts = shown.filter(cut)
    return [
        ...(page.scrollWidth > page.clientWidth ? [`the page by ${page.scrollWidth - page.clientWidth} px`] : []),
        ...texts.map(one => `${one.localName}: ${one.textContent.trim()}`),
    ]
}"""


def overflowing_elements(page: Page) -> list[str]:
    """Return what overflows: the page its window, or a text its box."""
    return list(page.evaluate(_OVERFLOWING))


_WRAPPED_BUTTONS = """() => [...document.querySelectorAll("button, button *, .button")].flatMap(one => {
    const words = [...one.childNodes].filter(node => node.nodeType === Node.TEXT_NODE && node.data.trim())
    const tops = words.flatMap(node => {
        const range = new Range()
        range.selectNode(node)
        return [...range.getClientRects()].map(line => line.top)
    })
    return new Set(tops).size > 1 ? [`in two lines: ${one.textContent.trim()}`] : []
})"""


def overflowing_elements_on_phone(page: Page) -> list[str]:
    """Return what overflows at 320 pixels (WCAG 2.2, 1.4.10), at 100 % and 200 % text size, and wrapped buttons."""
    page.set_viewport_size(NARROW)
    elements = overflowing_elements(page) + list(page.evaluate(_WRAPPED_BUTTONS))
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    return elements + [f"at 200 %: {element}" for element in overflowing_elements(page)]
