"""Redirects at the end of a form."""

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

    A page of this site gets a redirect. The CSP's `form-action 'self'` covers every redirect that follows a form (CSP
    Level 3, 6.4.2). An app at the same origin may redirect on to another origin or to the scheme of a mobile app, and
    then the browser would cancel the navigation. Such a target gets a page with a meta refresh and a link: the
    navigation that it starts is no form submission.

    notice: what the form has done, for that page. wait_for_click: that page has to be read, so it does not refresh.
    """
    if is_own_page(url):
        return redirect(url, status)
    if notice:
        flash(notice)
    return render_template("redirecting.html", url=url, callback_url=url, provider=None, refresh=not wait_for_click)


def redirect_to_provider(url: str, registration: Registration, *, wait_for_click: bool = False) -> ResponseReturnValue:
    """Send the browser to an address of a provider after a form, by a page in between for the same reason."""
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
