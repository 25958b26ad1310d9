"""Sessions that were ended before their time: a copy of such a cookie signs nobody in any more.

Reads of a session are many and must not wait for a network, so each process has the whole list in its memory
and follows what others add: a stream in Redis, read as it grows. An entry is kept for as long as a
token that was issued before it could still live (`SESSION_MAX_AGE`). Without Redis the list is this process's own.
"""

import asyncio
import logging
import os
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from config import Settings
from services.backend.user import User
from services.clock import Clock
from services.event_loop import start_task, wait_for
from services.observability.audit import redis_state_changed
from services.sessions.model import Session
from services.state.redis import Redis, client_of, close_storage, open_storage

if TYPE_CHECKING:
    from limits.aio.storage import RedisStorage

log = logging.getLogger("munjigi.ended")

STREAM = "munjigi:ended"
MAX_SYNC_SECONDS = 10.0
"""Seconds that a process waits at its start; a longer list is read while it serves already."""
_BLOCK = 0.9
_AT_ONCE = 500
"""Entries read at once: the loop serves nobody while they are noted, for some 5 ms."""
_PAUSE = 1.0
_OVERLAP = 3600.0
"""Seconds that are read again after a failure: a replica that took over may lack the last ones, another Redis may
have an empty list and a clock that is behind."""
_MOST_UNTOLD, _TOLD_AT_ONCE = 100_000, 1000
_KEY, _SHELF = 8, 2
"""Bytes of an entry's key, and of those the ones that name its shelf."""


