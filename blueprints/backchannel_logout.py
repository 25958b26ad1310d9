"""Endpoints with which other servers end sessions: the backend, and OpenID Connect issuers.

Their requests carry no cookies. A token authenticates each request, so `web/csrf.py` exempts these endpoints.
"""

import logging

from flask import Blueprint, Response, abort, request
from flask.typing import ResponseReturnValue

import errors
from services import services
from services.oauth.signed_jwt import InvalidToken
from web import bearer_auth, request_body, request_context
from web.request_context import reference

log = logging.getLogger("munjigi.sessions")

bp = Blueprint("backchannel_logout", __name__, url_prefix="/api/auth")

MAX_ID_LENGTH = 255
"""Characters of a `user_id` or `sid`: as long as the id of a user in a session may be."""


@bp.post("/sessions/revoke")
def end_sessions_of_backend() -> ResponseReturnValue:
    """End all sessions of a user, or one session: 204. 404 without `BACKEND_EVENTS_TOKEN`; 401 without that token.

    Attempts to guess the token are not limited, since it has at least 32 characters.

    After 204, this process rejects the sessions. Other processes do within a second, or when Redis is available again.
    """
    token = services().settings.backend_events_token
    if token is None:
        abort(404)
    if not bearer_auth.has_token(token):
        body = {"error": "invalid_token", "requestId": reference()}
        return body, 401, {"WWW-Authenticate": 'Bearer realm="Munjigi"'}
    try:
        name, value = _requested_revocation()
    except ValueError as error:
        return {"error": "invalid_request", "message": str(error), "requestId": reference()}, 400
    services().backchannel_logout.by_backend(name, value, request_context.current())
    return Response(status=204, mimetype="text/plain")


@bp.post("/backchannel-logout/<provider>")
def end_sessions_of_issuer(provider: str) -> ResponseReturnValue:
    """End the sessions that a logout token names: 200 (OpenID Connect Back-Channel Logout 1.0, 2.5 to 2.8).

    400 for a token that is not valid, or that cannot be verified because the issuer cannot be reached. 404 for a
    provider that is not in `PROVIDERS`, or that has no keys to sign a token with.
    """
    registration = services().settings.registration(provider)
    if registration is None or not registration.provider.can_send_logout_tokens:
        abort(404)
    tokens = request.form.getlist("logout_token") if request.mimetype == request_body.FORM else []
    try:
        if len(tokens) != 1:
            raise InvalidToken("the body must be a form with one logout_token")
        services().backchannel_logout.by_issuer(registration, tokens[0], request_context.current())
    except (InvalidToken, errors.ProviderUnavailable) as error:
        log.warning("logout token refused: provider=%s reason=%s", provider, error)
        is_invalid = isinstance(error, InvalidToken)
        message = str(error) if is_invalid else "the issuer cannot be reached to verify it"
        code = "invalid_request" if is_invalid else "temporarily_unavailable"
        return {"error": code, "error_description": message, "requestId": reference()}, 400
    return Response(status=200, mimetype="text/plain")


def _requested_revocation() -> tuple[str, int | str]:
    """The field of the JSON body, `user_id` or `sid`, and its value. Raises `ValueError` with a text for developers."""
    if request.mimetype != request_body.JSON:
        raise ValueError("the Content-Type must be application/json")
    try:
        body = request_body.parse_json()
    except ValueError:
        raise ValueError("the body must be JSON") from None
    if not isinstance(body, dict) or len(body) != 1 or not set(body) <= {"user_id", "sid"}:
        raise ValueError('the body must be an object with one member: "user_id" or "sid"')
    name, value = next(iter(body.items()))
    is_number = name == "user_id" and type(value) is int
    if not is_number and not (isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH):
        kinds = "a whole number or " if name == "user_id" else ""
        raise ValueError(f"{name} must be {kinds}a text of 1 to {MAX_ID_LENGTH} characters")
    return name, value
