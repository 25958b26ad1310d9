"""URLs of the page on which people connect providers, and redirects to it after a sign-in."""

from flask import flash, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

import errors
from providers.base import Registration
from services import services
from web import account_form, login_page, provider_buttons, redirect_target, request_context
from web.redirects import is_own_page, redirect_after_form

BLUEPRINT = "account_providers"
_SESSION_IS_OVER = (errors.SessionRequired, errors.SessionExpired)


def is_on() -> bool:
    """Whether this site has the page."""
    return account_form.has_page(BLUEPRINT)


def url() -> str:
    """The absolute URL of the page."""
    return str(services().settings.origin + url_for(f"{BLUEPRINT}.show"))


def url_with_error(error: errors.SiteError) -> str:
    """The URL of the page with an error, or of the sign-in page if the session has ended."""
    if isinstance(error, _SESSION_IS_OVER):
        return login_page.url_with_error(error, url())
    return login_page.url_with_error(error, None, f"{BLUEPRINT}.show")


def remember_refused(registration: Registration) -> None:
    """Offer to connect this provider after the next sign-in, because the account uses another sign-in method."""
    if is_on():
        services().pending_link.save(registration.id, request_context.current())


def provider_to_offer() -> Registration | None:
    """The provider that this browser should be offered, or None."""
    provider_id = services().pending_link.load(request_context.current())
    return services().settings.registration(provider_id) if is_on() else None


def target_after_sign_in(target_url: str, signed_in_with: Registration | None = None) -> str | None:
    """The URL of the page that offers to connect a provider before the target; None if there is no offer."""
    offer = provider_to_offer()
    if offer is None:
        return None
    if offer is signed_in_with:
        services().pending_link.delete(request_context.current())
        return None
    return login_page.url(None, target_url, endpoint=f"{BLUEPRINT}.offer")


def redirect_after_sign_in(*, status: int = 303) -> ResponseReturnValue:
    """Redirect to the target after a form that has signed the person in."""
    target_url = redirect_target.redirect_target()
    if offer_url := target_after_sign_in(target_url):
        return redirect(offer_url, status)
    return redirect_after_form(target_url, notice=_("You are signed in."), status=status)


def finish(linked: Registration, target_url: str) -> ResponseReturnValue:
    """Redirect to the target after a provider was connected, with a notice if it is a page of this site."""
    services().pending_link.delete(request_context.current())
    if is_own_page(target_url):
        flash(_("%(provider)s is connected.", provider=provider_buttons.label(linked)))
    return redirect(target_url, 303)
