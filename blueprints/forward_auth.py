"""Forward authentication: a proxy asks `/auth/verify` before each request to an app.

For nginx `auth_request`, Caddy `forward_auth` and Traefik `ForwardAuth`.
"""

import logging
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote

from flask import Blueprint, Response, abort, render_template, request
from flask.typing import ResponseReturnValue

import errors
from services import Services, services
from services.backend import user_claims
from services.backend.user import User
from services.sessions.model import Session
from settings_readers import UserClaim
from web import confirm_page, login_page, redirect_target, request_context, same_origin

log = logging.getLogger("munjigi.csrf")

CSRF_HEADERS = ("x-forwarded-method", "origin", "sec-fetch-site", "sec-fetch-mode", "sec-websocket-version")
"""The headers that `is_cross_site` reads."""

bp = Blueprint("forward_auth", __name__)


@bp.get("/auth/verify")
def verify() -> ResponseReturnValue:
    """204 with the headers for the app for a valid session; 403 for a cross-site request; else 401.

    With the parameter `max_age`, a session with an older sign-in gets 401 too, with the URL of the page on which the
    person signs in again.

    The session is not written, because proxies drop the cookies of this response. If the proxy sends `X-Forwarded-Uri`,
    the 401 has the URL of the sign-in page in `X-Auth-Sign-In`, with the callback URL encoded: not every proxy can
    encode it. `redirect_target.validate` checks the header, because clients can forge it.

    A proxy such as Traefik passes the 401 on, and the browser would show an empty page. So the 401 of a page, not of a
    script's request, redirects to the sign-in page.
    """
    if is_cross_site(request.headers.get, services()):
        return _refuse()
    try:
        max_age = _max_age()
    except ValueError as invalid:
        return Response(f"{invalid}\n", status=400, mimetype="text/plain")
    session = services().sessions.load_without_set_cookie()
    if session is None or (max_age is not None and not session.is_recent(max_age, services().clock.time())):
        callback_url = redirect_target.validate(request_context.percent_encoded_header("X-Forwarded-Uri"))
        notice = errors.SessionExpired if services().sessions.was_revoked() else None
        url = confirm_page.url(None, callback_url) if session else login_page.url(notice, callback_url)
        body = render_template("sign_in_required.html", url=url) if _is_page() else None
        return Response(body, status=401, headers={"X-Auth-Sign-In": url})
    headers = app_headers(session, services(), request.headers.get("X-Forwarded-Host"))
    return Response(status=204, headers=headers, mimetype="text/plain")


def _max_age() -> int | None:
    """The seconds since the sign-in that the proxy allows; None if it allows any time.

    Raises `ValueError` if the parameter is wrong. That is a mistake of the operator, and no request may pass then.
    """
    values = request.args.getlist("max_age")
    if not values:
        return None
    if len(values) > 1 or not re.fullmatch(r"[0-9]{1,9}", values[0]):
        raise ValueError("max_age must be a whole number of seconds, once")
    return int(values[0])


def is_cross_site(get_header: Callable[[str], str | None], services: Services) -> bool:
    """Whether another site may have caused a request that changes something at the app (CSRF).

    get_header: returns one of `CSRF_HEADERS` of the proxy's request, None if it is missing. All but
    `X-Forwarded-Method` are those of the original request.

    The app trusts the session cookie, which the browser sends with requests of other pages too: those of other hosts
    of the domain, whatever `SameSite` says. GET and HEAD change nothing, and links from other sites have to work. All
    other methods are compared with `SITE_URL`, in their exact spelling (RFC 9110, 9.1). So are WebSocket handshakes:
    they are GET requests, but open a connection that can do everything, and browsers let any page open one (RFC 6455,
    10.2).

    Without `X-Forwarded-Method`, the method counts as GET, unless the app gets the access token: a proxy that does not
    send the method must not turn the check off unnoticed.
    """
    method = get_header("x-forwarded-method")
    is_safe = method in ("GET", "HEAD") or (method is None and not services.settings.forward_access_token)
    if is_safe and not _is_websocket_handshake(get_header):
        return False
    return not same_origin.is_same_origin(get_header("origin"), get_header("sec-fetch-site"), services.settings)


