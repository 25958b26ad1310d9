"""The sign-in page, and sign-in with identifier and password."""

import logging
from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

import errors
from services import services
from web import login_page, redirect_loop, redirect_target, request_body, request_context
from web.redirects import redirect_after_form

bp = Blueprint("login", __name__)
log = logging.getLogger("munjigi.login")


_NOT_SIGNED_IN = (errors.AttemptExpired, errors.SessionRequired, errors.SessionExpired)
"""Errors that say nothing to somebody who has signed in since."""


@bp.get("/auth/login/email")
def show() -> ResponseReturnValue:
    """The sign-in page. Redirects a signed-in user, unless there is an error to show or the app sends the user back."""
    error = login_page.error_from_query()
    is_signed_in = (error is None or isinstance(error, _NOT_SIGNED_IN)) and services().sessions.load() is not None
    if not is_signed_in:
        return login_page.render(None, error)
    callback_url = redirect_target.requested()
    if callback_url and redirect_loop.detect_loop(callback_url):
        log.info("an app does not admit a signed-in user: path=%s", urlsplit(callback_url).path[:200])
        login_url = login_page.url(None, callback_url)
        return render_template("not_admitted.html", callback_url=callback_url, login_url=login_url), 403
    return redirect(redirect_target.redirect_target(), 303)


@bp.post("/auth/login/email")
def sign_in() -> ResponseReturnValue:
    form = login_page.form_class().read(request_body.fields())
    if not form.validate():
        return login_page.render(form), 422
    services().sign_in.with_password(form.typed, form.password.data or "", request_context.current())
    return redirect_after_form(redirect_target.redirect_target(), notice=_("You are signed in."))
