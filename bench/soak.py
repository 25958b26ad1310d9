"""30 minutes of traffic while the backend and Redis are killed, paused and restarted: `python -m bench.soak [MINUTES]`.

Needs `redis-server`. Failures are: status 500, the session of another user, a lost session, a revoked session that is
still valid. The memory of the site must not grow.
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
from bench.soak_upstreams import PASSWORD, SOCIAL

VISITORS = 6
PEOPLE = 400
_EXPECTED_STATUSES = {200, 302, 303, 400, 401, 403, 404, 405, 413, 415, 422, 429, 431, 502, 503, 504}
_SYNC_SECONDS = 3.0
"""Time that all processes need to sync revoked sessions after a restart of Redis."""
_MALFORMED: tuple[tuple[str, str, dict[str, Any]], ...] = (
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
    """Counts requests, checks and failures."""

    site: str
    ends: float
    done: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    redis_up_since: float = 0.0
    """Time of the last restart of Redis; infinite while it is down."""

    def ask(self, visitor: requests.Session, method: str, path: str, **options: object) -> requests.Response:
        response = visitor.request(method, self.site + path, allow_redirects=False, timeout=30, **options)  # type: ignore[arg-type]
        self.done[f"{response.status_code}"] += 1
        if response.status_code not in _EXPECTED_STATUSES:
            self.failures[f"{response.status_code} for {method} {path[:40]}"] += 1
        return response

    def check(self, right: bool, what: str) -> None:
        self.done[what] += 1
        if not right:
            self.failures[what] += 1


class Visitor:
    """A thread that simulates several browsers. `signed_in` has those with a session, with the id of the user."""

    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.random = random.Random(number)
        self.signed_in: list[tuple[requests.Session, int]] = []

    def repeat(self) -> None:
        actions: list[tuple[Callable[[], None], int]] = [
            (self.by_password, 4),
            (self.by_wrong_password, 3),
            (self.by_provider, 3),
            (self.read, 20),
            (self.malformed, 5),
            (self.sign_out, 3),
        ]
        kinds, weights = zip(*actions, strict=True)
        while time.monotonic() < self.run.ends:
            try:
                self.random.choices(kinds, weights)[0]()
            except requests.RequestException as error:
                self.run.failures[f"no response: {type(error).__name__}"] += 1

    def by_password(self) -> None:
        number = self.random.randrange(1, PEOPLE)
        browser, response = self._sign_in(f"v{number}@example.com", PASSWORD)
        self._expect_session(browser, number, response.status_code == 200)

    def by_wrong_password(self) -> None:
        browser, response = self._sign_in(f"v{self.random.randrange(1, PEOPLE)}@example.com", "wrong")
        self.run.check(response.status_code != 200 and self._user_id(browser) is None, "wrong password, no session")

    def by_provider(self) -> None:
        browser = requests.Session()
        fields = {"csrfToken": self._csrf(browser), "json": "true"}
        response = self.run.ask(browser, "POST", "/api/auth/signin/github", data=fields)
        if response.status_code != 200:
            return
        state = parse_qs(urlsplit(response.json()["url"]).query).get("state", [""])[0]
        number = self.random.randrange(1, PEOPLE)
        response = self.run.ask(browser, "GET", f"/api/auth/callback/github?code={number}&state={state}")
        self._expect_session(browser, number + SOCIAL, "error=" not in response.headers.get("Location", "error="))

    def read(self) -> None:
        if self.signed_in:
            browser, number = self.random.choice(self.signed_in)
            self.run.check(self._user_id(browser) == number, "session read, the right user")

    def malformed(self) -> None:
        method, path, options = self.random.choice(_MALFORMED)
        self.run.ask(requests.Session(), method, path, **options)

    def sign_out(self) -> None:
        if len(self.signed_in) < 3:
            return
        browser, _ = self.signed_in.pop(self.random.randrange(len(self.signed_in)))
        copy = requests.Session()
        copy.cookies.update(browser.cookies)
        self.run.ask(browser, "POST", "/auth/logout", data={"csrfToken": self._csrf(browser)})
        signed_out = time.monotonic()
        time.sleep(1)
        was_synced = self.run.redis_up_since < signed_out - _SYNC_SECONDS
        user_id = self._user_id(copy)
        if was_synced and self.run.redis_up_since < signed_out - _SYNC_SECONDS:
            self.run.check(user_id is None, "copied cookie after sign-out, no session")

    def _sign_in(self, email: str, password: str) -> tuple[requests.Session, requests.Response]:
        browser = requests.Session()
        fields = {"csrfToken": self._csrf(browser), "json": "true", "email": email, "password": password}
        return browser, self.run.ask(browser, "POST", "/api/auth/callback/email", data=fields)

    def _expect_session(self, browser: requests.Session, number: int, accepted: bool) -> None:
        if accepted:
            self.run.check(self._user_id(browser) == number, "signed in, the right user")
            self.signed_in.append((browser, number))
            del self.signed_in[:-20]

    def _user_id(self, browser: requests.Session) -> int | None:
        answer = self.run.ask(browser, "GET", "/api/auth/session").json()
        return answer["user"]["id"] if answer else None

    def _csrf(self, browser: requests.Session) -> str:
        return str(self.run.ask(browser, "GET", "/api/auth/csrf").json()["csrfToken"])


class Upstream:
    """A process that the site depends on. It can be killed or paused for a while."""

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


def disturb(run: Run, backend: Upstream, redis: Upstream) -> None:
    """Make the backend and Redis fail at random times, until a minute (in a short run: a third) before the end."""
    rng = random.Random(7)
    ends = run.ends - min(60, (run.ends - time.monotonic()) / 3)
    while time.monotonic() < ends:
        time.sleep(rng.uniform(5, 25))
        upstream, name = rng.choice([(backend, "backend"), (redis, "redis")])
        pause, seconds = rng.random() < 0.4, rng.uniform(1, 8)
        if upstream is redis:
            run.redis_up_since = float("inf")
        upstream.fail(seconds, pause=pause)
        if upstream is redis:
            run.redis_up_since = time.monotonic()
        run.done[f"{name} {'paused' if pause else 'killed'}"] += 1


def sample_memory(run: Run, process: int, samples: list[int]) -> None:
    while time.monotonic() < run.ends:
        samples.append(resident(process))
        time.sleep(2)


def main(minutes: float) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    port, backend_port, redis_port = free_ports(3)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        backend = Upstream(sys.executable, "-m", "bench.soak_upstreams", str(backend_port))
        stack.callback(backend.stop)
        redis = Upstream("redis-server", "--port", str(redis_port), "--dir", folder, "--appendonly", "yes")
        stack.callback(redis.stop)
        time.sleep(1)
        environ = _environ(port, backend_port, redis_port)
        server = stack.enter_context(running("the site", port, "serve.py", environ=environ))
        run = Run(f"http://localhost:{port}", time.monotonic() + minutes * 60)
        samples: list[int] = []
        threads = [threading.Thread(target=Visitor(run, number).repeat) for number in range(VISITORS)]
        threads += [
            threading.Thread(target=disturb, args=(run, backend, redis)),
            threading.Thread(target=sample_memory, args=(run, server, samples)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    _report(run, samples, minutes)


def _environ(port: int, backend_port: int, redis_port: int) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHON_DOTENV_DISABLED": "1",
        "SITE_URL": f"http://localhost:{port}",
        "SECRET_KEY": "Vq4W9zKsT2-only-for-measurements-mX7",
        "BACKEND_URL": f"http://127.0.0.1:{backend_port}/api",
        "BACKEND_LOGOUT_PATH": "/logout",
        "BACKEND_TIMEOUT": "3",
        "PROVIDERS": "github",
        "GITHUB_CLIENT_ID": "soak",
        "GITHUB_CLIENT_SECRET": "soak-secret",
        "GITHUB_BASE_URL": f"http://127.0.0.1:{backend_port}/github",
        "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        "SESSION_REVALIDATE": "5",
        "LOGIN_LIMIT_PER_IP": "9999/second",
        "LOGIN_LIMIT_PER_ACCOUNT": "9999/second",
        "WORKERS": "2",
        "PORT": str(port),
        "LOG_LEVEL": "error",
    }


def _report(run: Run, samples: list[int], minutes: float) -> None:
    for what, count in sorted(run.done.items()):
        print(f"{what:40} {count:8}")
    tenth = max(1, len(samples) // 10)
    early, late = (statistics.median(part) / 1e6 for part in (samples[tenth : 2 * tenth], samples[-tenth:]))
    print(f"\nmemory after a tenth of {minutes:g} minutes {early:.0f} MB, at the end {late:.0f} MB")
    print("failures:", dict(run.failures) or 0)
    sys.exit(1 if run.failures else 0)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30)
