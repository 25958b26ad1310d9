"""The newest tokens of sessions whose cookie may still have older ones.

A backend may accept a refresh token only once. The new tokens must not be lost, and the old refresh token must not be
sent again. But a cookie cannot always be written: not by `/auth/verify`, and a response may not arrive. So each process
stores the tokens that it received, for requests with the old cookie. With Redis, they are also stored there, encrypted,
for other processes and after a restart.

Redis may lose its data when it is restarted or another one takes over. Then each process saves its tokens again.
"""

import asyncio
import math
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from cachetools import LRUCache

import errors
from services.clock import Clock
from services.event_loop import start_task, wait_for
from services.sealing import Sealer
from services.sessions.model import Session
from services.sessions.revocation_feed import GENERATION_KEY
from services.state.redis import RETRY_SECONDS, Redis

MAX_SESSIONS = 20_000
"""Entries in memory, about 3 kB each. The least recently used is dropped; with Redis, it is still there."""
CURRENT_SECONDS = 3600
"""How long Redis keeps tokens that the cookie has too: another response may overwrite the cookie with older ones."""
CONFIRM_AFTER_SECONDS = 60
"""How old tokens must be before a cookie confirms them: until then, the response to an earlier request may still
overwrite the cookie."""
_POLL_SECONDS = 0.05
"""Interval of polling Redis for the result of another process, too short to be noticed."""
_BATCH_SIZE = 100
"""Sessions that are saved at once when Redis is back."""
_FIELDS = (
    "access_token",
    "sealed_refresh_token",
    "token_expires_at",
    "refresh_at",
    "refresh_expires_at",
    "refresh_count",
)
"""Of `Session`."""
_ENDED = b"9007199254740991:ended"
"""The value for a session that has ended. It counts as newer than all tokens, so a running refresh cannot replace
it."""
_SAVE_IF_NEWER = """
local saved = redis.call('GET', KEYS[1])
if saved == ARGV[4] then return -1 end
if saved and tonumber(string.match(saved, '^%d+')) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""

_END = """
local saved = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return saved
"""


class Claim(Enum):
    """Whether this process may refresh the tokens of a session."""

    OWN = "own"
    OTHER = "other"
    """Another process is refreshing them, or has just tried."""
    UNAVAILABLE = "unavailable"
    """Redis does not answer: another process might refresh them at the same time."""


class RefreshOutcome(Enum):
    """How a refresh by another process ended. The values are those of its key in Redis."""

    RUNNING = b"running"
    REFUSED = b"refused"
    FAILED = b"failed"


@dataclass(frozen=True)
class _Entry:
    tokens: Mapping[str, Any]
    expires_at: int
    """Seconds since 1970 when the session ends."""
    is_saved: bool
    """Whether Redis has it."""
    known_since: float = 0.0
    """By `Clock.monotonic`."""
    is_current: bool = False
    """Whether the session's cookie has these tokens too."""

    @property
    def count(self) -> int:
        return self.tokens["refresh_count"]  # type: ignore[no-any-return]


