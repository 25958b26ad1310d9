"""Redirects after a form."""

from flask import current_app, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from providers.base import Registration
from services import services
from web import provider_buttons

_OWN_PAGES = ("home.show", "account.show", "account_providers.show", "login.show")


def redirect_after_form(
    url: str, *, notice: str | None = None, status: int = 303, wait_for_click: bool = False
) -> ResponseReturnValue:
    """Send the browser to the page `url` of this origin, which `redirect_target` has validated, after a form.

    A page of this site gets a 303. The CSP's `form-action 'self'` covers every redirect that follows a form (CSP
    Level 3, 6.4.2). An app at the same origin may redirect on to another origin or to the scheme of a mobile app, and
    then the browser would cancel the navigation. For such a target, the answer is a page with a meta refresh and a
    link, which start a navigation of their own.

    notice: the result of the form, for that page. wait_for_click: the page does not refresh, because it has to be read.
    """
    if is_own_page(url):
        return redirect(url, status)
    if notice:
        flash(notice)
    return render_template("redirecting.html", url=url, callback_url=url, provider=None, refresh=not wait_for_click)


def redirect_to_provider(url: str, registration: Registration, *, wait_for_click: bool = False) -> ResponseReturnValue:
    """Send the browser to a URL of a provider after a form, through a page with a meta refresh for the same reason."""
    label = provider_buttons.label(registration)
    return render_template("redirecting.html", url=url, provider=label, refresh=not wait_for_click)


def is_own_page(url: str) -> bool:
    """Whether `url` is a page of this site that does not redirect to another address.

    The sign-in page redirects a signed-in person to the `callbackUrl` in its address.
    """
    path = url.removeprefix(services().settings.origin).partition("#")[0].partition("?")[0]
    if path == url_for("login.show") and services().sessions.load() is not None:
        return False
    return path in [url_for(endpoint) for endpoint in _OWN_PAGES if endpoint in current_app.view_functions]
