"""The account page: shows the signed-in user, and changes their names."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user, login_required
from werkzeug.exceptions import MethodNotAllowed

import errors
from services import services
from web import confirm_page, provider_buttons, request_body, request_context
from web.forms import ProfileForm

bp = Blueprint("account", __name__)


@bp.get("/account")
@login_required
def show() -> ResponseReturnValue:
    return _render(ProfileForm(formdata=None, obj=current_user))


@bp.post("/account")
@login_required
def save() -> ResponseReturnValue:
    if not _is_editable():
        raise MethodNotAllowed(["GET"])
    fields = request_body.fields()
    changes = {name: fields[name] for name in ("name", "nick_name") if name in fields} or {"name": ""}
    form = ProfileForm.for_changes(current_user, changes)
    if not form.accepts(changes):
        return _render(form), 422
    try:
        services().profile.save(form.name.data, form.nick_name.data, request_context.current())
    except (errors.InvalidFields, errors.ServerSideError, errors.TooManyAttempts) as error:
        return show_error(error)  # type: ignore[no-any-return]  # Flask-Login returns Any
    flash(_("Your changes are saved."))
    return redirect(services().settings.origin + url_for("account.show"), 303)


@bp.errorhandler(errors.CsrfError)
@login_required
def show_error(error: errors.SiteError) -> ResponseReturnValue:
    """Render the form with the error and the submitted values."""
    form = ProfileForm(request_body.fields())
    if isinstance(error, errors.InvalidFields):
        form.show_errors(error.fields)
    return _render(form, error), error.status, error.headers


@bp.post("/account/sessions/end")
@login_required
def end_session() -> ResponseReturnValue:
    """End another session of the user, chosen from the list.

    Requires a recent sign-in (OWASP ASVS 5.0, 7.5.2): access to an open browser must not be enough.
    """
    session = services().sessions.load()
    account_url = services().settings.origin + url_for("account.show")
    if session and confirm_page.is_needed(session):
        return redirect(confirm_page.url(None, account_url), 303)
    if services().sessions.end_other(request_body.fields().get("session", "")):
        flash(_("That session has ended."))
    return redirect(account_url + "#sessions", 303)


def _render(form: ProfileForm, error: errors.SiteError | None = None) -> str:
    current = services().sessions.load()
    sessions = services().session_list
    other_sessions = sessions.load(current) if sessions and current else None
    return render_template(
        "account.html",
        form=form,
        error=error,
        editable=_is_editable(),
        sessions=other_sessions or (),
        current_sid=current.public_sid if current else None,
        provider_labels={each.id: provider_buttons.label(each) for each in services().settings.registrations},
    )


def _is_editable() -> bool:
    return services().backend.can_save_profile
