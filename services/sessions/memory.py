"""What this process knows about sessions beyond their cookies. Every answer to "who is this?" reads it.

A cookie cannot always be written: not by `/auth/verify`, and not while another response of the same browser is under
way. So what was learned about a session counts from here until a page writes it into the cookie: the user whom the
backend has returned, when that was, and until when the session lasts because it was used.

With Redis, other processes hear within a second that a session's user has changed, and ask the backend themselves: no
data of users is in Redis. Without it, each process learns of a change by its own revalidation.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cachetools import LRUCache

from services.backend.user import User
from services.clock import MAX_DIFFERENCE_SECONDS, Clock
from services.event_loop import wait_for
from services.sessions.model import Session
from services.state.redis import Redis, client_of

MAX_SESSIONS = 50_000
"""The least recently used is dropped. It is then as its cookie says, and revalidated once more than needed. An entry
takes some 300 bytes, and another 500 if the user has changed."""
_OWN_SECONDS = 0.002
"""The list has times in milliseconds: one that differs by less is that of this process's own answer."""
_USED_KEY = "munjigi:used:"


@dataclass(frozen=True)
class SessionState:
    next_check_at: float | None = None
    """Seconds since 1970; None if the cookie decides."""
    checked_at: float = 0.0
    """When the backend was last asked for the user."""
    supersedes: float = 0.0
    """A cookie with a later `checked_at` is newer than this answer. That may be a time of another process's clock."""
    user: User | None = None
    """Its answer, once one was another user than in the cookie."""
    used_until: int = 0
    """When the session expires, as it was used at a time when its cookie could not be written."""
    change_reported_at: float = 0.0
    """When another process learned that the user has changed."""


_NOTHING = SessionState()


class SessionMemory:
    def __init__(self, redis: Redis | None, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._states: LRUCache[bytes, SessionState] = LRUCache(MAX_SESSIONS)
        self._lock = threading.Lock()
        self.publish_change: Callable[[bytes, float], None] = lambda _key, _time: None
        """Tells other processes that the user of a session has changed."""

    def get(self, session: Session) -> SessionState:
        with self._lock:
            return self._states.get(session.key, _NOTHING)

    def update(self, session: Session, **changes: Any) -> None:
        with self._lock:
            self._states[session.key] = replace(self._states.get(session.key, _NOTHING), **changes)

    def apply(self, session: Session) -> Session:
        """The session of a cookie, as it is known here."""
        state = self.get(session)
        if state is _NOTHING:
            return session
        is_newer = state.supersedes >= session.checked_at
        return replace(
            session,
            user=state.user if state.user is not None and is_newer else session.user,
            checked_at=max(int(state.supersedes), session.checked_at),
            expires_at=max(state.used_until, session.expires_at),
        )

    def learn(self, session: Session, user: User, asked_at: float) -> None:
        """What the backend answered when it was asked at this time. Of two answers, the later question counts."""
        has_changed = user != session.user
        with self._lock:
            state = self._states.get(session.key, _NOTHING)
            if asked_at < state.checked_at:
                return
            new_user = user if has_changed or state.user is not None else None
            supersedes = max(asked_at, session.checked_at)  # the clock of the process that wrote it may be ahead
            self._states[session.key] = replace(state, user=new_user, checked_at=asked_at, supersedes=supersedes)
        if has_changed:
            self.publish_change(session.key, asked_at)

    def note_change(self, key: bytes, time: float) -> None:
        """Another process has learned, at this time of its clock, that the user of a session has changed."""
        latest = time + MAX_DIFFERENCE_SECONDS
        with self._lock:
            state = self._states.get(key, _NOTHING)
            is_own = abs(time - state.checked_at) < _OWN_SECONDS
            if latest > state.checked_at and not is_own:
                self._states[key] = replace(state, change_reported_at=latest, next_check_at=None)

    def extend(self, session: Session, until: int) -> None:
        """The session was used, and its cookie cannot be written."""
        self.update(session, used_until=until)
        if self._redis:
            wait_for(self._save_use(self._redis, session, until))

    def is_extended(self, session: Session) -> bool:
        """Whether the session, which has expired by its cookie, lasts longer because it was used."""
        now = self._clock.time()
        if self.is_extended_here(session) or not self._redis:
            return self.is_extended_here(session)
        used_until = wait_for(self._load_use(self._redis, session))
        if used_until > now:
            self.update(session, used_until=used_until)
        return used_until > now

    def is_extended_here(self, session: Session) -> bool:
        """The same, as far as this process knows."""
        return self.get(session).used_until > self._clock.time()

    async def _save_use(self, redis: Redis, session: Session, until: int) -> None:
        seconds = max(1, until - int(self._clock.time()))

        async def save(storage: Any) -> None:
            await redis.command(lambda: client_of(storage).set(_redis_key(session), until, ex=seconds))

        async def skip() -> None:
            pass

        await redis.run(save, otherwise=skip)

    async def _load_use(self, redis: Redis, session: Session) -> int:
        async def load(storage: Any) -> int:
            value = await redis.command(lambda: client_of(storage).get(_redis_key(session)))
            return int(value or 0)

        async def skip() -> int:
            return 0

        return await redis.run(load, otherwise=skip)


def _redis_key(session: Session) -> str:
    return _USED_KEY + session.key.hex()
