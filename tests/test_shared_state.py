"""Two sites on one Redis, which is real, and all that can happen to it. Redis is a help and never a need."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from services.ended import STREAM
from services.shared_state import LONGEST_ANSWER
from tests.redis_server import RedisServer, Relay, redis_cluster, redis_server, relay
from tests.scripted import Backend, scripted
from tests.site import Site, SiteMaker, Visitor
from tests.test_upstream_tls import certificate

BUSY = 0.5
"""Seconds that a request may take by itself on a busy machine."""
LIMITS = {"login_limit_account": "5/minute"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def backend() -> Iterator[Backend]:
    with scripted() as backend:
        yield backend


def signed_in(site: Site) -> Visitor:
    visitor = site.visitor()
    assert visitor.sign_in().status_code == 303
    return visitor


def copy(visitor: Visitor, site: Site) -> Visitor:
    """Somebody who has taken this visitor's session cookie, at this site."""
    thief = site.visitor()
    for cookie in visitor.cookies:
        if "session-token" in cookie.name:
            thief.cookies.set_cookie(cookie)
    return thief


def seconds_until(true: Callable[[], bool], most: float = 10.0) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + most, "it never happens"
        time.sleep(0.002)
    return time.monotonic() - began


def sign_out(visitor: Visitor, **fields: str) -> None:
    assert visitor.submit("/auth/logout", fields).status_code == 303


def wrong_guesses(site: Site, number: int, email: str = "minji@example.com") -> list[int]:
    visitor = site.visitor()
    return [visitor.sign_in(email, "wrong").status_code for _ in range(number)]


# --- All is well


@pytest.mark.parametrize("scheme", ["redis", "redis-resp3", "rediss", "redis+cluster"])
def test_a_copied_cookie_is_dead_at_the_other_site_a_second_after_the_sign_out(
    make_site: SiteMaker, tmp_path: Path, scheme: str
) -> None:
    with _served(scheme, tmp_path) as url:
        here, there = make_site(state_url=url), make_site(state_url=url)
        visitor = signed_in(here)
        thief_here, thief = copy(visitor, here), copy(visitor, there)
        assert thief.is_signed_in
        sign_out(visitor)
        assert not thief_here.is_signed_in
        assert seconds_until(lambda: not thief.is_signed_in) < 1 + BUSY


@contextmanager
def _served(scheme: str, folder: Path) -> Iterator[str]:
    if scheme == "redis+cluster":
        with redis_cluster(folder) as cluster:
            yield cluster.url
    else:
        with redis_server(folder, tls=certificate(folder) if scheme == "rediss" else None) as server:
            yield server.url + ("?protocol=3" if scheme == "redis-resp3" else "")


def test_the_delay_is_a_few_milliseconds(make_site: SiteMaker, server: RedisServer) -> None:
    here, there = make_site(state_url=server.url), make_site(state_url=server.url)
    delays = []
    for _ in range(50):
        visitor = signed_in(here)
        thief, token = copy(visitor, there), visitor.csrf()
        assert thief.is_signed_in
        visitor.post("/auth/logout", data={"csrfToken": token})
        delays.append(seconds_until(lambda thief=thief: not thief.is_signed_in))  # type: ignore[misc]
    print(f"median {statistics.median(delays) * 1000:.1f} ms, longest {max(delays) * 1000:.1f} ms")
    assert statistics.median(delays) < 0.1
    assert max(delays) < 1


def test_signing_out_everywhere_ends_the_others_at_both_sites_and_leaves_the_next_one(
    make_site: SiteMaker, server: RedisServer, backend: Backend
) -> None:
    here, there = make_site(backend.url, state_url=server.url), make_site(backend.url, state_url=server.url)
    phone, desk, tablet = signed_in(here), signed_in(there), signed_in(there)
    sign_out(phone, everywhere="1")
    seconds_until(lambda: not desk.is_signed_in, 1 + BUSY)
    assert not tablet.is_signed_in
    assert not copy(tablet, here).is_signed_in
    assert signed_in(there).is_signed_in
    assert signed_in(here).is_signed_in


def test_a_site_that_starts_later_knows_what_was_ended_before(make_site: SiteMaker, server: RedisServer) -> None:
    visitor = signed_in(make_site(state_url=server.url))
    kept = copy(visitor, make_site(state_url=server.url))
    sign_out(visitor)
    later = make_site(state_url=server.url)
    assert not copy(kept, later).is_signed_in


