"""The threads of a lone worker that compute keep to one core, and to which one is the kernel's choice."""

import ctypes
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

import one_core
from bench.processes import members
from tests.commands import Command
from tests.site import Visitor
from tests.test_production import serving

SECONDS = 5.0
"""Within which everything here has happened, or never will."""

if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) == 1:
    pytest.skip("there is one core, or the system does not let a thread say where it runs", allow_module_level=True)

FIRST, SECOND = sorted(os.sched_getaffinity(0))[:2]


class Threads:
    """Some that compute, and the one that may run anywhere, which the test sends to a core of its own choice."""

    def __init__(self, every: float = 0.01) -> None:
        before = set(threading.enumerate())
        self.one_core = one_core.OneCore(ctypes.CDLL(None).sched_getcpu, every)
        (self._chooser,) = set(threading.enumerate()) - before

    def chosen(self, core: int) -> None:
        assert self._chooser.native_id
        os.sched_setaffinity(self._chooser.native_id, {core})

    def where(self, begin: Callable[[], None]) -> set[int]:
        """On which cores a thread may run after it began."""
        found: list[set[int]] = []

        def work() -> None:
            begin()
            found.append(os.sched_getaffinity(0))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(SECONDS)
        return found[0]


def until(true: Callable[[], object]) -> bool:
    ends = time.monotonic() + SECONDS
    while not true() and time.monotonic() < ends:
        time.sleep(0.01)
    return bool(true())


def until_is(cores: set[int], where: Callable[[], set[int]]) -> bool:
    return until(lambda: where() == cores)


def test_threads_go_where_the_kernel_woke_the_one_that_may_run_anywhere() -> None:
    threads = Threads()
    for core in (FIRST, SECOND, FIRST):
        threads.chosen(core)
        assert until_is({core}, lambda: threads.where(threads.one_core.follow))


def test_a_thread_follows_when_the_choice_is_another() -> None:
    threads, ended = Threads(), threading.Event()
    seen: list[set[int]] = [set()]

    def work() -> None:
        while not ended.is_set():
            threads.one_core.follow()
            seen.append(os.sched_getaffinity(0))
            time.sleep(0.001)

    threading.Thread(target=work, daemon=True).start()
    for core in (FIRST, SECOND, FIRST):
        threads.chosen(core)
        assert until_is({core}, lambda: seen[-1])
    ended.set()


def test_where_the_chosen_core_is_no_longer_there_a_thread_stays() -> None:
    threads = Threads(every=3600)
    threads.one_core._core = 4095
    assert threads.where(threads.one_core.follow) == os.sched_getaffinity(0)


def test_where_nobody_knows_the_core_threads_stay() -> None:
    unknown = one_core.OneCore(lambda: -1, every=0.01)
    time.sleep(0.1)
    assert Threads().where(unknown.follow) == os.sched_getaffinity(0)


def test_on_one_core_nobody_chooses() -> None:
    found: list[int] = []

    def work() -> None:
        os.sched_setaffinity(0, {FIRST})
        before = threading.active_count()
        one_core.following()()
        found.append(threading.active_count() - before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(SECONDS)
    assert found == [0]


def kept_to(process: int) -> list[set[int]]:
    """Of each thread of a tree of processes that may not run everywhere: where it may."""
    found = []
    for one in members(process):
        for task in Path(f"/proc/{one}/task").iterdir():
            with suppress(ProcessLookupError):  # it ended meanwhile
                found.append(os.sched_getaffinity(int(task.name)))
    return [cores for cores in found if cores != os.sched_getaffinity(0)]


@pytest.mark.server
def test_the_server_keeps_the_threads_of_a_lone_worker_that_compute_to_one_core(tmp_path: Path) -> None:
    with serving(tmp_path) as (command, visitor):

        def together() -> bool:
            cores = kept_after_work(command, visitor)
            return len(cores) > 1 and all(len(each) == 1 for each in cores)

        assert until(together)


@pytest.mark.server
def test_it_lets_the_kernel_keep_several_workers_apart(tmp_path: Path) -> None:
    with serving(tmp_path, WORKERS="2") as (command, visitor):
        ends = time.monotonic() + 2 * one_core.EVERY
        while time.monotonic() < ends:
            assert kept_after_work(command, visitor) == []


def kept_after_work(command: Command, visitor: Visitor) -> list[set[int]]:
    """Each form takes a thread away from the door, so that several have worked."""

    def ask(_: int) -> int:
        return requests.post(f"{visitor.url}/auth/login/email", {"email": "minji"}, timeout=SECONDS).status_code

    with ThreadPoolExecutor(8) as crowd:
        assert set(crowd.map(ask, range(40))) == {400}  # there is no token in it
    return kept_to(command.process.pid)
