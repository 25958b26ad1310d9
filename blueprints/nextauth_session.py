"""NextAuth v4's session and CSRF endpoints: read and update the session as JSON."""

import time

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf

import errors
from services import services
from services.sessions.model import Session
from web import request_body, request_context
from web.forms import ProfileForm

bp = Blueprint("nextauth_session", __name__)

_UPDATABLE_FIELDS = {"name", "nick_name"}


@bp.get("/api/auth/csrf")
def csrf() -> ResponseReturnValue:
    return {"csrfToken": generate_csrf()}


@bp.get("/api/auth/session")
def session() -> ResponseReturnValue:
    """The session, or `{}` without a session. NextAuth's client reads any other status than 200 as a failure."""
    current_session = services().sessions.load()
    if current_session is None:
        return {}
    return session_json(current_session, with_token=services().settings.expose_access_token)


@bp.post("/api/auth/session")
def update() -> ResponseReturnValue:
    """NextAuth's `update(data)`: change the names. Without data, read the user from the backend again."""
    if services().sessions.load() is not None:
        body = request_body.parse_json() if request.mimetype == request_body.JSON else request_body.fields()
        data = body.get("data") if isinstance(body, dict) else None
        if data is None:
            services().profile.refresh(request_context.current())
        else:
            services().profile.save(*_updated_names(data), request_context.current())
    return session()


@bp.errorhandler(errors.SiteError)
def empty_session(error: errors.SiteError) -> ResponseReturnValue:
    """`{}` with the status of the error: the client's `update()` resolves to null, and keeps the session it has."""
    return {}, error.status, error.headers


def _updated_names(data: object) -> tuple[str | None, str | None]:
    """The name and the nickname after the update. Raises `InvalidFields` for other fields and for invalid names."""
    current_session = services().sessions.load()
    if not isinstance(data, dict) or not data or not set(data) <= _UPDATABLE_FIELDS or current_session is None:
        raise errors.InvalidFields({}, "session update: fields other than name and nick_name")
    if not all(isinstance(value, str) or (name == "nick_name" and value is None) for name, value in data.items()):
        raise errors.InvalidFields({}, "session update: a name is not a string")
    form = ProfileForm.for_changes(current_session.user, data)
    if not form.accepts(data):
        raise errors.InvalidFields({}, "session update: a name failed the form validation")
    return form.name.data, form.nick_name.data


def session_json(session: Session, *, with_token: bool) -> dict[str, object]:
    """The session in the format of NextAuth v4's `Session` type. `with_token` adds the backend's access token."""
    expires = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(session.expires_at))
    token = {"accessToken": session.access_token} if with_token else {}
    return {"user": session.user.to_json(), "expires": expires, **token}
