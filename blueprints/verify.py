"""The page for the next step of a sign-in: a code, a recovery code, or the return from a page of the backend.

A GET changes nothing: only a form of this site continues a pending sign-in, in the browser that started it.
"""

from flask import Blueprint, flash, redirect, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

import errors
from services import services
from services.pending_sign_ins import PendingSignIn
from web import (
    current_page,
    error_handlers,
    login_page,
    next_step_page,
    provider_buttons,
    providers_page,
    redirect_target,
    request_body,
    request_context,
)
from web.redirects import redirect_after_form

bp = Blueprint("verify", __name__, url_prefix="/auth/login/verify")


@bp.get("")
def show() -> ResponseReturnValue:
    pending = _pending()
    return next_step_page.render(pending) if pending else _redirect_to_login()


@bp.get("/return")
@current_page.reads(lambda: ["code"])
def show_return() -> ResponseReturnValue:
    """The address to which a page of the backend redirects: show the form that continues."""
    pending = _pending()
    return next_step_page.render(pending, returned=True) if pending else _redirect_to_login()


@bp.post("")
def verify() -> ResponseReturnValue:
    pending, context = _pending(), request_context.current()
    if pending is None:
        return _redirect_to_login()
    form = next_step_page.form_class(pending).read(request_body.fields())
    if pending.kind != "redirect" and not form.validate():
        return next_step_page.render(pending, form)
    try:
        services().next_step.submit_code(pending, form.code.data or "", context, trust=request_body.flag("trust"))
    except errors.NextStepRequired:
        raise
    except errors.SiteError as error:
        return _show_error(pending, error)
    if registration := services().settings.registration(pending.provider):
        provider_buttons.save_last_used(registration)
    return providers_page.redirect_after_sign_in()


@bp.post("/resend")
def resend() -> ResponseReturnValue:
    pending = _pending()
    if pending is None:
        return _redirect_to_login()
    if not services().backend.can_resend:
        return _redirect_to_step()
    try:
        services().next_step.send_code(pending, pending.method, request_context.current())
    except errors.SiteError as error:
        return _show_error(pending, error)
    flash(_("We sent a new code."))
    return _redirect_to_step()


@bp.post("/method")
def use_method() -> ResponseReturnValue:
    pending = _pending()
    if pending is None:
        return _redirect_to_login()
    method = request_body.fields().get("method", "")
    if method not in pending.step.methods or method == pending.method:
        return _redirect_to_step()
    try:
        services().next_step.use_method(pending, method, request_context.current())
    except errors.SiteError as error:
        return _show_error(pending, error)
    return _redirect_to_step()


@bp.post("/cancel")
def cancel() -> ResponseReturnValue:
    if pending := _pending():
        services().next_step.cancel(pending, request_context.current())
    return redirect(login_page.url(errors.Cancelled, redirect_target.requested()), 303)


@bp.errorhandler(errors.CsrfError)
def show_csrf_error(error: errors.CsrfError) -> ResponseReturnValue:
    pending = _pending()
    return _show_error(pending, error) if pending else error_handlers.site_error(error)


def _show_error(pending: PendingSignIn, error: errors.SiteError) -> ResponseReturnValue:
    """Show the error on this page if the sign-in can continue; else raise it, and the sign-in page shows it."""
    if error_handlers.wants_json() or services().pending_sign_ins.load(request_context.current()) is None:
        return error_handlers.site_error(error)
    form = next_step_page.form_class(pending)(formdata=None)
    if isinstance(error, errors.WrongCode | errors.CodeExpired) and pending.kind != "redirect":
        form.show_errors({"code": error.backend_message or str(error.message)})
    return next_step_page.render(pending, form, error)


def _pending() -> PendingSignIn | None:
    pending = services().pending_sign_ins.load(request_context.current())
    return None if pending and pending.kind == "fields" else pending


def _redirect_to_step() -> ResponseReturnValue:
    return redirect(next_step_page.url(redirect_target.requested()), 303)


def _redirect_to_login() -> ResponseReturnValue:
    """Redirect to the page of a pending sign-up, or else to the sign-in page, which redirects a signed-in person."""
    context = request_context.current()
    pending = services().pending_sign_ins.load(context)
    if pending and pending.kind == "fields":
        return redirect(next_step_page.url(redirect_target.requested(), pending.kind), 303)
    is_over = request.method == "POST" or services().pending_sign_ins.has_cookie(context)
    services().pending_sign_ins.delete_cookie(context)
    url = login_page.url(errors.AttemptExpired if is_over else None, redirect_target.requested())
    return redirect_after_form(url) if request.method == "POST" else redirect(url, 303)
