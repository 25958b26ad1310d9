"""Refreshes the backend's tokens of a session, once per refresh token.

An access token lives for minutes. Before it expires, and when the backend no longer accepts it, it is exchanged for a
new one. Most backends then replace the refresh token too, and some end the session if the old one is sent again. So of
all requests, tabs, processes and machines, one sends it, and the others wait for the result (`token_store.py`).

Without an answer, it is unknown whether the backend has replaced the token. The session continues, and the same token
is sent again after a pause: that is the only way to find out.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from cachetools import LRUCache

import errors
from config import Settings
from services.backend.client import BackendClient
from services.backend.tokens import Tokens
from services.clock import Clock
from services.observability.audit import token_refresh_finished
from services.request_context import GetContext, RequestContext
from services.sessions.model import Session
from services.sessions.revoked_sessions import RevokedSessions
from services.sessions.token_sealer import Kind, TokenSealer
from services.sessions.token_store import Claim, RefreshOutcome, TokenStore, copy_tokens
from services.single_flight import SingleFlight

log = logging.getLogger("munjigi.sessions")

MAX_FAILURES = 50_000
"""Sessions whose last refresh failed. The least recently used is forgotten and may be tried again at once."""
RETRY_SECONDS = 30.0
"""The pause after a refresh without an answer, or with an error, unless `Retry-After` gives another one."""
UNSENT_RETRY_SECONDS = 2.0
"""The pause after a refresh that did not reach the backend, or that waits for Redis."""
EXTRA_SECONDS = 5.0
"""How much longer than the backend timeout other requests and processes wait for a refresh."""
RECOVERY_SECONDS = 5.0
"""How long no refresh starts after Redis is back: it may have lost newer tokens, which other processes save again
within two seconds."""
MAX_REFUSED_SECONDS = 600.0
"""How long a session continues after the backend has refused its access token, while the refresh fails with errors, as
at some backends after the account was deleted."""

PAUSE_SECONDS = 5.0
"""How long no tokens of other sessions are sent after a refresh without an answer: they could be lost too."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class _Failure:
    """The last, failed refresh of a session."""

    count: int
    """The session's `refresh_count`."""
    retry_at: float
    """Seconds since 1970."""
    may_be_refusal: bool = False
    """Whether the backend answered with an error that may be about this person."""
    refused_at: float | None = None
    """Seconds since 1970 when the backend first refused the access token too."""


