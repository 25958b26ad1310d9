"""Signs people in when they open the sign-in page in the in-app browser of a provider (`<ID>_AUTO_LOGIN`).

The provider knows who uses its app. If the person has signed in here through it before, it answers with a code without
a page; otherwise with an error, and the sign-in page is shown as if nothing had been tried.

A cookie says that this browser has tried, or that its user has signed out: a sign-out must not be undone by the next
visit. The cookie grants nothing.
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
"""After a sign-out, nothing is tried for so long, or until the person signs in through a provider."""


def start() -> ResponseReturnValue | None:
    """Send the browser to the provider of its app; None if this visit gets the sign-in page at once."""
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
    """The person has signed in: from now on, a session that has expired may be replaced."""
    if _cookie_name() in request.cookies:
        _set("", 0)


def _registration() -> Registration | None:
    """The provider of the app whose in-app browser this is, if it is set to sign people in by itself."""
    registrations = [each for each in services().settings.registrations if each.has_auto_login]
    app = in_app_browsers.detect(request.headers.get("User-Agent", "")) if registrations else None
    return next((each for each in registrations if app and each.provider.in_app_browser == app), None)


def _may_try() -> bool:
    """Whether somebody opens the page to see it, has no message to read, and has not been through this before."""
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
