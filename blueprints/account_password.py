"""The page that changes the password of the signed-in person, and the well-known address that redirects to it."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import login_required

import errors
from services import services
from services.accounts import FormOutcome
from web import account_form, error_handlers, forms, login_page, request_body, request_context

bp = Blueprint("account_password", __name__)
well_known_bp = Blueprint("well_known", __name__)


@bp.get("/account/password")
@login_required
def show() -> ResponseReturnValue:
    return _render(_form_class()(formdata=None))


@bp.post("/account/password")
@login_required
def save() -> ResponseReturnValue:
    form = _form_class()(request_body.fields())
    if not form.validate():
        return _render(form), 422
    identifier = form.typed if isinstance(form, forms.IdentifierForm) else None
    outcome = services().accounts.change_password(
        form.password.data, form.new_password.data, identifier, request_context.current()
    )
    if outcome is FormOutcome.SIGN_IN:
        flash(_("Your password is changed. Sign in with the new one."))
        return redirect(login_page.url(), 303)
    flash(_("Your password is changed. You are signed out on all other devices."))
    return redirect(services().settings.origin + url_for("account.show"), 303)


@bp.errorhandler(errors.SiteError)
def show_error(error: errors.SiteError) -> ResponseReturnValue:
    """Render the form with the error. If the session has ended, the sign-in page says so."""
    if services().sessions.load() is None:
        return error_handlers.site_error(error)
    form = _form_class()(request_body.fields())
    return account_form.respond(error, lambda error: _render(form, error), form.show_errors)


@well_known_bp.get("/.well-known/change-password")
def change_password() -> ResponseReturnValue:
    """Redirect password managers to the page (W3C, A Well-Known URL for Changing Passwords)."""
    if account_form.has_page("account_password"):
        return redirect(services().settings.origin + url_for("account_password.show"), 303)
    return redirect(services().settings.reset_password_url or "/", 303)


def _form_class() -> type[Any]:
    """The form, with a field for the identifier if the site needs it to check the current password."""
    accounts, kind = services().accounts, services().settings.login_identifier
    needs_identifier = not accounts.checks_current_password or "identifier" in accounts.asks_for("change_password")
    session = services().sessions.load()
    is_known = session and (session.identifier or (session.user.email and session.provider == "email"))
    if needs_identifier and not is_known:
        return forms.with_identifier(forms.ChangePasswordForm, kind)
    return forms.ChangePasswordForm


def _render(form: Any, error: errors.SiteError | None = None) -> str:
    return render_template(
        "account_password.html", form=form, error=error, password_rules=account_form.password_rules()
    )
