"""Signing out: GET asks, POST does it."""

from flask import Blueprint, flash, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from errors import CookiesBlocked, FormExpired
from services import services
from web import redirect_target, request_context

bp = Blueprint("logout", __name__)


@bp.get("/auth/logout")
def show() -> ResponseReturnValue:
    if services().sessions.load() is None:
        return redirect(redirect_target.take(), 303)
    return render_template("logout.html", error=None, callback_url=redirect_target.kept())


@bp.post("/auth/logout")
def sign_out() -> ResponseReturnValue:
    everywhere = request.form.get("everywhere") == "1"
    if services().sign_in.sign_out(request_context.current(), everywhere=everywhere):
        flash(_("You are signed out on all devices.") if everywhere else _("You are signed out."))
    else:
        flash(_("You are signed out, but our service did not respond and could not be told."))
    response = make_response(redirect(redirect_target.take(), 303))
    response.headers["Clear-Site-Data"] = '"cache"'  # so that Back shows no page of the person who left
    return response


@bp.errorhandler(FormExpired)
@bp.errorhandler(CookiesBlocked)
def ask_again(error: FormExpired | CookiesBlocked) -> ResponseReturnValue:
    return render_template("logout.html", error=error, callback_url=redirect_target.kept()), error.status
