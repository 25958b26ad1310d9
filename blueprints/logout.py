"""Sign-out: GET asks for confirmation, POST ends the session."""

from flask import Blueprint, flash, make_response, redirect, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from errors import CsrfError
from services import services
from web import redirect_target, request_body, request_context

bp = Blueprint("logout", __name__)


@bp.get("/auth/logout")
def show() -> ResponseReturnValue:
    if services().sessions.load() is None:
        return redirect(redirect_target.redirect_target(), 303)
    return render_template("logout.html", error=None, callback_url=redirect_target.requested())


@bp.post("/auth/logout")
def sign_out() -> ResponseReturnValue:
    everywhere = request_body.flag("everywhere")
    if services().sign_in.sign_out(request_context.current(), everywhere=everywhere):
        flash(_("You are signed out on all devices.") if everywhere else _("You are signed out."))
    else:
        flash(_("You are signed out on this device, but we could not reach our service to end the session there."))
    response = make_response(redirect(redirect_target.redirect_target(), 303))
    response.headers["Clear-Site-Data"] = '"cache"'  # so that the Back button shows no page of the signed-out user
    return response


@bp.errorhandler(CsrfError)
def show_error(error: CsrfError) -> ResponseReturnValue:
    return render_template("logout.html", error=error, callback_url=redirect_target.requested()), error.status
