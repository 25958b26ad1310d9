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

    def put(response: Response) -> Response:
        if request.endpoint in ("static", "assets.style_sheet") and response.status_code == 200:
            response.headers.update(static)
            response.headers["Cache-Control"] = _STATIC_YEAR if "v" in request.args else "public, max-age=300"
            return response
        is_page = response.mimetype == "text/html" and response.status_code not in (301, 302, 303)
        response.headers.update(page if is_page else bare)
        response.headers["X-Request-Id"] = request_id()
        if response.status_code >= 400 or request.endpoint not in _INDEXABLE or request.args:
            response.headers["X-Robots-Tag"] = "noindex"
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
