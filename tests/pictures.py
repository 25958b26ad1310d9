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


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        with running_site(sign_up_url="/join", reset_password_url="/forgot") as site:
            for name, way in WAYS.items():
                take(browser, site.url, way, folder / name)
        with running_site(backend_profile_path=None) as site:
            take(browser, site.url, to_account, folder / "account-only-shows")
        with development_site() as url:
            take(browser, url, lambda page: page.goto(LOGIN), folder / "login-development")
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


if __name__ == "__main__":
    logging.disable()  # what is shown here goes wrong on purpose
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "pictures"))
    except NoBrowserError as reason:
        sys.exit(str(reason))
