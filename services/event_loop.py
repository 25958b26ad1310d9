"""Waiting without blocking: how synchronous code awaits something on the event loop.

In production, one thread runs the event loop, and each request runs Flask in a greenlet of that thread (`run`). Code
below a view that has to wait for the network calls `wait_for(awaitable)`: the greenlet hands the awaitable to the loop
and is resumed with its result, and the loop serves other requests meanwhile. SQLAlchemy's asyncio extension works the
same way (`sqlalchemy.util.concurrency`).

Elsewhere (`flask run`, the test client, gunicorn, a shell) there is no such greenlet. `wait_for` then runs the
awaitable on a loop in a background thread of the process and blocks the calling thread, as in any WSGI application.
"""

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Generic, ParamSpec, TypeVar, cast

import greenlet

_MAX_EXTENSIONS = 3
"""How often a timeout is extended because the loop was busy. Waiting longer would only add to the load."""

_T = TypeVar("_T")
_P = ParamSpec("_P")


class _RequestGreenlet(greenlet.greenlet):
    """A greenlet that `run` drives. It has a copy of the caller's context variables: Flask keeps its contexts there."""

    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__(call, greenlet.getcurrent())
        self.gr_context = contextvars.copy_context()


async def run(call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Call synchronous code that may use `wait_for`, without blocking the running loop.

    If the task is cancelled, `CancelledError` is raised in `call`, where it waits.
    """
    running = _RequestGreenlet(call)
    result = running.switch(*args, **kwargs)
    while not running.dead:
        try:
            value = await result
        except BaseException as error:  # any exception belongs to the code that waits
            result = running.throw(error)
        else:
            result = running.switch(value)
    return cast(_T, result)


def wait_for(awaitable: Coroutine[Any, Any, _T]) -> _T:
    """Wait for a coroutine in synchronous code: return its result, or raise its exception.

    Raises `RuntimeError` in code that runs on the event loop, but not under `run`: it would block the loop.
    """
    current = greenlet.getcurrent()
    if isinstance(current, _RequestGreenlet):
        return cast(_T, cast(greenlet.greenlet, current.parent).switch(awaitable))
    if _is_on_loop():
        awaitable.close()
        raise RuntimeError("wait_for() would block the event loop: call this code through event_loop.run()")
    return asyncio.run_coroutine_threadsafe(awaitable, background_loop()).result()


def wait_for_future(future: "Future[_T]", timeout: float) -> _T:
    """Wait up to `timeout` seconds for a future that another request completes; raises `TimeoutError`."""
    return wait_for(_result_of(future, timeout))


async def _result_of(future: "Future[_T]", timeout: float) -> _T:
    async with asyncio.timeout(timeout):
        return await asyncio.shield(asyncio.wrap_future(future))


def start_task(coroutine: Coroutine[Any, Any, None]) -> Callable[[], object]:
    """Run a coroutine in the background: on the running loop or, without one, on the background loop.

    Returns a function that cancels it, from any thread.
    """
    if not _is_on_loop():
        return asyncio.run_coroutine_threadsafe(coroutine, background_loop()).cancel
    loop = asyncio.get_running_loop()
    task = loop.create_task(coroutine)
    return lambda: loop.call_soon_threadsafe(task.cancel) if loop.is_running() else None


async def within(seconds: float, coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Await a coroutine for at most `seconds`; raises `TimeoutError`.

    For short timeouts. If the loop was busy with other requests and so notices the timeout late, the timeout starts
    again, up to `_MAX_EXTENSIONS` times.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(coroutine)
    try:
        for _ in range(1 + _MAX_EXTENSIONS):
            due = loop.time() + seconds
            await asyncio.wait({task}, timeout=seconds)
            if task.done():
                return task.result()
            if loop.time() - due < seconds / 5:
                break
        raise TimeoutError
    finally:
        task.cancel()


class PerLoop(Generic[_T]):
    """A value for each event loop, made at its first use there: a connection belongs to the loop that opened it."""

    def __init__(self, make: Callable[[], _T], close: Callable[[_T], Coroutine[Any, Any, None]]) -> None:
        self._make, self._close = make, close
        self._values: dict[asyncio.AbstractEventLoop, _T] = {}

    def get(self) -> _T:
        """The value of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._values:
            self._values[loop] = self._make()
        return self._values[loop]

    def close_soon(self) -> None:
        """Close each value on its own loop, from any thread."""
        while self._values:
            loop, value = self._values.popitem()
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(self._close(value), loop)

    async def close(self) -> None:
        """Close the value of the running loop."""
        loop = asyncio.get_running_loop()
        if loop in self._values:
            await self._close(self._values.pop(loop))


def _is_on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _BackgroundLoop:
    """The loop of a process without an ASGI server. It starts at its first use in each process."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)  # threads do not survive a fork

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="munjigi-event-loop", daemon=True).start()
            return self._loop


background_loop = _BackgroundLoop().get