@dataclass
class _Span:
    """What was ended in a span of time: about nine bytes a session."""

    since: float
    shelves: defaultdict[bytes, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    people: dict[bytes, int] = field(default_factory=dict)
    """The last time at which all sessions of a person were ended."""

    def holds(self, key: bytes) -> bool:
        shelf, rest = self.shelves.get(key[:_SHELF], b""), key[_SHELF:]
        at = shelf.find(rest)
        while at % len(rest) and at >= 0:  # found across two entries
            at = shelf.find(rest, at + 1)
        return at >= 0

    def add(self, key: bytes) -> None:
        self.shelves[key[:_SHELF]] += key[_SHELF:]


class RevokedSessions:
    def __init__(self, settings: Settings, redis: Redis | None, clock: Clock) -> None:
        self._clock = clock
        self._keep = settings.session_max_age
        self._redis = redis
        self._spans = [_Span(clock.time()), _Span(0)]
        self._untold: deque[dict[str, Any]] = deque(maxlen=_MOST_UNTOLD)
        self._lock = threading.Lock()
        self._last = "0-0"
        self._away = False
        self._started_in: int | None = None
        self._cancel: Callable[[], object] = lambda: None
        self._caught_up = asyncio.Event()

    @property
    def is_synced(self) -> bool:
        """Whether the list that others have made is known here; also while Redis cannot be reached."""
        return self._redis is None or self._caught_up.is_set()

    def has(self, session: Session) -> bool:
        """Whether this session was ended, by itself or with all of its person's."""
        sid, person = _key("sid", session.sid), _person(session.user)
        return any(span.people.get(person, -1) >= session.auth_time or span.holds(sid) for span in self._spans)

    def next_begin(self, user: User, now: int) -> int:
        """When a session of this person that begins now has begun: after the last time that all were ended."""
        return max(now, *(span.people.get(_person(user), 0) + 1 for span in self._spans))

    def end(self, session: Session) -> None:
        """This session is over, here at once and in other processes at most a second later."""
        self._add(self._clock.time(), {"s": _key("sid", session.sid)})

    def end_all(self, session: Session) -> None:
        """And all others of this person that have begun by now, or as late as this one (`next_begin`)."""
        self._add(
            self._clock.time(), {"p": _person(session.user), "t": max(int(self._clock.time()), session.auth_time)}
        )

    def start(self) -> None:
        """Start to follow the list, if this process does not yet: a server may fork after the site was built."""
        if self._redis is None or self._started_in == os.getpid():
            return
        with self._lock:
            if self._started_in != os.getpid():
                self._started_in, self._caught_up = os.getpid(), asyncio.Event()
                self._cancel = start_task(self._run(self._redis))

    def ensure_synced(self) -> None:
        """The same; returns when the list has been read, cannot be had, or takes long."""
        self.start()
        if not self.is_synced:
            wait_for(self.wait_until_synced())

    async def wait_until_synced(self) -> None:
        if self.is_synced:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._caught_up.wait(), MAX_SYNC_SECONDS)

    def stop(self) -> None:
        if self._started_in == os.getpid():
            self._cancel()

    def _add(self, at: float, entry: dict[str, Any]) -> None:
        self._note(at, entry)
        if self._redis is not None:
            wait_for(self._publish(self._redis, entry))

    async def _publish(self, redis: Redis, entry: dict[str, Any]) -> None:
        async def publish(storage: "RedisStorage") -> None:
            await redis.command(lambda: self._tell(client_of(storage), entry))

        async def keep() -> None:
            self._untold.append(entry)  # until `_run` finds Redis again

        await redis.run(publish, otherwise=keep)

    def _note(self, at: float, entry: dict[str, Any]) -> None:
        with self._lock:
            if self._clock.time() - self._spans[0].since > self._keep:
                self._spans = [_Span(self._clock.time()), self._spans[0]]
            span = self._spans[0 if at >= self._spans[0].since else 1]
            if "p" in entry:
                span.people[entry["p"]] = max(int(entry["t"]), span.people.get(entry["p"], 0))
            elif not span.holds(entry["s"]):
                span.add(entry["s"])

    def _tell(self, client: Any, entry: dict[str, Any]) -> Any:
        """Add an entry to the stream. Awaited, unless the client is a pipeline."""
        oldest = int((self._clock.time() - self._keep) * 1000)
        return client.xadd(STREAM, entry, minid=f"{oldest}-0", approximate=True)

    async def _run(self, redis: Redis) -> None:
        while True:
            storage = open_storage(redis.url, _BLOCK + _PAUSE)
            try:
                client = client_of(storage)
                while True:
                    await self._read(client)
                    await self._tell_the_rest(client)
            except Exception as error:  # whatever it is, this task must go on
                self._lost(error)
                await asyncio.sleep(_PAUSE)
            finally:
                with suppress(Exception):
                    await close_storage(storage)

    async def _read(self, client: Any) -> None:
        """What others have ended since the last look; waits for it a while."""
        answer = await client.xread({STREAM: self._last}, count=_AT_ONCE, block=int(_BLOCK * 1000))
        entries = answer[0][1] if answer else []
        for name, fields in entries:
            self._last = name.decode()
            try:
                self._note(_seconds(self._last), _sound(fields))
            except (KeyError, ValueError):
                log.warning("an entry of %s is not ours: %s", STREAM, self._last)
        if len(entries) < _AT_ONCE:
            self._is_up_to_date()

    async def _tell_the_rest(self, client: Any) -> None:
        """What could not be told when it happened; what a full Redis does not take now, it takes later."""
        while self._untold:
            batch = [self._untold.popleft() for _ in range(min(_TOLD_AT_ONCE, len(self._untold)))]
            try:
                async with client.pipeline(transaction=False) as pipeline:
                    for entry in batch:
                        self._tell(pipeline, entry)
                    await pipeline.execute()
            except Exception:  # the next read says what it is, if it is more than that
                self._untold.extendleft(reversed(batch))
                return

    def _is_up_to_date(self) -> None:
        if self._away:
            log.warning("ended sessions are followed again")
            redis_state_changed.send(self, part="ended_sessions", up=True)
        self._away = False
        self._caught_up.set()

    def _lost(self, error: Exception) -> None:
        """What is known stays; nobody waits for what is not to be had."""
        if not self._away:
            log.error("ended sessions are not followed: %s", type(error).__name__)
            self._last = f"{max(0, int((_seconds(self._last) - _OVERLAP) * 1000))}-0"
        self._away = True
        self._caught_up.set()
        redis_state_changed.send(self, part="ended_sessions", up=False)


def _sound(fields: dict[bytes, bytes]) -> dict[str, Any]:
    """An entry as `_note` takes it; raises `KeyError` or `ValueError` for any other."""
    key = b"p" if b"p" in fields else b"s"
    if len(fields[key]) != _KEY:
        raise ValueError("not a key")
    return {"p": fields[key], "t": int(fields[b"t"])} if key == b"p" else {"s": fields[key]}


def _seconds(name: str) -> float:
    """When an entry of the stream was added, by the clock of Redis."""
    return int(name.partition("-")[0]) / 1000


def _key(kind: str, text: str) -> bytes:
    return sha256(f"{kind}:{text}".encode()).digest()[:_KEY]


def _person(user: User) -> bytes:
    return _key("person", str(user.id))
