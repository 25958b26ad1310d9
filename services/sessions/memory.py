"""What this process knows about sessions in addition to their cookies. All readers of a session use it.

A cookie cannot always be written: not by `/auth/verify`, and not while another response to the same browser is in
progress. So this memory holds changes of a session until a page writes them into the cookie: the user that the backend
returned, the time of that answer, and the expiry of the session after use.

With Redis, other processes learn within a second that the user of a session has changed, and read the user from the
backend themselves: Redis stores no user data. Without Redis, each process notices a change by its own revalidation.
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
from services.state.redis import Redis

MAX_SESSIONS = 50_000
"""The least recently used entry is dropped: its cookie counts then, and the session is revalidated once more than
needed. An entry takes about 300 bytes, and another 500 if the user has changed."""
_OWN_SECONDS = 0.002
"""Times in the feed are in milliseconds: a time that differs by less is that of this process's own answer."""
_USED_KEY = "munjigi:used:"


@dataclass(frozen=True)
class SessionState:
    next_check_at: float | None = None
    """Seconds since 1970; None if the cookie decides."""
    checked_at: float = 0.0
    """When the backend was last asked for the user."""
    supersedes: float = 0.0
    """A cookie with a later `checked_at` is newer than this answer. The time may be by another process's clock."""
    user: User | None = None
    """The user in that answer; None while it is equal to the user in the cookie."""
    used_until: int = 0
    """When the session expires, if it was used while its cookie could not be written."""
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
        """The session of a cookie with what this process knows about it."""
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
        """Remember the user that the backend returned to a request at this time. Of two answers, the later request
        counts.
        """
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
        """Note that another process learned, at this time of its clock, that the user of a session has changed."""
        latest = time + MAX_DIFFERENCE_SECONDS
        with self._lock:
            state = self._states.get(key, _NOTHING)
            is_own = abs(time - state.checked_at) < _OWN_SECONDS
            if latest > state.checked_at and not is_own:
                self._states[key] = replace(state, change_reported_at=latest, next_check_at=None)

    def extend(self, session: Session, until: int) -> None:
        """Extend a session that was used while its cookie cannot be written."""
        self.update(session, used_until=until)
        if self._redis:
            seconds = max(1, until - int(self._clock.time()))
            wait_for(self._redis.send(lambda client: client.set(_redis_key(session), until, ex=seconds)))

    def is_extended(self, session: Session) -> bool:
        """Whether a session that has expired by its cookie was extended by use."""
        now = self._clock.time()
        if self.is_extended_here(session) or not self._redis:
            return self.is_extended_here(session)
        used_until = int(wait_for(self._redis.send(lambda client: client.get(_redis_key(session)))) or 0)
        if used_until > now:
            self.update(session, used_until=used_until)
        return used_until > now

    def is_extended_here(self, session: Session) -> bool:
        """The same, without asking Redis."""
        return self.get(session).used_until > self._clock.time()


def _redis_key(session: Session) -> str:
    return _USED_KEY + session.key.hex()
