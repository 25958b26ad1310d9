"""May this request pass? What a proxy asks before each request of an app (nginx `auth_request`, Caddy, Traefik)."""

from urllib.parse import quote

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from services import services
from services.backend.user import User
from web import login_page, redirect_target

bp = Blueprint("forward_auth", __name__)


@bp.get("/auth/verify")
def verify() -> ResponseReturnValue:
    """204 with who it is, percent-encoded, or 401. It only looks: proxies lose the cookies of such an answer.

    A proxy that says what was asked for (`X-Forwarded-Uri`) is told with the 401 where to send the person: not
    every one can encode an address. Whoever makes up that header gets no further than the gate lets everybody.
    """
    session = services().sessions.load_readonly()
    if session is None:
        asked = redirect_target.passed(request.headers.get("X-Forwarded-Uri", ""))
        return Response(status=401, headers={"X-Auth-Sign-In": login_page.url(None, asked)})
    return Response(status=204, headers=told(session.user), mimetype="text/plain")


def told(user: User) -> dict[str, str]:
    """The headers that say who it is. All three, always: of a missing one, Caddy lets the visitor's own through."""
    known = {"Id": user.id, "Email": user.email or "", "Name": user.name or ""}
    return {f"X-Auth-User-{name}": quote(str(value), safe="@") for name, value in known.items()}
