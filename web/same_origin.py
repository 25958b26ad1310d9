"""Whether a request comes from a page of this site, by its `Origin` and `Sec-Fetch-Site` headers.

Browsers set both, and scripts cannot change them (Fetch, forbidden request-headers). They are compared with `SITE_URL`;
the `Host` header is never used.
"""

import re

import settings_readers
from config import Settings


def is_same_origin(origin: str | None, fetch_site: str | None, settings: Settings) -> bool:
    """Whether a request with these headers comes from this site. A missing header is None.

    A missing header passes: HTTP clients that are not browsers send neither, and older browsers send only `Origin`.
    `Origin: null` passes if the browser says in `Sec-Fetch-Site` that the request is from this site: it hides the
    origin of a page with `Referrer-Policy: no-referrer`, which a reverse proxy may have set (Fetch, "append a request
    `Origin` header"). `same-site` does not pass: another host of the domain may be somebody else's.
    """
    is_same_site = fetch_site in (None, "same-origin", "none")
    return is_same_site and (
        origin is None or _is_site_origin(origin, settings) or (origin == "null" and fetch_site == "same-origin")
    )


def _is_site_origin(origin: str, settings: Settings) -> bool:
    """Whether this is the origin of `SITE_URL`. Browsers send its normal form; other clients may not."""
    if origin == settings.origin:
        return True
    try:
        return bool(re.fullmatch(r"[^/]+://[^/]+", origin)) and settings_readers.base_url(origin) == settings.origin
    except ValueError:
        return False
