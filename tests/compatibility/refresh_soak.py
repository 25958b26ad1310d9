"""Load on sessions whose tokens live for seconds, with a real backend, two processes, and a Redis that is killed.

    python -m tests.compatibility.refresh_soak djoser 600

Counts the sessions that ended, and those of them that the backend had not ended.
"""

import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.support.production import production_server
from tests.support.real_backends import SHORT_LIVED, Account, RealBackend, running_backend
from tests.support.redis_server import redis_server
from tests.support.site import Visitor

DOORS = ("/api/auth/session", "/auth/verify", "/account")
TABS = 3
"""Parallel requests of each browser."""
OUTAGE_SECONDS = 4.0


@dataclass
class Result:
    requests: Counter[str] = field(default_factory=Counter)
    """By status class, and `none` without an answer."""
    signed_out: list[str] = field(default_factory=list)
    """Descriptions of answers that said that nobody is signed in."""
    refreshes: Counter[str] = field(default_factory=Counter)
    """By outcome, as the site counts them."""
    redis_outages: int = 0


class _Browser:
    """Sends parallel requests, as the tabs of one browser: each with the cookies that the browser has by then."""

    def __init__(self, url: str, number: int, account: Account, result: Result) -> None:
        self._visitor = Visitor(url, {"X-Forwarded-For": f"198.51.{number // 250}.{number % 250 + 1}"})
        self._result = result
        self._lock = threading.Lock()
        answer = self._visitor.sign_in(account.identifier, account.password)
        assert answer.status_code == 303, f"the sign-in was answered with {answer.status_code}"

    def read(self, path: str) -> None:
        with self._lock:
            cookies = self._visitor.cookies.copy()
        headers = {name: str(value) for name, value in self._visitor.headers.items()}
        tab = Visitor(self._visitor.url, headers)
        tab.cookies.update(cookies)
        try:
            response = tab.get(path, timeout=60)
        except requests.RequestException:
            self._result.requests["none"] += 1
            return
        self._result.requests[f"{response.status_code // 100}xx"] += 1
        with self._lock:
            self._visitor.cookies.update(response.cookies)
        if response.status_code in (303, 401) or response.content.strip() == b"{}":
            self._result.signed_out.append(f"{path}: {response.status_code}, {time.strftime('%H:%M:%S')}")


def soak(backend: RealBackend, folder: Path, seconds: float, browsers: int) -> Result:
    """Run the site with two processes in front of this backend, and read sessions without a pause."""
    result = Result()
    settings: dict[str, Any] = {
        name.upper(): str(value) for name, value in backend.site_settings.items() if value is not None
    }
    (folder / "redis").mkdir()
    with redis_server(folder / "redis") as redis:
        settings |= {"REDIS_URL": redis.url, "WORKERS": "2", "SESSION_REVALIDATE": "2", "PROXY_HOPS": "1"}
        settings |= {"METRICS_TOKEN": "Pr0metheus-asks-with-this-one-only", "LOGIN_LIMIT_PER_IP": "1000/minute"}
        with production_server(folder, **settings) as (_, visitor):
            url, ends = visitor.url, time.monotonic() + seconds
            clients = [_Browser(url, number, backend.create_account(), result) for number in range(browsers)]

            def use(client: _Browser) -> None:
                with ThreadPoolExecutor(TABS) as tabs:
                    while time.monotonic() < ends:
                        list(tabs.map(client.read, DOORS))
                        time.sleep(0.3)

            with ThreadPoolExecutor(browsers) as pool:
                running = [pool.submit(use, client) for client in clients]
                while time.monotonic() < ends - 20:
                    time.sleep(max(10.0, seconds / 10))
                    redis.kill()
                    time.sleep(OUTAGE_SECONDS)
                    redis.start()
                    result.redis_outages += 1
                for each in running:
                    each.result()
            headers = {"Authorization": f"Bearer {settings['METRICS_TOKEN']}"}
            result.refreshes = _count_refreshes(visitor.get("/metrics", headers=headers).text)
    return result


def _count_refreshes(metrics: str) -> Counter[str]:
    prefix = 'munjigi_token_refresh_duration_seconds_count{outcome="'
    lines = [line.removeprefix(prefix) for line in metrics.splitlines() if line.startswith(prefix)]
    return Counter({line.partition('"')[0]: int(float(line.rpartition(" ")[2])) for line in lines})


def main() -> None:
    name, seconds = sys.argv[1], float(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "backend").mkdir()
        with running_backend(name, Path(folder) / "backend", SHORT_LIVED) as backend:
            result = soak(backend, Path(folder), seconds, browsers=8)
    print(f"{name}, {seconds:.0f} s: {result}")  # noqa: T201


if __name__ == "__main__":
    main()
