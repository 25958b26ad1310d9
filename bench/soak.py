"""The long run: all kinds of visitors, while the backend and Redis are killed, paused and brought back at random.

`python -m bench.soak MINUTES` (30 unless given) needs a `redis-server`. Wrong is: a 500, somebody else's session, a
session lost that nobody ended, an ended one that lives on. The memory of the site's processes has to stay flat.
"""

import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from bench.processes import free_ports, resident, running
from bench.soak_world import PASSWORD, SOCIAL

VISITORS = 6
PEOPLE = 400
_HONEST = {200, 302, 303, 400, 401, 403, 404, 405, 413, 415, 422, 429, 431, 502, 503, 504}
_SETTLED = 3.0
"""Seconds after Redis is back until all processes know what was ended."""
_JUNK: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("GET", "/%00/../etc", {}),
    ("POST", "/auth/login/email", {"data": "email=%ff&password=x"}),
    ("POST", "/api/auth/session", {"data": "[" * 9000, "headers": {"Content-Type": "application/json"}}),
    ("GET", "/api/auth/callback/github?state=x&code=y", {}),
    ("PUT", "/account", {}),
    ("GET", "/account", {"headers": {"Cookie": "next-auth.session-token=" + "e" * 5000}}),
    ("POST", "/auth/logout", {"data": "x" * 200_000, "headers": {"Content-Type": "text/plain"}}),
)


@dataclass
class Run:
    """What has been done, and what of it was wrong."""

    site: str
    ends: float
    done: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    shared_since: float = 0.0
    """When Redis was last brought back; for ever away while it is down."""

    def ask(self, visitor: requests.Session, method: str, path: str, **given: object) -> requests.Response:
        response = visitor.request(method, self.site + path, allow_redirects=False, timeout=30, **given)  # type: ignore[arg-type]
        self.done[f"{response.status_code}"] += 1
        if response.status_code not in _HONEST:
            self.wrong[f"{response.status_code} for {method} {path[:40]}"] += 1
        return response

    def judge(self, right: bool, what: str) -> None:
        self.done[what] += 1
        if not right:
            self.wrong[what] += 1


class Visitor:
    """One of many at once; keeps some browsers that are signed in, each with the number of its person."""

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.chance = random.Random(number)
        self.signed_in: list[tuple[requests.Session, int]] = []

    def go_on(self) -> None:
        actions: list[tuple[Callable[[], None], int]] = [
            (self.by_password, 4),
            (self.by_wrong_password, 3),
            (self.by_provider, 3),
            (self.read, 20),
            (self.junk, 5),
            (self.leave, 3),
        ]
        kinds, weights = zip(*actions, strict=True)
        while time.monotonic() < self.run.ends:
            try:
                self.chance.choices(kinds, weights)[0]()
            except requests.RequestException as error:
                self.run.wrong[f"no answer: {type(error).__name__}"] += 1

    def by_password(self) -> None:
        number = self.chance.randrange(1, PEOPLE)
        browser, response = self._try(f"v{number}@example.com", PASSWORD)
        self._in(browser, number, response.status_code == 200)

    def by_wrong_password(self) -> None:
        browser, response = self._try(f"v{self.chance.randrange(1, PEOPLE)}@example.com", "wrong")
        self.run.judge(response.status_code != 200 and self._who(browser) is None, "wrong password, nobody in")

    def by_provider(self) -> None:
        browser = requests.Session()
        fields = {"csrfToken": self._csrf(browser), "json": "true"}
        started = self.run.ask(browser, "POST", "/api/auth/signin/github", data=fields)
        if started.status_code != 200:
            return
        state = parse_qs(urlsplit(started.json()["url"]).query).get("state", [""])[0]
        number = self.chance.randrange(1, PEOPLE)
        back = self.run.ask(browser, "GET", f"/api/auth/callback/github?code={number}&state={state}")
        self._in(browser, number + SOCIAL, "error=" not in back.headers.get("Location", "error="))

    def read(self) -> None:
        if self.signed_in:
            browser, number = self.chance.choice(self.signed_in)
            self.run.judge(self._who(browser) == number, "session read, the same person")

    def junk(self) -> None:
        method, path, given = self.chance.choice(_JUNK)
        self.run.ask(requests.Session(), method, path, **given)

    def leave(self) -> None:
        if len(self.signed_in) < 3:
            return
        browser, _ = self.signed_in.pop(self.chance.randrange(len(self.signed_in)))
        copied = requests.Session()
        copied.cookies.update(browser.cookies)
        self.run.ask(browser, "POST", "/auth/logout", data={"csrfToken": self._csrf(browser)})
        left = time.monotonic()
        time.sleep(1)
        reached = self.run.shared_since < left - _SETTLED
        who = self._who(copied)
        if reached and self.run.shared_since < left - _SETTLED:
            self.run.judge(who is None, "copy after sign-out, nobody in")

    def _try(self, email: str, password: str) -> tuple[requests.Session, requests.Response]:
        browser = requests.Session()
        fields = {"csrfToken": self._csrf(browser), "json": "true", "email": email, "password": password}
        return browser, self.run.ask(browser, "POST", "/api/auth/callback/email", data=fields)

    def _in(self, browser: requests.Session, number: int, said_so: bool) -> None:
        if said_so:
            self.run.judge(self._who(browser) == number, "signed in, the right person")
            self.signed_in.append((browser, number))
            del self.signed_in[:-20]

    def _who(self, browser: requests.Session) -> int | None:
        answer = self.run.ask(browser, "GET", "/api/auth/session").json()
        return answer["user"]["id"] if answer else None

    def _csrf(self, browser: requests.Session) -> str:
        return str(self.run.ask(browser, "GET", "/api/auth/csrf").json()["csrfToken"])


