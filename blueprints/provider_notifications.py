"""Notifications of providers: a person revoked their consent, closed their account, or changed how mail is forwarded.

A provider's server sends them, without cookies. Each is signed, so `web/csrf.py` exempts this endpoint.
"""

import logging

from flask import Blueprint, Response, abort, request
from flask.typing import ResponseReturnValue

import errors
from services import services
from services.oauth.signed_jwt import InvalidToken
from web import request_body, request_context
from web.request_context import reference

log = logging.getLogger("munjigi.provider_events")

bp = Blueprint("provider_notifications", __name__, url_prefix="/api/auth")


@bp.post("/notifications/<provider>")
def receive(provider: str) -> ResponseReturnValue:
    """End the sessions that a notification is about, and pass its event on to the backend: 200.

    400 for a notification that is not valid, or was used before. 503 if its keys could not be fetched, or the backend
    has not accepted the event: the provider then sends it again. 404 for a provider that is not in `PROVIDERS`, or that
    sends no notifications.
    """
    registration = services().settings.registration(provider)
    notifications = registration.provider.notifications if registration else None
    if registration is None or notifications is None:
        abort(404)
    try:
        token = _read_token(notifications.token_field)
        services().provider_events.receive(registration, notifications, token, request_context.current())
    except InvalidToken as error:
        log.warning("notification refused: provider=%s reason=%s", provider, error)
        return _error("invalid_request", str(error)), 400
    except errors.SiteError as error:
        log.warning(
            "notification not processed, the provider has to repeat it: provider=%s reason=%s", provider, error.reason
        )
        return _error("temporarily_unavailable", "it cannot be processed now; send it again later"), 503
    return Response(status=200, mimetype="text/plain")


def _read_token(field: str) -> object:
    if request.mimetype != request_body.JSON:
        raise InvalidToken("the Content-Type must be application/json")
    try:
        body = request_body.parse_json()
    except ValueError:
        raise InvalidToken("the body must be JSON") from None
    if not isinstance(body, dict) or field not in body:
        raise InvalidToken(f'the body must be an object with the member "{field}"')
    return body[field]


def _error(code: str, description: str) -> dict[str, str]:
    return {"error": code, "error_description": description, "requestId": reference()}
