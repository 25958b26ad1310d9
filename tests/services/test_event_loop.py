"""The bridge between synchronous code and the event loop."""

import asyncio
import contextvars
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from services import event_loop
from services.clock import Clock
from services.event_loop import PerLoop, run, wait_for, wait_for_future, within
from services.single_flight import SingleFlight

person: contextvars.ContextVar[str] = contextvars.ContextVar("person", default="nobody")


async def later(value: Any, seconds: float = 0.01) -> Any:
    await asyncio.sleep(seconds)
    if isinstance(value, BaseException):
        raise value
    return value


def view(value: Any) -> Any:
    """A synchronous function that waits twice, as a view does."""
    first = wait_for(later("first"))
    return first, wait_for(later(value))


async def on_the_loop(call: Callable[[], Any]) -> Any:
    return await run(call)


def in_a_thread(call: Callable[[], Any]) -> Any:
    return call()


WAYS: dict[str, Callable[[Callable[[], Any]], Any]] = {
    "on the loop": lambda call: asyncio.run(on_the_loop(call)),
    "in a thread": in_a_thread,
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[[Callable[[], Any]], Any]:
    return WAYS[request.param]


def test_synchronous_code_waits_for_an_awaitable(way: Callable[..., Any]) -> None:
    assert way(lambda: view(7)) == ("first", 7)


def test_an_exception_is_raised_at_the_wait(way: Callable[..., Any]) -> None:
    caught: list[str] = []

    def careful() -> str:
        try:
            view(KeyError("gone"))
        except KeyError as error:
            caught.append(str(error))
        return str(wait_for(later("goes on")))

    assert way(careful) == "goes on"
    assert caught == ["'gone'"]
    with pytest.raises(ValueError, match="not caught"):
        way(lambda: view(ValueError("not caught")))


def test_the_loop_serves_other_requests_while_one_waits() -> None:
    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(run(view, n) for n in range(200)))

    started = time.monotonic()
    assert asyncio.run(all_at_once()) == [("first", n) for n in range(200)]
    assert time.monotonic() - started < 2


def test_each_request_has_its_own_context_variables() -> None:
    def whose(name: str) -> tuple[str, str]:
        token = person.set(name)
        wait_for(later(None, 0.001 * (ord(name) % 7)))
        found = person.get()
        person.reset(token)
        return found, person.get()

    async def everybody() -> list[tuple[str, str]]:
        person.set("of the server")
        return await asyncio.gather(*(run(whose, name) for name in "abcdefghij"))

    assert asyncio.run(everybody()) == [(name, "of the server") for name in "abcdefghij"]


def test_a_cancelled_request_cleans_up() -> None:
    steps: list[str] = []

    def slow() -> None:
        try:
            wait_for(later(None, 10))
        finally:
            steps.append("cleaned up")
            steps.append(wait_for(later("waited while cleaning up")))

    async def give_up() -> None:
        task = asyncio.create_task(run(slow))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert steps == ["cleaned up", "waited while cleaning up"]


def test_waiting_on_the_loop_itself_is_an_error() -> None:
    async def wrong() -> None:
        wait_for(later(None))

    with pytest.raises(RuntimeError, match=r"event_loop\.run"):
        asyncio.run(wrong())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_waiting_works_in_a_forked_process() -> None:
    """As with gunicorn's `preload_app`: threads do not survive a fork, but the module's state does."""
    assert wait_for(later("before")) == "before"
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert pipe.read() == b"in the child"
        assert os.waitpid(child, 0)[1] == 0
    else:
        os.close(reading)
        os.write(writing, wait_for(later("in the child")).encode())
        os._exit(0)


def test_waiting_for_a_future_has_a_timeout(way: Callable[..., Any]) -> None:
    future: Future[str] = Future()
    threading.Timer(0.05, future.set_result, ("done",)).start()
    assert way(lambda: wait_for_future(future, 5)) == "done"
    with pytest.raises(TimeoutError):
        way(lambda: wait_for_future(Future(), 0.01))


def test_a_result_in_time_counts_even_if_a_busy_loop_reads_it_late() -> None:
    async def busy(seconds: float) -> Any:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        async def ask() -> str:
            return await answer

        async def somebody_else() -> None:
            threading.Timer(0.05, loop.call_soon_threadsafe, (answer.set_result, "in time")).start()
            time.sleep(seconds)  # blocks the loop for this long

        return (await asyncio.gather(within(0.2, ask()), somebody_else()))[0]

    assert asyncio.run(busy(0.5)) == "in time"

    async def never() -> None:
        await within(0.02, later(None, 5))

    with pytest.raises(TimeoutError):
        asyncio.run(never())


def test_each_loop_has_its_own_value_and_closes_it() -> None:
    closed: list[tuple[object, bool]] = []

    async def close(value: object) -> None:
        closed.append((value, asyncio.get_running_loop() is event_loop.background_loop()))

    values = PerLoop(object, close)

    async def get() -> object:
        assert values.get() is values.get()
        return values.get()

    async def on_another_loop() -> object:
        value = await get()
        await values.close()
        return value

    first = wait_for(get())
    second = asyncio.run(on_another_loop())
    assert closed == [(second, False)]
    values.close_soon()
    wait_for(later(None))
    assert closed == [(second, False), (first, True)]


# --- Single flight


def test_concurrent_threads_share_one_call(way: Callable[..., Any]) -> None:
    flight: SingleFlight[int] = SingleFlight(Clock())
    calls: list[int] = []

    def call() -> int:
        calls.append(1)
        wait_for(later(None, 0.1))
        return 42

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: flight.run("key", call, 5), range(8)))
    assert sorted(found) == [(42, False)] * 7 + [(42, True)]
    assert len(calls) == 1
    assert way(lambda: flight.run("key", call, 5)) == (42, True), "nothing is kept"


def test_concurrent_greenlets_share_one_call() -> None:
    flight: SingleFlight[str] = SingleFlight(Clock(), keep_seconds=10)

    async def all_at_once() -> list[tuple[str, bool]]:
        return await asyncio.gather(*(run(flight.run, "key", lambda: wait_for(later("once")), 5) for _ in range(5)))

    assert sorted(asyncio.run(all_at_once())) == [("once", False)] * 4 + [("once", True)]
    assert flight.run("key", lambda: "again", 5) == ("once", False), "kept for ten seconds"
