"""What the processes of the site share, if `STATE_URL` names a Redis: counts of sign-ins, and the ended sessions.

Redis is a help and never a need: people sign in without it. So each use is bounded in time as a whole, with
looking up its name and finding a cluster's nodes, and after a failure nobody asks for a while.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from limits.storage import RedisStorage, storage_from_string

from services import waiting
from services.events import shared_state_seen
from services.hands import Hands

log = logging.getLogger("munjigi.state")

LONGEST_ANSWER = 0.2
"""Seconds that Redis has for one answer."""
LONGEST_WAIT = 2.0
"""Seconds for all that a request asks at once, with looking up names, and waiting for a free hand in a crowd: that is
this process's own load and no fault of Redis, so it may take longer."""
PAUSE = 2.0
"""Seconds in which nobody asks after a failure; then one looks whether it is back."""
_HANDS = 8

_Answer = TypeVar("_Answer")


class StateUnavailable(Exception):  # named as the errors that people see are
    """There is no shared state, or it does not answer."""


def connected(url: str, seconds: float) -> RedisStorage:
    """The state at this address, each read of which waits so long at most."""
    # Not before it is needed: 6 MB, and a sixth of what it takes to start.
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.exceptions import ConnectionError as RedisConnectionError  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    options: dict[str, Any] = {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        # Once more at once for a connection that has died unnoticed, but never after waiting in vain.
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        "protocol": 2,  # in the other one the answers have other shapes
    }
    return storage_from_string(url, **options)  # type: ignore[return-value]  # of a scheme that the settings allow


class SharedState:
    def __init__(self, url: str) -> None:
        self.url = url
        self.is_shared = not url.startswith("memory:")
        self._hands = Hands(_HANDS, "munjigi-state")
        self._storage: RedisStorage | None = None
        self._connecting, self._turning = threading.Lock(), threading.Lock()
        self._resting_until = 0.0
        self._failures = 0
        self._away = False

    def ask(self, call: Callable[[RedisStorage], _Answer]) -> _Answer:
        """What `call` gives; raises `StateUnavailable` if that takes too long, fails, or has just failed."""
        if not self.is_shared or time.monotonic() < self._resting_until:
            raise StateUnavailable
        waiting.begins()
        if self._away:
            self._resting_until = time.monotonic() + PAUSE  # this one looks, and the others go on
        failures = self._failures
        asked = self._hands.submit(lambda: self._call(call, failures))
        try:
            answer = asked.result(LONGEST_WAIT)
        except Exception as error:  # whatever the client makes of an answer: nobody fails to sign in because of it
            asked.cancel()
            self._rest(error)
            raise StateUnavailable from None
        self._is_back(failures)
        return answer

    def close(self) -> None:
        """Let go of the connections."""
        if self._storage is not None:
            self._storage.storage.close()

    def _call(self, call: Callable[[RedisStorage], _Answer], failures: int) -> _Answer:
        if self._failures > failures:  # while this one waited for a hand
            raise StateUnavailable
        with self._connecting:
            if self._storage is None:
                self._storage = connected(self.url, LONGEST_ANSWER)
            storage = self._storage
        return call(storage)

    def _rest(self, error: Exception) -> None:
        with self._turning:
            self._resting_until = time.monotonic() + PAUSE
            self._failures += 1
            if not self._away:
                log.error("the shared state is away, this process goes on by itself: %s", type(error).__name__)
            self._away = True
        shared_state_seen.send(self, part="counts", up=False)

    def _is_back(self, failures: int) -> None:
        with self._turning:
            if self._away and self._failures == failures:  # what began before the failure says nothing of now
                log.warning("the shared state is back")
                self._away, self._resting_until = False, 0.0
                shared_state_seen.send(self, part="counts", up=True)
