"""Settings that are valid but not recommended in production."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import backends
import config
from doctor.finding import OK, WARNING, Finding

_ACCOUNT_PAGES = {
    "register": "/auth/register",
    "forgot": "/auth/password/forgot",
    "reset": "/auth/password/reset",
    "verify_email": "/auth/email/verify",
    "resend_verification": "/auth/email/resend",
    "change_password": "/account/password",
    "link": "/account/providers",
}
"""Call of the backend -> the page that it turns on."""


def check(settings: config.Settings) -> Iterator[Finding]:
    host = urlsplit(settings.site_url).hostname
    rules = (
        (
            not settings.secure and host not in ("localhost", "127.0.0.1", "::1"),
            "SITE_URL",
            "is not https: passwords and sessions are sent unencrypted",
            "Use a reverse proxy with TLS (docs/operations.md).",
        ),
        (
            settings.secure and settings.proxy_hops == 0,
            "PROXY_HOPS",
            "is 0, but https needs a reverse proxy: all visitors have the proxy's IP address and share its login limit",
            "Set it to the number of reverse proxies.",
        ),
        (
            settings.backend.logout is None and not _has_logout_in_file(settings),
            "BACKEND_LOGOUT",
            "is not set: the backend's token stays valid after sign-out",
            "If the backend has a call that revokes the token, set it here, such as POST /api/auth/logout.",
        ),
        (
            settings.backend.logout is None and _has_logout_in_file(settings),
            "BACKEND_LOGOUT_PATH",
            "is not set: the backend's token stays valid after sign-out",
            "Add a path to the backend that revokes the bearer token, and set it here.",
        ),
        (
            settings.login_identifier in ("username", "phone") and _sends_identifier_as_email(settings),
            "LOGIN_IDENTIFIER",
            f"is {settings.login_identifier}, but the backend gets it in the field `email`",
            "If the backend expects another field, set BACKEND_LOGIN_BODY: username={identifier} password={password}.",
        ),
        (
            "forgot" in settings.backend.calls and "reset" not in settings.backend.calls,
            "BACKEND_RESET",
            "is not set, but the backend can send a mail for a new password: its link must lead somewhere else",
            "Set BACKEND_RESET, or make sure that the backend has a page of its own for the link.",
        ),
        (
            settings.expose_access_token,
            "EXPOSE_ACCESS_TOKEN",
            "is true: every script on every page can read the backend's token",
            "Let the proxy add the token to the calls of pages instead: FORWARD_ACCESS_TOKEN (docs/forward-auth.md).",
        ),
        (
            settings.session_revalidate == 0,
            "SESSION_REVALIDATE",
            "is 0: the user of a closed account stays signed in until the session expires",
            "Remove it; the default is 300.",
        ),
        (
            (settings.workers or 1) > 1 and settings.redis_url is None,
            "REDIS_URL",
            "is not set, but WORKERS is greater than 1: each process has its own login limits and revoked sessions"
            + (", and two may send the same refresh token" if settings.backend.refresh else ""),
            "Set it to the URL of a Redis server.",
        ),
        (
            "provider_event" in settings.backend.calls
            and not settings.backend_events_token
            and settings.backend.headers == backends.find(settings.backend.id).headers,
            "BACKEND_PROVIDER_EVENT_PATH",
            "is set without BACKEND_EVENTS_TOKEN: the backend cannot tell the site's calls from a stranger's",
            "Set BACKEND_EVENTS_TOKEN, and let the backend require it as the bearer token of these calls.",
        ),
    )
    for applies, subject, message, fix in rules:
        if applies:
            yield Finding(WARNING, subject, message, fix)
    if settings.backend_events_token:
        url = f"{settings.site_url}/api/auth/sessions/revoke"
        yield Finding(OK, "BACKEND_EVENTS_TOKEN", f"the backend can end sessions at {url}")
    calls = [call for call in settings.backend.calls if call != "link" or settings.registrations]
    if pages := [page for call, page in _ACCOUNT_PAGES.items() if call in calls]:
        yield Finding(OK, "pages", f"the backend has the calls of {', '.join(pages)}")


def _has_logout_in_file(settings: config.Settings) -> bool:
    """Whether a path is enough for this kind of backend, whose file has the rest of the call."""
    return backends.find(settings.backend.id).logout is not None


def _sends_identifier_as_email(settings: config.Settings) -> bool:
    login = settings.backend.login
    return login is not None and (login.body or {}).get("email") == "{identifier}"
