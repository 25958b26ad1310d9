"""`make serve`: the production server. Settings are checked once, before anything listens.

With one worker, this process serves. With several, it starts a process for each, replaces those that end or hang, and
stops them when it is stopped.
"""

import logging
import os
import resource
import signal
import sys
from contextlib import suppress
from tempfile import TemporaryDirectory

import uvicorn
from dotenv import find_dotenv, load_dotenv

import config
from doctor import advice
from server.http_protocol import HttpProtocol
from server.worker import STOP_SECONDS, configure_logs

KEEP_ALIVE_SECONDS = 75
"""Longer than a proxy keeps an unused connection (nginx: 60), so that the proxy is the one to close it."""


def main() -> None:
    load_dotenv(find_dotenv(usecwd=True))
    try:
        settings = config.load(os.environ)
    except config.SettingsError as error:
        sys.exit(str(error))
    configure_logs(settings)
    _warn(settings)
    _raise_open_files_limit()
    # uvicorn sends itself the signal again when it has stopped: that is not a failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with TemporaryDirectory(prefix="munjigi-metrics-") as metrics:
        if settings.metrics_token:  # before prometheus_client is imported: then it adds up the workers' numbers
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
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
            proxy_headers=False,  # the site's own setting, PROXY_HOPS, says whom to trust
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )


def workers(settings: config.Settings) -> int:
    """Without Redis one: processes would count sign-ins and ended sessions each for itself. Else one per core."""
    return settings.workers or (1 if settings.redis_url is None else os.cpu_count() or 1)


def _raise_open_files_limit() -> None:
    """To the hard limit: each request that waits has a connection to the client and one to the backend, and many
    systems start programs with 1,024."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _warn(settings: config.Settings) -> None:
    for finding in advice.examine(settings):
        if finding.what in ("SITE_URL", "REDIS_URL"):
            logging.getLogger("munjigi.serve").warning("%s %s", finding.what, finding.found)


if __name__ == "__main__":
    main()
