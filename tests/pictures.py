"""`python -m tests.pictures [folder]`: a picture of each page and state, to look at.

They are named after what they show: `login-wrong-ko-dark-phone.png`.
"""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import click
from playwright.sync_api import Browser, Page, ViewportSize

from tests.browser import (
    LOCALES,
    LOGIN,
    NARROW,
    SCHEMES,
    WAYS,
    NoBrowserError,
    chromium,
    development_site,
    press,
    show_in,
    speak,
    to_account,
)
from tests.site import running_site

WINDOWS: dict[str, ViewportSize] = {
    "phone": {"width": 390, "height": 844},
    "desktop": {"width": 1280, "height": 800},
    "narrow": NARROW,
}

BRANDS = ("#fee500", "#e0218a", "#ffffff", "#000000")
IN_APP = (
    "Mozilla/5.0 (Linux; Android 14; wv) AppleWebKit/537.36 Chrome/124.0.0.0 Mobile Safari/537.36;KAKAOTALK 2410880"
)


def _in_app(page: Page) -> None:
    page.route("**", lambda route: route.continue_(headers={**route.request.headers, "user-agent": IN_APP}))
    page.goto(LOGIN)
    page.unroute("**")


def _redirecting(page: Page) -> None:
    page.route("**/google/**", lambda route: route.fulfill(status=204))
    page.goto(LOGIN)
    press(page.locator("button.provider-button-google"))


def _used_last(page: Page) -> None:
    page.goto(LOGIN)
    page.context.add_cookies([{"name": "munjigi.last-provider", "value": "naver", "url": page.url}])
    page.goto(LOGIN)


OF_PROVIDERS: dict[str, Callable[[Page], object]] = {
    "login-development": lambda page: page.goto(LOGIN),
    "login-used-last": _used_last,
    "login-in-app": _in_app,
    "redirecting": _redirecting,
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        with running_site(sign_up_url="/join", reset_password_url="/forgot") as site:
            for name, way in WAYS.items():
                take(browser, site.url, way, folder / name)
        with running_site(backend_profile_path=None) as site:
            take(browser, site.url, to_account, folder / "account-only-shows")
        with development_site() as url:
            for name, way in OF_PROVIDERS.items():
                take(browser, url, way, folder / name)
        for brand in BRANDS:
            with running_site(brand_color=brand, site_name="Hotel Haru") as site:
                take(browser, site.url, WAYS["login"], folder / f"login-brand-{brand[1:]}")
    click.echo(f"{len(list(folder.glob('*.png')))} pictures in {folder}/")


def take(browser: Browser, site_url: str, way: Callable[[Page], object], to: Path) -> None:
    """One state in each language; there in each scheme and window."""
    for locale in LOCALES:
        with browser.new_context(base_url=site_url, viewport=WINDOWS["desktop"]) as context:
            page = context.new_page()
            speak(page, locale)
            way(page)
            for window, size in WINDOWS.items():
                page.set_viewport_size(size)
                for scheme in SCHEMES:
                    show_in(page, scheme)
                    page.screenshot(path=f"{to}-{locale}-{scheme}-{window}.png", full_page=True)
                page.emulate_media(forced_colors="active")
                page.screenshot(path=f"{to}-{locale}-forced-{window}.png", full_page=True)
                page.emulate_media(forced_colors="none")


if __name__ == "__main__":
    logging.disable()  # what is shown here goes wrong on purpose
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "pictures"))
    except NoBrowserError as reason:
        sys.exit(str(reason))
