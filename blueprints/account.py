"""Who is signed in, and the names that they may change."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user, login_required
from werkzeug.exceptions import MethodNotAllowed

import errors
from services import services
from web import request_context
from web.forms import ProfileForm

bp = Blueprint("account", __name__)


@bp.get("/account")
@login_required
def show() -> ResponseReturnValue:
    return _page(ProfileForm(formdata=None, obj=current_user))


@bp.post("/account")
@login_required
def save() -> ResponseReturnValue:
    if not _editable():
        raise MethodNotAllowed(["GET"])
    form = ProfileForm(request.form)
    if not form.validate():
        return _page(form), 422
    try:
        services().profile.save(form.name.data or "", form.nick_name.data or None, request_context.current())
    except (errors.InvalidFields, errors.ServerSideError, errors.TooManyAttempts) as error:
        return again(error)  # type: ignore[no-any-return]  # so typed by Flask-Login
    flash(_("Your changes are saved."))
    return redirect(services().settings.origin + url_for("account.show"), 303)


@bp.errorhandler(errors.FormExpired)
@bp.errorhandler(errors.CookiesBlocked)
@login_required
def again(error: errors.SiteError) -> ResponseReturnValue:
    """The form with what went wrong; nothing that was typed is lost."""
    form = ProfileForm(request.form)
    if isinstance(error, errors.InvalidFields):
        form.show_errors(error.fields)
    return _page(form, error), error.status, error.headers


def _page(form: ProfileForm, error: errors.SiteError | None = None) -> str:
    return render_template("account.html", form=form, error=error, editable=_editable())


def _editable() -> bool:
    return services().settings.backend_profile_path is not None
