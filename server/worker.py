"""One worker process of `make serve`: creates the site, and handles start and stop of the process."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import cast

from flask import Flask

import app
import config
from server.asgi import AsgiApp
from services import Services
from services.observability import audit, log_config

STOP_SECONDS = 30
"""The time limit for running requests at shutdown. A request waits for the backend for up to BACKEND_TIMEOUT."""
KILL_SECONDS = STOP_SECONDS + 5
"""The time after which a process that has not stopped exits."""
_FLUSH_SECONDS = 2.0
"""The time limit for writing the last log lines, whose reader may have stopped reading."""

log = logging.getLogger("munjigi.serve")


def create() -> AsgiApp:
    """Create the ASGI application with the settings of the environment."""
    settings = config.load(os.environ)
    configure_logs(settings)
    log_writer = log_config.use_queue()
    stopping = threading.Event()
    flask_app = app.create_app(settings, stopping.is_set)
    services: Services = flask_app.extensions["munjigi"]

    async def startup() -> None:
        _delay_stop(stopping, settings.shutdown_delay)
        preload(flask_app)
        if feed := services.revoked_sessions.feed:
            feed.start()
            await feed.ready()

    async def shutdown() -> None:
        await services.aclose()
        await asyncio.to_thread(audit.delivery.wait, _FLUSH_SECONDS)
        await asyncio.to_thread(log_writer.wait, _FLUSH_SECONDS)

    return AsgiApp(flask_app, startup, shutdown)


def preload(flask_app: Flask) -> None:
    """Load all templates and translations, so that no request reads files on the event loop."""
    for template in flask_app.jinja_env.list_templates(extensions=["html", "svg"]):
        flask_app.jinja_env.get_template(template)
    client = flask_app.test_client()
    for language in flask_app.config["LANGUAGES"]:
        client.get("/auth/login/email", headers={"Accept-Language": language})


def configure_logs(settings: config.Settings) -> None:
    """Configure the site's log, and write uvicorn's log lines to it."""
    log_config.configure(settings)
    uvicorn_log = logging.getLogger("uvicorn.error")
    uvicorn_log.setLevel(settings.log_level.upper())
    uvicorn_log.addFilter(_is_relevant)


def _is_relevant(record: logging.LogRecord) -> bool:
    """Filter out uvicorn's warnings about invalid requests, which scanners cause in large numbers."""
    return not record.getMessage().startswith(("Invalid HTTP request", "Unsupported upgrade", "No supported WebSocket"))


def _delay_stop(stopping: threading.Event, delay: float) -> None:
    """On SIGTERM, let `/health/ready` answer 503 for `delay` seconds before uvicorn stops accepting connections.

    Meanwhile the load balancer notices, and sends new requests to other processes.
    """
    loop = asyncio.get_running_loop()
    uvicorn_handler = cast(Callable[[int, FrameType | None], object], signal.getsignal(signal.SIGTERM))

    def handle_sigterm(number: int, frame: FrameType | None) -> None:
        stopping.set()
        loop.call_soon_threadsafe(partial(loop.call_later, delay, uvicorn_handler, number, frame))
        _exit_after(delay + KILL_SECONDS)

    signal.signal(signal.SIGTERM, handle_sigterm)


def _exit_after(seconds: float) -> None:
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()