class TokenStore:
    def __init__(self, redis: Redis | None, secret_keys: Sequence[str], clock: Clock) -> None:
        self._redis = redis
        self._sealer = Sealer(secret_keys, "session tokens")
        self._clock = clock
        self._entries: LRUCache[bytes, _Entry] = LRUCache(MAX_SESSIONS)
        self._lock = threading.Lock()
        self._is_saving_again = False
        self.get_generation: Callable[[], bytes | None] = lambda: None
        """Returns the value of `GENERATION_KEY` for which all processes have saved their tokens."""

    def apply(self, session: Session) -> Session:
        """The session with the newest tokens that this process knows."""
        if not self._entries:
            return session
        with self._lock:
            entry = self._entries.get(session.key)
        return replace(session, **entry.tokens) if entry and entry.count > session.refresh_count else session

    def load(self, session: Session) -> Session:
        """The same, with the tokens that other processes have saved."""
        session = self.apply(session)
        if self._redis and (value := wait_for(self._get(_tokens_key(session)))):
            session = self._remember_saved(session, value)
        return session

    def load_complete(self, session: Session) -> Session | None:
        """The same; None if Redis does not answer, or has lost data, so that it might lack newer tokens.

        Raises `SessionExpired` if the session has ended.
        """
        if self._redis is None:
            return self.apply(session)
        value, is_complete = wait_for(self._get_complete(_tokens_key(session)))
        if value == _ENDED:
            raise errors.SessionExpired("it was signed out at another process")
        if not is_complete:
            return None
        return self._remember_saved(self.apply(session), value) if value else self.apply(session)

    def save(self, session: Session, ends_at: int) -> None:
        """Store the refreshed tokens of a session. ends_at: of the session, seconds since 1970.

        Raises `SessionExpired` if the session has ended meanwhile.
        """
        entry = _Entry({name: getattr(session, name) for name in _FIELDS}, ends_at, is_saved=self._redis is None)
        if not self._put(session.key, entry) or self._redis is None:
            return
        if not wait_for(self._save(session.key, entry)):
            self._save_again_soon()
        elif session.key not in self._entries:
            raise errors.SessionExpired("it was signed out while its tokens were refreshed")

    def needs_confirmation(self, session: Session) -> bool:
        """Whether the cookie of this session has tokens that are stored for older cookies."""
        if not self._entries:
            return False
        with self._lock:
            entry = self._entries.get(session.key)
        if entry is None or entry.is_current or session.refresh_count < entry.count:
            return False
        return self._clock.monotonic() - entry.known_since >= CONFIRM_AFTER_SECONDS

    def confirm(self, session: Session) -> None:
        """Note that a cookie has the newest tokens: Redis need not keep them for long."""
        with self._lock:
            if entry := self._entries.get(session.key):
                self._entries[session.key] = replace(entry, is_current=True)
        if self._redis:
            key = _tokens_key(session)
            wait_for(self._run(lambda client: client.expire(key, CURRENT_SECONDS), None))

    def end(self, session: Session) -> Session:
        """End a session: newer tokens are not saved from now on. Returns it with its newest tokens."""
        session = self.apply(session)
        if self._redis:
            key = _tokens_key(session)
            value = wait_for(self._run(lambda client: client.eval(_END, 1, key, _ENDED, CURRENT_SECONDS), None))
            session = self._remember_saved(session, value) if value else session
        with self._lock:
            self._entries.pop(session.key, None)
        return session

    def claim(self, session: Session, seconds: float) -> Claim:
        """Claim the refresh of this session's tokens for this process, for `seconds`."""
        if self._redis is None:
            return Claim.OWN
        key, milliseconds = _refresh_key(session), math.ceil(seconds * 1000)
        is_own = wait_for(
            self._run(
                lambda client: client.set(key, RefreshOutcome.RUNNING.value, nx=True, px=milliseconds),
                Claim.UNAVAILABLE,
            )
        )
        return is_own if isinstance(is_own, Claim) else Claim.OWN if is_own else Claim.OTHER

    def report(self, session: Session, outcome: RefreshOutcome, seconds: float) -> None:
        """Announce the outcome of a refresh to other processes. They do not try it themselves for `seconds`."""
        if self._redis:
            key, milliseconds = _refresh_key(session), max(1, math.ceil(seconds * 1000))
            wait_for(self._run(lambda client: client.set(key, outcome.value, px=milliseconds), None))

    def wait_for_other(self, session: Session, seconds: float) -> tuple[Session, RefreshOutcome | None]:
        """Wait until another process has refreshed the tokens.

        Returns the session with the new tokens, or the outcome if there are none; None without a result.
        """
        return wait_for(self._poll(session, seconds))

    def save_all_again(self) -> None:
        """Save all entries again, because Redis is back and may have lost its data."""
        with self._lock:
            for key, entry in list(self._entries.items()):
                self._entries[key] = replace(entry, is_saved=False)
        self._save_again_soon()

    async def _poll(self, session: Session, seconds: float) -> tuple[Session, RefreshOutcome | None]:
        outcome: bytes | None = RefreshOutcome.RUNNING.value
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while outcome == RefreshOutcome.RUNNING.value:
                    await asyncio.sleep(_POLL_SECONDS)
                    outcome = await self._get(_refresh_key(session))
                    if value := await self._get(_tokens_key(session)):
                        newest = self._remember_saved(session, value)
                        if newest.refresh_count > session.refresh_count:
                            return newest, None
                        if value == _ENDED:
                            return session, RefreshOutcome.REFUSED
        return session, next((each for each in RefreshOutcome if each.value == outcome), None)

    def _remember_saved(self, session: Session, redis_value: bytes) -> Session:
        """The session with the tokens in this value from Redis, if they are newer."""
        _, _, sealed = redis_value.partition(b":")
        try:
            value: Any = self._sealer.open(_name(session.key), sealed)
            entry = _Entry({name: value["tokens"][name] for name in _FIELDS}, int(value["ends_at"]), is_saved=True)
        except (ValueError, KeyError, TypeError):
            return session
        self._put(session.key, entry)
        return self.apply(session)

    def _put(self, key: bytes, entry: _Entry) -> bool:
        """Store this entry, unless there is a newer one. Returns whether it was stored."""
        with self._lock:
            other = self._entries.get(key)
            if other and other.count >= entry.count:
                return False
            self._entries[key] = replace(entry, known_since=self._clock.monotonic())
            return True

    def _save_again_soon(self) -> None:
        with self._lock:
            if self._redis is None or self._is_saving_again:
                return
            self._is_saving_again = True
        start_task(self._save_again())

    async def _save_again(self) -> None:
        """Save entries that Redis does not have, until it has all."""
        try:
            while unsaved_entries := self._unsaved():
                results = []
                for start in range(0, len(unsaved_entries), _BATCH_SIZE):
                    batch = unsaved_entries[start : start + _BATCH_SIZE]
                    results += await asyncio.gather(*(self._save(key, entry) for key, entry in batch))
                if not all(results):
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._is_saving_again = False

    def _unsaved(self) -> list[tuple[bytes, _Entry]]:
        with self._lock:
            return [(key, entry) for key, entry in self._entries.items() if not entry.is_saved]

    async def _save(self, key: bytes, entry: _Entry) -> bool:
        """Save an entry, unless Redis has a newer one. Returns whether it did."""
        sealed = self._sealer.seal(_name(key), {"tokens": entry.tokens, "ends_at": entry.expires_at})
        value = b"%d:%s" % (entry.count, sealed)
        seconds = CURRENT_SECONDS if entry.is_current else max(1, entry.expires_at - int(self._clock.time()))
        result = await self._run(
            lambda client: client.eval(_SAVE_IF_NEWER, 1, _name(key), entry.count, value, seconds, _ENDED), None
        )
        if result is None:
            return False
        with self._lock:
            if result == -1:
                self._entries.pop(key, None)
            if (current := self._entries.get(key)) and current.count == entry.count:
                self._entries[key] = replace(current, is_saved=True)
        return True

    async def _get(self, key: str) -> bytes | None:
        value: bytes | None = await self._run(lambda client: client.get(key), None)
        return value

    async def _get_complete(self, key: str) -> tuple[bytes | None, bool]:
        """The value of a key, and whether Redis is complete."""

        async def get(client: Any) -> tuple[bytes | None, bool]:
            value = await client.get(key)
            # Read after the value: if Redis is emptied in between, the value is still right.
            return value, await client.get(GENERATION_KEY) == self.get_generation()

        value: tuple[bytes | None, bool] = await self._run(get, (None, False))
        return value

    async def _run(self, command: Callable[[Any], Coroutine[Any, Any, Any]], default: object) -> Any:
        """The result of a command, the default if Redis is unavailable."""
        return await self._redis.send(command, default) if self._redis else default


def copy_tokens(source: Session, target: Session) -> Session:
    """The target with the tokens of the source."""
    return replace(target, **{name: getattr(source, name) for name in _FIELDS})


def _name(key: bytes) -> str:
    return f"munjigi:tokens:{key.hex()}"


def _tokens_key(session: Session) -> str:
    return _name(session.key)


def _refresh_key(session: Session) -> str:
    """One for each refresh token of a session."""
    return f"munjigi:refresh:{session.key.hex()}:{session.refresh_count}"
