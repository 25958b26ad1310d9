"""`make serve`: validates the settings, then runs the production server.

With one worker, this process serves requests. With several, uvicorn's supervisor starts a process for each, replaces
those that exit or hang, and stops them when it is stopped.
"""

import logging
import os
import resource
import signal
import sys
from contextlib import ExitStack, suppress
from tempfile import TemporaryDirectory

import uvicorn
from dotenv import find_dotenv, load_dotenv

import config
from doctor import settings_check
from server.http_protocol import HttpProtocol
from server.worker import STOP_SECONDS, configure_logs

KEEP_ALIVE_SECONDS = 75
"""Longer than a reverse proxy keeps an idle connection (nginx: 60 s), so that the proxy closes it first."""
WORKER_SECONDS = 30
"""The supervisor replaces a worker that does not answer for this long. With uvicorn's default of 5 s, workers on a busy
machine were replaced again and again while they started."""


def main() -> None:
    load_dotenv(find_dotenv(usecwd=True))
    try:
        settings = config.load(os.environ)
    except config.SettingsError as error:
        sys.exit(str(error))
    configure_logs(settings)
    _log_warnings(settings)
    _raise_open_files_limit()
    # After a graceful stop uvicorn raises the signal again; exit with status 0 then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        if settings.metrics_token:  # read when prometheus_client is imported; it then sums up all workers
            folder = stack.enter_context(TemporaryDirectory(prefix="munjigi-metrics-"))
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        uvicorn.run(
            "server.worker:create",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=workers(settings),
            http=HttpProtocol,
            loop="uvloop",
            ws="none",
            lifespan="on",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # app.py evaluates X-Forwarded-For, by PROXY_HOPS
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
            timeout_worker_healthcheck=WORKER_SECONDS,
        )


def workers(settings: config.Settings) -> int:
    """Return WORKERS. If unset: one per core with Redis, else 1, because processes cannot share login limits."""
    return settings.workers or (1 if settings.redis_url is None else os.cpu_count() or 1)


def _raise_open_files_limit() -> None:
    """Raise the soft limit of open files to the hard limit.

    A waiting request needs one connection to the client and one to the backend; a common soft limit is 1024.
    """
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))


def _log_warnings(settings: config.Settings) -> None:
    for finding in settings_check.check(settings):
        if finding.subject in ("SITE_URL", "REDIS_URL"):
            logging.getLogger("munjigi.serve").warning("%s %s", finding.subject, finding.message)


if __name__ == "__main__":
    main()
