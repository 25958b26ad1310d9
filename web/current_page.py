"""The address of the page of this request: for links to it in other languages, and to return to it after a sign-in."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import current_app, request, url_for

from web import login_page, redirect_target

LANGUAGE = "lang"
"""The query parameter that chooses the language of a page."""
_View = TypeVar("_View", bound=Callable[..., Any])


def reads(names: Callable[[], Iterable[str]]) -> Callable[[_View], _View]:
    """Declare the query parameters that a page reads, besides `callbackUrl` and those of errors.

    Links to the page have these. Text of other parameters is never repeated: a link could put it there.
    """

    def declare(view: _View) -> _View:
        view.query_parameters = names  # type: ignore[attr-defined]
        return view

    return declare


def is_page() -> bool:
    """Whether this is the GET of a page. Its blueprint has an endpoint `show`; those of APIs and files have none."""
    return request.method == "GET" and _main_endpoint() is not None


def path() -> str:
    """The path of the page; after a POST, that of the form. The home page if the request has no page."""
    main_endpoint = _main_endpoint()
    if main_endpoint is None:
        return url_for("home.show")
    if request.method == "GET" or _has_get():
        return f"{request.script_root}{request.path}"
    return url_for(main_endpoint)


def parameters() -> dict[str, Any]:
    """The query parameters of a GET that show the same page again. Errors are included, but not `callbackUrl`."""
    if not is_page():
        return {}
    view = current_app.view_functions[str(request.endpoint)]
    names: Callable[[], Iterable[str]] = getattr(view, "query_parameters", tuple)
    copied = {name: request.args[name] for name in names() if name in request.args}
    if len(urlencode(copied)) > redirect_target.MAX_LENGTH:
        copied = {}
    return {**copied, **login_page.error_parameters()}


def return_address() -> str:
    """The path and query to return to after a sign-in, without an error."""
    callback_url = {redirect_target.FIELD: url} if is_page() and (url := redirect_target.requested()) else {}
    copied = {name: value for name, value in parameters().items() if name not in login_page.ERROR_PARAMETERS}
    query = urlencode({**copied, **callback_url})
    return path() + (f"?{query}" if query else "")


def _main_endpoint() -> str | None:
    endpoint = f"{request.blueprint}.show"
    return endpoint if endpoint in current_app.view_functions else None


def _has_get() -> bool:
    """Whether the path of this request has a page too."""
    rules = [rule for rule in current_app.url_map.iter_rules() if rule.rule == str(request.url_rule)]
    return any("GET" in (rule.methods or ()) for rule in rules)
