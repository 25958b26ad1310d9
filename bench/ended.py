"""`python -m bench.ended [sessions …]`: what a long list of ended sessions costs a process, and Redis.

A real Redis (`redis-server` must be there) holds as many entries as asked for, written as the site writes them.
Then a new process of the site follows the list from its begin. Without numbers: a million, then ten million.
"""

import multiprocessing
import os
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import redis

import config
from bench import redis_server
from services.claims import Session
from services.clock import Clock
from services.ended import EndedSessions
from services.shared_state import SharedState
from services.user import User

MILLION = 1_000_000
LOOKUPS, LONGEST = 100_000, 600.0


@dataclass
class Figures:
    seconds: float
    busy: float
    """Seconds of a core: what is left of the others is waiting, for Redis or for whoever else works here."""
    memory: int
    lookup: float


def main(sizes: list[int]) -> None:
    with redis_server.running() as url:
        client = redis.Redis.from_url(url)
        names = ("ended sessions", "catching up", "of a core", "a process", "a lookup", "Redis")
        print("{:>16} {:>12} {:>10} {:>10} {:>9} {:>8}".format(*names), flush=True)
        for size in sizes:
            before = client.info("memory")["used_memory"]
            redis_server.fill(url, size)
            taken = client.info("memory")["used_memory"] - before
            with multiprocessing.get_context("spawn").Pool(1) as process:
                found = process.apply_async(follow, (url, size)).get(LONGEST)
            client.flushall()
            memory, theirs = f"{found.memory / 2**20:.0f} MB", f"{taken / 2**20:.0f} MB"
            lookup = f"{found.lookup * 1e6:.1f} µs"
            print(
                f"{size:>16,} {found.seconds:>10.1f} s {found.busy:>8.1f} s {memory:>10} {lookup:>9} {theirs:>8}",
                flush=True,
            )


def follow(url: str, size: int) -> Figures:
    """In a process of its own: how long, how much, and how quick afterwards."""
    ended = EndedSessions(_settings(url), SharedState(url), Clock())
    memory, began, busy = _resident(), time.monotonic(), time.process_time()
    ended.follow()
    ended.caught_up.wait(LONGEST)
    busy = time.process_time() - busy
    seconds, memory = time.monotonic() - began, _resident() - memory
    known = sum(len(shelf) for span in ended._spans for shelf in span.shelves.values()) // 6  # noqa: SLF001
    assert known > size * 0.999, f"{known} of {size} are known"
    sessions = [_session() for _ in range(LOOKUPS)]
    began = time.perf_counter()
    for session in sessions:
        ended.has(session)
    lookup = (time.perf_counter() - began) / LOOKUPS
    ended.stop()
    return Figures(seconds, busy, memory, lookup)


def _settings(url: str) -> config.Settings:
    required = {"SITE_URL": "http://localhost", "BACKEND_URL": "http://localhost", "SECRET_KEY": secrets.token_hex(32)}
    return config.load({**required, "STATE_URL": url})


def _session() -> Session:
    user = User(id=secrets.randbelow(2**40), name="Minji", nick_name=None, email="minji@example.com")
    times = {"auth_time": 1, "checked_at": 1, "expires_at": 2**40}
    return Session(user=user, access_token="17|t", provider=None, sid=secrets.token_urlsafe(16), **times)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [MILLION, 10 * MILLION])
