"""The sign-in page as most people meet it, before anything was typed or went wrong: rendered once, then filled in.

What it says then depends on the language, on the provider that this browser used last, and on whether there is an
address to return to. What else differs are two values, for which the kept page has marks. Nobody's data is kept.
"""

import re
from collections.abc import Callable
from urllib.parse import urlencode

import flask
from flask import current_app, g, request
from flask_wtf.csrf import generate_csrf
from markupsafe import escape

from services import services
from web import csrf, provider_buttons

_TOKEN, _RETURN = "munjigi0token0mark", "munjigi0return0mark"  # nothing that HTML or an address would write otherwise
_MARKS = re.compile(f"({_TOKEN}|callbackUrl={_RETURN}|{_RETURN})")


def fits() -> bool:
    """Whether this request gets a page that nothing else is said on. One's own templates may say anything."""
    told = request.args.keys() - {"callbackUrl", "lang"}
    return not told and "_flashes" not in flask.session and services().settings.templates_dir is None


def filled(language: str, callback_url: str | None, render: Callable[..., str]) -> str:
    """The page for this visitor; `render` makes one from the names in the template that are not as usual."""
    key = (language, provider_buttons.used_last(), callback_url is not None)
    pages = current_app.extensions.setdefault("munjigi.blank_pages", {})
    parts = pages.get(key) or _MARKS.split(render(csrf_token=lambda: _TOKEN, callback_url=callback_url and _RETURN))
    if csrf.FIELD not in g:  # where Flask-WTF notes that a token was made: somebody's would be in the page
        pages[key] = parts
    values = {_TOKEN: generate_csrf(), _RETURN: escape(callback_url or "")}
    values[f"callbackUrl={_RETURN}"] = urlencode({"callbackUrl": callback_url or ""})
    return "".join([values.get(part, part) for part in parts])
