"""Of several requests that want the same thing at the same time, one gets it and the others share its result."""

import threading
from collections.abc import Callable, Hashable, MutableMapping
from concurrent.futures import Future
from copy import copy
from typing import Generic, TypeVar

from cachetools import TTLCache

import errors
from services.clock import Clock
from services.event_loop import wait_for_future

_MAX_KEPT = 1000
"""Results, each with a session: some 10 MB. With more in `keep_seconds`, the oldest is not shared any longer."""

_T = TypeVar("_T")


class SingleFlight(Generic[_T]):
    """Deduplicates calls by key. A result is also shared with calls that come up to `keep_seconds` after it.

    Threads and greenlets may share one.
    """

    def __init__(self, clock: Clock, keep_seconds: float = 0.0) -> None:
        self._lock = threading.Lock()  # never held while anything is waited for
        self._keeps = keep_seconds > 0
        self._running: dict[Hashable, Future[_T]] = {}
        self._kept: MutableMapping[Hashable, Future[_T]] = TTLCache(_MAX_KEPT, keep_seconds, clock.monotonic)

    def is_running(self, key: Hashable) -> bool:
        return key in self._running

    def run(self, key: Hashable, call: Callable[[], _T], timeout: float) -> tuple[_T, bool]:
        """The result of `call`, and whether it was called now; otherwise the result is another request's.

        Raises what `call` raises, in each of the requests; `TimeoutError` after `timeout` seconds of waiting.
        """
        own: Future[_T] = Future()
        with self._lock:
            other = self._running.get(key) or self._kept.get(key)
            if other is None:
                self._running[key] = own
        if other is not None:
            return _result(other, timeout), False
        try:
            own.set_result(result := call())
        except BaseException as error:
            own.set_exception(_without_request(error))
            raise
        finally:
            with self._lock:
                del self._running[key]
                if self._keeps:
                    self._kept[key] = own
        return result, True


def _result(future: "Future[_T]", timeout: float) -> _T:
    try:
        return future.result() if future.done() else wait_for_future(future, timeout)
    except errors.SiteError as error:
        raise copy(error) from None  # each request its own


def _without_request(error: BaseException) -> BaseException:
    """An error to keep: the original refers, by its traceback, to all objects of the request that it ended."""
    return copy(error) if isinstance(error, errors.SiteError) else RuntimeError(type(error).__name__)
