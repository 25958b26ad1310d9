"""The list of a user's sessions, so that the user can see and end them. It needs Redis.

A session is in the list until it ends. Its data (browser, provider, times) is encrypted: in Redis, only the number of
sessions for the hash of a user is visible.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from config import Settings
from services.clock import Clock
from services.event_loop import wait_for
from services.observability.user_agent import Browser, parse_user_agent
from services.request_context import RequestContext
from services.sealing import Sealer
from services.sessions.issuer_session import IssuerSession
from services.sessions.model import Session
from services.sessions.revoked_sessions import RevokedSessions
from services.state.redis import Redis

TOUCH_SECONDS = 300
"""The minimum interval of writing the time of the last use, which is shown in minutes. The new end of a renewed session
is written at once."""
MAX_TOUCHED = 50_000
"""Sessions whose last write this process remembers. The least recently used is forgotten and written again."""
MAX_LISTED = 100
"""Sessions of a user that are listed, the latest first: a script may sign in ten thousand times."""


@dataclass(frozen=True)
class ListedSession:
    public_sid: str
    browser: Browser
    provider: str | None
    auth_time: int
    """Seconds since 1970 at the sign-in."""
    seen_at: int
    """Seconds since 1970 when it was last used, rounded down to some minutes."""
    ends_at: int
    """Seconds since 1970."""
    issuer_session: IssuerSession | None = None
    """The session at the provider, which may end it."""


class SessionList:
    def __init__(self, settings: Settings, redis: Redis, revoked_sessions: RevokedSessions, clock: Clock) -> None:
        self._redis = redis
        self._revoked = revoked_sessions
        self._clock = clock
        self._sealer = Sealer(settings.secret_keys, "session list")
        self._seconds = settings.session_absolute_age
        self._touched: LRUCache[bytes, tuple[float, int]] = LRUCache(MAX_TOUCHED)
        """When each session was last written, and with which `ends_at`."""
        self._lock = threading.Lock()

    def touch(self, session: Session, context: RequestContext) -> None:
        """Write that this request's browser uses the session, and when it ends.

        At most every `TOUCH_SECONDS`, unless the session was renewed since.
        """
        now = self._clock.time()
        with self._lock:
            written_at, ends_at = self._touched.get(session.key, (0.0, 0))
            if now - written_at < TOUCH_SECONDS and session.expires_at <= ends_at:
                return
            self._touched[session.key] = now, session.expires_at
        browser = parse_user_agent(context.user_agent)
        value = {
            "browser": [browser.name, browser.system],
            "provider": session.provider,
            "auth_time": session.auth_time,
            "seen_at": int(now),
            "ends_at": session.expires_at,
            "issuer_session": session.issuer_session.to_claim() if session.issuer_session else None,
        }
        name = _name(session)
        wait_for(self._write(name, session.public_sid, self._sealer.seal(name + session.public_sid, value)))

    def remove(self, session: Session) -> None:
        """Remove a session that has ended."""
        wait_for(self._delete(_name(session), [session.public_sid]))

    def load(self, session: Session) -> Sequence[ListedSession] | None:
        """The sessions of this session's user, the latest use first; None if Redis is unavailable."""
        name = _name(session)
        if (values := wait_for(self._read(name))) is None:
            return None
        sessions = [each for field, sealed in values.items() if (each := self._open(name, field.decode(), sealed))]
        now = self._clock.time()
        is_over = {
            each.public_sid: each.ends_at <= now
            or self._revoked.contains_public(each.public_sid, session.user, each.auth_time, each.issuer_session)
            for each in sessions
        }
        if ended_sids := [sid for sid, over in is_over.items() if over]:
            wait_for(self._delete(name, ended_sids))
        active = [each for each in sessions if not is_over[each.public_sid]]
        return sorted(active, key=lambda each: each.seen_at, reverse=True)[:MAX_LISTED]

    def _open(self, name: str, public_sid: str, sealed: bytes) -> ListedSession | None:
        try:
            value: Any = self._sealer.open(name + public_sid, sealed)
            return ListedSession(
                public_sid,
                Browser(*value["browser"]),
                value["provider"],
                auth_time=int(value["auth_time"]),
                seen_at=int(value["seen_at"]),
                ends_at=int(value["ends_at"]),
                issuer_session=IssuerSession.from_claim(value.get("issuer_session")),
            )
        except (ValueError, KeyError, TypeError):
            return None

    async def _write(self, name: str, public_sid: str, value: bytes) -> None:
        async def write(client: Any) -> None:
            await client.hset(name, public_sid, value)
            await client.expire(name, self._seconds)

        await self._redis.send(write)

    async def _delete(self, name: str, public_sids: Sequence[str]) -> None:
        await self._redis.send(lambda client: client.hdel(name, *public_sids))

    async def _read(self, name: str) -> dict[bytes, bytes] | None:
        values: dict[bytes, bytes] | None = await self._redis.send(lambda client: client.hgetall(name))
        return values


def _name(session: Session) -> str:
    return f"munjigi:sessions:{session.user_key.hex()}"
