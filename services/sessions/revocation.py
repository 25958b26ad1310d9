"""Revoked sessions: a copy of the cookie of a session that was signed out signs nobody in any more.

Sessions are read often, and a read must not wait for the network. So each process has the whole list in memory, and
follows what other processes add (`revocation_feed.py`). An entry is kept as long as a token that was issued before it
can be valid (`SESSION_MAX_AGE`). Without Redis, each process knows only what was revoked there.
"""

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256

from config import Settings
from services.backend.user import User
from services.clock import MAX_DIFFERENCE_SECONDS, Clock
from services.sessions.memory import SessionMemory
from services.sessions.model import KEY_BYTES, Session
from services.sessions.revocation_feed import Entry, RevocationFeed
from services.state.redis import Redis

_BUCKET_BYTES = 2
"""Of the hash of a session id; the first bytes select the bucket."""


@dataclass
class _Window:
    """What was revoked in a period of time. A session takes about nine bytes."""

    since: float
    """Seconds since 1970."""
    buckets: defaultdict[bytes, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    users: dict[bytes, int] = field(default_factory=dict)
    """For each user the time up to which all sessions are revoked."""

    def contains(self, key: bytes) -> bool:
        bucket, rest = self.buckets.get(key[:_BUCKET_BYTES], b""), key[_BUCKET_BYTES:]
        index = bucket.find(rest)
        while index >= 0 and index % len(rest):  # a match across two entries
            index = bucket.find(rest, index + 1)
        return index >= 0

    def add(self, key: bytes) -> None:
        if not self.contains(key):
            self.buckets[key[:_BUCKET_BYTES]] += key[_BUCKET_BYTES:]


class RevokedSessions:
    def __init__(
        self, settings: Settings, redis: Redis | None, clock: Clock, memory: SessionMemory | None = None
    ) -> None:
        """memory: hears of the changes that other processes publish, which come in the same feed."""
        self._clock = clock
        self._memory = memory
        if memory:
            memory.publish_change = self._publish_change
        # A session may come from a process whose clock is ahead, and an entry from a Redis whose clock is behind.
        self._max_age = settings.session_max_age + MAX_DIFFERENCE_SECONDS
        self._windows = [_Window(clock.time()), _Window(0)]
        self._lock = threading.Lock()
        self.feed = RevocationFeed(redis, self._add, self._max_age, clock) if redis else None

    def contains(self, session: Session) -> bool:
        """Whether this session was revoked, alone or with all sessions of its user."""
        key, user = session.key, _user_key(session.user)
        return any(w.users.get(user, -1) >= session.auth_time or w.contains(key) for w in self._windows)

    def next_auth_time(self, user: User, now: int) -> int:
        """The `auth_time` of a session of this user that starts now: after the last time that all were revoked."""
        return max(now, *(window.users.get(_user_key(user), 0) + 1 for window in self._windows))

    def revoke(self, session: Session) -> None:
        """Revoke a session: here at once, in other processes within a second."""
        self._publish(Entry(session_key=session.key))

    def revoke_all(self, session: Session) -> None:
        """Revoke all sessions of this session's user that have started by now, whatever the clock of their process."""
        until = max(int(self._clock.time()) + MAX_DIFFERENCE_SECONDS, session.auth_time)
        self._publish(Entry(user_key=_user_key(session.user), until=until))

    @property
    def is_ready(self) -> bool:
        """Whether the entries of other processes are known here; also while Redis is unavailable."""
        return self.feed is None or self.feed.is_ready

    def start_feed(self) -> None:
        """Follow other processes, if this process does not yet: a server may fork after the site was built."""
        if self.feed:
            self.feed.start()

    def wait_until_ready(self) -> None:
        """Start the feed, and wait until it is synced or that takes too long."""
        if self.feed:
            self.feed.wait_until_ready()

    def stop_feed(self) -> None:
        if self.feed:
            self.feed.stop()

    def _publish(self, entry: Entry) -> None:
        self._add(self._clock.time(), entry)
        if self.feed:
            self.feed.publish(entry)

    def _publish_change(self, key: bytes, time: float) -> None:
        if self.feed:
            self.feed.publish(Entry(changed_key=key, until=int(time * 1000)))

    def _add(self, time: float, entry: Entry) -> None:
        """Add an entry that was made at this time."""
        if entry.changed_key:
            if self._memory:
                self._memory.note_change(entry.changed_key, entry.until / 1000)
            return
        with self._lock:
            if self._clock.time() - self._windows[0].since > self._max_age:
                self._windows = [_Window(self._clock.time()), self._windows[0]]
            is_recent = time >= self._windows[0].since - MAX_DIFFERENCE_SECONDS
            window = self._windows[0 if is_recent else 1]
            if entry.user_key:
                window.users[entry.user_key] = max(entry.until, window.users.get(entry.user_key, 0))
            else:
                window.add(entry.session_key)


def _user_key(user: User) -> bytes:
    return sha256(f"person:{user.id}".encode()).digest()[:KEY_BYTES]
