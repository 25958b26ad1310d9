"""Signs people in when they open the sign-in page in the in-app browser of a provider (`<ID>_AUTO_LOGIN`).

The provider knows who uses its app. If the person has signed in to this site with it before, it redirects with a code
and shows no page; otherwise it redirects with an error, and the sign-in page is shown without it.

A cookie records that this browser has tried, or that its user has signed out, so that the next visit does not undo a
sign-out. The cookie grants no access.
"""

import flask
from flask import redirect, request
from flask.typing import ResponseReturnValue

import errors
from providers.base import Registration
from services import services
from services.response_cookies import Cookie, prefixed
from web import in_app_browsers, redirect_target, request_context
from web.prefetch import is_prefetch

SIGNED_OUT_SECONDS = 30 * 24 * 3600
"""How long nothing is tried after a sign-out, unless the person signs in with a provider."""


def start() -> ResponseReturnValue | None:
    """Redirect the browser to the provider of its app; None if this visit gets the sign-in page."""
    registration = _registration()
    if registration is None or not _may_try():
        return None
    context = request_context.current()
    try:
        services().limiter.hit_ip(context)
        url, attempt = services().oauth.authorization_url(
            registration, context, redirect_target.requested(), flask.session.get("locale"), is_automatic=True
        )
    except errors.SiteError:
        return None
    services().attempts.save(attempt, registration.provider, context)
    _set("tried", None)
    return redirect(url, 303)


def remember_sign_out() -> None:
    if any(registration.has_auto_login for registration in services().settings.registrations):
        _set("signed-out", SIGNED_OUT_SECONDS)


def forget() -> None:
    """Delete the cookie after a sign-in: an expired session may be replaced automatically from now on."""
    if _cookie_name() in request.cookies:
        _set("", 0)


def _registration() -> Registration | None:
    """The provider of the app whose in-app browser this is, if `<ID>_AUTO_LOGIN` is set for it."""
    registrations = [each for each in services().settings.registrations if each.has_auto_login]
    app = in_app_browsers.detect(request.headers.get("User-Agent", "")) if registrations else None
    return next((each for each in registrations if app and each.provider.in_app_browser == app), None)


def _may_try() -> bool:
    """Whether this is a visible visit of the plain page, without a message, in a browser that has not tried before."""
    is_navigation = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate" and request.method == "GET"
    return (
        is_navigation
        and not is_prefetch()
        and "_flashes" not in flask.session
        and _cookie_name() not in request.cookies
        and not services().sessions.was_revoked()
    )


def _cookie_name() -> str:
    return prefixed("munjigi.auto-login", services().settings)


def _set(value: str, max_age: int | None) -> None:
    settings = services().settings
    request_context.current().response_cookies.set(
        Cookie(
            name=_cookie_name(),
            value=value,
            path=settings.site_path or "/",
            secure=settings.secure,
            max_age=max_age,
        )
    )
