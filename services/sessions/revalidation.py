"""When the backend is asked again whether a signed-in person still exists (`SESSION_REVALIDATE`).

Without this, an account that the backend closed would stay signed in for weeks. With it done carelessly, a
backend that is down would slow every page, and a hundred parallel requests of one page would ask a hundred
times. So: one request of a session asks, in little time, and the others go on with what they have; and
after an answer that is none, nobody asks for a while. That while is bounded for each session, for its reason
may be somebody who makes the backend fail for an account of their own, to keep a revoked session alive.
"""

import logging
import threading

from cachetools import LRUCache

import errors
from config import Settings
from services.backend.client import Backend
from services.backend.user import User
from services.clock import Clock
from services.http.client import time_left
from services.sessions.model import Session

log = logging.getLogger("munjigi.recheck")

REVALIDATION_SECONDS = 2.0
PAUSE = 30.0
"""Seconds without asking after an answer that is none, if the backend does not wish for more; at most another
`SESSION_REVALIDATE`."""
MAX_SESSIONS = 50_000
"""Remembered by this process; the oldest goes, and is asked about once more than needed."""


class Revalidator:
    """Remembers when each session was last asked about: its `sid` and a time, no data of anybody."""

    def __init__(self, settings: Settings, backend: Backend, clock: Clock) -> None:
        self._clock = clock
        self._every = settings.session_revalidate
        self._longest_pause = max(self._every, PAUSE)
        self._timeout = settings.backend_timeout
        self._backend = backend
        self._asked: LRUCache[str, float] = LRUCache(MAX_SESSIONS)
        self._lock = threading.Lock()
        self._paused_until = 0.0

    def user(self, session: Session) -> User:
        """The session's user: as the backend has it now, if it is time to ask and it answers.

        Raises `SessionExpired` when the backend says 401, or gives another person for this token.
        """
        if not self._take_turn(session):
            return session.user
        try:
            user = self._backend.user(session.access_token, min(REVALIDATION_SECONDS, time_left(self._timeout)))
            if user.id != session.user.id:
                raise errors.SessionExpired("/user gave another person for the same token")
        except errors.SessionExpired:
            # Not remembered as asked: a copy of this token that comes later has to be refused as well.
            self._remember(session.sid, None)
            raise
        except errors.SiteError as error:
            self._put_off(session, error)
            return session.user
        return user

    def is_due(self, session: Session) -> bool:
        """Whether the next request of this session asks."""
        with self._lock:
            return self._is_late(session, self._clock.time())

    def checked(self, session: Session) -> None:
        """This session's user has just come from the backend."""
        self._remember(session.sid, self._clock.time())

    def _take_turn(self, session: Session) -> bool:
        """Whether this request is the one to ask; others that come meanwhile then are not."""
        now = self._clock.time()
        with self._lock:
            if self._is_late(session, now):
                self._asked[session.sid] = now
                return True
            return False

    def _is_late(self, session: Session, now: float) -> bool:
        late = now - self._asked.get(session.sid, session.checked_at) - self._every
        return bool(self._every) and late >= 0 and (now >= self._paused_until or late >= self._longest_pause)

    def _remember(self, sid: str, asked_at: float | None) -> None:
        with self._lock:
            self._asked[sid] = asked_at or 0.0

    def _put_off(self, session: Session, error: errors.SiteError) -> None:
        """No answer is no reason to sign anyone out. Ask about this session, or about any, only after a while.

        Not about any when it was asked too often: that may be said of this one person.
        """
        now, pause = self._clock.time(), min(max(error.retry_after or 0, PAUSE), self._longest_pause)
        log.warning("re-check put off for %d s: %s", pause, error)
        self._remember(session.sid, now - self._every + pause)
        if isinstance(error, errors.BackendUnavailable):
            self._paused_until = now + pause
