"""A pseudo-language: the English texts in accented letters, a third longer, in brackets, and from right to left.

It shows what a translation would reveal late: texts that are written into templates, boxes that are too small, and
layouts that assume a direction. `PSEUDO_LANGUAGE=true` offers it in development (docs/languages.md); the site itself
does not know it. Android and Chromium have the same as `en-XA` and `ar-XB`.
"""

import re
import shutil
import tempfile
import weakref
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask import Flask

import settings_readers

CODE = "ar_001"
"""Babel has no pseudo-locales. This one has the direction, plural forms and durations of Arabic in no country, so it
hides no translation that a site may have."""

_ACCENTED = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    "ÅƁÇÐÉƑĜĤÎĴĶĻṀÑÖÞǪŔŠŢÛṼŴẊÝŽåƀçðéƒĝĥîĵķļɱñöþǫŕšţûṽŵẋýž",
)
_EXPANSION = 0.35
"""What German and Finnish texts have more than English ones, on average."""
_FILLER = "one two three four five six seven "
_PLACEHOLDER = re.compile(r"(%\(\w+\)[sd])")
_WORD = re.compile(r"\S+")
_RIGHT_TO_LEFT_MARK, _RIGHT_TO_LEFT_OVERRIDE, _POP_DIRECTION = "\u200f", "\u202e", "\u202c"


def pseudo_localize(text: str) -> str:
    """Return a text in the pseudo-language. Its placeholders stay."""
    parts = _PLACEHOLDER.split(text)  # words at even positions, placeholders at odd ones
    added = max(3, round(len("".join(parts[::2])) * _EXPANSION))
    parts[0] = f"[{parts[0]}"
    parts[-1] = f"{parts[-1]} {(_FILLER * (added // len(_FILLER) + 1))[:added].strip()}]"
    parts[::2] = [_WORD.sub(_reverse, part.translate(_ACCENTED)) for part in parts[::2]]
    return "".join(parts)


def _reverse(word: re.Match[str]) -> str:
    """Show the letters of a word from right to left, as Chromium's `ar-XB` does."""
    return f"{_RIGHT_TO_LEFT_MARK}{_RIGHT_TO_LEFT_OVERRIDE}{word[0]}{_POP_DIRECTION}"


def install(site: Flask) -> None:
    """Offer the pseudo-language on this site, with all texts that its catalogs have."""
    folder = tempfile.mkdtemp(prefix="munjigi-pseudo-language-")
    weakref.finalize(site, shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / CODE / "LC_MESSAGES" / "messages.mo"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_mo(file, _catalog())
    site.config["LANGUAGES"] = (*site.config["LANGUAGES"], CODE)
    site.extensions["babel"].translation_directories.append(folder)


def _catalog() -> Catalog:
    source = min(settings_readers.TRANSLATIONS.glob("*/LC_MESSAGES/messages.po"))
    with source.open("rb") as file:
        texts = read_po(file)
    catalog = Catalog(locale=CODE)
    for message in texts:
        if isinstance(message.id, tuple):
            one, other = map(pseudo_localize, message.id)
            catalog.add(message.id, (one, *[other] * (catalog.num_plurals - 1)))
        elif message.id:
            catalog.add(message.id, pseudo_localize(str(message.id)))
    return catalog