def test_two_hundred_guesses_at_once_over_both_sites_are_exactly_the_limit(
    make_site: SiteMaker, server: RedisServer
) -> None:
    sites = [make_site(state_url=server.url, **LIMITS) for _ in range(2)]
    visitors = [site.visitor() for site in sites * 100]
    tokens = [visitor.csrf() for visitor in visitors]
    start = threading.Barrier(len(visitors))

    def guess(visitor: Visitor, token: str) -> int:
        start.wait()
        fields = {"csrfToken": token, "email": "minji@example.com", "password": "wrong"}
        return visitor.post("/auth/login/email", data=fields).status_code

    with ThreadPoolExecutor(len(visitors)) as crowd:
        answers = list(crowd.map(guess, visitors, tokens))
    assert sorted(answers) == [401] * 5 + [429] * 195


def test_the_right_password_gives_the_accounts_count_back_at_both_sites(
    make_site: SiteMaker, server: RedisServer
) -> None:
    here, there = (make_site(state_url=server.url, **LIMITS) for _ in range(2))
    assert wrong_guesses(here, 4) == [401] * 4
    assert signed_in(there).is_signed_in
    assert wrong_guesses(here, 6) == [401] * 5 + [429]


# --- What can happen to it


@dataclass
class Redis:
    server: RedisServer
    relay: Relay


@dataclass(frozen=True)
class Fault:
    name: str
    hurt: Callable[[Redis], object]
    heal: Callable[[Redis], object]
    stops_limits: bool = True
    forgets: bool = False

    def __str__(self) -> str:
        return self.name


def hears(answer: bytes) -> tuple[Callable[[Redis], object], Callable[[Redis], object]]:
    def say(answer: bytes | None) -> Callable[[Redis], object]:
        return lambda redis: setattr(redis.relay, "answer", answer)

    return say(answer), say(None)


FAULTS = [
    Fault("killed", lambda redis: redis.server.kill(), lambda redis: redis.server.start(), forgets=True),
    Fault("paused", lambda redis: redis.server.pause(), lambda redis: redis.server.resume()),
    Fault("full", lambda redis: redis.server.fill(), lambda redis: redis.server.empty()),
    Fault("slow", lambda redis: setattr(redis.relay, "delay", 5), lambda redis: setattr(redis.relay, "delay", 0)),
    Fault("a password", lambda redis: redis.server.require("pa55"), lambda redis: redis.server.require("")),
    Fault(
        "a replica",
        lambda redis: redis.server.ask("REPLICAOF", "127.0.0.1", "1"),
        lambda redis: redis.server.ask("REPLICAOF", "NO", "ONE"),
    ),
    Fault(
        "another kind of key",
        lambda redis: (redis.server.ask("DEL", STREAM), redis.server.ask("SET", STREAM, "?")),
        lambda redis: redis.server.ask("DEL", STREAM),
        stops_limits=False,
        forgets=True,
    ),
    Fault("loading", *hears(b"-LOADING Redis is loading the dataset in memory\r\n")),
    Fault("cluster down", *hears(b"-CLUSTERDOWN The cluster is down\r\n")),
    Fault("moved", *hears(b"-MOVED 3999 127.0.0.1:1\r\n")),
    Fault("another protocol", *hears(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    Fault("a strange answer", *hears(b"*1\r\n*1\r\n:7\r\n")),
    Fault("hanging up", *hears(b"")),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_people_sign_in_and_out_whatever_happens_to_redis(
    make_site: SiteMaker, server: RedisServer, backend: Backend, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    with relay(server.port) as between:
        here, there = (make_site(backend.url, state_url=between.url) for _ in range(2))
        redis = Redis(server, between)
        ended = signed_in(here)
        known = [copy(ended, here), copy(ended, there)]
        sign_out(ended)
        seconds_until(lambda: not known[1].is_signed_in)

        fault.hurt(redis)
        visitor, answers = here.visitor(), []
        visitor.hooks["response"] = [lambda response, **_: answers.append(response.elapsed.total_seconds())]
        for _ in range(3):
            assert visitor.sign_in().status_code == 303
            assert visitor.is_signed_in
            meanwhile = copy(visitor, there)
            thief = copy(visitor, here)
            sign_out(visitor)
            assert not thief.is_signed_in
        assert max(answers) < LONGEST_ANSWER + BUSY
        assert not any(thief.is_signed_in for thief in known)

        fault.heal(redis)
        seconds_until(lambda: not meanwhile.is_signed_in)
        assert not any(thief.is_signed_in for thief in known)
        seconds_until(lambda: "the shared state is back" in _lines_after(caplog, visitor))
        fresh = signed_in(there)
        thief = copy(fresh, here)
        sign_out(fresh)
        seconds_until(lambda: not thief.is_signed_in)
    assert caplog.text.count("the shared state is away") == 1
    assert "Traceback" not in caplog.text


def _lines_after(caplog: pytest.LogCaptureFixture, visitor: Visitor) -> str:
    visitor.sign_in()
    return caplog.text
