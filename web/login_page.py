"""The sign-in page, which is also the error page of every sign-in, and its address."""

import re
from urllib.parse import urlencode

from flask import render_template, request, url_for
from flask_babel import get_locale
from werkzeug.datastructures import MultiDict

import errors
from services import services
from web import in_app_browsers, login_page_cache, provider_buttons, redirect_target
from web.forms import LoginForm
from web.request_context import request_id


def render(form: LoginForm | None, error: errors.SiteError | None = None) -> str:
    """The page with what was typed and what is wrong with it; without a form, an empty one."""
    callback_url = redirect_target.kept()
    language = str(get_locale())
    app = in_app_browsers.inside(request.headers.get("User-Agent", ""))
    hurdle = in_app_browsers.hurdle(app, url(None, callback_url), language) if app else None

    def render_with(**marks: object) -> str:
        told = {"error": error, "reference": _reference(), "hurdle": hurdle, "callback_url": callback_url, **marks}
        return render_template(
            "login.html", form=form or LoginForm(formdata=None), ways=provider_buttons.ways(), **told
        )

    if form is None and error is None and hurdle is None and login_page_cache.fits():
        return login_page_cache.filled(language, callback_url, render_with)
    return render_with()


def error_from_query(error: errors.SiteError | None) -> errors.SiteError | None:
    """The error of the request that sent the person here, with the wait that it had."""
    if error and re.fullmatch(r"[1-9][0-9]{0,7}", wait := request.args.get("wait", "")):
        error.retry_after = int(wait)
    return error


def _reference() -> str:
    """The id of the request that failed: this one, or the one that sent the person here."""
    named = request.args.get("reference", "")
    return named if re.fullmatch(r"[0-9a-f]{16}", named) else request_id()


def render_again(error: errors.SiteError) -> str:
    """The page with what went wrong: the address that was typed is kept, the password never."""
    form = LoginForm(MultiDict({"email": request.form.get("email", "")}))
    if isinstance(error, errors.InvalidFields):
        form.show_errors(error.fields)
    return render(form, error)


def url(
    error: errors.SiteError | type[errors.SiteError] | None = None, callback_url: str | None = None, **also: object
) -> str:
    """The sign-in page's full address, for whoever has to go there first. `also`: its reference and wait."""
    query = {"error": error.code if error else None, redirect_target.FIELD: callback_url, **also}
    asked = urlencode({name: value for name, value in query.items() if value})
    return services().settings.origin + url_for("login.show") + (f"?{asked}" if asked else "")


def url_with_error(error: errors.SiteError, callback_url: str | None) -> str:
    """The page's address that tells of an error of this request: with the wait, and the id that is in the log."""
    reference = request_id() if error.status >= 500 else None
    return url(error, callback_url, reference=reference, wait=error.retry_after)
