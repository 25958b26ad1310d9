"""What is allowed, and costs something."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import config
from doctor.finding import ADVICE, Finding


def examine(settings: config.Settings) -> Iterator[Finding]:
    host = urlsplit(settings.site_url).hostname
    checks = (
        (
            not settings.secure and host not in ("localhost", "127.0.0.1", "::1"),
            "SITE_URL",
            "is no https address: passwords and sessions cross the network in the clear",
            "Put a proxy with TLS in front (docs/operations.md).",
        ),
        (
            settings.secure and settings.proxy_hops == 0,
            "PROXY_HOPS",
            "is 0 though https needs a proxy in front: all visitors are one address, and share its limit",
            "Set it to the number of proxies.",
        ),
        (
            settings.backend_logout_path is None,
            "BACKEND_LOGOUT_PATH",
            "is not set: a token outlives its session",
            "Give the backend a path that revokes the token it is sent.",
        ),
        (
            settings.expose_access_token,
            "EXPOSE_ACCESS_TOKEN",
            "is on: every script of every page can read the backend's token",
            "See docs/moving-from-nextauth.md for another way.",
        ),
        (
            settings.session_revalidate == 0,
            "SESSION_REVALIDATE",
            "is 0: a closed account stays signed in until its session ends",
            "Leave it at 300.",
        ),
        (
            (settings.workers or 1) > 1 and settings.redis_url is None,
            "REDIS_URL",
            "is not set with several WORKERS: each counts sign-ins and revokes sessions for itself",
            "Set a redis:// address.",
        ),
    )
    for is_so, what, found, do in checks:
        if is_so:
            yield Finding(ADVICE, what, found, do)
