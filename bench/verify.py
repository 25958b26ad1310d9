"""`python -m bench.verify`: what `/auth/verify` costs, which is asked before every request of somebody's app.

CPU time, and not how long it took: in this process without a server, then of all processes of the production
server, Granian's own threads with them, which one connection asks as a proxy does. `/health/live` says how much of
it is the server.
"""

import os
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from statistics import median

from werkzeug.test import EnvironBuilder, run_wsgi_app

import app
import config
from bench.processes import busy, free_ports, running
from services.claims import Session
from services.clock import Clock
from services.session_cookie import SessionCookie
from services.user import User

ROUNDS, REQUESTS = 5, 1000
VERIFY, LIVE = "/auth/verify", "/health/live"


def main(rounds: int = ROUNDS, requests: int = REQUESTS) -> None:
    (port,) = free_ports(1)
    environ = {
        "PYTHON_DOTENV_DISABLED": "1",
        "SITE_URL": "https://login.example.com",
        "SECRET_KEY": "Vq4W9zKsT2-only-for-measurements-mX7",
        "BACKEND_URL": "http://127.0.0.1:1",
        "PROXY_HOPS": "1",
        "WORKERS": "1",
        "PORT": str(port),
    }
    settings = config.load(environ)
    asked = {
        "signed in": (VERIFY, 204, {"Cookie": _cookie(settings)}),
        "nobody": (VERIFY, 401, {}),
        "the server, without a session": (LIVE, 200, {}),
    }
    asking = closing(HTTPConnection("127.0.0.1", port, timeout=10))
    with running("the site", port, "serve.py", environ={**os.environ, **environ}) as server, asking as connection:
        print(f"CPU microseconds a request, median of {rounds} rounds of {requests:,}")
        print(f"{'':32}{'in process':>12}{'through the server':>20}")
        for name, (path, status, headers) in asked.items():
            sent = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Uri": "/rooms?from=1", **headers}
            here = _cost(time.process_time, _in_process(settings, path, status, sent), rounds, requests)
            there = _cost(lambda: busy(server), _through_the_server(connection, path, status, sent), rounds, requests)
            print(f"{name:32}{here:12.0f}{there:20.0f}", flush=True)


def _cookie(settings: config.Settings) -> str:
    """Of a person with a name in Hangul and a token as Laravel gives them."""
    now = int(time.time())
    session = Session(
        user=User.from_json({"id": 1, "name": "김민지", "nick_name": "민지", "email": "minji@example.com"}),
        access_token=f"17|{'x' * 48}",
        provider="email",
        sid=uuid.uuid4().hex,
        auth_time=now,
        checked_at=now,
        expires_at=now + settings.session_max_age,
    )
    cookie = SessionCookie(settings, Clock())
    return f"{cookie.name}={cookie.seal(session)}"


def _cost(spent: Callable[[], float], ask: Callable[[], None], rounds: int, requests: int) -> float:
    def once() -> float:
        before = spent()
        for _ in range(requests):
            ask()
        return (spent() - before) * 1e6 / requests

    once()  # warm-up
    return median(once() for _ in range(rounds))


def _in_process(settings: config.Settings, path: str, status: int, headers: dict[str, str]) -> Callable[[], None]:
    site, environ = app.create_app(settings), EnvironBuilder(path, headers=headers.items()).get_environ()

    def ask() -> None:
        _, told, _ = run_wsgi_app(site.wsgi_app, environ)
        assert told.startswith(str(status))

    return ask


def _through_the_server(
    connection: HTTPConnection, path: str, status: int, headers: dict[str, str]
) -> Callable[[], None]:
    def ask() -> None:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status

    return ask


if __name__ == "__main__":
    main()
