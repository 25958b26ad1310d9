"""Health checks for load balancers and orchestrators, and metrics for Prometheus."""

from flask import Blueprint, Response, abort, current_app
from flask.typing import ResponseReturnValue

from services import services
from web import bearer_auth

bp = Blueprint("health", __name__)


@bp.get("/health/live")
def live() -> ResponseReturnValue:
    """Liveness: the process answers."""
    return {"status": "ok"}


@bp.get("/health/ready")
def ready() -> ResponseReturnValue:
    """Readiness: 503 while the server shuts down, or while it loads the revoked sessions from Redis at the start.

    The backend and outages of Redis are ignored: they would take all instances out of the load balancer at once.
    """
    if current_app.extensions["munjigi.stopping"]():
        return {"status": "stopping"}, 503
    services().revoked_sessions.start_feed()
    if not services().revoked_sessions.is_ready:
        return {"status": "starting"}, 503
    return {"status": "ok"}


@bp.get("/metrics")
def metrics() -> ResponseReturnValue:
    """Metrics in the Prometheus text format. 404 without `METRICS_TOKEN`; 401 without that token as Bearer token."""
    token, registry = services().settings.metrics_token, services().metrics
    if token is None or registry is None:
        abort(404)
    if not bearer_auth.has_token(token):
        return Response(status=401, headers={"WWW-Authenticate": "Bearer"})
    return Response(registry.render(), mimetype="text/plain")
