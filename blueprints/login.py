"""The sign-in page, and sign-in with identifier and password."""

import logging
from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template
from flask.typing import ResponseReturnValue

import errors
from services import services
from services.sign_in_options import SignInOptions
from web import (
    auto_login,
    confirm_page,
    error_handlers,
    login_page,
    password_reset_note,
    providers_page,
    redirect_loop,
    redirect_target,
    remember_me,
    request_body,
    request_context,
)
from web.redirects import redirect_after_form

bp = Blueprint("login", __name__)
log = logging.getLogger("munjigi.login")


_NOT_SIGNED_IN = (errors.AttemptExpired, errors.SessionRequired, errors.SessionExpired)
"""Errors that are not shown to a person who has signed in meanwhile."""


@bp.get("/auth/login/email")
def show() -> ResponseReturnValue:
    """The sign-in page. Redirects a signed-in user, unless there is an error to show or the app sends the user back."""
    error = login_page.error_from_query()
    is_signed_in = (error is None or isinstance(error, _NOT_SIGNED_IN)) and services().sessions.load() is not None
    if not is_signed_in:
        automatic = auto_login.start() if error is None else None
        return automatic or login_page.render(None, error)
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
    options = password_reset_note.sign_in_options(remember=remember_me.requested(), with_password=True)
    services().sign_in.with_password(form.typed, form.password.data or "", request_context.current(), options)
    return providers_page.redirect_after_sign_in()


@bp.get("/auth/login/confirm")
def show_confirm() -> ResponseReturnValue:
    """Ask a signed-in person to sign in again, for an app that demands a recent sign-in."""
    session = services().sessions.load()
    if session is None:
        return _redirect_to_login()
    return confirm_page.render(session, None, login_page.error_from_query())


@bp.post("/auth/login/confirm")
def confirm() -> ResponseReturnValue:
    """Sign the same person in again. The new session replaces the current one."""
    session = services().sessions.load()
    if session is None:
        return _redirect_to_login()
    form = confirm_page.read_form(session)
    if not form.validate():
        return confirm_page.render(session, form), 422
    options = SignInOptions(user_id=str(session.user.id), remember=not session.is_short)
    services().sign_in.with_password(form.typed, form.password.data or "", request_context.current(), options)
    return redirect_after_form(redirect_target.redirect_target())


def _redirect_to_login() -> ResponseReturnValue:
    error = errors.SessionExpired if services().sessions.was_revoked() else errors.SessionRequired
    if error_handlers.wants_json():
        raise error()
    return redirect(login_page.url(error, redirect_target.requested()), 303)
