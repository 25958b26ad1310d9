"""`make serve`: the production server. Settings are checked once, before anything listens.

Granian's workers are processes, in each of which one thread takes requests (`door.py`). A worker that dies is
replaced; one that does not stop in time is killed. Its header limit (some 400 kB in all) lets three session chunks
pass with room.
"""

import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.synchronize import Event
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from dotenv import find_dotenv, load_dotenv
from flask import Flask

import app
import config
import one_core
from doctor import advice
from door import Door
from services import logs

if TYPE_CHECKING:
    from granian.server import MPServer

STOP_SECONDS = 30
"""For requests under way when a stop is asked for; the longest may wait for the backend for 10."""
_M_ARENA_MAX, _HEAPS = -8, 2
"""glibc's `malloc.h`. It would take eight heaps a core, each full of holes."""
LONGEST_TURN = 0.05
"""Seconds that a thread may compute before others make it stop. None does so for as long; but with the usual 0.005, all
that wait to compute look every five milliseconds whether it is time, which costs up to a tenth of a session read."""
SLOWEST_HEADERS = 10_000
"""Milliseconds."""


def main() -> None:
    load_dotenv(find_dotenv(usecwd=True))
    try:
        settings = config.load(os.environ)
    except config.SettingsError as error:
        sys.exit(str(error))
    stopping = multiprocessing.get_context().Event()
    server = _server(settings)
    _configure_logs(settings)
    _warn(settings)
    gc.collect()
    gc.freeze()  # a collection would write to each object, and so copy its page into each worker that is forked
    server.on_startup(partial(_announce_stop, stopping, settings.stop_delay))
    with TemporaryDirectory(prefix="munjigi-metrics-") as numbers:
        if settings.metrics_token:  # before prometheus_client is imported: then its numbers are of all workers together
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = numbers
        server.serve(target_loader=at_the_door(settings, partial(_site, settings, stopping)), wrap_loader=False)


def _spare_memory() -> None:
    """No heaps of its own for each thread: there are hundreds, and one computes at a time. For C, then for Granian."""
    with suppress(AttributeError, OSError):  # another C library than glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _HEAPS)
    os.environ.setdefault("_RJEM_MALLOC_CONF", "narenas:1,tcache:false")


def _server(settings: config.Settings) -> "MPServer":
    _spare_memory()
    from granian.constants import HTTPModes, Interfaces  # noqa: PLC0415  # its allocator looks once, when it is loaded
    from granian.http import HTTP1Settings  # noqa: PLC0415
    from granian.server import MPServer  # noqa: PLC0415

    return MPServer(
        "munjigi",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=_workers(settings),
        # When all wait that may (`Services.build` has the sum), pages and sessions go on. Idle ones cost nothing.
        blocking_threads=3 * settings.threads,
        # Connections, of which a proxy keeps some that nobody uses; requests beyond the threads would only wait.
        backpressure=6 * settings.threads,
        http=HTTPModes.http1,  # to tell the versions apart, it would wait for a first byte for ever
        websockets=False,
        http1_settings=HTTP1Settings(header_read_timeout=SLOWEST_HEADERS),
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
    )


def at_the_door(settings: config.Settings, make: Callable[[], Flask]) -> Callable[[], Flask]:
    """What each worker loads: the site, for which a `Door` answers."""
    return partial(_at_the_door, make, alone=_workers(settings) == 1)


def _at_the_door(make: Callable[[], Flask], *, alone: bool) -> Flask:
    """Granian's own wrapper answers in any thread. There is no public way to take its place; where an update has moved
    it, a test fails. Several workers are left to the kernel, which keeps them apart on the cores."""
    from granian.server import mp  # noqa: PLC0415

    begin = one_core.following() if alone else lambda: None
    mp._wsgi_call_wrap = lambda site, *_: Door(site, begin)  # type: ignore[attr-defined]  # noqa: SLF001
    return make()


def _workers(settings: config.Settings) -> int:
    return settings.workers or (1 if settings.state_url == "memory://" else os.cpu_count() or 1)


def _site(settings: config.Settings, stopping: Event) -> Any:
    """The site of one worker."""
    _configure_logs(settings)
    sys.setswitchinterval(LONGEST_TURN)
    site = app.create_app(settings, stopping.is_set)
    site.extensions["munjigi"].ended.follow()
    gc.freeze()  # else each full collection would look through all of the site, and everybody wait for as long
    return site


def _configure_logs(settings: config.Settings) -> None:
    """Granian sets up its own log in each process: its lines go where the site's go, in their format."""
    logs.configure(settings)
    own = logging.getLogger("_granian")
    own.handlers, own.propagate = [], True
    own.setLevel(settings.log_level.upper())
    own.addFilter(_fits_this_site)


def _fits_this_site(record: logging.LogRecord) -> bool:
    """Granian warns of many threads, meaning those that compute; ours wait for the backend."""
    return "Python threads" not in record.getMessage()


def _announce_stop(stopping: Event, delay: float) -> None:
    """On SIGTERM `/health/ready` says 503 for as long as a balancer needs to look; then the server stops.

    Granian alone would close its socket at once, and a balancer go on sending people there until its next look.
    """
    stop = cast(Callable[..., object], signal.getsignal(signal.SIGTERM))  # Granian's own, set just before

    def announce(number: int, frame: Any) -> None:
        stopping.set()
        threading.Timer(delay, stop, (number, frame)).start()

    signal.signal(signal.SIGTERM, announce)


def _warn(settings: config.Settings) -> None:
    for finding in advice.examine(settings):
        if finding.what in ("SITE_URL", "STATE_URL"):
            logging.getLogger("munjigi.serve").warning("%s %s", finding.what, finding.found)


if __name__ == "__main__":
    main()
