"""The ids of tokens that may be used once, for as long as a copy of them could be valid."""

import threading
from hashlib import sha256
from typing import TYPE_CHECKING

from cachetools import TTLCache

from services.clock import Clock
from services.event_loop import wait_for
from services.state.redis import Redis, client_of

if TYPE_CHECKING:
    from limits.aio.storage import RedisStorage

MAX_TOKENS = 10_000
"""Of each process, some 2 MB. Only tokens with a valid signature are kept; beyond it, the oldest works again."""


class UsedTokens:
    """In this process, and in Redis if there is one. While Redis is unavailable, each process knows its own."""

    def __init__(self, prefix: str, keep_seconds: int, redis: Redis | None, clock: Clock) -> None:
        self._prefix = prefix
        self._keep_seconds = keep_seconds
        self._redis = redis
        self._used: TTLCache[str, bool] = TTLCache(MAX_TOKENS, keep_seconds, clock.monotonic)
        self._lock = threading.Lock()

    def use(self, *parts: str) -> bool:
        """Note that the token with this id is used now; False if it was used before."""
        key = f"{self._prefix}:{sha256(repr(parts).encode()).hexdigest()[:32]}"
        with self._lock:
            if key in self._used:
                return False
            self._used[key] = True
        return wait_for(self._set(self._redis, key)) if self._redis else True

    async def _set(self, redis: Redis, key: str) -> bool:
        async def set_if_absent(storage: "RedisStorage") -> bool:
            command = redis.command(lambda: client_of(storage).set(key, b"", nx=True, ex=self._keep_seconds))
            return bool(await command)

        async def skip() -> bool:
            return True

        return await redis.run(set_if_absent, otherwise=skip)
