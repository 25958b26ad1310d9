"""Deduplicates calls: if several requests make the same call at the same time, one makes it and the others share it."""

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Hashable, MutableMapping
from concurrent.futures import Future
from copy import copy
from hashlib import sha256
from typing import Any, Generic, TypeVar

from cachetools import TTLCache

import errors
from services.clock import Clock
from services.event_loop import wait_for, wait_for_future
from services.sealing import Sealer
from services.state.redis import Redis

log = logging.getLogger("munjigi.state")

_MAX_KEPT = 1000
"""Results, each with a session: about 10 MB. With more within `keep_seconds`, the oldest is no longer shared."""
_POLL_SECONDS = 0.05
"""Interval of polling Redis for the result of another process, too short to be noticed."""

_T = TypeVar("_T")


class SingleFlight(Generic[_T]):
    """Deduplicates calls by key. A result is also shared with calls that come up to `keep_seconds` after it.

    Threads and greenlets may share one.
    """

    def __init__(self, clock: Clock, keep_seconds: float = 0.0) -> None:
        self._lock = threading.Lock()  # never held during a wait
        self._keeps = keep_seconds > 0
        self._running: dict[Hashable, Future[_T]] = {}
        self._kept: MutableMapping[Hashable, Future[_T]] = TTLCache(_MAX_KEPT, keep_seconds, clock.monotonic)

    def is_running(self, key: Hashable) -> bool:
        return key in self._running

    def run(self, key: Hashable, call: Callable[[], _T], timeout: float) -> tuple[_T, bool]:
        """Return the result of `call`, and whether this request made it. Otherwise another request did.

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


class SharedSingleFlight(Generic[_T]):
    """A `SingleFlight` for all processes that share a Redis; for one process while Redis is unavailable.

    In Redis, the value of a key is empty while its call runs, and then the sealed result or the sealed error.
    """

    def __init__(
        self,
        name: str,
        redis: Redis | None,
        sealer: Sealer,
        clock: Clock,
        *,
        keep_seconds: int,
        dump: Callable[[_T], object],
        load: Callable[[Any], _T],
    ) -> None:
        """name: the prefix of the keys in Redis. dump, load: convert a result to a JSON value and back; `load` may
        raise `ValueError` or `KeyError`.
        """
        self._name = name
        self._redis = redis
        self._sealer = sealer
        self._keep_seconds = keep_seconds
        self._dump, self._load = dump, load
        self._in_process: SingleFlight[tuple[_T, bool]] = SingleFlight(clock, keep_seconds)

    def run(self, key: str, call: Callable[[], _T], timeout: float) -> tuple[_T, bool]:
        """As `SingleFlight.run`."""
        (result, was_called), is_first = self._in_process.run(key, lambda: self._run(key, call, timeout), timeout)
        return result, was_called and is_first

    def _run(self, key: str, call: Callable[[], _T], timeout: float) -> tuple[_T, bool]:
        redis = self._redis
        if redis is None:
            return call(), True
        name = f"{self._name}:{sha256(key.encode()).hexdigest()}"
        if not wait_for(self._claim(redis, name, timeout)):
            try:
                result = self._open(name, wait_for(self._other_result(redis, name, timeout)))
            except (ValueError, KeyError):
                log.warning("result of another process not available, key=%s", name)
            else:
                return result, False
        try:
            result = call()
        except errors.SiteError as error:
            wait_for(self._publish(redis, name, {"error": type(error).__name__, "attributes": vars(error)}))
            raise
        wait_for(self._publish(redis, name, {"result": self._dump(result)}))
        return result, True

    def _open(self, name: str, sealed: bytes | None) -> _T:
        """The result of another process. Raises its error; `ValueError` or `KeyError` if there is no valid result."""
        if sealed is None:
            raise ValueError("it is no longer in Redis")
        value: Any = self._sealer.open(name, sealed)
        if "error" in value:
            raise errors.from_attributes(value["error"], value["attributes"])
        return self._load(value["result"])

    async def _claim(self, redis: Redis, name: str, timeout: float) -> bool:
        """Whether this process makes the call. True while Redis is unavailable."""

        milliseconds = math.ceil(timeout * 1000)
        return bool(await redis.send(lambda client: client.set(name, b"", nx=True, px=milliseconds), default=True))

    async def _other_result(self, redis: Redis, name: str, timeout: float) -> bytes | None:
        """The result that another process publishes; None if it has none, or Redis is unavailable.

        Raises `TimeoutError`.
        """

        value: bytes | None
        async with asyncio.timeout(timeout):
            while (value := await redis.send(lambda client: client.get(name))) == b"":
                await asyncio.sleep(_POLL_SECONDS)
        return value

    async def _publish(self, redis: Redis, name: str, value: object) -> None:
        sealed = self._sealer.seal(name, value)
        await redis.send(lambda client: client.set(name, sealed, ex=self._keep_seconds))


def _result(future: "Future[_T]", timeout: float) -> _T:
    try:
        return future.result() if future.done() else wait_for_future(future, timeout)
    except errors.SiteError as error:
        raise copy(error) from None  # each request its own


def _without_request(error: BaseException) -> BaseException:
    """A copy of an error to keep: the traceback of the original refers to all objects of its request."""
    return copy(error) if isinstance(error, errors.SiteError) else RuntimeError(type(error).__name__)
