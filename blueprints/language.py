"""The language of a page: chosen with `?lang=`, else remembered, else asked for by the browser, else the site's."""

from urllib.parse import urlencode

import flask
from babel import Locale
from flask import request

import config_readers
from services import services

_CHOICE = "lang"


def remember() -> None:
    """Before each request: keep a choice that a link of ours made."""
    if (chosen := request.args.get(_CHOICE)) in _offered():
        flask.session["locale"] = chosen


def select() -> str:
    remembered = flask.session.get("locale")
    if remembered in _offered():
        return str(remembered)
    default = services().settings.default_locale
    return request.accept_languages.best_match(_offered()) or default


def links() -> dict[str, str]:
    """For each language the address of this page in it, the return address kept."""
    kept = {name: value for name, value in request.args.items() if name in ("callbackUrl", "error")}
    form = {name: value for name, value in request.form.items() if name == "callbackUrl"}
    page = request.endpoint if request.url_rule and not request.url_rule.arguments else None
    return {code: f"{flask.url_for(page or "home.show")}?{urlencode({**form, **kept, _CHOICE: code})}" for code in _offered()}


def name(code: str) -> str:
    """What the language calls itself: `한국어`, `English`."""
    return Locale.parse(code).get_display_name(code) or code


def _offered() -> tuple[str, ...]:
    return flask.current_app.config["LANGUAGES"]  # type: ignore[no-any-return]


def offered_by(app: flask.Flask) -> None:
    """Look up once which languages there are."""
    app.config["LANGUAGES"] = config_readers.languages()
