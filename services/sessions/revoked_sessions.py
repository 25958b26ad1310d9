"""The list of revoked sessions. Cookies of a revoked session, also copies, are no longer accepted.

A person ends sessions by signing out, the backend by `POST /api/auth/sessions/revoke`, and an OpenID Connect issuer
by back-channel logout.

Sessions are read often, and a read must not wait for the network. So each process has the whole list in memory and
receives the entries of other processes (`revocation_feed.py`). An entry is kept as long as a token that was issued
before it can be valid (`SESSION_MAX_AGE`). Without Redis, each process knows only its own entries.
"""

import re
import threading
from collections import defaultdict
from dataclasses import dataclass, field, replace

from config import Settings
from services.backend.user import User
from services.clock import MAX_DIFFERENCE_SECONDS, Clock
from services.sessions.issuer_session import IssuerSession
from services.sessions.memory import SessionMemory
from services.sessions.model import Session, session_key, user_key
from services.sessions.revocation_feed import Entry, RevocationFeed
from services.sessions.short_hash import KEY_BYTES
from services.state.redis import Redis

_BUCKET_BYTES = 2
"""The first bytes of the hash of a session id, which select the bucket."""
_PUBLIC_SID = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}")


@dataclass
class _Window:
    """The sessions revoked in a period of time. A session takes about nine bytes."""

    since: float
    """Seconds since 1970."""
    buckets: defaultdict[bytes, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    users: dict[bytes, int] = field(default_factory=dict)
    """Key of a user -> time up to which all sessions are revoked. Also for users and sessions of an issuer, with times
    by the clock of the issuer."""

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
        """memory: receives the changed users that other processes publish in the same feed."""
        self._clock = clock
        self._memory = memory
        # A session may come from a process whose clock is ahead, and an entry from a Redis whose clock is behind.
        self._max_age = settings.session_max_age + MAX_DIFFERENCE_SECONDS
        self._windows = [_Window(clock.time()), _Window(0)]
        self._lock = threading.Lock()
        self.feed = RevocationFeed(redis, self._add, self._max_age, clock) if redis else None

    def contains(self, session: Session) -> bool:
        """Whether this session was revoked, alone or with all sessions of its user.

        When a session began whose token NextAuth issued is not known: its `iat` changes. It counts as an old one.
        """
        key, user = session.key, session.user_key
        auth_time = session.auth_time if session.is_confirmed else 0
        if any(w.users.get(user, -1) >= auth_time or w.contains(key) for w in self._windows):
            return True
        return session.issuer_session is not None and self._is_ended_by_issuer(session.issuer_session)

    def contains_public(
        self, public_sid: str, user: User, auth_time: int, issuer_session: IssuerSession | None = None
    ) -> bool:
        """The same for a session of which only these values are known."""
        key = bytes.fromhex(public_sid)
        return (
            self._revoked_until(user_key(user.id)) >= auth_time
            or any(w.contains(key) for w in self._windows)
            or (issuer_session is not None and self._is_ended_by_issuer(issuer_session))
        )

    def _is_ended_by_issuer(self, issuer_session: IssuerSession) -> bool:
        return any(self._revoked_until(key) >= issued_at for key, issued_at in issuer_session.keys)

    def next_auth_time(self, user: User, now: int, *, end_others: bool = False) -> int:
        """The `auth_time` of a session of this user that starts now: after the last time that all were revoked.

        end_others: also after those that a call of `revoke_user` ends now.
        """
        key = user_key(user.id)
        return max(now, (self._next_until(key) if end_others else self._revoked_until(key)) + 1)

    def next_issuer_session(self, issuer_session: IssuerSession | None) -> IssuerSession | None:
        """The issuer session of a session that starts now: after the last time that the issuer ended its sessions.

        It has no id_token: the session has it as `sealed_id_token`.
        """
        if issuer_session is None:
            return None
        keys = ((key, max(issued_at, self._revoked_until(key) + 1)) for key, issued_at in issuer_session.keys)
        return replace(issuer_session, keys=tuple(keys), id_token=None)

    def revoke(self, session: Session) -> None:
        """Revoke a session: here at once, in other processes within a second."""
        self._publish(Entry(session_key=session.key))

    def revoke_all(self, session: Session) -> None:
        """Revoke all sessions of this session's user that have started until now, by the clock of any process."""
        until = max(int(self._clock.time()) + MAX_DIFFERENCE_SECONDS, session.auth_time)
        self._publish(Entry(user_key=session.user_key, until=until))

    def revoke_user(self, user_id: int | str, until: int | None = None) -> None:
        """Revoke all sessions of the user with this id, as `revoke_all` does.

        until: revoke those with this `auth_time` or an earlier one.
        """
        key = user_key(user_id)
        self._publish(Entry(user_key=key, until=self._next_until(key) if until is None else until))

    def revoke_sid(self, sid: str) -> None:
        """Revoke the session with this `sid`, or with this public id (`Session.public_sid`)."""
        self._publish(Entry(session_key=session_key(sid)))
        if _PUBLIC_SID.fullmatch(sid):
            self._publish(Entry(session_key=bytes.fromhex(sid)))

    def revoke_issuer_key(self, key: bytes, until: int) -> None:
        """Revoke the sessions with this key in their `issuer_session` that the issuer started at `until` or before.

        until: seconds since 1970, by the issuer's clock.
        """
        revoked_until = self._revoked_until(key)
        if until > revoked_until - MAX_DIFFERENCE_SECONDS:
            # A session that started in the second of the last call counts as started a second later.
            until = max(until, revoked_until + 1)
        self._publish(Entry(user_key=key, until=until))

    @property
    def is_ready(self) -> bool:
        """Whether the entries of other processes are known here; also while Redis is unavailable."""
        return self.feed is None or self.feed.is_ready

    def start_feed(self) -> None:
        """Start the feed, unless it runs already: a server may fork after the site was created."""
        if self.feed:
            self.feed.start()

    def wait_until_ready(self) -> None:
        """Start the feed, and wait until it is synced, or for `MAX_SYNC_SECONDS`."""
        if self.feed:
            self.feed.wait_until_ready()

    def stop_feed(self) -> None:
        if self.feed:
            self.feed.stop()

    def _revoked_until(self, key: bytes) -> int:
        """Up to when the sessions of a user, or of an issuer's user or session, are revoked; -1 if they are not."""
        return max(window.users.get(key, -1) for window in self._windows)

    def _next_until(self, key: bytes) -> int:
        """Up to when `revoke_user` revokes now, by this process's clock."""
        # A session that started after the last call may have a later `auth_time` than the clock of this process.
        return max(int(self._clock.time()) + MAX_DIFFERENCE_SECONDS, self._revoked_until(key) + 1)

    def _publish(self, entry: Entry) -> None:
        self._add(self._clock.time(), entry)
        if self.feed:
            self.feed.publish(entry)

    def publish_change(self, key: bytes, time: float) -> None:
        """Tell other processes that the user of the session with this key has changed."""
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
