"""The sign-up page after a sign-in with a provider, with the fields that the backend requires for the new account.

A GET changes nothing: only a form of this site continues a pending sign-in, in the browser that started it. Only
registered if the backend has a call for it.
"""

from flask import Blueprint, flash, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

import errors
from providers.base import Registration
from services import services
from services.pending_sign_ins import PendingSignIn
from web import (
    error_handlers,
    forms,
    login_page,
    next_step_page,
    provider_buttons,
    providers_page,
    redirect_target,
    request_body,
    request_context,
)
from web.redirects import redirect_after_form

bp = Blueprint("social_register", __name__, url_prefix="/auth/login/register")


@bp.get("")
def show() -> ResponseReturnValue:
    pending, registration = _pending()
    if pending is None or registration is None:
        return _redirect_to_login()
    return _render(registration, _form_class(pending).with_values(pending.prefill))


@bp.post("")
def save() -> ResponseReturnValue:
    pending, registration = _pending()
    if pending is None or registration is None:
        return _redirect_to_login()
    form = _form_class(pending)(request_body.fields())
    if not form.validate():
        return _render(registration, form)
    try:
        services().next_step.submit_fields(
            pending, registration, form.values, form.further_values, request_context.current()
        )
    except errors.NextStepRequired:
        raise
    except errors.SiteError as error:
        return _show_error(pending, registration, error)
    provider_buttons.save_last_used(registration)
    flash(_("Your account is created, and you are signed in."))
    return redirect_after_form(redirect_target.redirect_target())


@bp.post("/cancel")
def cancel() -> ResponseReturnValue:
    pending = _pending()[0]
    if pending:
        services().next_step.cancel(pending, request_context.current())
    return redirect(login_page.url(errors.Cancelled, redirect_target.requested()), 303)


@bp.errorhandler(errors.CsrfError)
def show_csrf_error(error: errors.CsrfError) -> ResponseReturnValue:
    pending, registration = _pending()
    if pending is None or registration is None:
        return error_handlers.site_error(error)
    return _show_error(pending, registration, error)


def _show_error(pending: PendingSignIn, registration: Registration, error: errors.SiteError) -> ResponseReturnValue:
    """Show the error on this page if the sign-up can continue, else on the sign-in page."""
    if error_handlers.wants_json():
        return error_handlers.site_error(error)
    if services().pending_sign_ins.load(request_context.current()) is None:
        if not isinstance(error, errors.OAuthAccountNotLinked):
            return error_handlers.site_error(error)
        providers_page.remember_refused(registration)
        return redirect(login_page.url_with_error(error, redirect_target.requested()), 303)
    form = _form_class(pending)(request_body.fields())
    if isinstance(error, errors.InvalidFields):
        form.show_errors(error.fields)
    return _render(registration, form, error)


def _render(
    registration: Registration, form: forms.RegisterForm, error: errors.SiteError | None = None
) -> ResponseReturnValue:
    page = render_template(
        "social_register.html",
        form=form,
        error=error,
        provider=provider_buttons.label(registration),
        callback_url=redirect_target.requested(),
    )
    status = error.status if error else 422 if form.errors else 200
    return make_response(page, status, error.headers if error else {})


def _form_class(pending: PendingSignIn) -> type[forms.RegisterForm]:
    return forms.new_account_form(pending.step.fields, services().settings.register_fields)


def _pending() -> tuple[PendingSignIn | None, Registration | None]:
    """The pending sign-in of this browser that waits for fields, and its provider."""
    pending = services().pending_sign_ins.load(request_context.current())
    if pending is None or pending.kind != "fields":
        return None, None
    return pending, services().settings.registration(pending.provider)


def _redirect_to_login() -> ResponseReturnValue:
    """Redirect to the page of another next step, or else to the sign-in page, which redirects a signed-in person."""
    context = request_context.current()
    pending = services().pending_sign_ins.load(context)
    if pending and pending.kind != "fields":
        return redirect(next_step_page.url(redirect_target.requested(), pending.kind), 303)
    is_over = request.method == "POST" or services().pending_sign_ins.has_cookie(context)
    services().pending_sign_ins.delete_cookie(context)
    url = login_page.url(errors.AttemptExpired if is_over else None, redirect_target.requested())
    return redirect_after_form(url) if request.method == "POST" else redirect(url, 303)
