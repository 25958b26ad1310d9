"""Sign-out: GET asks for confirmation, POST ends the session."""

from flask import Blueprint, flash, redirect, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from errors import CsrfError, FormExpired
from services import services
from services.sign_in import SignOut
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
    outcome = services().sign_in.sign_out(request_context.current(), everywhere=everywhere)
    return redirect_after_sign_out(outcome, everywhere=everywhere)


def redirect_after_sign_out(outcome: SignOut, *, everywhere: bool, status: int = 303) -> ResponseReturnValue:
    """Send the browser to the target of a sign-out, with a message about what has ended."""
    message, wait_for_click = _("You are signed out on all devices.") if everywhere else _("You are signed out."), False
    if outcome is SignOut.FAILED_AT_BACKEND:
        message = _("You are signed out on this device, but we could not reach our service to end the session there.")
        wait_for_click = True
    elif outcome is SignOut.NO_SESSION and everywhere:
        message = _("You were signed out on this device already. To sign out on all devices, sign in again first.")
        wait_for_click = True
    flash(message)
    return redirect_after_form(redirect_target.redirect_target(), status=status, wait_for_click=wait_for_click)


@bp.errorhandler(CsrfError)
def show_error(error: CsrfError) -> ResponseReturnValue:
    """Render the page with the error. An outdated form of somebody who is not signed in any more is no error."""
    if isinstance(error, FormExpired) and services().sessions.load() is None:
        return redirect_after_form(redirect_target.redirect_target())
    return render_template("logout.html", error=error, callback_url=redirect_target.requested()), error.status
