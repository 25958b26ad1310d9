"""The security headers of every response (OWASP Secure Headers Project; MDN for each).

Fixed per site, so they are put together once and only copied onto a response.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Response, request, url_for

from config import Settings
from web.request_context import request_id

_TWO_YEARS = 63072000
_STATIC_YEAR = "public, max-age=31536000, immutable"
_INDEXABLE = ("home.show", "login.show")
NO_ROBOTS = (("X-Robots-Tag", "noindex"),)


def after_request(settings: Settings) -> Callable[[Response], Response]:
    """What puts the headers on a response of this site."""
    page = {
        **_private(settings),
        "Content-Security-Policy": _page_policy(settings),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    }
    static = {**_every(settings), "Content-Security-Policy": "default-src 'none'"}

    as_data, as_page = of_data(settings), tuple(page.items())

    def put(response: Response) -> Response:
        endpoint, status = request.endpoint, response.status_code
        if endpoint == "static_files.file" and status == 200:
            response.headers.update(static)
            response.headers["Cache-Control"] = _STATIC_YEAR if _is_its_version() else "public, max-age=300"
            return response
        is_page = response.mimetype == "text/html" and status not in (301, 302, 303)
        robots = NO_ROBOTS if status >= 400 or endpoint not in _INDEXABLE or request.query_string else ()
        response.headers.add("Vary", "Cookie")
        response.headers.extend([*(as_page if is_page else as_data), *robots, ("X-Request-Id", request_id())])
        return response

    return put


def of_data(settings: Settings) -> tuple[tuple[str, str], ...]:
    """The fixed headers of what is no page and no file."""
    own = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
    return tuple({**_private(settings), **own}.items())


def _every(settings: Settings) -> dict[str, str]:
    secure = {"Strict-Transport-Security": f"max-age={_TWO_YEARS}; includeSubDomains"} if settings.secure else {}
    return {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", **secure}


def _private(settings: Settings) -> dict[str, str]:
    # Not no-referrer: then browsers send `Origin: null` with our own forms, and they would be refused.
    own = {"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"}
    return {**_every(settings), **own}


def _is_its_version() -> bool:
    """Whether the file that was asked for is this one: not the next release's, which another worker has already."""
    own = url_for(str(request.endpoint), **(request.view_args or {}))
    return own.endswith(f"?v={request.args.get('v')}")


def _page_policy(settings: Settings) -> str:
    images = "'self' data:"
    if settings.logo_url and not settings.logo_url.startswith("/"):
        logo = urlsplit(settings.logo_url)
        images += f" {logo.scheme}://{logo.netloc}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self';"
        f" img-src {images}; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
    )
