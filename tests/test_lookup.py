"""Names are looked up, and their addresses tried, within one time: no journey here, for no test owns a resolver."""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from services.dial import one_of
from services.lookup import Lookup

SLACK = 0.4
pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"])


class Resolver:
    """Knows each name; those that begin with `dead` only when told to go on."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.asked: list[str] = []
        self.most_at_once = 0
        self._now: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, host: str, port: int) -> list[str]:
        with self._lock:
            self.asked.append(host)
            self._now.append(host)
            self.most_at_once = max(self.most_at_once, self._now.count(host))
        if host.startswith("dead"):
            self.go_on.wait(5)
        time.sleep(0.001)
        with self._lock:
            self._now.remove(host)
        if host.startswith("nobody"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [f"{host}-{len(self.asked)}"]


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    found = Resolver()
    yield found
    found.go_on.set()


def seconds_in_vain(lookup: Lookup, host: str, within: float) -> float:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        lookup.addresses(host, 80, within)
    return time.monotonic() - started


def test_a_resolver_that_hangs_costs_what_the_call_has_and_no_more(resolver: Resolver) -> None:
    assert 0.2 <= seconds_in_vain(Lookup(resolver), "dead", 0.2) < 0.2 + SLACK


def test_a_crowd_at_a_dead_name_is_one_lookup_and_leaves_all_others_be(resolver: Resolver) -> None:
    lookup = Lookup(resolver)
    with ThreadPoolExecutor(100) as pool:
        waiting = [pool.submit(seconds_in_vain, lookup, "dead", 0.5) for _ in range(100)]
        started = time.monotonic()
        assert lookup.addresses("alive", 80, 1)
        assert time.monotonic() - started < SLACK
        assert max(one.result() for one in waiting) < 0.5 + SLACK
    assert resolver.asked.count("dead") == 1


def test_one_name_is_never_looked_up_twice_at_once(resolver: Resolver) -> None:
    lookup = Lookup(resolver)

    def ask(_: int) -> None:
        for _ in range(20):
            lookup.addresses("alive", 80, 5)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns in the middle of everything
    try:
        with ThreadPoolExecutor(40) as pool:
            list(pool.map(ask, range(40)))
    finally:
        sys.setswitchinterval(before)
    assert resolver.most_at_once == 1


def test_what_was_found_is_not_kept(resolver: Resolver) -> None:
    lookup = Lookup(resolver)
    found = []
    for _ in range(3):
        found += lookup.addresses("alive", 80, 1)
        time.sleep(0.02)
    assert found == ["alive-1", "alive-2", "alive-3"]


def test_nor_is_that_a_name_is_unknown_or_was_dead(resolver: Resolver) -> None:
    lookup = Lookup(resolver)
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            lookup.addresses("nobody", 80, 1)
        time.sleep(0.02)
    assert resolver.asked.count("nobody") == 2
    seconds_in_vain(lookup, "dead", 0.1)
    resolver.go_on.set()
    time.sleep(0.1)
    assert lookup.addresses("dead", 80, 1) == ["dead-4"]


# --- The addresses of a name


@contextmanager
def wall(host: str, port: int = 0) -> Iterator[int]:
    """Where packets are swallowed: its queue is full, and nobody accepts."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind((host, port))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8, and full queues")


@needs_linux
def test_the_second_address_is_tried_when_the_first_swallows_packets_and_the_handshake_has_what_is_left() -> None:
    with wall("127.0.0.2") as port, socket.create_server(("127.0.0.3", port)):
        started = time.monotonic()
        with one_of(["127.0.0.2", "127.0.0.3"], port, 1.0) as found:
            assert found.getpeername()[0] == "127.0.0.3"
            took = time.monotonic() - started
            assert 0.4 < took < 0.5 + SLACK
            assert (found.gettimeout() or 9) <= 1.0 - 0.4


@needs_linux
def test_addresses_that_all_swallow_packets_cost_one_time_together() -> None:
    with wall("127.0.0.2") as port, wall("127.0.0.3", port):
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            one_of(["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3"], port, 0.6)
        assert time.monotonic() - started < 0.6 + SLACK


@needs_linux
def test_addresses_that_all_refuse_are_refused_at_once() -> None:
    with socket.create_server(("127.0.0.2", 0)) as closed:
        port = closed.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(ConnectionRefusedError):
        one_of(["127.0.0.2", "127.0.0.3"], port, 2.0)
    assert time.monotonic() - started < SLACK


def test_an_address_of_the_newer_kind_that_refuses_is_followed_by_one_of_the_older() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        one_of(["::1", "127.0.0.1"], server.getsockname()[1], 1.0) as found,
    ):
        assert found.getpeername()[0] == "127.0.0.1"


def test_a_name_without_addresses_is_an_error_of_the_connection() -> None:
    with pytest.raises(OSError, match="no address"):
        one_of([], 80, 1.0)
