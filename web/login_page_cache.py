"""Caches the rendered empty sign-in page, because most visitors get this page.

The cache key contains everything that the markup depends on: language, last used provider, and whether there is a
callback URL.
The CSRF token and the callback URL differ per visitor. They are rendered as placeholders, and replaced in each
response. The cache holds no data of a visitor.
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

# Letters and digits only, so that neither HTML escaping nor URL encoding changes a placeholder.
_TOKEN, _CALLBACK_URL = "munjigi0token0mark", "munjigi0return0mark"
_PLACEHOLDER_PATTERN = re.compile(f"({_TOKEN}|callbackUrl={_CALLBACK_URL}|{_CALLBACK_URL})")


def is_cacheable() -> bool:
    """Whether this request gets the plain page. `TEMPLATES_DIR` turns the cache off: templates may use any value."""
    other_parameters = request.args.keys() - {"callbackUrl", "lang"}
    return not other_parameters and "_flashes" not in flask.session and services().settings.templates_dir is None


def render_cached(language: str, callback_url: str | None, render: Callable[..., str]) -> str:
    """The page for this visitor. `render` renders the template; its keyword arguments override template variables."""
    key = (language, provider_buttons.last_used_provider(), callback_url is not None)
    pages = current_app.extensions.setdefault("munjigi.login_pages", {})
    parts = pages.get(key) or _PLACEHOLDER_PATTERN.split(
        render(csrf_token=lambda: _TOKEN, callback_url=callback_url and _CALLBACK_URL)
    )
    # `generate_csrf` stores its token in `g`. If this request has one already, the page may contain it.
    if csrf.FIELD not in g:
        pages[key] = parts
    values = {_TOKEN: generate_csrf(), _CALLBACK_URL: escape(callback_url or "")}
    values[f"callbackUrl={_CALLBACK_URL}"] = urlencode({"callbackUrl": callback_url or ""})
    return "".join([values.get(part, part) for part in parts])
