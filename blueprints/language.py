"""The language of a page: chosen with `?lang=`, else remembered, else asked for by the browser, else the site's."""

from functools import lru_cache
from urllib.parse import urlencode

import flask
from babel import Locale
from flask import request
from flask_babel import ngettext
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

import config_readers
from services import services

_CHOICE = "lang"
_KEPT = ("error", "reference", "wait")
_LONGEST_WISH = 256
"""Characters of an `Accept-Language` header that are read: a browser sends some forty."""


def remember() -> None:
    """Before each request: keep a choice that a link of ours made."""
    if request.method == "GET" and request.query_string and (chosen := request.args.get(_CHOICE)) in _offered():
        flask.session["locale"] = chosen


def select() -> str:
    remembered = flask.session.get("locale")
    if remembered in _offered():
        return str(remembered)
    default = services().settings.default_locale
    return _best(request.headers.get("Accept-Language", "")[:_LONGEST_WISH], _offered()) or default


@lru_cache(1024)
def _best(wish: str, offered: tuple[str, ...]) -> str | None:
    return parse_accept_header(wish, LanguageAccept).best_match(offered)


def links(callback_url: str | None) -> dict[str, str]:
    """For each language the address of this page in it; what the page says and where it leads stay the same."""
    here = request.endpoint if request.url_rule and not request.url_rule.arguments else None
    page = flask.url_for(here or "home.show")
    kept = {name: request.args.get(name) for name in _KEPT}
    query = {name: value for name, value in {"callbackUrl": callback_url, **kept}.items() if value}
    return {code: f"{page}?{urlencode({**query, _CHOICE: code})}" for code in _offered()}


def name(code: str) -> str:
    """What the language calls itself: `한국어`, `English`."""
    return Locale.parse(code).get_display_name(code) or code


def duration(seconds: int) -> str:
    """In words: `57 seconds`, `2 minutes`."""
    if seconds < 100:
        return str(ngettext("%(num)d second", "%(num)d seconds", seconds))
    return str(ngettext("%(num)d minute", "%(num)d minutes", -(-seconds // 60)))


def _offered() -> tuple[str, ...]:
    return flask.current_app.config["LANGUAGES"]  # type: ignore[no-any-return]


def offered_by(app: flask.Flask) -> None:
    """Look up once which languages there are."""
    app.config["LANGUAGES"] = config_readers.languages()
