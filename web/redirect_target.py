"""Validates `callbackUrl`, the address that a browser is redirected to after sign-in or sign-out.

An open redirect on a sign-in page helps phishing (CWE-601): the link starts with a trusted host. Browsers, Werkzeug and
`urllib` parse malformed URLs differently. So this module does not parse URLs: it accepts only plain paths of this
site, and always answers with the site's own origin and a path.
"""

import logging
import re
from urllib.parse import quote

from flask import request

from services import services
from web import request_body

log = logging.getLogger("munjigi.web")

FIELD = "callbackUrl"
MAX_LENGTH = 2048
"""Characters, percent-encoded: the attempt cookie of a sign-in through a provider holds it."""

# Control characters, white space, line separators, surrogates, and the backslash, which browsers read as a slash. A
# space is percent-encoded: apps write it into links as it is.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\\]")
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?=[/?#]|$)", re.IGNORECASE)
_LOGIN_PATH, _LOGOUT_PATH = "/auth/login/", "/auth/logout"
_SIGN_OUT_ENDPOINTS = ("logout.show", "logout.sign_out", "nextauth_client.sign_out_page", "nextauth_client.sign_out")


def redirect_target() -> str:
    """The absolute URL to redirect to: the requested `callbackUrl` if it is valid, else the home page."""
    return requested() or home_url()


def home_url() -> str:
    """The absolute URL of the home page."""
    return f"{services().settings.site_url}/"


def requested() -> str | None:
    """The validated `callbackUrl` of this request, from the body or the query string; None if missing or invalid."""
    url = request_body.fields().get(FIELD) or request.args.get(FIELD)
    return validate(url, after_sign_out=request.endpoint in _SIGN_OUT_ENDPOINTS) if url else None


def validate(url: str, *, after_sign_out: bool = False) -> str | None:
    """The absolute form of `url`, percent-encoded, if it is plainly an address of this site; else None.

    `url`: a path that starts with one slash, or an absolute URL with the origin of `SITE_URL`. Pages that would
    redirect the user again are no targets: the sign-out page, and the sign-in page except after a sign-out.
    """
    settings = services().settings
    if len(url) > MAX_LENGTH:
        log.info("callbackUrl ignored, it has %d characters and may have %d", len(url), MAX_LENGTH)
        return None
    if _FORBIDDEN.search(url):
        return None
    default_port = "" if re.search(r":\d+$", settings.origin) else ":443" if settings.secure else ":80"
    origin = re.match(rf"{re.escape(settings.origin)}({default_port})?(?=[/?#]|$)", url, re.IGNORECASE)
    target = url[origin.end() :] if origin else url
    if origin and not target.startswith("/"):
        target = f"/{target}"
    if not target.startswith("/") or target.startswith("//") or _resolves_to_double_slash(target):
        return None
    excluded_paths = (_LOGOUT_PATH,) if after_sign_out else (_LOGOUT_PATH, _LOGIN_PATH)
    if target.startswith(tuple(settings.site_path + path for path in excluded_paths)):
        return None
    absolute_url = settings.origin + quote(target, safe="/?#%:@!$&'()*+,;=-._~[]")
    if len(absolute_url) > MAX_LENGTH:
        log.info("callbackUrl ignored, it has %d characters and may have %d", len(absolute_url), MAX_LENGTH)
        return None
    return absolute_url


def _resolves_to_double_slash(target: str) -> bool:
    """Whether the path starts with `//` once its dot segments are removed (RFC 3986, section 5.2.4).

    Browsers read `//host` as another host: `/.//host` and `/x/..//host` both become `//host`.
    """
    path = re.split(r"[?#]", target, maxsplit=1)[0]
    if not _DOT_SEGMENT.search(path):
        return False
    segments: list[str] = []
    decoded = ""
    for segment in path.split("/")[1:]:
        decoded = segment.lower().replace("%2e", ".")
        if decoded == "..":
            del segments[-1:]
        elif decoded != ".":
            segments.append(segment)
    if decoded in (".", ".."):
        segments.append("")  # a trailing dot segment leaves a trailing slash
    return len(segments) > 1 and segments[0] == ""
