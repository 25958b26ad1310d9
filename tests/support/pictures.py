"""`python -m tests.support.pictures [FOLDER]`: take a screenshot of each page and state.

File names have page, state, language, color scheme and window: `login-wrong-ko-dark-phone.png`.
"""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import click
from playwright.sync_api import Browser, Page, ViewportSize

from tests.support.browser import (
    ALL_LOCALES,
    LOGIN,
    NARROW,
    PAGE_STATES,
    SCHEMES,
    NoBrowserError,
    chromium,
    click_and_wait,
    development_site,
    open_account,
    set_color_scheme,
    start_over_in,
)
from tests.support.site import running_site

WINDOWS: dict[str, ViewportSize] = {
    "phone": {"width": 390, "height": 844},
    "desktop": {"width": 1280, "height": 800},
    "narrow": NARROW,
}

BRANDS = ("#fee500", "#e0218a", "#ffffff", "#000000")
IN_APP_USER_AGENT = (
    "Mozilla/5.0 (Linux; Android 14; wv) AppleWebKit/537.36 Chrome/124.0.0.0 Mobile Safari/537.36;KAKAOTALK 2410880"
)


def _open_in_app(page: Page) -> None:
    page.route("**", lambda route: route.continue_(headers={**route.request.headers, "user-agent": IN_APP_USER_AGENT}))
    page.goto(LOGIN)
    page.unroute("**")


def _open_redirecting(page: Page) -> None:
    page.route("**/google/**", lambda route: route.fulfill(status=204))
    page.goto(LOGIN)
    click_and_wait(page.locator("button.provider-button-google"))


def _open_with_last_provider(page: Page) -> None:
    page.goto(LOGIN)
    page.context.add_cookies([{"name": "munjigi.last-provider", "value": "naver", "url": page.url}])
    page.goto(LOGIN)


PROVIDER_STATES: dict[str, Callable[[Page], object]] = {
    "login-development": lambda page: page.goto(LOGIN),
    "login-used-last": _open_with_last_provider,
    "login-in-app": _open_in_app,
    "redirecting": _open_redirecting,
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as started:
        browser = started.get()
        with running_site(sign_up_url="/join", reset_password_url="/forgot") as site:
            for name, open_state in PAGE_STATES.items():
                take_pictures(browser, site.url, open_state, folder / name)
        with running_site(backend_profile_path=None) as site:
            take_pictures(browser, site.url, open_account, folder / "account-only-shows")
        with development_site() as url:
            for name, open_state in PROVIDER_STATES.items():
                take_pictures(browser, url, open_state, folder / name)
        for brand in BRANDS:
            with running_site(brand_color=brand, site_name="Hotel Haru") as site:
                take_pictures(browser, site.url, PAGE_STATES["login"], folder / f"login-brand-{brand[1:]}")
    click.echo(f"{len(list(folder.glob('*.png')))} pictures in {folder}/")


def take_pictures(browser: Browser, site_url: str, open_state: Callable[[Page], object], path: Path) -> None:
    """Take screenshots of one state in each language, color scheme and window size. `path` is their prefix."""
    for locale in ALL_LOCALES:
        with browser.new_context(base_url=site_url, viewport=WINDOWS["desktop"]) as context:
            page = context.new_page()
            start_over_in(page, locale)
            open_state(page)
            for window, size in WINDOWS.items():
                page.set_viewport_size(size)
                for scheme in SCHEMES:
                    set_color_scheme(page, scheme)
                    page.screenshot(path=f"{path}-{locale}-{scheme}-{window}.png", full_page=True)
                page.emulate_media(forced_colors="active")
                page.screenshot(path=f"{path}-{locale}-forced-{window}.png", full_page=True)
                page.emulate_media(forced_colors="none")


if __name__ == "__main__":
    logging.disable()  # many of the states are errors
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "pictures"))
    except NoBrowserError as reason:
        sys.exit(str(reason))
