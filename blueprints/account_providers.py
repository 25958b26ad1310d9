"""The page on which a signed-in person connects and disconnects providers.

Connecting starts and ends in `blueprints/oauth.py`, as a sign-in does.
"""

from flask import Blueprint, abort, flash, redirect, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import login_required

import errors
from services import services
from web import (
    confirm_page,
    login_page,
    provider_buttons,
    providers_page,
    redirect_target,
    request_body,
    request_context,
)

bp = Blueprint("account_providers", __name__, url_prefix="/account/providers")


@bp.get("")
@login_required
def show() -> ResponseReturnValue:
    return _render(login_page.error_from_query(), status=200)


@bp.get("/connect")
@login_required
def offer() -> ResponseReturnValue:
    """After a sign-in, offer the provider with which the person could not sign in. Connecting needs a POST."""
    registration, target_url = providers_page.provider_to_offer(), redirect_target.redirect_target()
    if registration is None:
        return redirect(providers_page.url(), 303)
    provider = provider_buttons.label(registration)
    return render_template(
        "connect_provider.html", provider=provider, provider_id=registration.id, callback_url=target_url
    )


@bp.post("/disconnect")
@login_required
def disconnect() -> ResponseReturnValue:
    registration = services().settings.registration(request_body.fields().get("provider"))
    if registration is None or not services().provider_links.can_unlink:
        abort(404)
    session = services().sessions.load()
    if session and confirm_page.is_needed(session):
        return redirect(confirm_page.url(None, providers_page.url()), 303)
    try:
        services().provider_links.unlink(registration, request_context.current())
    except errors.SiteError as error:
        return redirect(providers_page.url_with_error(error), 303)
    flash(_("%(provider)s is disconnected.", provider=provider_buttons.label(registration)))
    return redirect(providers_page.url(), 303)


@bp.errorhandler(errors.CsrfError)
@login_required
def show_error(error: errors.SiteError) -> ResponseReturnValue:
    return _render(error, status=error.status)


def _render(error: errors.SiteError | None, status: int) -> ResponseReturnValue:
    if isinstance(error, errors.Cancelled):
        error.message = _l("Nothing was connected, because you cancelled it.")
    linked = None
    try:
        linked = services().provider_links.list_accounts(request_context.current())
    except (errors.SessionExpired, errors.SessionRequired) as expired:
        return redirect(providers_page.url_with_error(expired), 303)
    except errors.SiteError as list_error:
        error = error or list_error
    page = render_template(
        "account_providers.html",
        providers=[
            {
                "id": each.id,
                "label": provider_buttons.label(each),
                "is_connected": None if linked is None else each.id in linked,
            }
            for each in services().settings.registrations
        ],
        can_disconnect=services().provider_links.can_unlink and linked is not None,
        error=error,
        reference=login_page.reference_from_query(),
    )
    return page, status
