"""Two production servers behind nginx with one Redis, restarted one after the other while people use them."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from dev.backend import create_backend
from tests.support.commands import Command, free_port_pair, run_command
from tests.support.production import SERVE_COMMAND
from tests.support.proxies import nginx
from tests.support.redis_server import redis_server
from tests.support.site import NO_LIMITS_ENVIRON, SECRET, Visitor, serve_in_thread

pytestmark = [pytest.mark.server, pytest.mark.external]

OTHER = "another-secret-of-this-site-7hG2kQ9x"
_CONF = """
  upstream munjigi {{ server 127.0.0.1:{first} max_fails=0; server 127.0.0.1:{second} max_fails=0; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://munjigi; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}
"""


class Machine:
    """One server. `start` waits until it is ready, `stop` until its requests are finished."""

    def __init__(self, folder: Path, port: int, **environ: str) -> None:
        self.port, self._folder, self._environ = port, folder, environ
        self._open = ExitStack()
        self._command: Command | None = None

    def start(self, **changed: str) -> None:
        environ = {"PYTHON_DOTENV_DISABLED": "1", "PORT": str(self.port), **self._environ, **changed}
        log = self._folder / f"machine{self.port}"
        self._command = self._open.enter_context(run_command(*SERVE_COMMAND, log=log, environ=environ))
        self._command.wait_for(f"http://127.0.0.1:{self.port}/health/ready")

    def stop(self) -> None:
        if self._command and self._command.process.poll() is None:
            assert self._command.stop() == 0
        self._open.close()


class Machines:
    def __init__(self, url: str, machines: list[Machine]) -> None:
        self.url = url
        self.each = machines

    def restart_in_turn(self, **changed: str) -> None:
        for machine in self.each:
            machine.stop()
            machine.start(**changed)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    port, first, second = free_port_pair(), free_port_pair(), free_port_pair()
    url = f"http://localhost:{port}"
    with (
        redis_server(tmp_path) as redis,
        serve_in_thread("127.0.0.1", lambda _: create_backend()) as backend,
        ExitStack() as stack,
    ):
        shared = {
            "SITE_URL": url,
            "SECRET_KEY": SECRET,
            "BACKEND_URL": f"http://127.0.0.1:{backend}",
            **NO_LIMITS_ENVIRON,
        }
        shared |= {"REDIS_URL": redis.url, "WORKERS": "1", "PROXY_HOPS": "1"}
        both = [Machine(tmp_path, one, **shared) for one in (first, second)]
        for machine in both:
            stack.callback(machine.stop)
            machine.start()
        stack.enter_context(nginx(tmp_path, url, _CONF.format(port=port, first=first, second=second)))
        yield Machines(url, both)


def session_at(machine: Machine, visitor: Visitor) -> bool:
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    address = f"http://127.0.0.1:{machine.port}/api/auth/session"
    return bool(requests.get(address, headers={"Cookie": cookies}, timeout=10).json())


class People:
    """Four clients that keep reading their sessions, and one that keeps signing in."""

    def __init__(self, url: str) -> None:
        self.asked, self.wrong = 0, list[str]()
        self._url, self._over = url, threading.Event()
        self._threads = [threading.Thread(target=self._read) for _ in range(4)]
        self._threads.append(threading.Thread(target=self._sign_in))

    def __enter__(self) -> "People":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        visitor = Visitor(self._url, {})
        visitor.sign_in()
        while not self._over.is_set():
            self._judge(visitor.get("/api/auth/session"), '"minji@example.com"')

    def _sign_in(self) -> None:
        while not self._over.is_set():
            visitor = Visitor(self._url, {})
            self._judge(visitor.get("/auth/login/email"), "csrfToken")
            answer = visitor.sign_in()
            self._judge(answer, "", status=303)

    def _judge(self, answer: requests.Response, part: str, status: int = 200) -> None:
        self.asked += 1
        if answer.status_code != status or part not in answer.text:
            self.wrong.append(f"{answer.status_code}: {answer.text[:80]}")


def test_signing_in_and_out_takes_effect_at_both_servers(machines: Machines) -> None:
    visitor = Visitor(machines.url, {})
    visitor.sign_in()
    held = visitor.cookies.copy()
    assert [session_at(machine, visitor) for machine in machines.each] == [True, True]
    visitor.submit("/auth/logout", {})
    visitor.cookies.update(held)
    time.sleep(1)
    assert [session_at(machine, visitor) for machine in machines.each] == [False, False]


def test_rolling_restarts_and_a_key_rotation_fail_no_request_and_sign_nobody_out(
    machines: Machines,
) -> None:
    with People(machines.url) as people:
        time.sleep(0.5)
        machines.restart_in_turn(SECRET_KEY_FALLBACKS=OTHER)
        machines.restart_in_turn(SECRET_KEY=OTHER, SECRET_KEY_FALLBACKS=SECRET)
        time.sleep(0.5)
    assert people.asked > 1000
    assert people.wrong == []
