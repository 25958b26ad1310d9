"""Who is signed in: the one place that crosses the line between anonymous and signed in.

The person lives in the encrypted session cookie (`session_cookie.py`). `flask.session` is another cookie,
the visitor's: CSRF token, messages and language, whoever they are.
"""

import logging
import secrets
from dataclasses import dataclass, replace

import flask
from flask import g, request
from flask_login import login_user, logout_user

import errors
from config import Settings
from services.backend.user import User
from services.clock import Clock
from services.observability.audit import audit
from services.sessions.cookie import SessionCookie
from services.sessions.model import Session
from services.sessions.revalidation import Revalidator
from services.sessions.revocation import RevokedSessions

log = logging.getLogger("munjigi.session")

_KEPT_BY_VISITOR = ("locale",)
_CSRF = "csrfToken"


@dataclass
class _Current:
    """The session of this request, and what its response has to do about it."""

    names: tuple[str, ...]
    """Session cookies that the request brought."""
    session: Session | None = None
    token: str | None = None
    """To be written; None: what the browser has is still right."""
    expired: bool = False
    """It was ended: just now by the backend, or before by somebody who signed out."""


class Sessions:
    def __init__(
        self,
        settings: Settings,
        cookie: SessionCookie,
        recheck: Revalidator,
        revoked_sessions: RevokedSessions,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._cookie = cookie
        self._recheck = recheck
        self._revoked = revoked_sessions

    def load(self) -> Session | None:
        """The session of this request, or None. Reads the cookie, and the backend only when a re-check is due."""
        return self._current().session

    def look(self) -> Session | None:
        """The same for a request whose answer may set no cookie: nothing is prolonged, and nothing deleted."""
        session = self._current().session
        g.pop("session")
        return session

    def at_rest(self, cookies: str) -> Session | None:
        """The session of this `Cookie` header, if there is nothing to do about it: `load` would give it as it is."""
        found = self._cookie.read(cookies)
        session = found.session
        if session is None or not found.fresh or self._revoked.has(session):
            return None
        return None if self._is_due(session) or self._recheck.is_due(session) else session

    def expired(self) -> bool:
        """Whether this request came with a session that the backend has ended."""
        return self._current().expired

    def is_ended(self, session: Session) -> bool:
        """Whether somebody has signed out of it since."""
        return self._revoked.has(session)

    def start(
        self, user: User, access_token: str, provider: str, *, blind: bool = False, again: Session | None = None
    ) -> tuple[Session, Session | None]:
        """Sign this person in: the session that begins, and the one that it replaces, which is over then.

        `blind`: the request came from another site, so that the browser may have more cookies than it sent.
        `again`: what began already, in another answer to the same sign-in; to sign out of one ends both.

        Raises `SessionTooLarge`, and then nothing has changed.

        Whoever knew this browser's cookies before must gain nothing now: a stranger may have planted a
        visitor cookie, whose CSRF token they then know, or may still have the last person's session. So the
        session gets a new `sid`, and the visitor a fresh cookie that keeps the language alone; of what
        Flask-Login writes there, nothing stays either, for the person must be in one place only.
        """
        now = self._revoked.next_begin(user, int(self._clock.time()))
        began = again.auth_time if again else now
        session = Session(
            user=user,
            access_token=access_token,
            provider=provider,
            sid=again.sid if again else secrets.token_urlsafe(16),
            auth_time=began,
            checked_at=now,
            expires_at=self._new_end(began, now),
        )
        found = self._cookie.read(_cookies())
        stale = self._cookie.every_name() if blind else found.names
        g.session = _Current(stale, session, self._cookie.seal(session))
        login_user(user)
        self._recheck.checked(session)
        _fresh_visitor()
        if found.session and found.session.sid != session.sid:
            self._revoked.end(found.session)
        return session, found.session

    def change(self, user: User) -> None:
        """The signed-in person as the backend has them now; raises `SessionExpired` if that is somebody else."""
        current = self._current()
        if current.session is not None and user.id != current.session.user.id:
            raise errors.SessionExpired("the backend gave another person for the same token")
        if current.session is not None and user != current.session.user:
            self._reissue(current, replace(current.session, user=user, checked_at=int(self._clock.time())))

    def end(self, *, everywhere: bool = False) -> Session | None:
        """Sign out: what the session was, so that its token can be revoked.

        A copy of its cookie is of no use then; with `everywhere` nor is any other session of this person.
        """
        session = self._current().session
        if session is not None:
            self._revoked.end(session)
            if everywhere:
                self._revoked.end_all(session)
        g.session = _Current(self._cookie.read(_cookies()).names)
        logout_user()
        _fresh_visitor()
        return session

    def commit(self, response: flask.Response) -> flask.Response:
        """Write what this request did to the session; nothing if it never looked."""
        current: _Current | None = g.get("session")
        if current is None:
            return response
        if current.session is None:
            self._cookie.delete(response, current.names)
        elif current.token is not None:
            self._cookie.write(response, current.token, current.session.expires_at, current.names)
        return response

    def _current(self) -> _Current:
        current: _Current | None = g.get("session")
        if current is None:
            current = g.session = self._read()
        return current

    def _read(self) -> _Current:
        found = self._cookie.read(_cookies())
        if found.session is None:
            return _Current(found.names)
        self._revoked.ensure_synced()
        if self._revoked.has(found.session):
            audit("session_expired", by="person", reason="it was signed out", sid=found.session.sid)
            return _Current(found.names, expired=True)
        current = _Current(found.names, found.session)
        try:
            user = self._recheck.user(found.session)
        except errors.SessionExpired as error:
            audit("session_expired", by="backend", reason=error.reason, sid=found.session.sid)
            return _Current(found.names, expired=True)
        if user != found.session.user:
            self._reissue(current, replace(found.session, user=user, checked_at=int(self._clock.time())))
        elif not found.fresh or self._is_due(found.session):
            self._reissue(current, found.session)
        return current

    def _is_due(self, session: Session) -> bool:
        """A new token for each read would be work, and a race with signing out: one a tenth of its life is enough."""
        gain = self._new_end(session.auth_time, int(self._clock.time())) - session.expires_at
        return gain * 10 >= self._settings.session_max_age

    def _reissue(self, current: _Current, session: Session) -> None:
        session = replace(session, expires_at=self._new_end(session.auth_time, int(self._clock.time())))
        try:
            current.session, current.token = session, self._cookie.seal(session)
        except errors.SessionTooLarge as error:
            log.error("the old session is kept: %s", error)  # better than signing out who is signed in

    def _new_end(self, auth_time: int, now: int) -> int:
        settings = self._settings
        return min(now + settings.session_max_age, auth_time + settings.session_absolute_age)


def _cookies() -> str:
    return request.environ.get("HTTP_COOKIE", "")  # type: ignore[no-any-return]


def _fresh_visitor() -> None:
    kept = {name: flask.session[name] for name in _KEPT_BY_VISITOR if name in flask.session}
    flask.session.clear()
    flask.session.update(kept)
    g.pop(_CSRF, None)  # where Flask-WTF keeps the token of this request
    flask.session[_CSRF] = secrets.token_hex(20)  # what it signs for each form from now on
