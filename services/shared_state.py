"""What the processes of the site share, if `STATE_URL` names a Redis: counts of sign-ins, and the ended sessions.

Redis is a help and never a need: people sign in without it. So each use is bounded in time as a whole, with
looking up its name and finding a cluster's nodes, and after a failure nobody asks for a while.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from limits.errors import ConfigurationError, StorageError
from limits.storage import RedisStorage, storage_from_string
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

log = logging.getLogger("munjigi.state")

LONGEST_ANSWER = 0.2
"""Seconds that a request waits for Redis, for all that it asks at once."""
PAUSE = 2.0
"""Seconds in which nobody asks after a failure."""
_HANDS = 8
FAILURES = (RedisError, RedisClusterException, StorageError, ConfigurationError, OSError)

_Answer = TypeVar("_Answer")


class StateUnavailable(Exception):  # named as the errors that people see are
    """There is no shared state, or it does not answer."""


def connected(url: str, seconds: float) -> RedisStorage:
    """The state at this address, each read of which waits so long at most."""
    options: dict[str, Any] = {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        # Once more at once for a connection that has died unnoticed, but never after waiting in vain.
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    }
    if "+cluster" in url:
        options["cluster_error_retry_attempts"] = 2
    return storage_from_string(url, **options)  # type: ignore[return-value]  # of a scheme that the settings allow


class SharedState:
    def __init__(self, url: str) -> None:
        self.url = url
        self.is_shared = not url.startswith("memory:")
        self._pool = ThreadPoolExecutor(_HANDS, "munjigi-state")
        self._storage: RedisStorage | None = None
        self._lock = threading.Lock()
        self._resting_until = 0.0
        self._away = False

    def ask(self, call: Callable[[RedisStorage], _Answer]) -> _Answer:
        """What `call` gives; raises `StateUnavailable` if that takes too long, fails, or has just failed."""
        if not self.is_shared or time.monotonic() < self._resting_until:
            raise StateUnavailable
        asked = self._pool.submit(self._call, call)
        try:
            answer = asked.result(LONGEST_ANSWER)
        except FAILURES as error:
            asked.cancel()
            self._rest(error)
            raise StateUnavailable from None
        self._is_back()
        return answer

    def _call(self, call: Callable[[RedisStorage], _Answer]) -> _Answer:
        with self._lock:
            if self._storage is None:
                self._storage = connected(self.url, LONGEST_ANSWER)
            storage = self._storage
        return call(storage)

    def _rest(self, error: Exception) -> None:
        self._resting_until = time.monotonic() + PAUSE
        if not self._away:
            log.error("the shared state is away, this process goes on by itself: %s", type(error).__name__)
        self._away = True

    def _is_back(self) -> None:
        if self._away:
            log.warning("the shared state is back")
        self._away = False
