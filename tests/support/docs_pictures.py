"""`make pictures`: take the screenshots of the docs.

The pictures of the gallery are made with the settings, style sheets and templates that docs/gallery.md shows.
"""

import io
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click
from dotenv import dotenv_values
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.support.browser import (
    LOGIN,
    NoBrowserError,
    chromium,
    development_site,
    set_color_scheme,
    start_over_in,
    submit_sign_in,
)
from tests.support.commands import ROOT
from tests.support.markdown import MarkdownPage

WIDTH = 560
"""Pixels: wide enough to show the background around the card."""
SITE = {
    "BACKEND_URL": "http://127.0.0.1:1",  # without a stand-in backend the page has no panel of accounts
    "PROVIDERS": "kakao,naver,google,apple",
}
GALLERY = ROOT / "docs" / "gallery.md"
LOGOS = ROOT / "docs" / "pictures" / "logos"


def _open_sign_in(page: Page) -> None:
    page.goto(LOGIN)


def _open_code(page: Page) -> None:
    submit_sign_in(page, "nextstep@example.com")


@dataclass(frozen=True)
class Picture:
    """A screenshot: the page, and the browser that shows it."""

    locale: str
    scheme: str
    settings: str
    """`LOGIN_IDENTIFIER`, or the picture whose section of the gallery has the settings."""
    width: int = WIDTH
    height: int = 600
    open: Callable[[Page], None] = _open_sign_in


PICTURES = {
    **{
        f"sign-in-{locale}-{scheme}": Picture(locale, scheme, "email")
        for locale in ("en", "ko")
        for scheme in ("light", "dark")
    },
    "sign-in-ko-username": Picture("ko", "light", "username"),
    "sign-in-ko-phone": Picture("ko", "light", "phone"),
    "gallery-haru": Picture("ko", "light", "gallery-haru"),
    "gallery-haru-code": Picture("ko", "light", "gallery-haru", open=_open_code),
    "gallery-nordlicht": Picture("en", "dark", "gallery-nordlicht"),
    "gallery-market": Picture("ko", "light", "gallery-market", width=390, height=844),
    "gallery-yukemuri": Picture("ja", "light", "gallery-yukemuri"),
    "gallery-kontor": Picture("en", "light", "gallery-kontor"),
    "gallery-orchard": Picture("en", "light", "gallery-orchard", width=1120, height=760),
    "gallery-gipfel": Picture("de", "dark", "gallery-gipfel", width=1120, height=880),
}
"""By file name."""


def main(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {name: picture for name, picture in PICTURES.items() if name in names or not names}
    with chromium() as started:
        browser = started.get()
        for settings, group in groupby(chosen.items(), lambda item: item[1].settings):
            with _site(settings) as url:
                for name, picture in group:
                    path = folder / f"{name}.webp"
                    path.write_bytes(_to_webp(_screenshot(browser, url, picture)))
                    click.echo(f"{path}  {path.stat().st_size / 1000:.0f} kB")


@contextmanager
def _site(settings: str) -> Iterator[str]:
    if not settings.startswith("gallery-"):
        with development_site({**SITE, "LOGIN_IDENTIFIER": settings}) as url:
            yield url
        return
    with tempfile.TemporaryDirectory() as folder, development_site(gallery_settings(settings, Path(folder))) as url:
        yield url


def gallery_settings(name: str, folder: Path) -> dict[str, str]:
    """Return the settings in the section of the gallery that shows this picture.

    Writes its style sheet, its template and the logos into `folder`, which becomes `TEMPLATES_DIR`.
    """
    (section,) = [part for part in re.split(r"(?m)^## ", GALLERY.read_text("utf-8")) if f"/{name}.webp" in part]
    shutil.copytree(LOGOS, folder / "static")
    (folder / "section.md").write_text(section)
    (folder / "login_aside.html").write_text("")  # no panel of accounts
    settings: dict[str, str] = {"TEMPLATES_DIR": str(folder), "PROVIDERS": ""}
    for block in MarkdownPage(folder / "section.md").code_blocks:
        match block.language:
            case "ini":
                settings |= {key: value or "" for key, value in dotenv_values(stream=io.StringIO(block.text)).items()}
            case "css":
                (folder / "static" / "site.css").write_text(block.text)
            case "jinja":
                (template,) = re.findall(r'{% extends "site/(\w+\.html)" %}', block.text)
                (folder / template).write_text(block.text)
    settings |= dict(re.findall(r"`(PROVIDERS)=([a-z,]+)`", section))
    return settings


def _screenshot(browser: Browser, url: str, picture: Picture) -> bytes:
    window = {"width": picture.width, "height": picture.height}
    with browser.new_context(base_url=url, viewport=window, device_scale_factor=2) as context:  # type: ignore[arg-type]
        page = context.new_page()
        start_over_in(page, picture.locale)
        set_color_scheme(page, picture.scheme)
        picture.open(page)
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
        main(Path(sys.argv[1]), sys.argv[2:])
    except NoBrowserError as reason:
        sys.exit(str(reason))
