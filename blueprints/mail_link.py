"""The pages that the links of mails open: set a new password, and verify an address.

A GET changes nothing and stores nothing, because mail scanners open every link. The form contains the code of the link,
so that later URLs do not. Each page is only registered if the backend has its call.
"""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

import errors
from services import services
from services.accounts import FormOutcome
from web import account_form, current_page, forms, login_page, password_reset_note, request_body, request_context

reset_bp = Blueprint("password_reset", __name__)
verify_bp = Blueprint("email_verify", __name__)


@reset_bp.get("/auth/password/reset", endpoint="show")
@current_page.reads(account_form.link_parameters)
def show_reset() -> ResponseReturnValue:
    return _render("password_reset.html", _linked_form("reset"), is_link="code" in account_form.link_values())


@reset_bp.post("/auth/password/reset", endpoint="save")
def save_reset() -> ResponseReturnValue:
    form = _form_class("reset").read(request_body.fields())
    if not form.validate():
        return _respond_invalid("password_reset.html", form)
    values = {**_code_values(form), "new_password": form.new_password.data}
    outcome = services().accounts.reset_password(values, _identifier(form), request_context.current())
    if outcome is FormOutcome.SIGNED_IN:
        flash(_("Your password is changed. You are signed in, and signed out on all other devices."))
        return redirect(services().settings.origin + url_for("home.show"), 303)
    if outcome is FormOutcome.SIGN_IN:
        password_reset_note.save(services().accounts.account(_identifier(form)))
    flash(_("Your password is changed. Sign in with the new one."))
    return redirect(login_page.url(), 303)


@reset_bp.errorhandler(errors.SiteError)
def show_reset_error(error: errors.SiteError) -> ResponseReturnValue:
    return _respond("password_reset.html", "reset", error)


@verify_bp.get("/auth/email/verify", endpoint="show")
@current_page.reads(account_form.link_parameters)
def show_verify() -> ResponseReturnValue:
    return _render("email_verify.html", _linked_form("verify_email"), is_link="code" in account_form.link_values())


@verify_bp.post("/auth/email/verify", endpoint="save")
def save_verify() -> ResponseReturnValue:
    form = _form_class("verify_email").read(request_body.fields())
    if not form.validate():
        return _respond_invalid("email_verify.html", form)
    services().accounts.verify_email(_code_values(form), _identifier(form), request_context.current())
    if services().sessions.load() is not None:
        flash(_("Your email address is verified."))
        return redirect(services().settings.origin + url_for("home.show"), 303)
    flash(_("Your email address is verified. Sign in now."))
    return redirect(login_page.url(), 303)


@verify_bp.errorhandler(errors.SiteError)
def show_verify_error(error: errors.SiteError) -> ResponseReturnValue:
    return _respond("email_verify.html", "verify_email", error)


def _form_class(call: str) -> type[Any]:
    base = {"reset": forms.ResetPasswordForm, "verify_email": forms.VerifyEmailForm}[call]
    if "identifier" in services().accounts.asks_for(call):
        return forms.with_identifier(base, services().settings.login_identifier)
    return base


def _linked_form(call: str) -> Any:
    """The form with the values of the link. Invalid values are left out, so that the person can type them."""
    values = account_form.link_values()
    form_class = _form_class(call)
    if issubclass(form_class, forms.IdentifierForm):
        values[form_class.identifier_name] = values.pop("identifier", "")
    return form_class(MultiDict(values))


def _code_values(form: forms.CodeForm) -> dict[str, Any]:
    return {name: form[name].data for name in ("code", "uid") if form[name].data}


def _identifier(form: Any) -> str | None:
    return form.typed if isinstance(form, forms.IdentifierForm) else None


def _is_link() -> bool:
    return request_body.fields().get(forms.FROM_LINK) == "1"


def _respond_invalid(template: str, form: Any) -> ResponseReturnValue:
    """Handle a link with a malformed code like a link that has expired."""
    if _is_link() and ({"code", "uid"} & set(form.errors)):
        raise errors.InvalidCode("the code of the link is too long or not visible ASCII")
    return _render(template, form, is_link=_is_link()), 422


def _respond(template: str, call: str, error: errors.SiteError) -> ResponseReturnValue:
    fields = {name: text for name, text in request_body.fields().items() if "password" not in name}
    form = _form_class(call).read(fields)

    def render(error: errors.SiteError) -> str:
        return _render(template, form, error, is_link=_is_link())

    return account_form.respond(error, render, form.show_errors)


def _render(template: str, form: Any, error: errors.SiteError | None = None, *, is_link: bool) -> str:
    return render_template(
        template,
        form=form,
        error=error,
        is_link=is_link,
        is_invalid=is_link and isinstance(error, errors.InvalidCode),
        mails_code=services().settings.backend.mails_code,
        password_rules=account_form.password_rules(),
    )
