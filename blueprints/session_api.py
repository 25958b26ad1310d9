"""NextAuth v4's JSON surface: what its clients ask about the session."""

from datetime import UTC, datetime

from flask import Blueprint
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf

from services import services
from services.claims import Session

bp = Blueprint("session_api", __name__)


@bp.get("/api/auth/csrf")
def csrf() -> ResponseReturnValue:
    return {"csrfToken": generate_csrf()}


@bp.get("/api/auth/session")
def session() -> ResponseReturnValue:
    """`{}` for anonymous visitors: NextAuth's client takes any other status for a failure."""
    signed_in = services().sessions.load()
    return _session_json(signed_in) if signed_in else {}


def _session_json(session: Session) -> dict[str, object]:
    expires = datetime.fromtimestamp(session.expires_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body: dict[str, object] = {"user": session.user.to_json(), "expires": expires}
    if services().settings.expose_access_token:
        body["accessToken"] = session.access_token
    return body
