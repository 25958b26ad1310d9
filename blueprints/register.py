"""The sign-up page. Only registered if the backend has a call that creates accounts."""

import flask
from flask import Blueprint, current_app, flash, redirect, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

import errors
from services import services
from services.accounts import FormOutcome
from services.observability.audit import account_hash
from web import account_form, forms, login_page, redirect_target, request_body, request_context
from web.redirects import redirect_after_form

bp = Blueprint("register", __name__)
_SIGNED_UP = "signed_up"
"""The key in the visitor cookie of a digest: who has signed up in this browser and has to verify the address."""


@bp.get("/auth/register")
def show() -> ResponseReturnValue:
    if services().sessions.load() is not None:
        return redirect(redirect_target.redirect_target(), 303)
    return _render(_form_class()(formdata=None))


@bp.post("/auth/register")
def save() -> ResponseReturnValue:
    form = _form_class()(request_body.fields())
    if not form.validate():
        return _render(form), 422
    outcome = services().accounts.register(form.identifier, form.values, form.further_values, request_context.current())
    callback_url = redirect_target.requested()
    if outcome is FormOutcome.SIGNED_IN:
        flash(_("Your account is created, and you are signed in."))
        return redirect_after_form(redirect_target.redirect_target())
    if outcome is FormOutcome.SIGN_IN:
        flash(_("Your account is created. Sign in now."))
        return redirect(login_page.url(None, callback_url), 303)
    flask.session[_SIGNED_UP] = _digest(form)
    return _render_check_mail(form)


@bp.errorhandler(errors.SiteError)
def show_error(error: errors.SiteError) -> ResponseReturnValue:
    form = _form_class().without_password(request_body.fields())
    digest = _digest(form)
    if isinstance(error, errors.InvalidFields) and digest and flask.session.get(_SIGNED_UP) == digest:
        return _render_check_mail(form)  # the form was sent again, by a browser that loads the page again
    return account_form.respond(error, lambda error: _render(form, error), form.show_errors)


def _render_check_mail(form: forms.RegisterForm) -> str:
    kind = services().accounts.identifier_kind("resend_verification")
    email = form.values.get("email", "")
    return render_template(
        "check_mail.html",
        mails_code=services().settings.backend.mails_code,
        form="register",
        email=email,
        identifier=email if email and kind == "email" else form.identifier,
        identifier_name=forms.LOGIN_FORMS[kind].identifier_name,
        callback_url=redirect_target.requested(),
    )


def _digest(form: forms.RegisterForm) -> str | None:
    return account_hash(form.identifier, services().settings.secret_key)


def _render(form: forms.RegisterForm, error: errors.SiteError | None = None) -> str:
    return render_template(
        "register.html",
        form=form,
        error=error,
        password_rules=account_form.password_rules(),
        callback_url=redirect_target.requested(),
    )


def _form_class() -> type[forms.RegisterForm]:
    """The form of this site, made at its first use."""
    classes = current_app.extensions
    if "munjigi.register_form" not in classes:
        settings = services().settings
        classes["munjigi.register_form"] = forms.register_form(
            settings.login_identifier, services().accounts.asks_for("register"), settings.register_fields
        )
    return classes["munjigi.register_form"]  # type: ignore[no-any-return]
