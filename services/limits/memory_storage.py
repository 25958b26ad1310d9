"""Rate limits counted in the memory of this process: a storage for the `limits` package that stays small.

The package's own in-memory storage keeps every key until it expires, so a client that makes up keys fills the memory.
This one removes the least recently used key when there are too many.
"""

import threading

from cachetools import LRUCache
from limits.aio.storage import MovingWindowSupport, Storage

from services.clock import Clock

MAX_KEYS = 100_000
"""Counts in memory, about 30 MB. A client that makes up keys cannot take more."""


class BoundedMemoryStorage(Storage, MovingWindowSupport):
    """A moving window for each key: the times of its hits, oldest first."""

    STORAGE_SCHEME = None

    def __init__(self, clock: Clock, max_keys: int = MAX_KEYS) -> None:
        super().__init__()
        self._clock = clock
        self._hits: LRUCache[str, list[float]] = LRUCache(max_keys)
        self._lock = threading.Lock()  # never held while anything is awaited

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Add `amount` hits if there is room for them among the `limit` of the last `expiry` seconds."""
        with self._lock:
            hits = self._window(key, expiry)
            if len(hits) + amount > limit:
                return False
            hits += [self._clock.time()] * amount
            self._hits[key] = hits
            return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002
        """When the window starts, and how many hits are in it."""
        with self._lock:
            hits = self._window(key, expiry)
            return (hits[0] if hits else self._clock.time()), len(hits)

    async def get(self, key: str) -> int:
        return len(self._hits.get(key, ()))

    async def clear(self, key: str) -> None:
        with self._lock:
            self._hits.pop(key, None)

    async def reset(self) -> int:
        with self._lock:
            count = len(self._hits)
            self._hits.clear()
            return count

    async def check(self) -> bool:
        return True

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError("fixed windows are not used")

    async def get_expiry(self, key: str) -> float:
        raise NotImplementedError("fixed windows are not used")

    def _window(self, key: str, expiry: int) -> list[float]:
        since = self._clock.time() - expiry
        hits: list[float] = self._hits.get(key, [])
        while hits and hits[0] <= since:
            hits.pop(0)
        return hits
