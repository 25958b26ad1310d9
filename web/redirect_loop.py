"""Recognizes an app that sends a signed-in person back to the sign-in page.

next-auth 4's `withAuth` redirects to the sign-in page whenever its `authorized` callback returns false, also if a
signed-in person may not open the page. Since the sign-in page redirects a signed-in person to `callbackUrl`, the
browser would redirect until it stops with ERR_TOO_MANY_REDIRECTS.

A cookie that lives for a few seconds counts the redirects to the same path. The browser measures the time, so the
clocks of several processes do not matter. The cookie grants no access.
"""

import hashlib

from flask import request

from services import services
from services.response_cookies import Cookie, prefixed
from web import request_context
from web.prefetch import is_prefetch

MAX_REDIRECTS = 2
"""After this many redirects in a row, the sign-in page does not redirect again. More than one, because people open the
sign-in page twice, by a second click or in a second tab. Browsers follow 16 to 20 redirects; a round takes three."""
WINDOW_SECONDS = 10
"""How long a redirect counts."""
_COUNTS = {str(number) for number in range(1, MAX_REDIRECTS + 1)}


def detect_loop(target_url: str) -> bool:
    """Whether the app at `target_url` has just sent this browser back again and again. Counts this request.

    Only navigations count (Fetch Metadata): a script or a prefetch follows the redirects of a link that nobody opened.
    """
    if request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate" or is_prefetch():
        return False
    settings = services().settings
    path = target_url.partition("#")[0].partition("?")[0]
    digest = hashlib.sha256(path.encode()).hexdigest()[:16]
    name = prefixed("munjigi.redirects", settings)
    copies = [copy.partition(".") for copy in request.cookies.getlist(name)]  # one may be of another path or domain
    counts = [int(count) for count, _, path_digest in copies if path_digest == digest and count in _COUNTS]
    redirects = max(counts, default=0)
    request_context.current().response_cookies.set(
        Cookie(
            name=name,
            value=f"{min(redirects + 1, MAX_REDIRECTS)}.{digest}",
            path=settings.site_path or "/",
            secure=settings.secure,
            max_age=WINDOW_SECONDS,
        )
    )
    return redirects >= MAX_REDIRECTS
