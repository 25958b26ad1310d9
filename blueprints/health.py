"""For balancers: is the process alive, does it take requests?"""

from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue

bp = Blueprint("health", __name__)


@bp.get("/health/live")
def live() -> ResponseReturnValue:
    return {"status": "ok"}


@bp.get("/health/ready")
def ready() -> ResponseReturnValue:
    """503 while the server stops. Not a word of the backend: all instances would leave the balancer at once."""
    if current_app.extensions["munjigi.stopping"]():
        return {"status": "stopping"}, 503
    return {"status": "ok"}