class Part:
    """A process beside the site that is killed or paused, and brought back."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self.start()

    def start(self) -> None:
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdout=quiet, stderr=quiet, start_new_session=True)

    def fail(self, seconds: float, *, pause: bool) -> None:
        self._process.send_signal(signal.SIGSTOP if pause else signal.SIGKILL)
        time.sleep(seconds)
        if pause:
            self._process.send_signal(signal.SIGCONT)
        else:
            self._process.wait()
            self.start()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def trouble(run: Run, backend: Part, redis: Part) -> None:
    chance = random.Random(7)
    while time.monotonic() < run.ends - 60:
        time.sleep(chance.uniform(5, 25))
        part, name = chance.choice([(backend, "backend"), (redis, "redis")])
        pause, seconds = chance.random() < 0.4, chance.uniform(1, 8)
        if part is redis:
            run.shared_since = float("inf")
        part.fail(seconds, pause=pause)
        if part is redis:
            run.shared_since = time.monotonic()
        run.done[f"{name} {'paused' if pause else 'killed'}"] += 1


def watch(run: Run, process: int, samples: list[int]) -> None:
    while time.monotonic() < run.ends:
        samples.append(resident(process))
        time.sleep(2)


def main(minutes: float) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    port, behind, state = free_ports(3)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        backend = Part(sys.executable, "-m", "bench.soak_world", str(behind))
        stack.callback(backend.stop)
        redis = Part("redis-server", "--port", str(state), "--dir", folder, "--appendonly", "yes")
        stack.callback(redis.stop)
        time.sleep(1)
        environ = _environ(port, behind, state)
        server = stack.enter_context(running("the site", port, "serve.py", environ=environ))
        run = Run(f"http://localhost:{port}", time.monotonic() + minutes * 60)
        samples: list[int] = []
        threads = [threading.Thread(target=Visitor(run, number).go_on) for number in range(VISITORS)]
        threads += [
            threading.Thread(target=trouble, args=(run, backend, redis)),
            threading.Thread(target=watch, args=(run, server, samples)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    _report(run, samples, minutes)


def _environ(port: int, behind: int, state: int) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHON_DOTENV_DISABLED": "1",
        "SITE_URL": f"http://localhost:{port}",
        "SECRET_KEY": "Vq4W9zKsT2-only-for-measurements-mX7",
        "BACKEND_URL": f"http://127.0.0.1:{behind}/api",
        "BACKEND_LOGOUT_PATH": "/logout",
        "BACKEND_TIMEOUT": "3",
        "PROVIDERS": "github",
        "GITHUB_CLIENT_ID": "soak",
        "GITHUB_CLIENT_SECRET": "soak-secret",
        "GITHUB_BASE_URL": f"http://127.0.0.1:{behind}/github",
        "STATE_URL": f"redis://127.0.0.1:{state}/0",
        "SESSION_RECHECK": "5",
        "LOGIN_LIMIT_ADDRESS": "9999/second",
        "LOGIN_LIMIT_ACCOUNT_TOTAL": "9999/second",
        "WORKERS": "2",
        "THREADS": "20",
        "PORT": str(port),
        "LOG_LEVEL": "error",
    }


def _report(run: Run, samples: list[int], minutes: float) -> None:
    for what, count in sorted(run.done.items()):
        print(f"{what:40} {count:8}")
    tenth = max(1, len(samples) // 10)
    early, late = (statistics.median(part) / 1e6 for part in (samples[tenth : 2 * tenth], samples[-tenth:]))
    print(f"\nmemory after a tenth of {minutes:g} minutes {early:.0f} MB, at the end {late:.0f} MB")
    print("wrong:", dict(run.wrong) or 0)
    sys.exit(1 if run.wrong else 0)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30)
