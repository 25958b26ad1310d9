"""`make pictures`: take the screenshots of the docs."""

import io
import logging
import sys
from pathlib import Path

import click
from PIL import Image
from playwright.sync_api import Browser

from tests.support.browser import LOGIN, NoBrowserError, chromium, development_site, set_color_scheme, start_over_in

WIDTH = 560
"""Pixels: wide enough to show the background around the card."""
SITE = {
    "BACKEND_URL": "http://127.0.0.1:1",  # without a stand-in backend the page has no panel of accounts
    "PROVIDERS": "kakao,naver,google,apple",
}
PICTURES = {
    **{
        f"sign-in-{locale}-{scheme}": (locale, scheme, "email")
        for locale in ("en", "ko")
        for scheme in ("light", "dark")
    },
    "sign-in-ko-username": ("ko", "light", "username"),
    "sign-in-ko-phone": ("ko", "light", "phone"),
}
"""Language and color scheme of the sign-in page, and `LOGIN_IDENTIFIER`, by file name."""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for kind in ("email", "username", "phone"):
            with development_site({**SITE, "LOGIN_IDENTIFIER": kind}) as url:
                for name, (locale, scheme, picture_kind) in PICTURES.items():
                    if picture_kind == kind:
                        picture = folder / f"{name}.webp"
                        picture.write_bytes(_to_webp(_sign_in_page(browser, url, locale, scheme)))
                        click.echo(f"{picture}  {picture.stat().st_size / 1000:.0f} kB")


def _sign_in_page(browser: Browser, url: str, locale: str, scheme: str) -> bytes:
    window = {"width": WIDTH, "height": 600}
    with browser.new_context(base_url=url, viewport=window, device_scale_factor=2) as context:  # type: ignore[arg-type]
        page = context.new_page()
        start_over_in(page, locale)
        set_color_scheme(page, scheme)
        page.goto(LOGIN)
        page.evaluate("document.activeElement.blur()")  # a blinking caret makes each screenshot differ
        return page.screenshot(full_page=True)


def _to_webp(picture: bytes) -> bytes:
    """Convert to lossless WebP: a third of the size of the PNG, without banding in the shadows."""
    webp = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").save(webp, "WEBP", lossless=True, quality=100)
    return webp.getvalue()


if __name__ == "__main__":
    logging.disable()
    try:
        main(Path(sys.argv[1]))
    except NoBrowserError as reason:
        sys.exit(str(reason))