def _is_websocket_handshake(get_header: Callable[[str], str | None]) -> bool:
    """Whether headers of a WebSocket handshake are present. nginx does not pass on the `Upgrade` header."""
    return get_header("sec-websocket-version") is not None or get_header("sec-fetch-mode") == "websocket"


def _refuse() -> Response:
    """The answer to a cross-site request: never a redirect to the sign-in page, which would repeat it as a GET."""
    headers, path = request.headers, request_context.percent_encoded_header("X-Forwarded-Uri").partition("?")[0]
    log.warning(
        "cross-site request to an app rejected: method=%r path=%r origin=%r sec_fetch_site=%r site_url=%s",
        headers.get("X-Forwarded-Method", "")[:20],
        path[:200],
        headers.get("Origin", "")[:80],
        headers.get("Sec-Fetch-Site", "")[:20],
        services().settings.site_url,
    )
    services().audit.record(
        "csrf_failed",
        request_context.current(),
        outcome=errors.OriginMismatch.code,
        reason="forward auth: Origin or Sec-Fetch-Site is not of SITE_URL",
    )
    text = f"{errors.OriginMismatch.message}\n{request_context.reference()}\n"
    return Response(text, status=403, mimetype="text/plain")


@bp.get("/.well-known/jwks.json")
def jwks() -> ResponseReturnValue:
    """The public keys that verify assertions (RFC 7517); 404 without `ASSERTION_PRIVATE_KEY`."""
    assertions = services().assertions
    return dict(assertions.jwks) if assertions else abort(404)


def _is_page() -> bool:
    """Whether the proxy asks about a page that a browser opens. Scripts accept `*/*`, or JSON."""
    method = request.headers.get("X-Forwarded-Method", "GET")
    return method in ("GET", "HEAD") and "text/html" in request.accept_mimetypes.values()


def app_headers(session: Session, services: Services, forwarded_host: str | None) -> dict[str, str]:
    """The headers of a 204 for the app.

    They are the user, with `ASSERTION_PRIVATE_KEY` the signed `X-Auth-Assertion`, and with `FORWARD_ACCESS_TOKEN` the
    access token. forwarded_host: the value of `X-Forwarded-Host`; None if the proxy does not send it.

    The token must not reach the browser. A proxy does not pass on the response to its own request to `/auth/verify`;
    docs/forward-auth.md tells operators to refuse those of browsers.
    """
    headers = identity_headers(session.user, services.settings.user_claims)
    if services.assertions:
        headers["X-Auth-Assertion"] = services.assertions.sign(session, forwarded_host)
    if services.settings.forward_access_token:
        name, value = services.backend.token_header(session.access_token)
        headers[name] = value
    return headers


def identity_headers(user: User, claims: Iterable[UserClaim]) -> dict[str, str]:
    """The `X-Auth-User-…` headers, percent-encoded. `claims`: those of `USER_CLAIMS`.

    An empty value is sent as an empty header: if one is missing, Caddy passes on the header that the client sent.
    """
    fields = {"Id": user.id, "Email": user.email or "", "Name": user.name or ""}
    headers = {f"X-Auth-User-{name}": quote(str(value), safe="@") for name, value in fields.items()}
    for claim in claims:
        headers[claim.header] = _encode(user.claims.get(claim.name))
    return headers


def _encode(value: object) -> str:
    """A claim as the text of a header: the items of a list are joined with commas; other structures are JSON.

    Each item is percent-encoded, so that a comma within an item is not a separator.
    """
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return ",".join(map(_encode, value))
    text = "" if value is None else value if isinstance(value, str) else user_claims.to_json(value)
    return quote(text, safe="@")
