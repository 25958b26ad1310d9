"""The sign-in page, which is also the error page of every sign-in."""

import re
from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from werkzeug.datastructures import MultiDict

import errors
from blueprints import blank_page, in_app, return_to, social
from blueprints.forms import LoginForm
from services import services
from services.events import request_id

bp = Blueprint("login", __name__)


@bp.get("/auth/login/email")
def show() -> ResponseReturnValue:
    error = _told_before(errors.from_code(request.args.get("error")))
    if error is None and services().sessions.load() is not None:
        return redirect(return_to.take(), 303)
    return page(None, error)


@bp.post("/auth/login/email")
def sign_in() -> ResponseReturnValue:
    form = LoginForm(request.form)
    if not form.validate():
        return page(form), 422
    services().sign_in.with_password(form.email.data or "", form.password.data or "")
    return redirect(return_to.take(), 303)


def page(form: LoginForm | None, error: errors.SiteError | None = None) -> str:
    """The page with what was typed and what is wrong with it; without a form, an empty one."""
    callback_url = return_to.kept()
    language = str(get_locale())
    app = in_app.inside(request.headers.get("User-Agent", ""))
    hurdle = in_app.hurdle(app, address(None, callback_url), language) if app else None

    def render(**marks: object) -> str:
        told = {"error": error, "reference": _reference(), "hurdle": hurdle, "callback_url": callback_url, **marks}
        return render_template("login.html", form=form or LoginForm(formdata=None), ways=social.ways(), **told)

    if form is None and error is None and hurdle is None and blank_page.fits():
        return blank_page.filled(language, callback_url, render)
    return render()


def _told_before(error: errors.SiteError | None) -> errors.SiteError | None:
    """The error of the request that sent the person here, with the wait that it had."""
    if error and re.fullmatch(r"[1-9][0-9]{0,7}", wait := request.args.get("wait", "")):
        error.retry_after = int(wait)
    return error


def _reference() -> str:
    """The id of the request that failed: this one, or the one that sent the person here."""
    named = request.args.get("reference", "")
    return named if re.fullmatch(r"[0-9a-f]{16}", named) else request_id()


def page_again(error: errors.SiteError) -> str:
    """The page with what went wrong: the address that was typed is kept, the password never."""
    form = LoginForm(MultiDict({"email": request.form.get("email", "")}))
    if isinstance(error, errors.InvalidFields):
        form.show_errors(error.fields)
    return page(form, error)


def address(
    error: errors.SiteError | type[errors.SiteError] | None = None, callback_url: str | None = None, **also: object
) -> str:
    """The sign-in page's full address, for whoever has to go there first. `also`: its reference and wait."""
    query = {"error": error.code if error else None, return_to.FIELD: callback_url, **also}
    asked = urlencode({name: value for name, value in query.items() if value})
    return services().settings.origin + url_for("login.show") + (f"?{asked}" if asked else "")


def address_telling(error: errors.SiteError, callback_url: str | None) -> str:
    """The page's address that tells of an error of this request: with the wait, and the id that is in the log."""
    reference = request_id() if error.status >= 500 else None
    return address(error, callback_url, reference=reference, wait=error.retry_after)
