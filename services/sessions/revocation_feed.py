"""The Redis stream with which processes announce revoked sessions and changed users to each other."""

import asyncio
import logging
import math
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.clock import Clock
from services.event_loop import start_task, wait_for
from services.observability.audit import redis_state_changed
from services.sessions.short_hash import KEY_BYTES
from services.state.redis import Redis, client_of, close_storage, open_storage

if TYPE_CHECKING:
    from limits.aio.storage import RedisStorage

log = logging.getLogger("munjigi.sessions")

STREAM = "munjigi:ended"
GENERATION_KEY = "{munjigi:ended}:generation"
"""The key of a value that changes when Redis has lost its data: it was emptied, or restarted without them. In a
cluster, the braces put it onto the node of the stream."""
_GENERATION_SECONDS = 10 * 365 * 86400
"""The lifetime of that key. From the remaining time follows its age, by the clock of Redis."""
MAX_SYNC_SECONDS = 10.0
"""How long a process waits for the stream at its start. The rest of a longer stream is read while it serves."""
_BLOCK_SECONDS = 0.9
"""How long one read waits for entries, below `CLIENT_SECONDS` in `services/state/redis.py`."""
_RETRY_SECONDS = 1.0
"""The interval of attempts to connect. A revoked session may be used for this long after Redis is back."""
_BATCH_SIZE = 500
"""Entries read at once. Adding them takes about 5 ms, in which the event loop does nothing else."""
_OVERLAP_SECONDS = 3600.0
"""The part of the stream that is read again after a failure: a replica that took over may lack the last entries, and
another Redis may have an empty stream and a clock that is behind."""
MAX_UNPUBLISHED = 100_000
"""Entries that wait for Redis, about 20 MB. The oldest is dropped; this process itself remembers it."""
_PUBLISH_BATCH_SIZE = 1000
"""Entries sent at once, about 100 kB."""


@dataclass(frozen=True)
class Entry:
    """One revoked session, or all sessions of a user that started at `until` or before (seconds since 1970).

    Or one session whose user has changed at the backend, as a process learned at `until` (milliseconds).
    """

    session_key: bytes = b""
    user_key: bytes = b""
    changed_key: bytes = b""
    until: int = 0

    def to_fields(self) -> dict[str, Any]:
        if self.changed_key:
            return {"c": self.changed_key, "t": self.until}
        return {"p": self.user_key, "t": self.until} if self.user_key else {"s": self.session_key}

    @classmethod
    def from_fields(cls, fields: dict[bytes, bytes]) -> "Entry":
        """Raises `KeyError` or `ValueError` for fields that are not an entry."""
        name = next((name for name in (b"c", b"p") if name in fields), b"s")
        if len(fields[name]) != KEY_BYTES:
            raise ValueError("not a key")
        if name == b"c":
            return cls(changed_key=fields[b"c"], until=int(fields[b"t"]))
        if name == b"p":
            return cls(user_key=fields[b"p"], until=int(fields[b"t"]))
        return cls(session_key=fields[b"s"])


