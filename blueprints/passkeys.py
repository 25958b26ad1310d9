"""Sign-in with a passkey, and the pages on which a signed-in person adds and removes passkeys.

`static/passkey.js` talks to the browser. The addresses exist only with `PASSKEYS=true` and if the backend has their
calls.
"""

import logging

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import login_required

import errors
from services import services
from services.sessions.model import Session
from services.sign_in_options import SignInOptions
from web import (
    confirm_page,
    current_page,
    error_handlers,
    login_page,
    password_reset_note,
    providers_page,
    redirect_target,
    remember_me,
    request_body,
    request_context,
)
from web.forms import ConfirmPasswordForm
from web.redirects import redirect_after_form

log = logging.getLogger("munjigi.passkeys")

bp = Blueprint("passkeys", __name__)
account_bp = Blueprint("account_passkeys", __name__)
removal_bp = Blueprint("account_passkey_removal", __name__)


@bp.post("/auth/passkey/options")
def options() -> ResponseReturnValue:
    """The options of a sign-in, for the script. Changes nothing at the backend."""
    return {"publicKey": services().passkeys.options(request_context.current())}


@bp.post("/auth/login/passkey")
def sign_in() -> ResponseReturnValue:
    context = request_context.current()
    options = password_reset_note.sign_in_options(remember=remember_me.requested())
    services().sign_in.with_passkey(_credential(), context, options)
    if pending := services().pending_sign_ins.load(context):  # the passkey replaces its next step
        services().pending_sign_ins.end(pending, context)
    return providers_page.redirect_after_sign_in()


@bp.post("/auth/login/confirm/passkey")
def confirm() -> ResponseReturnValue:
    """Sign the same person in again, for an app that demands a recent sign-in."""
    session = services().sessions.load()
    if session is None:
        raise errors.SessionRequired("there is no session to confirm")
    options = SignInOptions(user_id=str(session.user.id), remember=not session.is_short)
    services().sign_in.with_passkey(_credential(), request_context.current(), options)
    return redirect_after_form(redirect_target.redirect_target())


@account_bp.get("/account/passkeys")
@login_required
def show() -> ResponseReturnValue:
    session = _session()
    return _redirect_to_confirm() if _needs_sign_in(session) else _render(session)


@account_bp.post("/account/passkeys/options")
@login_required
def register_options() -> ResponseReturnValue:
    """The options of a new passkey, for the script; or a message to show, or a `url` to visit first."""
    session, password = _session(), request_body.fields().get("password", "")
    try:
        if _needs_sign_in(session):
            raise errors.RecentSignInRequired("the sign-in is too old to add a passkey")
        return {"publicKey": services().passkeys.register_options(session, password, request_context.current())}
    except errors.RecentSignInRequired as error:
        return {"error": error.code, "url": confirm_page.url(None, _page_url())}, error.status
    except errors.InvalidFields as error:
        return {"error": error.code, "message": " ".join(map(str, error.fields.values()))}, error.status
    except errors.SessionExpired:
        services().sessions.end()
        raise


@account_bp.post("/account/passkeys")
@login_required
def register() -> ResponseReturnValue:
    session = _session()
    if _needs_sign_in(session):
        return _redirect_to_confirm()
    try:
        services().passkeys.register(session, _credential(), request_context.current())
    except errors.RecentSignInRequired:
        return _redirect_to_confirm()
    except errors.SessionExpired:
        services().sessions.end()
        raise
    flash(_("Your passkey is added. You can sign in with it from now on."))
    return redirect(services().settings.origin + url_for("account.show"), 303)


@removal_bp.get("/account/passkeys/remove", endpoint="show")
@login_required
@current_page.reads(lambda: ["passkey"])
def show_removal() -> ResponseReturnValue:
    """Ask whether to remove a passkey of the list. A GET removes nothing."""
    session = _session()
    if _needs_sign_in(session):
        return _redirect_to_confirm()
    return _render_removal(session, request.args.get("passkey", ""))


@removal_bp.post("/account/passkeys/remove")
@login_required
def remove() -> ResponseReturnValue:
    session, fields = _session(), request_body.fields()
    if _needs_sign_in(session):
        return _redirect_to_confirm()
    passkey_id, password = fields.get("passkey", ""), fields.get("password", "")
    try:
        services().passkeys.remove(session, passkey_id, password, request_context.current())
    except errors.RecentSignInRequired:
        return _redirect_to_confirm()
    except errors.SessionExpired:
        services().sessions.end()
        raise
    flash(_("The passkey is removed."))
    return redirect(_page_url(), 303)


@account_bp.errorhandler(errors.SiteError)
def show_error(error: errors.SiteError) -> ResponseReturnValue:
    """Render the page with the error. If the session has ended, the sign-in page says so."""
    session = services().sessions.load()
    if error_handlers.wants_json() or session is None:
        return error_handlers.site_error(error)
    return _render(session, error)


@removal_bp.errorhandler(errors.SiteError)
def show_removal_error(error: errors.SiteError) -> ResponseReturnValue:
    """The same for the page that removes one."""
    session = services().sessions.load()
    if error_handlers.wants_json() or session is None:
        return error_handlers.site_error(error)
    return _render_removal(session, request_body.fields().get("passkey", ""), error)


def _session() -> Session:
    session = services().sessions.load()
    if session is None:
        raise errors.SessionRequired("a page about passkeys without a session")
    return session


def _needs_sign_in(session: Session) -> bool:
    """Whether the person has to confirm the session first. Not if they enter the password on this page."""
    return not services().passkeys.wants_password and confirm_page.is_needed(session)


def _credential() -> str:
    return request_body.fields().get("credential", "")


def _redirect_to_confirm() -> ResponseReturnValue:
    return redirect(confirm_page.url(None, _page_url()), 303)


def _end_session(error: errors.SessionExpired) -> ResponseReturnValue:
    services().sessions.end()
    return redirect(login_page.url_with_error(error, _page_url()), 303)


def _page_url() -> str:
    return services().settings.origin + url_for("account_passkeys.show")


def _render(session: Session, error: errors.SiteError | None = None) -> ResponseReturnValue:
    passkeys, context = services().passkeys, request_context.current()
    listed = None
    if passkeys.can_list:
        try:
            listed = passkeys.list_passkeys(session, context)
        except errors.SessionExpired as expired:
            return _end_session(expired)
        except errors.SiteError as list_error:  # a passkey can still be added
            log.warning("the passkeys of a user cannot be listed: %s", list_error)
    page = render_template(
        "account_passkeys.html",
        error=error,
        form=_password_form(),
        has_list=passkeys.can_list,
        passkeys=listed,
    )
    return (page, error.status, error.headers) if error else page


def _render_removal(session: Session, passkey_id: str, error: errors.SiteError | None = None) -> ResponseReturnValue:
    """Ask for confirmation. If there is no such passkey, show the list instead, with the error if there is one."""
    form = _password_form()
    if form and isinstance(error, errors.InvalidFields):
        form.show_errors(error.fields)
    try:
        passkey = services().passkeys.find(session, passkey_id, request_context.current())
    except errors.SessionExpired as expired:
        return _end_session(expired)
    except errors.SiteError:
        passkey = None
    if passkey is None:
        return _render(session, error) if error else redirect(_page_url(), 303)
    page = render_template("account_passkey_remove.html", error=error, form=form, passkey=passkey)
    return (page, error.status, error.headers) if error else page


def _password_form() -> ConfirmPasswordForm | None:
    return ConfirmPasswordForm(formdata=None) if services().passkeys.wants_password else None
