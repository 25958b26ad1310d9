"""The security headers of every response (`facts`: OWASP Secure Headers; MDN for each).

Fixed per site, so they are put together once and only copied onto a response.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Response, request

from config import Settings
from services.events import request_id

_TWO_YEARS = 63072000
_STATIC_YEAR = "public, max-age=31536000, immutable"
_INDEXABLE = ("home.show", "login.show")


def after_request(settings: Settings) -> Callable[[Response], Response]:
    """What puts the headers on a response of this site."""
    every = {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
    if settings.secure:
        every["Strict-Transport-Security"] = f"max-age={_TWO_YEARS}; includeSubDomains"
    private = {**every, "Cache-Control": "no-store", "Vary": "Cookie", "X-Frame-Options": "DENY"}
    # Not no-referrer: then browsers send `Origin: null` with our own forms, and they would be refused.
    private["Referrer-Policy"] = "same-origin"
    bare = {**private, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
    page = {
        **private,
        "Content-Security-Policy": _page_policy(settings),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    }
    static = {**every, "Content-Security-Policy": "default-src 'none'"}

    as_bare, as_page, as_static = tuple(bare.items()), tuple(page.items()), tuple(static.items())

    def put(response: Response) -> Response:
        endpoint, status, headers = request.endpoint, response.status_code, response.headers
        if endpoint in ("static", "assets.style_sheet") and status == 200:
            headers.update(as_static)
            headers["Cache-Control"] = _STATIC_YEAR if "v" in request.args else "public, max-age=300"
            return response
        is_page = response.mimetype == "text/html" and status not in (301, 302, 303)
        headers.extend(as_page if is_page else as_bare)
        headers.add("X-Request-Id", request_id())
        if status >= 400 or endpoint not in _INDEXABLE or request.query_string:
            headers.add("X-Robots-Tag", "noindex")
        return response

    return put


def _page_policy(settings: Settings) -> str:
    images = "'self' data:"
    if settings.logo_url and not settings.logo_url.startswith("/"):
        logo = urlsplit(settings.logo_url)
        images += f" {logo.scheme}://{logo.netloc}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self';"
        f" img-src {images}; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
    )
