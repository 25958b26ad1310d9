"""The pages that request a mail: to set a new password, and to verify an address.

The answer does not depend on whether the account exists. Each page is only registered if the backend has its call.
"""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

import errors
from services import services
from web import account_form, forms, redirect_target, request_body, request_context


def _blueprint(name: str, path: str, call: str) -> Blueprint:
    bp = Blueprint(name, __name__)

    @bp.get(path)
    def show() -> ResponseReturnValue:
        return _render(_form_class(call)(formdata=None))

    @bp.post(path)
    def save() -> ResponseReturnValue:
        form = _form_class(call).read(request_body.fields())
        if not form.validate():
            return _render(form), 422
        services().accounts.send_mail(call, form.typed, request_context.current())
        return render_template(
            "check_mail.html",
            mails_code=services().settings.backend.mails_code,
            form=call,
            email=form.typed if "@" in form.typed else "",
            identifier=form.typed,
            identifier_name=form.identifier_name,
            callback_url=redirect_target.requested(),
        )

    @bp.errorhandler(errors.SiteError)
    def show_error(error: errors.SiteError) -> ResponseReturnValue:
        form = _form_class(call).read(request_body.fields())
        return account_form.respond(error, lambda error: _render(form, error))

    def _render(form: forms.IdentifierForm, error: errors.SiteError | None = None) -> str:
        return render_template(
            "mail_request.html", form=form, error=error, call=call, callback_url=redirect_target.requested()
        )

    return bp


def _form_class(call: str) -> type[forms.IdentifierForm]:
    return forms.with_identifier(forms.IdentifierForm, services().accounts.identifier_kind(call))


forgot_bp = _blueprint("password_forgot", "/auth/password/forgot", "forgot")
resend_bp = _blueprint("email_resend", "/auth/email/resend", "resend_verification")
