"""The locale of a page: from `?lang=`, else from the session, else from `Accept-Language`, else `DEFAULT_LOCALE`.

The folders in `translations/` define the available locales. Python code uses the name of the folder (`pt_BR`); HTML and
URLs use the language tag (`pt-BR`, BCP 47).
"""

import math
from datetime import timedelta
from functools import lru_cache
from urllib.parse import urlencode

import flask
from babel import Locale
from flask import request
from flask_babel import format_timedelta, get_locale
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

import settings_readers
from services import services
from web.prefetch import is_prefetch

_QUERY_PARAMETER = "lang"
_PRESERVED_PARAMETERS = ("error", "reference", "wait")
_MAX_HEADER_LENGTH = 256
"""Characters of `Accept-Language` that are parsed. Browsers send about 40."""


def init_app(app: flask.Flask) -> None:
    """Read the available locales once."""
    app.config["LANGUAGES"] = settings_readers.languages()


def save_choice() -> None:
    """A `before_request` hook: store the locale of a `?lang=` link in the session.

    Only for pages (`.show` endpoints). A shared cache may hold static files, and their responses must set no cookie. A
    page that is prefetched is in that language, but the choice is not stored.
    """
    if not request.query_string or request.method != "GET" or not str(request.endpoint).endswith(".show"):
        return
    if code := _negotiate(request.args.get(_QUERY_PARAMETER, "")):
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

    Werkzeug's `best_match` prefers an exact match at any position: for `ja-JP,en` it returns `en`, not `ja`.
    """
    matches = (
        _match_tag(available, tag) for tag, quality in parse_accept_header(accept_language, LanguageAccept) if quality
    )
    return next(filter(None, matches), None)


def _match_tag(available: tuple[str, ...], tag: str) -> str | None:
    code = tag.replace("-", "_").lower()
    same_language = [name for name in available if name.partition("_")[0].lower() == code.partition("_")[0]]
    return min(same_language, key=lambda name: name.lower() != code, default=None)


def language_tag(code: str | None = None) -> str:
    """The BCP 47 tag of a locale code, or of the current locale: `ko`, `pt-BR`."""
    return (code or str(get_locale())).replace("_", "-")


def language_links(callback_url: str | None) -> dict[str, str]:
    """The URLs of this page in each language, by language tag. They preserve `callbackUrl` and the error shown."""
    endpoint = request.endpoint if request.url_rule and not request.url_rule.arguments else None
    path = flask.url_for(endpoint or "home.show")
    preserved = {name: request.args.get(name) for name in _PRESERVED_PARAMETERS}
    query = {name: value for name, value in {"callbackUrl": callback_url, **preserved}.items() if value}
    tags = [language_tag(code) for code in _available()]
    return {tag: f"{path}?{urlencode({**query, _QUERY_PARAMETER: tag})}" for tag in tags}


def language_name(tag: str) -> str:
    """The name of a language in that language: `한국어`, `English`."""
    return Locale.parse(tag, sep="-").get_display_name() or tag


def format_duration(seconds: int) -> str:
    """A duration in words, rounded up: `57 seconds`, `2 minutes`, `3 hours`. static/form.js uses the same rounding."""
    unit, size = ("second", 1) if seconds < 60 else ("minute", 60) if seconds <= 99 * 60 else ("hour", 3600)
    rounded = timedelta(seconds=-(-seconds // size) * size)
    return str(format_timedelta(rounded, granularity=unit, threshold=math.inf))


def _available() -> tuple[str, ...]:
    return flask.current_app.config["LANGUAGES"]  # type: ignore[no-any-return]
