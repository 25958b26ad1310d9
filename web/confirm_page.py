"""The page on which a signed-in person signs in again, for an app that demands a recent sign-in (`max_age`)."""

from collections.abc import Mapping

from flask import render_template

import errors
from providers.base import Registration
from services import services
from services.sessions.model import RECENT_SECONDS, Session
from web import login_page, provider_buttons, redirect_target, request_body
from web.forms import LoginForm

ENDPOINTS = ("login.confirm", "passkeys.confirm")
_WITHOUT_PROVIDER = "email"
"""`Session.provider` of a sign-in with a password, whatever `LOGIN_IDENTIFIER` is."""


def is_needed(session: Session) -> bool:
    """Whether the sign-in is too old for sensitive changes (OWASP ASVS 5.0, 7.5.1)."""
    return not session.is_recent(RECENT_SECONDS, services().clock.time())


def url(error: errors.SiteError | None, callback_url: str | None) -> str:
    """The absolute URL of the page, with an error to show."""
    endpoint = "login.show_confirm"
    if error is None:
        return login_page.url(None, callback_url, endpoint=endpoint)
    return login_page.url_with_error(error, callback_url, endpoint)


def identifier(session: Session) -> str | None:
    """The identifier with which the person signed in; None if it is not known and has to be typed."""
    has_email = services().settings.login_identifier in ("email", "any")
    return session.identifier or (session.user.email if has_email else None)


def read_form(session: Session) -> LoginForm:
    """The submitted form. An identifier that is known is not read from it."""
    return login_page.form_class().read(_with_identifier(session, request_body.fields()))


def rerender(session: Session, error: errors.SiteError) -> str:
    """Render the page with an error. The password is never sent back."""
    form = login_page.form_class().without_password(_with_identifier(session, request_body.fields()))
    if isinstance(error, errors.InvalidFields):
        form.show_errors(error.fields)
    return render(session, form, error)


def render(session: Session, form: LoginForm | None, error: errors.SiteError | None = None) -> str:
    """Render the page with a submitted form and its errors, and with the method of the sign-in.

    `form=None` renders an empty form. If the method is not known, the page offers all.
    """
    if error:
        login_page.choose_message(error)
    registrations = _registrations(session)
    uses_password = session.provider == _WITHOUT_PROVIDER or not registrations
    if form is None:
        form = login_page.form_class().without_password(_with_identifier(session, {}))
    ids = {registration.id for registration in registrations or services().settings.registrations}
    buttons = [button for button in provider_buttons.buttons() if button.id in ids]
    return render_template(
        "confirm.html",
        form=form if uses_password else None,
        is_identifier_fixed=identifier(session) is not None,
        buttons=[] if session.provider == _WITHOUT_PROVIDER else buttons,
        error=error,
        reference=login_page.reference_from_query(),
        callback_url=redirect_target.requested(),
    )


def _registrations(session: Session) -> list[Registration]:
    """The provider with which the session started, as a list."""
    return [each for each in services().settings.registrations if each.id == session.provider]


def _with_identifier(session: Session, fields: Mapping[str, str]) -> dict[str, str]:
    session_identifier = identifier(session)
    if session_identifier is None:
        return dict(fields)
    return {**fields, login_page.form_class().identifier_name: session_identifier}