class TokenRefresher:
    def __init__(
        self,
        settings: Settings,
        backend: BackendClient,
        store: TokenStore,
        revoked_sessions: RevokedSessions,
        clock: Clock,
    ) -> None:
        self._backend = backend
        self._settings = settings
        self.store = store
        self._revoked = revoked_sessions
        self._clock = clock
        self._seconds = settings.backend_timeout + EXTRA_SECONDS
        self._paused_until = 0.0
        self._sealer = TokenSealer(settings.secret_keys, Kind.REFRESH)
        self._flights: SingleFlight[tuple[Session, bool]] = SingleFlight(clock)
        self._failures: LRUCache[bytes, _Failure] = LRUCache(MAX_FAILURES)
        self._lock = threading.Lock()

    def can_refresh(self, session: Session) -> bool:
        return self._backend.can_refresh(has_refresh_token=session.sealed_refresh_token is not None)

    def is_due(self, session: Session) -> bool:
        """Whether the next request of this session refreshes its tokens."""
        if session.refresh_at is None or self._clock.time() < session.refresh_at or not self.can_refresh(session):
            return False
        return not self._must_wait(session)

    def refresh_if_due(self, session: Session, get_context: GetContext) -> Session:
        """The session with valid tokens; unchanged if they cannot be refreshed now.

        Raises `SessionExpired` if the backend refuses to refresh them.
        """
        if not self.is_due(session):
            return session
        try:
            return self.refresh(session, get_context())
        except errors.SessionExpired:
            raise
        except errors.SiteError as error:
            log.warning("token refresh failed, the session continues, sid=%s: %s", session.sid, error)
            return self.store.apply(session)

    def call(self, session: Session, context: RequestContext, call: Callable[[str], _T]) -> _T:
        """Make a call with the session's access token. Repeat it with a new token if the backend does not accept it.

        Raises `SessionExpired` if it does not accept the new one either, or refuses to refresh.
        """
        is_new = False
        while True:
            try:
                return call(session.access_token)
            except errors.SessionExpired:
                if is_new or not self.can_refresh(session):
                    raise
            try:
                session, is_new = self._refresh(session, context)
            except errors.TokenRefreshFailed:
                self._limit_time_without_token(session)
                raise

    def refresh(self, session: Session, context: RequestContext) -> Session:
        """The session with newer tokens.

        Raises `SessionExpired` if the backend refuses, and `TokenRefreshFailed` if that is not certain.
        """
        newest, is_new = self._refresh(session, context)
        while not is_new and self.is_due(newest):  # stored a long time ago
            newest, is_new = self._refresh(newest, context)
        return newest

    def _refresh(self, session: Session, context: RequestContext) -> tuple[Session, bool]:
        """The session with newer tokens, and whether they were issued just now. Otherwise they come from the store."""
        if self._must_wait(session):
            raise errors.TokenRefreshFailed("the last refresh has failed just now")
        started_at, outcome = time.monotonic(), "failed"
        key = session.key, session.refresh_count
        try:
            (newest, is_new), is_own = self._flights.run(
                key, lambda: self._refresh_once(session, context), self._seconds
            )
            outcome = "refreshed" if is_own else "shared"
        except errors.SessionExpired:
            outcome = "refused"
            raise
        except TimeoutError:
            raise errors.TokenRefreshFailed("the same refresh is still in progress", status=504) from None
        finally:
            token_refresh_finished.send(self, outcome=outcome, seconds=time.monotonic() - started_at)
        return copy_tokens(newest, session), is_new

    def _refresh_once(self, session: Session, context: RequestContext) -> tuple[Session, bool]:
        if self._revoked.contains(session):
            raise errors.SessionExpired("it was signed out during this request")
        newest = self.store.apply(session) if self._is_coordinated else self.store.load(session)
        if newest.refresh_count > session.refresh_count:
            return newest, False
        if not self._is_coordinated:
            raise self._failed(session, "Redis is unavailable, and another process may send the same refresh token")
        claimed_at = self._clock.monotonic()
        claim = self.store.claim(session, self._seconds)
        if claim is Claim.UNAVAILABLE:
            raise self._failed(session, "Redis does not answer, and another process may send the same refresh token")
        if claim is Claim.OTHER:
            return self._result_of_other(session), False
        newest = self._load_complete(session)
        if newest.refresh_count > session.refresh_count:
            return newest, False
        if self._clock.monotonic() - claimed_at > EXTRA_SECONDS:
            raise self._failed(session, "too late: another process may send the same refresh token soon")
        return self._send(session, context), True

    def _load_complete(self, session: Session) -> Session:
        """The session with the newest tokens of all processes. Raises `TokenRefreshFailed` if they may be unknown."""
        newest = self.store.load_complete(session)
        if newest is None:
            self.store.report(session, RefreshOutcome.FAILED, UNSENT_RETRY_SECONDS)
            raise self._failed(session, "Redis does not answer or has lost data, and there may be newer tokens")
        return newest

    @property
    def _is_coordinated(self) -> bool:
        """Whether refreshes are coordinated with other processes. True without Redis, with one process."""
        feed = self._revoked.feed
        return feed is None or feed.connected_seconds >= RECOVERY_SECONDS

    def _result_of_other(self, session: Session) -> Session:
        newest, outcome = self.store.wait_for_other(session, self._seconds)
        if newest.refresh_count > session.refresh_count:
            return newest
        if outcome is RefreshOutcome.REFUSED:
            raise errors.SessionExpired("the backend refused to refresh the tokens, as another process was told")
        raise self._failed(session, "another process could not refresh the tokens")

    def _send(self, session: Session, context: RequestContext) -> Session:
        """Send the refresh token, and store the new tokens."""
        tokens = Tokens(
            session.access_token,
            self._sealer.open(session.sid, session.sealed_refresh_token),
            refresh_expires_at=session.refresh_expires_at,
        )
        try:
            if session.sealed_refresh_token and not tokens.refresh:
                raise errors.SessionExpired("its refresh token is encrypted with a key that is gone")
            new = self._send_within_reuse(tokens, context)
        except errors.SessionExpired:
            newest = self.store.load(session)
            if newest.refresh_count > session.refresh_count:  # another process had sent it, without Redis
                return newest
            self.store.report(session, RefreshOutcome.REFUSED, self._seconds)
            raise
        except errors.SiteError as error:
            raise self._record_failure(session, error) from None
        newest = replace(
            session,
            access_token=new.access,
            sealed_refresh_token=self._sealer.seal(session.sid, new.refresh),
            token_expires_at=new.expires_at,
            refresh_at=new.refresh_at,
            refresh_expires_at=new.refresh_expires_at,
            refresh_count=session.refresh_count + 1,
        )
        try:
            self.store.save(newest, self._kept_until(newest))
            if self._revoked.contains(session):
                raise errors.SessionExpired("it was signed out while its tokens were refreshed")
        except errors.SessionExpired:  # signed out meanwhile, with the old tokens
            self._backend.logout(new, context)
            raise
        return newest

    def _send_within_reuse(self, tokens: Tokens, context: RequestContext) -> Tokens:
        """Refresh. Repeat it if the answer is lost and the backend still accepts the same refresh token.

        The first call gets half of the time, if the second call is early enough then.
        """
        sent_at = self._clock.monotonic()
        half = context.deadline.seconds_left() / 2
        within = half if half < self._backend.refresh_reuse_seconds else None
        try:
            return self._backend.refresh(tokens, context, within=within)
        except errors.BackendUnavailable as error:
            seconds_left = sent_at + self._backend.refresh_reuse_seconds - self._clock.monotonic()
            seconds_left = min(seconds_left, context.deadline.seconds_left())
            if error.was_answered or seconds_left <= 0:
                raise
            return self._backend.refresh(tokens, context, within=seconds_left)

    def _kept_until(self, session: Session) -> int:
        """When the newest tokens can no longer be used, in seconds since 1970."""
        latest_end = session.auth_time + self._settings.session_absolute_age
        return min(session.tokens_end_at(self._settings.backend) or latest_end, latest_end)

    def _failure(self, session: Session) -> _Failure | None:
        if not self._failures:
            return None
        with self._lock:
            failure = self._failures.get(session.key)
        return failure if failure and failure.count == session.refresh_count else None

    def _must_wait(self, session: Session) -> bool:
        """Whether a refresh of this session, or of any session, failed just now."""
        if self._clock.monotonic() < self._paused_until:
            return True
        failure = self._failure(session)
        return failure is not None and self._clock.time() < failure.retry_at

    def _record_failure(self, session: Session, error: errors.SiteError) -> errors.TokenRefreshFailed:
        """Record that the backend did not answer the refresh, or answered with an error that is not a refusal."""
        was_sent = was_answered = True
        if isinstance(error, errors.BackendUnavailable):
            was_sent, was_answered = error.was_sent, error.was_answered
        if not was_answered:
            self._paused_until = self._clock.monotonic() + PAUSE_SECONDS
        seconds = max(error.retry_after or RETRY_SECONDS, UNSENT_RETRY_SECONDS) if was_sent else UNSENT_RETRY_SECONDS
        self.store.report(session, RefreshOutcome.FAILED, seconds)
        return self._failed(session, error.reason, seconds, may_be_refusal=error.may_be_refusal)

    def _failed(
        self, session: Session, reason: str, seconds: float = UNSENT_RETRY_SECONDS, *, may_be_refusal: bool = False
    ) -> errors.TokenRefreshFailed:
        """Remember a failed refresh, so that the next one starts `seconds` later at the earliest."""
        earlier, retry_at = self._failure(session), self._clock.time() + seconds
        refused_at = earlier.refused_at if earlier else None
        with self._lock:
            self._failures[session.key] = _Failure(session.refresh_count, retry_at, may_be_refusal, refused_at)
        return errors.TokenRefreshFailed(reason)

    def _limit_time_without_token(self, session: Session) -> None:
        """Raise `SessionExpired` if the backend refuses the access token, and the refresh has failed for too long."""
        failure = self._failure(session)
        if failure is None or not failure.may_be_refusal:
            return
        now = self._clock.time()
        refused_at = failure.refused_at or now
        if now - refused_at > MAX_REFUSED_SECONDS:
            raise errors.SessionExpired("the backend refuses the token, and answers its refresh with errors") from None
        with self._lock:
            self._failures[session.key] = replace(failure, refused_at=refused_at)
