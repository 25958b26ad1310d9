"""Remembers the ids of one-time tokens until the tokens expire."""

import threading
from hashlib import sha256

from cachetools import TTLCache

from services.clock import Clock
from services.event_loop import wait_for
from services.state.redis import Redis

MAX_TOKENS = 10_000
"""Ids in the memory of a process, about 2 MB. Only valid tokens are added. With more, the oldest is forgotten."""


class UsedTokens:
    """Used tokens in this process, and in Redis if it is set. Without Redis, each process knows only its own."""

    def __init__(self, prefix: str, keep_seconds: int, redis: Redis | None, clock: Clock) -> None:
        self._prefix = prefix
        self._keep_seconds = keep_seconds
        self._redis = redis
        self._used: TTLCache[str, bool] = TTLCache(MAX_TOKENS, keep_seconds, clock.monotonic)
        self._lock = threading.Lock()

    def use(self, *parts: str) -> bool:
        """Mark the token with this id as used. Returns False if it was used before."""
        key = self._key(*parts)
        with self._lock:
            if key in self._used:
                return False
            self._used[key] = True
        if self._redis is None:
            return True
        seconds = self._keep_seconds
        return bool(wait_for(self._redis.send(lambda client: client.set(key, b"", nx=True, ex=seconds), default=True)))

    def is_used(self, *parts: str) -> bool:
        """Whether the token with this id was used before."""
        key = self._key(*parts)
        with self._lock:
            if key in self._used:
                return True
        return bool(self._redis and wait_for(self._redis.send(lambda client: client.exists(key))))

    def _key(self, *parts: str) -> str:
        return f"{self._prefix}:{sha256(repr(parts).encode()).hexdigest()[:32]}"
