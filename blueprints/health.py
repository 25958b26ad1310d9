"""For balancers: is the process alive, does it take requests? And for Prometheus: what has it done?"""

import hmac

from flask import Blueprint, Response, abort, current_app, request
from flask.typing import ResponseReturnValue

from services import services

bp = Blueprint("health", __name__)


@bp.get("/health/live")
def live() -> ResponseReturnValue:
    return {"status": "ok"}


@bp.get("/health/ready")
def ready() -> ResponseReturnValue:
    """503 while the server stops, or still reads which sessions were ended before it started.

    Not a word of the backend, nor of a Redis that is away: all instances would leave the balancer at once.
    """
    if current_app.extensions["munjigi.stopping"]():
        return {"status": "stopping"}, 503
    services().revoked_sessions.start_feed()
    if not services().revoked_sessions.is_synced:
        return {"status": "starting"}, 503
    return {"status": "ok"}


@bp.get("/metrics")
def metrics() -> ResponseReturnValue:
    """404 without `METRICS_TOKEN`; with it, for who sends it."""
    token, found = services().settings.metrics_token, services().metrics
    if token is None or found is None:
        abort(404)
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not hmac.compare_digest(sent.encode(), token.encode()):
        return Response(status=401, headers={"WWW-Authenticate": "Bearer"})
    return Response(found.render(), mimetype="text/plain")
