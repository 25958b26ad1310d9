"""The sign-in page and its form."""

from flask import Blueprint, redirect, request
from flask.typing import ResponseReturnValue

import errors
from services import services
from web import login_page, redirect_target, request_context
from web.forms import LoginForm

bp = Blueprint("login", __name__)


@bp.get("/auth/login/email")
def show() -> ResponseReturnValue:
    error = login_page.error_from_query(errors.from_code(request.args.get("error")))
    if error is None and services().sessions.load() is not None:
        return redirect(redirect_target.take(), 303)
    return login_page.render(None, error)


@bp.post("/auth/login/email")
def sign_in() -> ResponseReturnValue:
    form = LoginForm(request.form)
    if not form.validate():
        return login_page.render(form), 422
    services().sign_in.with_password(form.email.data or "", form.password.data or "", request_context.current())
    return redirect(redirect_target.take(), 303)
