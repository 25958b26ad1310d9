"""The security headers of every response (OWASP Secure Headers Project; MDN documents each header).

The values are the same for all requests, so they are built once, when the app is created.
"""

from urllib.parse import urlsplit

from flask import Flask, Response, request, url_for

from config import Settings
from web.request_context import request_id

_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
_CACHE_FOREVER = "public, max-age=31536000, immutable"
_PUBLIC_KEYS_CACHE = "public, max-age=300"  # apps fetch them again for an unknown key
_INDEXABLE_ENDPOINTS = ("home.show", "login.show")
_NO_REFERRER_ENDPOINTS = ("password_reset.show", "password_reset.save", "email_verify.show", "email_verify.save")
"""Pages whose URL can contain the code of a mail: it must not become a `Referer`, not even on this site."""
NO_ROBOTS = (("X-Robots-Tag", "noindex"),)


def init_app(app: Flask, settings: Settings) -> None:
    """Register the `after_request` hook that sets the headers."""
    page_headers = {
        **_private_headers(settings),
        "Content-Security-Policy": _page_policy(settings),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    }
    static_headers = {**_common_headers(settings), "Content-Security-Policy": _DATA_POLICY}
    page_items, data_items = tuple(page_headers.items()), data_headers(settings)

    @app.after_request
    def set_headers(response: Response) -> Response:
        endpoint, status = request.endpoint, response.status_code
        if endpoint == "static_files.file" and status == 200:
            response.headers.update(static_headers)
            response.headers["Cache-Control"] = _CACHE_FOREVER if _is_current_version() else "public, max-age=300"
            return response
        if endpoint == "forward_auth.jwks" and status == 200:
            response.headers.update({**static_headers, "Cache-Control": _PUBLIC_KEYS_CACHE})
            return response
        is_page = response.mimetype == "text/html" and status not in (301, 302, 303)
        robots = NO_ROBOTS if status >= 400 or endpoint not in _INDEXABLE_ENDPOINTS or request.query_string else ()
        response.headers.add("Vary", "Cookie")
        response.headers.extend([*(page_items if is_page else data_items), *robots, ("X-Request-Id", request_id())])
        if endpoint in _NO_REFERRER_ENDPOINTS:
            response.headers["Referrer-Policy"] = "no-referrer"
        return response


def data_headers(settings: Settings) -> tuple[tuple[str, str], ...]:
    """The headers of JSON, redirects and all other responses that are neither an HTML page nor a static file."""
    return tuple({**_private_headers(settings), "Content-Security-Policy": _DATA_POLICY}.items())


def _common_headers(settings: Settings) -> dict[str, str]:
    hsts = {"Strict-Transport-Security": settings.hsts} if settings.secure and settings.hsts else {}
    return {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin", **hsts}


def _private_headers(settings: Settings) -> dict[str, str]:
    # With `no-referrer`, browsers send `Origin: null` with the forms of this site, and csrf.py would reject them.
    private = {"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"}
    return {**_common_headers(settings), **private}


def _is_current_version() -> bool:
    """Whether `v` is the version of this file. During a rollout, `v` may name the file of another release."""
    current_url = url_for(str(request.endpoint), **(request.view_args or {}))
    return current_url.endswith(f"?v={request.args.get('v')}")


def _page_policy(settings: Settings) -> str:
    images = "'self' data:"
    if settings.logo_url and not settings.logo_url.startswith("/"):
        logo = urlsplit(settings.logo_url)
        images += f" {logo.scheme}://{logo.netloc}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self';"
        f" img-src {images}; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
    )
