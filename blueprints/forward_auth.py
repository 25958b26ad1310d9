"""Forward authentication: a proxy asks `/auth/verify` before each request to an app.

For nginx `auth_request`, Caddy `forward_auth` and Traefik `ForwardAuth`.
"""

from collections.abc import Iterable
from urllib.parse import quote

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from services import services
from services.backend import user_claims
from services.backend.user import User
from settings_readers import UserClaim
from web import login_page, redirect_target, request_context

bp = Blueprint("forward_auth", __name__)


@bp.get("/auth/verify")
def verify() -> ResponseReturnValue:
    """204 with the identity headers for a valid session, else 401.

    The session is read only, because proxies drop the cookies of this response. If the proxy sends `X-Forwarded-Uri`,
    the 401 has the URL of the sign-in page in `X-Auth-Sign-In`, with the callback URL encoded: not every proxy can
    encode it. `redirect_target.validate` checks the header, because clients can forge it.

    A proxy that passes the 401 on, as Traefik does, would leave a browser with an empty page. So the 401 of a page, not
    of a script's request, leads to the sign-in page too.
    """
    session = services().sessions.load_without_set_cookie()
    if session is None:
        callback_url = redirect_target.validate(request_context.percent_encoded_header("X-Forwarded-Uri"))
        url = login_page.url(None, callback_url)
        body = render_template("sign_in_required.html", url=url) if _is_page() else None
        return Response(body, status=401, headers={"X-Auth-Sign-In": url})
    headers = identity_headers(session.user, services().settings.user_claims)
    return Response(status=204, headers=headers, mimetype="text/plain")


def _is_page() -> bool:
    """Whether the proxy asks about a page that a browser opens. Scripts accept `*/*`, or JSON."""
    method = request.headers.get("X-Forwarded-Method", "GET")
    return method in ("GET", "HEAD") and "text/html" in request.accept_mimetypes.values()


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

    Each item is percent-encoded, so that a comma in it is none between items.
    """
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return ",".join(map(_encode, value))
    text = "" if value is None else value if isinstance(value, str) else user_claims.to_json(value)
    return quote(text, safe="@")
