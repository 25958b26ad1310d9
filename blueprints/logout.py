"""Sign-out: GET asks for confirmation, POST ends the session."""

from flask import Blueprint, flash, redirect, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from errors import CsrfError
from services import services
from web import redirect_target, request_body, request_context
from web.redirects import redirect_after_form

bp = Blueprint("logout", __name__)


@bp.get("/auth/logout")
def show() -> ResponseReturnValue:
    if services().sessions.load() is None:
        return redirect(redirect_target.redirect_target(), 303)
    return render_template("logout.html", error=None, callback_url=redirect_target.requested())


@bp.post("/auth/logout")
def sign_out() -> ResponseReturnValue:
    everywhere = request_body.flag("everywhere")
    is_revoked = services().sign_in.sign_out(request_context.current(), everywhere=everywhere)
    flash(sign_out_message(is_revoked=is_revoked, everywhere=everywhere))
    return redirect_after_form(redirect_target.redirect_target(), pause=not is_revoked)


def sign_out_message(*, is_revoked: bool, everywhere: bool = False) -> str:
    """The message for the person after a sign-out. `is_revoked`: whether the backend has revoked the token."""
    message = _("You are signed out on all devices.") if everywhere else _("You are signed out.")
    if not is_revoked:
        message = _("You are signed out on this device, but we could not reach our service to end the session there.")
    return str(message)


@bp.errorhandler(CsrfError)
def show_error(error: CsrfError) -> ResponseReturnValue:
    return render_template("logout.html", error=error, callback_url=redirect_target.requested()), error.status
