"""Sign-out: GET asks for confirmation, POST ends the session."""

from flask import Blueprint, flash, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from errors import CsrfError, FormExpired
from services import services
from services.sign_out import SignedOut, SignOutOutcome
from web import auto_login, provider_buttons, redirect_target, request_body, request_context
from web.redirects import redirect_after_form, redirect_to_provider

bp = Blueprint("logout", __name__)


@bp.get("/auth/logout")
def show() -> ResponseReturnValue:
    if services().sessions.load() is None:
        return redirect(redirect_target.redirect_target(), 303)
    return render_template("logout.html", error=None, callback_url=redirect_target.requested())


@bp.post("/auth/logout")
def sign_out() -> ResponseReturnValue:
    everywhere = request_body.flag("everywhere")
    signed_out = sign_out_of_request(everywhere=everywhere)
    return redirect_after_sign_out(signed_out, everywhere=everywhere)


@bp.get("/auth/logout/done")
def finish() -> ResponseReturnValue:
    """The end of a sign-out that continued at a provider: redirect to its target.

    Without the `state` of a sign-out in this browser, redirect to the home page: the sign-out here is complete anyway.
    """
    attempt = services().provider_logout.finish(request.args.get("state"), request_context.current())
    if attempt is None:
        return redirect(redirect_target.home_url(), 303)
    flash(_success_message(everywhere=attempt.everywhere))
    return redirect_after_form(attempt.return_to or redirect_target.home_url())


def sign_out_of_request(*, everywhere: bool) -> SignedOut:
    auto_login.remember_sign_out()
    return services().sign_out.end_session(
        request_context.current(), everywhere=everywhere, return_to=redirect_target.requested()
    )


def redirect_after_sign_out(signed_out: SignedOut, *, everywhere: bool, status: int = 303) -> ResponseReturnValue:
    """Send the browser to the target of a sign-out, with a message about what has ended, or to the provider first."""
    if message := _failure_message(signed_out, everywhere=everywhere):
        flash(message)
    if signed_out.provider and signed_out.provider_url:
        return redirect_to_provider(signed_out.provider_url, signed_out.provider, wait_for_click=bool(message))
    if not message:
        flash(_success_message(everywhere=everywhere))
    return redirect_after_form(redirect_target.redirect_target(), status=status, wait_for_click=bool(message))


def _success_message(*, everywhere: bool) -> str:
    return str(_("You are signed out on all devices.") if everywhere else _("You are signed out."))


def _failure_message(signed_out: SignedOut, *, everywhere: bool) -> str:
    """The message about a sign-out that is not complete; empty if it is."""
    message = ""
    if signed_out.outcome is SignOutOutcome.FAILED_AT_BACKEND:
        message = _("You are signed out on this device, but we could not reach our service to end the session there.")
    elif signed_out.outcome is SignOutOutcome.NO_SESSION and everywhere:
        message = _("You were signed out on this device already. To sign out on all devices, sign in again first.")
    elif signed_out.provider and not signed_out.provider_url:
        name = provider_buttons.label(signed_out.provider)
        message = _("You are signed out here, but you may still be signed in at %(provider)s.", provider=name)
    return message


@bp.errorhandler(CsrfError)
def show_error(error: CsrfError) -> ResponseReturnValue:
    """Render the page with the error. For a person who is already signed out, an expired form is not an error."""
    if isinstance(error, FormExpired) and services().sessions.load() is None:
        return redirect_after_form(redirect_target.redirect_target())
    return render_template("logout.html", error=error, callback_url=redirect_target.requested()), error.status
