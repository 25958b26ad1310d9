"""`make pictures`: the pictures that the docs show, of the site as it is now."""

import io
import logging
import sys
from pathlib import Path

import click
from PIL import Image
from playwright.sync_api import Browser

from tests.browser import LOGIN, NoBrowserError, chromium, development_site, set_color_scheme, start_over_in

WIDTH = 560
"""Enough for the card to stand on its ground."""
SITE = {
    "BACKEND_URL": "http://127.0.0.1:1",  # no stand-in of a backend, so no panel of its accounts
    "PROVIDERS": "kakao,naver,google,apple",
}
PICTURES = {f"sign-in-{locale}-{scheme}": (locale, scheme) for locale in ("en", "ko") for scheme in ("light", "dark")}
"""By the name of the file, in which language and scheme the sign-in page is."""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser, development_site(SITE) as url:
        for name, (locale, scheme) in PICTURES.items():
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
        page.evaluate("document.activeElement.blur()")  # a caret blinks, and no two pictures are alike
        return page.screenshot(full_page=True)


def _to_webp(picture: bytes) -> bytes:
    """The same to the last dot as lossless WebP: a third of the PNG, and no palette that shadows would show."""
    packed = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").save(packed, "WEBP", lossless=True, quality=100)
    return packed.getvalue()


if __name__ == "__main__":
    logging.disable()
    try:
        main(Path(sys.argv[1]))
    except NoBrowserError as reason:
        sys.exit(str(reason))