class RevocationFeed:
    """add: called with the time of an entry, in seconds since 1970, and the entry.

    max_age: seconds after which an entry may be removed from the stream.
    """

    def __init__(self, redis: Redis, add: Callable[[float, Entry], None], max_age: int, clock: Clock) -> None:
        self._redis = redis
        self._add = add
        self._max_age = max_age
        self._clock = clock
        self._unpublished: deque[Entry] = deque(maxlen=MAX_UNPUBLISHED)
        self._lock = threading.Lock()
        self._last_id = "0-0"
        self._is_disconnected = False
        self._reconnected_at = -math.inf
        self._generation: bytes | None = None
        self._started_in_pid: int | None = None
        self.on_reconnect: Callable[[], None] = lambda: None
        """Called on the event loop when Redis is back or was emptied: it may have lost data."""
        self._cancel: Callable[[], object] = lambda: None
        self._synced = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        return self._synced.is_set()

    @property
    def connected_seconds(self) -> float:
        """Seconds since Redis is back or was emptied; negative while it is unavailable, infinite if it never was."""
        return -1.0 if self._is_disconnected else self._clock.monotonic() - self._reconnected_at

    @property
    def generation(self) -> bytes | None:
        """The value of `GENERATION_KEY`, as this process has last seen it."""
        return self._generation

    def start(self) -> None:
        """Start reading the stream, unless this process does already."""
        if self._started_in_pid == os.getpid():
            return
        with self._lock:
            if self._started_in_pid != os.getpid():
                self._started_in_pid, self._synced = os.getpid(), asyncio.Event()
                self._cancel = start_task(self._run())

    def wait_until_ready(self) -> None:
        self.start()
        if not self.is_ready:
            wait_for(self.ready())

    async def ready(self) -> None:
        """Return when the stream has been read, Redis is unavailable, or `MAX_SYNC_SECONDS` have passed."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._synced.wait(), MAX_SYNC_SECONDS)

    def stop(self) -> None:
        if self._started_in_pid == os.getpid():
            self._cancel()

    def publish(self, entry: Entry) -> None:
        """Announce an entry to other processes; if Redis is unavailable, when it is back."""
        wait_for(self._publish(entry))

    async def _publish(self, entry: Entry) -> None:
        async def publish(storage: "RedisStorage") -> None:
            await self._redis.command(lambda: self._append(client_of(storage), entry))

        async def keep() -> None:
            if len(self._unpublished) == MAX_UNPUBLISHED - 1:
                log.error("revoked sessions wait for Redis; the oldest are dropped beyond %d", MAX_UNPUBLISHED)
            self._unpublished.append(entry)

        await self._redis.run(publish, otherwise=keep)

    def _append(self, client: Any, entry: Entry) -> Any:
        """Append an entry to the stream. Awaited, unless the client is a pipeline."""
        oldest = int((self._clock.time() - self._max_age) * 1000)
        return client.xadd(STREAM, entry.to_fields(), minid=f"{oldest}-0", approximate=True)

    async def _run(self) -> None:
        while True:
            storage = open_storage(self._redis.url, _BLOCK_SECONDS + _RETRY_SECONDS)
            try:
                client = client_of(storage)
                while True:
                    await self._read(client)
                    await self._publish_backlog(client)
            except Exception as error:  # the task has to continue after any error
                self._mark_disconnected(error)
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                with suppress(Exception):
                    await close_storage(storage)

    async def _read(self, client: Any) -> None:
        """Read the entries after the last one, and wait a moment for new ones."""
        response = await client.xread({STREAM: self._last_id}, count=_BATCH_SIZE, block=int(_BLOCK_SECONDS * 1000))
        entries = response[0][1] if response else []
        for entry_id, fields in entries:
            self._last_id = entry_id.decode()
            try:
                self._add(_time_of(self._last_id), Entry.from_fields(fields))
            except (KeyError, ValueError):
                log.warning("unknown entry in %s: %s", STREAM, self._last_id)
        await self._check_generation(client)
        if len(entries) < _BATCH_SIZE:
            self._mark_synced()

    async def _check_generation(self, client: Any) -> None:
        """Detect that Redis was emptied, even if the connection was not lost."""
        generation = await client.get(GENERATION_KEY)
        if generation is not None and generation == self._generation:
            return
        await client.set(GENERATION_KEY, secrets.token_hex(8), nx=True, ex=_GENERATION_SECONDS)
        generation, seconds_left = await client.get(GENERATION_KEY), await client.ttl(GENERATION_KEY)
        has_lost_data = self._generation is not None
        self._generation = generation
        created_at = self._clock.monotonic() - max(0, _GENERATION_SECONDS - seconds_left)
        self._reconnected_at = max(self._reconnected_at, created_at)
        if has_lost_data and not self._is_disconnected:
            log.error("Redis has lost its data; saving again what this process knows")
            self.on_reconnect()

    async def _publish_backlog(self, client: Any) -> None:
        """Publish the entries that were collected while Redis was unavailable or full."""
        while self._unpublished:
            count = min(_PUBLISH_BATCH_SIZE, len(self._unpublished))
            batch = [self._unpublished.popleft() for _ in range(count)]
            try:
                async with client.pipeline(transaction=False) as pipeline:
                    for entry in batch:
                        self._append(pipeline, entry)
                    await pipeline.execute()
            except Exception:  # if Redis is not just full, the next read reports the error
                self._unpublished.extendleft(reversed(batch))
                return

    def _mark_synced(self) -> None:
        if self._is_disconnected:
            log.warning("revocation feed connected again")
            redis_state_changed.send(self, part="revoked_sessions", up=True)
            self._is_disconnected, self._reconnected_at = False, self._clock.monotonic()
            self.on_reconnect()
        self._synced.set()

    def _mark_disconnected(self, error: Exception) -> None:
        """Keep the known entries, and do not wait for others."""
        if not self._is_disconnected:
            log.error("revocation feed disconnected: %s", type(error).__name__)
            self._last_id = f"{max(0, int((_time_of(self._last_id) - _OVERLAP_SECONDS) * 1000))}-0"
        self._is_disconnected = True
        self._synced.set()
        redis_state_changed.send(self, part="revoked_sessions", up=False)


def _time_of(entry_id: str) -> float:
    """Seconds since 1970 when an entry was added, by the clock of Redis."""
    return int(entry_id.partition("-")[0]) / 1000
