"""The locale of a page: from `?lang=`, else from the session, else from `Accept-Language`, else `DEFAULT_LOCALE`.

The compiled catalogs in `translations/` define the available locales, and `LANGUAGES` those that the site offers.
Python code uses the name of the folder (`pt_BR`); HTML and URLs use the language tag (`pt-BR`, BCP 47).
"""

import math
import re
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from itertools import takewhile
from operator import itemgetter
from urllib.parse import urlencode

import flask
from babel import Locale
from babel.core import get_global
from flask import request
from flask_babel import format_timedelta, get_locale

import settings_readers
from config import Settings
from services import services
from web import current_page
from web.prefetch import is_prefetch

_MAX_HEADER_LENGTH = 256
"""Characters of `Accept-Language` that are parsed. Browsers send about 40."""


def init_app(app: flask.Flask, settings: Settings) -> None:
    """Read the available locales once."""
    everything = sorted(settings_readers.languages(), key=lambda code: language_name(language_tag(code)))
    app.config["LANGUAGES"] = settings.languages or tuple(everything)


def save_choice() -> None:
    """A `before_request` hook: store the locale of a `?lang=` link in the session.

    Only for pages. A shared cache may store static files, so their responses must not set cookies.
    A prefetched page is in that language, but the choice is not stored.
    """
    if not request.query_string or not current_page.is_page():
        return
    if code := _negotiate(request.args.get(current_page.LANGUAGE, "")):
        flask.g.locale = code
        if not is_prefetch():
            flask.session["locale"] = code


def select_locale() -> Locale:
    """The locale of this request, for Flask-Babel's `locale_selector`."""
    return _parse_locale(_select_code())


_parse_locale = lru_cache(Locale.parse)


def _select_code() -> str:
    code = flask.g.get("locale") or flask.session.get("locale")
    if code in _available():
        return str(code)
    return _negotiate(request.headers.get("Accept-Language", "")) or services().settings.default_locale


def _negotiate(accept_language: str) -> str | None:
    return _best_match(accept_language[:_MAX_HEADER_LENGTH], _available())


@lru_cache(1024)
def _best_match(accept_language: str, available: tuple[str, ...]) -> str | None:
    """The available locale for the first matching language of an `Accept-Language` value; `ja-JP` matches `ja`.

    Werkzeug's `best_match` prefers an exact match at any position: for `ja-JP,en` it returns `en`, not `ja`. Its
    parser drops all languages of a value such as `ko;q=.9`, and keeps unknown parameters in the tag.
    """
    languages = []
    for item in accept_language.split(","):
        tag, *params = (part.strip() for part in item.split(";"))
        quality = next((param.partition("=")[2] for param in params if re.match(r"q\s*=", param, re.IGNORECASE)), "1")
        with suppress(ValueError):
            languages.append((min(float(quality), 1.0), tag))
    languages = [(quality, tag) for quality, tag in languages if quality > 0]
    languages.sort(key=itemgetter(0), reverse=True)  # stable: of equal ones, the first is preferred
    return next(filter(None, (_match_tag(available, tag) for _, tag in languages)), None)


def _match_tag(available: tuple[str, ...], tag: str) -> str | None:
    """Look up one language tag: without its last subtags (RFC 4647, 3.4), in another region, or in another script."""
    language, *subtags = tag.strip('"').replace("_", "-").lower().split("-")
    language = get_global("language_aliases").get(language, language)  # `zh` for `cmn`
    script = _script(language, subtags)
    codes = {language_tag(code).lower(): code for code in available if _language_and_script(code)[0] == language}
    in_script = {tag: code for tag, code in codes.items() if _language_and_script(code)[1] == script}
    for length in range(len(subtags), -1, -1):
        if code := in_script.get("-".join([language, *subtags[:length]])):
            return code
    return next(iter([*in_script.values(), *codes.values()]), None)


@lru_cache
def _language_and_script(code: str) -> tuple[str, str | None]:
    language, *subtags = code.lower().split("_")
    return language, _script(language, subtags)


def _script(language: str, subtags: list[str]) -> str | None:
    """The script in a language tag, or else the likely script (CLDR): `hant` for `zh-HK`."""
    subtags = list(takewhile(lambda subtag: len(subtag) > 1, subtags))  # the rest are extensions: `u-mu-celsius`
    if script := next((subtag for subtag in subtags[:2] if len(subtag) == 4 and subtag.isalpha()), None):
        return script
    likely = get_global("likely_subtags")
    keys = [*(f"{language}_{subtag.upper()}" for subtag in subtags), language]
    tag = next((likely[key] for key in keys if key in likely), "")
    return next((subtag.lower() for subtag in tag.split("_")[1:] if len(subtag) == 4), None)


def language_tag(code: str | None = None) -> str:
    """The BCP 47 tag of a locale code, or of the current locale: `ko`, `pt-BR`."""
    return (code or str(get_locale())).replace("_", "-")


def language_links(callback_url: str | None) -> dict[str, str]:
    """The URLs of this page in each language, by language tag. They preserve the query, and with it the error shown."""
    path, callback = current_page.path(), {"callbackUrl": callback_url} if callback_url else {}
    query = {**callback, **current_page.parameters()}
    tags = [language_tag(code) for code in _available()]
    return {tag: f"{path}?{urlencode({**query, current_page.LANGUAGE: tag})}" for tag in tags}


@lru_cache
def language_name(tag: str) -> str:
    """The name of a language in that language, as in a list: `한국어`, `Español`, `繁體中文`."""
    language = Locale.parse(tag, sep="-")
    name = language.languages.get(str(language)) or language.get_display_name() or tag
    return name[:1].title() + name[1:]


def sentence_space() -> str:
    """The space between two sentences: empty in Chinese and Japanese, whose full stops are wide."""
    return "" if get_locale().language in {"ja", "zh"} else " "


def format_duration(seconds: int) -> str:
    """A duration in words, rounded up: `57 seconds`, `2 minutes`, `3 hours`. static/form.js uses the same rounding."""
    unit, size = ("second", 1) if seconds < 60 else ("minute", 60) if seconds <= 99 * 60 else ("hour", 3600)
    rounded = timedelta(seconds=-(-seconds // size) * size)
    return str(format_timedelta(rounded, granularity=unit, threshold=math.inf))


def format_ago(time: int) -> str:
    """How long ago a time in seconds since 1970 was: `3 minutes ago`, `2 days ago`."""
    seconds = max(60, int(services().clock.time()) - time)
    return str(format_timedelta(timedelta(seconds=-seconds), granularity="minute", threshold=1, add_direction=True))


def _available() -> tuple[str, ...]:
    return flask.current_app.config["LANGUAGES"]  # type: ignore[no-any-return]
