"""The language of a page: chosen with `?lang=`, else remembered, else asked for by the browser, else the site's.

Which languages there are, the folders of `translations/` say, and nothing else. Inside, a language goes by its folder's
name (`pt_BR`), outside by its tag (`pt-BR`, BCP 47).
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

_CHOICE = "lang"
_KEPT = ("error", "reference", "wait")
_LONGEST_WISH = 256
"""Characters of an `Accept-Language` header that are read: a browser sends some forty."""


def remember() -> None:
    """Before each request: keep a choice that a link of ours made. They lead to pages, and a file may be in a cache."""
    if not request.query_string or request.method != "GET" or not str(request.endpoint).endswith(".show"):
        return
    if chosen := _nearest(request.args.get(_CHOICE, "")):
        flask.session["locale"] = chosen


def select() -> Locale:
    return _locale(_selected())


_locale = lru_cache(Locale.parse)


def _selected() -> str:
    remembered = flask.session.get("locale")
    if remembered in _offered():
        return str(remembered)
    return _nearest(request.headers.get("Accept-Language", "")) or services().settings.default_locale


def _nearest(wish: str) -> str | None:
    return _best(wish[:_LONGEST_WISH], _offered())


@lru_cache(1024)
def _best(wish: str, offered: tuple[str, ...]) -> str | None:
    """The first language of this `Accept-Language` that is one of ours: `ja-JP` is `ja`.

    Werkzeug's `best_match` would prefer an `en` further back to a `ja-JP` in front, for it is one of ours exactly.
    """
    found = (_among(offered, tag) for tag, quality in parse_accept_header(wish, LanguageAccept) if quality)
    return next(filter(None, found), None)


def _among(offered: tuple[str, ...], tag: str) -> str | None:
    asked = tag.replace("-", "_").lower()
    same = [code for code in offered if code.partition("_")[0].lower() == asked.partition("_")[0]]
    return min(same, key=lambda code: code.lower() != asked, default=None)


def tag(code: str | None = None) -> str:
    """What HTML calls a language, or that of this page: `ko`, `pt-BR`."""
    return (code or str(get_locale())).replace("_", "-")


def links(callback_url: str | None) -> dict[str, str]:
    """For each language's tag the address of this page in it; what the page says and where it leads stay the same."""
    here = request.endpoint if request.url_rule and not request.url_rule.arguments else None
    page = flask.url_for(here or "home.show")
    kept = {name: request.args.get(name) for name in _KEPT}
    query = {name: value for name, value in {"callbackUrl": callback_url, **kept}.items() if value}
    return {tag(code): f"{page}?{urlencode({**query, _CHOICE: tag(code)})}" for code in _offered()}


def name(tag: str) -> str:
    """What the language calls itself: `한국어`, `English`."""
    return Locale.parse(tag, sep="-").get_display_name() or tag


def duration(seconds: int) -> str:
    """In words, never too short: `57 seconds`, `2 minutes`, `3 hours`; static/form.js writes them the same."""
    unit, size = ("second", 1) if seconds < 60 else ("minute", 60) if seconds <= 99 * 60 else ("hour", 3600)
    whole = timedelta(seconds=-(-seconds // size) * size)
    return str(format_timedelta(whole, granularity=unit, threshold=math.inf))


def _offered() -> tuple[str, ...]:
    return flask.current_app.config["LANGUAGES"]  # type: ignore[no-any-return]


def offered_by(app: flask.Flask) -> None:
    """Look up once which languages there are."""
    app.config["LANGUAGES"] = settings_readers.languages()
