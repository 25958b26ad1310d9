"""NextAuth v4's JSON surface: what its clients ask about the session, and change of it."""

import time

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf
from werkzeug.datastructures import MultiDict

import errors
from services import services
from services.sessions.model import Session
from web import request_body, request_context
from web.forms import ProfileForm

bp = Blueprint("nextauth_session", __name__)

_CHANGEABLE = {"name", "nick_name"}


@bp.get("/api/auth/csrf")
def csrf() -> ResponseReturnValue:
    return {"csrfToken": generate_csrf()}


@bp.get("/api/auth/session")
def session() -> ResponseReturnValue:
    """`{}` for anonymous visitors: NextAuth's client takes any other status for a failure."""
    signed_in = services().sessions.load()
    return shown(signed_in, with_token=services().settings.expose_access_token) if signed_in else {}


@bp.post("/api/auth/session")
def update() -> ResponseReturnValue:
    """NextAuth's `update(data)`: the names change; without data the person is read from the backend again."""
    if services().sessions.load() is not None:
        sent = request_body.value() if request.mimetype == request_body.JSON else {}
        data = sent.get("data") if isinstance(sent, dict) else None
        if data is None:
            services().profile.refresh(request_context.current())
        else:
            services().profile.save(*_names(data), request_context.current())
    return session()


@bp.errorhandler(errors.SiteError)
def without_session(error: errors.SiteError) -> ResponseReturnValue:
    """What the client reads as "no change": its `update()` then gives null, and shows what it had."""
    return {}, error.status, error.headers


def _names(data: object) -> tuple[str | None, str | None]:
    """Both names after the change; raises `InvalidFields` for whatever else somebody would like to be."""
    signed_in = services().sessions.load()
    if not isinstance(data, dict) or not data or not set(data) <= _CHANGEABLE or signed_in is None:
        raise errors.InvalidFields({}, "an update has other fields than the names")
    if not all(isinstance(value, str) or (name == "nick_name" and value is None) for name, value in data.items()):
        raise errors.InvalidFields({}, "an update has a name that is no text")
    now = {"name": signed_in.user.name, "nick_name": signed_in.user.nick_name}
    form = ProfileForm(MultiDict({name: value for name, value in {**now, **data}.items() if value is not None}))
    # That a name is missing already is no fault of this update.
    if not form.validate() and set(form.errors) & set(data):
        raise errors.InvalidFields({}, "an update has a name that the form would not take")
    return form.name.data or None, form.nick_name.data or None


def shown(session: Session, *, with_token: bool) -> dict[str, object]:
    """The session as NextAuth's client has it (v4's `Session`)."""
    expires = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(session.expires_at))
    own = {"accessToken": session.access_token} if with_token else {}
    return {"user": session.user.to_json(), "expires": expires, **own}
