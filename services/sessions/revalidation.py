"""Revalidation: the user of a session is read from the backend again after `SESSION_REVALIDATE` seconds.

Without it, an account that the backend closed would stay signed in for weeks. A backend that is down must not slow
every page, and parallel requests must not cause parallel calls. So one request of a session calls the backend, with a
short timeout, while the others use the user that they have. After a failure, there is a pause. The pause is limited for
each session: otherwise a person who can make the backend fail could keep a revoked session alive.

A token that NextAuth issued may name another user than that of its access token. So it is no session until the backend
has been asked: parallel requests wait for the answer, and without an answer nobody is signed in.
"""

import logging
import threading

import errors
from config import Settings
from services.backend.client import BackendClient
from services.backend.user import User
from services.clock import Clock
from services.request_context import GetContext, RequestContext
from services.sessions.memory import SessionMemory
from services.sessions.model import Session
from services.sessions.token_refresh import TokenRefresher
from services.single_flight import SingleFlight

log = logging.getLogger("munjigi.sessions")

REVALIDATION_TIMEOUT_SECONDS = 2.0
"""The timeout of a revalidation."""
MIN_BACKOFF_SECONDS = 30.0
"""The pause after a failure, unless `Retry-After` asks for longer; at most `SESSION_REVALIDATE`."""
_UNDELAYED_CHECKS = 5
"""Sessions that are revalidated at once after a start. The others are spread over the interval, to avoid a burst."""


class UnconfirmedError(Exception):
    """The backend could not be asked whose token it is that NextAuth issued."""


class Revalidator:
    def __init__(
        self,
        settings: Settings,
        backend: BackendClient,
        clock: Clock,
        memory: SessionMemory,
        refresher: TokenRefresher,
    ) -> None:
        self._interval = settings.session_revalidate if backend.can_reread_user else 0
        self._max_backoff = max(self._interval, MIN_BACKOFF_SECONDS)
        self._backend = backend
        self._clock = clock
        self._memory = memory
        self._refresher = refresher
        self._confirmations: SingleFlight[User] = SingleFlight(clock)
        self._lock = threading.Lock()
        self._paused_until = 0.0
        self._started_at = clock.monotonic()
        self._first_checks = 0

    def revalidate(self, session: Session, get_context: GetContext) -> User:
        """The session's user, read from the backend if that is due and succeeds. The caller remembers a changed user.

        Raises `SessionExpired` if the backend answers 401 to a token that cannot be refreshed, or returns another user
        for the same token. Raises `UnconfirmedError` if NextAuth issued the session's token and the backend fails.
        """
        if self._needs_confirmation(session):
            return self._confirm(session, get_context())
        if not self._claim(session):
            return session.user
        try:
            return self._read_user(session, get_context())
        except errors.SessionExpired:
            raise  # not a failure of the backend
        except errors.SiteError as error:
            self._back_off(session, error)
            return session.user

    def is_due(self, session: Session) -> bool:
        """Whether the next request of this session revalidates it."""
        with self._lock:
            return self._needs_confirmation(session) or self._is_due(session, self._clock.time())

    def mark_revalidated(self, session: Session) -> None:
        """Note that the session's user has just been read from the backend."""
        now = self._clock.time()
        self._memory.update(session, next_check_at=now + self._interval)

    def _read_user(self, session: Session, context: RequestContext) -> User:
        asked_at = self._clock.time()

        def read_user(access_token: str) -> User:
            within = min(REVALIDATION_TIMEOUT_SECONDS, context.deadline.seconds_left())
            return self._backend.user(access_token, context, within)

        user = self._refresher.call(session, context, read_user)
        if not user.is_same_person(session.user):
            raise errors.SessionExpired("the backend returned another user for the same token")
        if user == session.user:
            self._memory.learn(session, user, asked_at)
        return user

    def _needs_confirmation(self, session: Session) -> bool:
        return bool(self._interval) and not session.is_confirmed and not self._memory.get(session).checked_at

    def _confirm(self, session: Session, context: RequestContext) -> User:
        """Read the user of a token that NextAuth issued. One request calls the backend; parallel ones wait for it."""
        retry_at = max(self._paused_until, self._memory.get(session).next_check_at or 0)
        if self._clock.time() < retry_at:
            raise UnconfirmedError("the last attempt has failed")
        try:
            user, _ = self._confirmations.run(
                session.key, lambda: self._read_user(session, context), REVALIDATION_TIMEOUT_SECONDS
            )
        except errors.SessionExpired:
            raise
        except errors.SiteError as error:
            self._back_off(session, error)
            raise UnconfirmedError(error.reason) from None
        except TimeoutError:
            raise UnconfirmedError("a parallel request is still waiting for the backend") from None
        self.mark_revalidated(session)
        return user

    def _claim(self, session: Session) -> bool:
        """Whether this request revalidates the session. Parallel requests then do not."""
        now = self._clock.time()
        with self._lock:
            if self._is_due(session, now):
                self._first_checks += self._memory.get(session).next_check_at is None
                self._memory.update(session, next_check_at=now + self._interval)
                return True
            return False

    def _is_due(self, session: Session, now: float) -> bool:
        state = self._memory.get(session)
        if state.next_check_at is not None:
            overdue = now - state.next_check_at
        elif state.change_reported_at > session.checked_at:
            overdue = 0.0
        else:
            overdue = now - session.checked_at - self._interval
            if overdue >= 0 and self._waits_after_start(session):
                return False
        is_paused = now < self._paused_until and overdue < self._max_backoff
        return bool(self._interval) and overdue >= 0 and not is_paused

    def _waits_after_start(self, session: Session) -> bool:
        """Whether this session's first revalidation by this process is put off.

        A new process knows the times of revalidations only from the cookies, in which most are long ago.
        """
        delay = int.from_bytes(session.key) / 256 ** len(session.key) * self._interval
        return self._clock.monotonic() < self._started_at + delay and self._first_checks >= _UNDELAYED_CHECKS

    def _back_off(self, session: Session, error: errors.SiteError) -> None:
        """Pause the revalidation of this session, or of all sessions, after a failure. A failure does not sign out.

        After 429, only this session pauses: the limit may be for this user.
        """
        now = self._clock.time()
        seconds = min(max(error.retry_after or 0, MIN_BACKOFF_SECONDS), self._max_backoff)
        log.warning("revalidation failed, next one in %d s: %s", seconds, error)
        self._memory.update(session, next_check_at=now + seconds)
        if isinstance(error, errors.BackendUnavailable) and not isinstance(error, errors.TokenRefreshFailed):
            self._paused_until = now + seconds
