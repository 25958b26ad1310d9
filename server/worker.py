"""One process of `make serve`: the site, and what happens when the process starts and stops."""

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
from server.asgi import Asgi
from services import Services
from services.observability import audit, log_config

STOP_SECONDS = 30
"""For requests under way when the process is asked to stop; the longest may wait for the backend for 10."""
KILL_SECONDS = STOP_SECONDS + 5
"""After this a process that does not stop ends at once."""
_FLUSH_SECONDS = 2.0

log = logging.getLogger("munjigi.serve")


def create() -> Asgi:
    """The application that uvicorn runs, from the settings of the environment."""
    settings = config.load(os.environ)
    configure_logs(settings)
    lines = log_config.use_queue()
    stopping = threading.Event()
    site = app.create_app(settings, stopping.is_set)
    services: Services = site.extensions["munjigi"]

    async def startup() -> None:
        _delay_stop(stopping, settings.shutdown_delay)
        preload(site)
        if feed := services.revoked_sessions.feed:
            feed.start()
            await feed.wait_until_synced()

    async def shutdown() -> None:
        await services.aclose()
        await asyncio.to_thread(audit.delivery.wait, _FLUSH_SECONDS)
        await asyncio.to_thread(lines.wait, _FLUSH_SECONDS)

    return Asgi(site, startup, shutdown)


def preload(site: Flask) -> None:
    """Read all templates and translations, so that no request reads a file on the event loop."""
    for template in site.jinja_env.list_templates(extensions=["html", "svg"]):
        site.jinja_env.get_template(template)
    client = site.test_client()
    for language in site.config["LANGUAGES"]:
        client.get("/auth/login/email", headers={"Accept-Language": language})


def configure_logs(settings: config.Settings) -> None:
    """The site's log, with uvicorn's own lines in it."""
    log_config.configure(settings)
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.setLevel(settings.log_level.upper())
    uvicorn.addFilter(_is_worth_a_line)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """uvicorn warns of each request that is no HTTP: strangers send many."""
    return not record.getMessage().startswith(("Invalid HTTP request", "Unsupported upgrade", "No supported WebSocket"))


def _delay_stop(stopping: threading.Event, delay: float) -> None:
    """On SIGTERM, `/health/ready` answers 503 for `delay` seconds, which a load balancer needs to notice it. Only then
    uvicorn closes its socket and lets the requests under way finish."""
    loop = asyncio.get_running_loop()
    stop = cast(Callable[[int, FrameType | None], object], signal.getsignal(signal.SIGTERM))  # uvicorn's own

    def handle(number: int, frame: FrameType | None) -> None:
        stopping.set()
        loop.call_soon_threadsafe(partial(loop.call_later, delay, stop, number, frame))
        _kill_after(delay + KILL_SECONDS)

    signal.signal(signal.SIGTERM, handle)


def _kill_after(seconds: float) -> None:
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()
