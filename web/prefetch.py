"""Detects prefetches: requests that a browser sends before anybody opens the page. They must not have visible effects.

Sources: Fetch, `Sec-Purpose` (https://fetch.spec.whatwg.org/#sec-purpose-header). Older versions of Chromium send
`Purpose`, older ones of Firefox `X-Moz`, and Safari sends `Purpose` or `X-Purpose` for previews.
"""

import re

from flask import get_flashed_messages, request

_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
_PURPOSES = frozenset({"prefetch", "prerender", "preview"})


def is_prefetch() -> bool:
    """Whether a browser fetches this page in advance. It may show the response later, or discard it."""
    values = " ".join(request.headers.get(name, "") for name in _HEADERS)
    return not _PURPOSES.isdisjoint(re.split(r"[\s;,]+", values.lower()))


def pop_flashed_messages() -> list[str]:
    """Remove and return the flashed messages. Empty if nobody sees this response.

    A script or an image gets an error page too: browsers ask for `/favicon.ico` (Fetch Metadata, `Sec-Fetch-Mode`).
    """
    is_navigation = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    if is_prefetch() or request.method == "HEAD" or not is_navigation:
        return []
    return list(dict.fromkeys(get_flashed_messages()))  # type: ignore[arg-type]  # without categories
