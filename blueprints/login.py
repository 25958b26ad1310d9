"""The sign-in page, and sign-in with email address and password."""

from flask import Blueprint, redirect
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from services import services
from web import login_page, redirect_target, request_body, request_context
from web.forms import LoginForm
from web.redirects import redirect_after_form

bp = Blueprint("login", __name__)


@bp.get("/auth/login/email")
def show() -> ResponseReturnValue:
    """The sign-in page. Redirects a signed-in user, unless there is an error to show."""
    error = login_page.error_from_query()
    if error is None and services().sessions.load() is not None:
        return redirect(redirect_target.redirect_target(), 303)
    return login_page.render(None, error)


@bp.post("/auth/login/email")
def sign_in() -> ResponseReturnValue:
    form = LoginForm(request_body.fields())
    if not form.validate():
        return login_page.render(form), 422
    services().sign_in.with_password(form.email.data or "", form.password.data or "", request_context.current())
    return redirect_after_form(redirect_target.redirect_target(), notice=_("You are signed in."))
