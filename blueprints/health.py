"""For balancers: is the process alive, does it take requests?"""

from flask import Blueprint, current_app
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
    if not services().ended.caught_up.is_set():
        return {"status": "starting"}, 503
    return {"status": "ok"}
