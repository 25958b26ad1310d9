"""One thread takes requests; who waits for somebody else lets another take its place, and rests afterwards."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection
from io import BytesIO
from queue import Empty, SimpleQueue
from typing import Any

import pytest
import requests

import door
from bench.processes import free_ports, running
from door import Door
from services import logs, waiting
from services.shared_state import SharedState, StateUnavailable
from services.upstream import Upstream, UpstreamFault
from tests.site import SECRET, settings

SECONDS = 5.0
"""Within which everything here has happened, or never will."""


class Answer:
    """What a server gives to answer with."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self.is_over = threading.Event()
        """The thread that gave it has gone for more."""
        self.thread = 0

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body, self.thread = status, headers, body, threading.get_ident()
        self._given.set()

    def came(self) -> bool:
        return self._given.wait(SECONDS)


class Server:
    """Threads that are woken in turn, as Granian's are; `/wait` is answered when `let_go` is set."""

    def __init__(self, threads: int, idle: float | None = None) -> None:
        self._idle = idle
        self.let_go = threading.Event()
        self.waits = threading.Semaphore(0)
        self._door = Door(self._site)
        self._worked: set[threading.Thread] = set()
        self._todo: SimpleQueue[tuple[Answer, dict[str, Any]] | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def ask(self, path: str = "/", **environ: str) -> Answer:
        answer = Answer()
        request = {"PATH_INFO": path, "REQUEST_METHOD": "GET", "wsgi.input": BytesIO(b"123456789"), **environ}
        self._todo.put((answer, request))
        return answer

    def stop_one(self) -> None:
        """The thread at the door finds nothing to do, and ends."""
        self._todo.put(None)

    def threads(self) -> int:
        return sum(thread.is_alive() for thread in self._threads)

    def all_have_worked(self) -> bool:
        return all(thread in self._worked for thread in self._threads if thread.is_alive())

    def _work(self) -> None:
        with suppress(Empty):
            while (taken := self._todo.get(timeout=self._idle)) is not None:
                self._worked.add(threading.current_thread())
                self._door(*taken)
                taken[0].is_over.set()
                self.kept = taken[1]

    def _site(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/wait":
            waiting.begins()
            waiting.begins()  # a second time changes nothing
            self.waits.release()
            assert self.let_go.wait(SECONDS)
        if environ["PATH_INFO"] == "/fault":
            raise ZeroDivisionError
        if environ["PATH_INFO"] == "/read":
            assert environ["wsgi.input"].read(65536) == b"123456789"
        if environ["PATH_INFO"] == "/body":
            self.waits.release()
            assert self.let_go.wait(SECONDS)
        start_response("200 OK", [("X-Path", environ["PATH_INFO"])])
        return [b"a", b"b"]


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(threads=6)
    yield made
    made.let_go.set()


def settled(server: Server) -> int:
    """The one thread that takes requests, once each has taken one, and it takes them all."""
    ends, row = time.monotonic() + SECONDS, [0]
    while len(row) < 10 or not server.all_have_worked():
        assert time.monotonic() < ends, "no thread takes ten requests in a row"
        answer = server.ask()
        assert answer.came()
        row = [*row, answer.thread] if answer.thread == row[0] else [answer.thread]
    return row[0]


def crowd(server: Server, number: int, path: str = "/wait", **environ: str) -> list[Answer]:
    """So many requests that wait, once they do."""
    answers = [server.ask(path, **environ) for _ in range(number)]
    for _ in answers:
        assert server.waits.acquire(timeout=SECONDS)
    return answers


def test_an_answer_is_the_sites(server: Server) -> None:
    answer = server.ask("/some")
    assert answer.came()
    assert (answer.status, answer.headers, answer.body) == (200, [("X-Path", "/some")], b"ab")


def test_one_thread_takes_all_that_needs_nobody_else(server: Server) -> None:
    settled(server)


def test_who_waits_keeps_nobody_waiting(server: Server) -> None:
    at_door = settled(server)
    (slow,) = crowd(server, 1)
    assert settled(server) != at_door
    assert not slow.thread
    server.let_go.set()
    assert slow.came()
    assert slow.thread == at_door


def test_all_but_one_may_wait_at_once(server: Server) -> None:
    settled(server)
    slow = crowd(server, 5)
    last = settled(server)
    server.let_go.set()
    assert all(answer.came() for answer in slow)
    assert settled(server) == last


def test_when_all_wait_the_first_to_be_done_takes_the_next_request(server: Server) -> None:
    settled(server)
    slow = crowd(server, 6)
    quick = server.ask()
    time.sleep(0.02)
    assert not quick.thread
    server.let_go.set()
    assert quick.came()
    assert quick.thread in {answer.thread for answer in slow if answer.came()}
    settled(server)


def test_a_request_with_a_body_may_have_to_wait_for_it(server: Server) -> None:
    at_door = settled(server)
    crowd(server, 1, "/body", CONTENT_LENGTH="9")
    assert settled(server) != at_door
    crowd(server, 1, "/body", HTTP_TRANSFER_ENCODING="chunked")
    settled(server)


def test_who_has_read_a_body_rests_and_who_has_not_goes_for_more_at_once(server: Server) -> None:
    """What is left of a body stays with Granian until its call is over, and its connection stands still until then."""
    settled(server)
    for path, length, goes_on in (("/read", "9", False), ("/none", "9", True), ("/none", "0", False)):
        answer = server.ask(path, CONTENT_LENGTH=length)
        assert answer.came()
        assert answer.is_over.wait(0.2) == goes_on, f"{path} {length}"
        settled(server)


def test_nothing_of_a_request_is_kept(server: Server) -> None:
    settled(server)
    assert server.ask(HTTP_COOKIE="a session").came()
    settled(server)
    assert server.kept == {}


def test_threads_that_nobody_needs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "LONGEST_REST", 0.1)
    server = Server(threads=6, idle=0.5)
    settled(server)
    time.sleep(0.3)
    assert server.threads() == 6
    time.sleep(1)
    assert server.threads() == 0


def test_a_failure_is_a_500_and_one_thread_stays_at_the_door(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    settled(server)
    for _ in range(3):
        failed = server.ask("/fault")
        assert failed.came()
        assert (failed.status, failed.headers, failed.body) == (500, [], b"")
    assert "the site has no answer" in caplog.text
    settled(server)


def test_a_thread_that_ends_is_replaced_by_one_that_rests(server: Server) -> None:
    seen = set()
    for _ in range(5):
        seen.add(settled(server))
        server.stop_one()
    assert len(seen) == 5
    settled(server)


WAITS = {
    "for an upstream": lambda: Upstream(1, 1, 1, "test").send("GET", "http://127.0.0.1:1/", {}, within=0.1),
    "for another's call of one": lambda: Upstream(1, 1, 1, "test").waiting().__enter__(),
    "for who reads the log": lambda: logs.handler(settings()).handle(logging.makeLogRecord({"name": "munjigi"})),
    "for the shared state": lambda: SharedState("redis://127.0.0.1:1").ask(str),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_whoever_waits_says_so_first(wait: Callable[[], object]) -> None:
    said: list[str] = []

    def work() -> None:
        waiting.tell(lambda: said.append("waits"))
        with suppress(UpstreamFault, StateUnavailable):
            wait()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(SECONDS)
    assert said == ["waits"]


def same_ten_times(thread: Callable[[], str]) -> str:
    """The thread that answers, once it is the same one each time."""
    ends, row = time.monotonic() + SECONDS, [""]
    while len(row) < 10:
        assert time.monotonic() < ends, "no thread takes ten requests in a row"
        answered = thread()
        row = [*row, answered] if answered == row[0] else [answered]
    return row[0]


def goes_on_after_a_body(port: int, path: str) -> bool:
    """Whether a connection is closed or answers again after a body, be it read or not."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
        try:
            for method, body in (("POST", b"x" * 40_000), ("GET", None)):
                connection.request(method, path if body else "/", body, {"Content-Type": "text/plain"})
                connection.getresponse().read()
        except TimeoutError:
            return False
        except OSError:
            return True
    return True


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
@pytest.mark.server
def test_it_is_what_the_server_calls(start_method: str) -> None:
    """Granian offers no such place: where an update has moved it, this must fail."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    environ = {**os.environ, "SITE_URL": url, "SECRET_KEY": SECRET, "BACKEND_URL": "http://127.0.0.1:1"}
    environ |= {"PORT": str(port), "PYTHON_DOTENV_DISABLED": "1", "THREADS": "4"}

    def thread(path: str = "/") -> str:
        return requests.get(url + path, timeout=SECONDS).text

    environ["START_METHOD"] = start_method
    with running("a site", port, "-m", "tests.site_that_waits", environ=environ), ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: thread(), range(200)))
        same_ten_times(thread)
        slow = pool.submit(thread, "/wait")
        time.sleep(0.1)
        at_door = same_ten_times(thread)
        assert not slow.done()
        assert slow.result() != at_door
        for path in ("/", "/none", "/read"):
            assert goes_on_after_a_body(port, path), path
