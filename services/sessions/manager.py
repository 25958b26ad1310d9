"""The session of a request. No other module starts or ends sessions.

The session lives in the encrypted session cookie (`cookie.py`). `flask.session` is another cookie, which every visitor
has: CSRF token, flashed messages and language, but never a user. Flask-Login and Flask-WTF keep their state in
`flask.g` and `flask.session`, so this module uses them too.
"""

import logging
import secrets
from dataclasses import dataclass, replace

import flask
from flask import g, request
from flask_login import login_user, logout_user

import errors
from config import Settings
from services.backend.tokens import Tokens, jwt_expiry
from services.backend.user import User
from services.clock import Clock
from services.observability.audit import AuditLog
from services.request_context import GetContext
from services.sessions.cookie import Copy, ReadResult, SessionCookie
from services.sessions.memory import SessionMemory
from services.sessions.model import MAX_DATE, Session
from services.sessions.refresh_token import RefreshTokenSealer
from services.sessions.revalidation import Revalidator
from services.sessions.revocation import RevokedSessions

log = logging.getLogger("munjigi.sessions")

_KEPT_ON_RESET = ("locale",)
_CSRF_FIELD = "csrfToken"
_REPEATED_LOG_SECONDS = 60.0
"""Between two log lines about a cookie that is sent more than once: each request has it."""


@dataclass
class _RequestSession:
    """The session of a request, and what its response has to do about it."""

    cookie_names: tuple[str, ...]
    """The session cookies of the request."""
    session: Session | None = None
    new_token: str | None = None
    """The token to set; None if the cookie of the request is still right."""
    is_revoked: bool = False
    """The session was revoked: just now by the backend, or earlier by a sign-out."""
    cookie_session: Session | None = None
    """The same as the cookie of the request has it."""


class Sessions:
    def __init__(
        self,
        settings: Settings,
        *,
        cookie: SessionCookie,
        memory: SessionMemory,
        revalidator: Revalidator,
        revoked_sessions: RevokedSessions,
        audit: AuditLog,
        get_context: GetContext,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._cookie = cookie
        self._memory = memory
        self._revalidator = revalidator
        self._revoked = revoked_sessions
        self._audit = audit
        self._get_context = get_context
        self._clock = clock
        self._refresh_tokens = RefreshTokenSealer(settings.secret_keys)
        self._next_repeated_log = 0.0

    def load(self) -> Session | None:
        """The session of this request, or None. Revalidates and renews it when that is due."""
        return self._current().session

    def load_without_set_cookie(self) -> Session | None:
        """The same for a response that must not set cookies. A renewal is remembered until another one may."""
        current = self._current()
        g.pop("session")
        session, cookie_session = current.session, current.cookie_session
        if session and cookie_session and self._is_renewal_due(self._memory.apply(cookie_session)):
            self._memory.extend(session, session.expires_at)
        return session

    def time(self) -> float:
        """Seconds since 1970, as for `update_user`."""
        return self._clock.time()

    def load_if_fresh(self, cookie_header: str, *, can_set_cookies: bool) -> Session | None:
        """The session in a `Cookie` header if nothing is due about it, without a request context; else None."""
        copies = self._usable(self._cookie.read(cookie_header))
        if not copies or not copies[0].uses_current_key:
            return None
        cookie_session = copies[0].session
        session = self._memory.apply(cookie_session)
        if self._is_renewal_due(session) or self._revalidator.is_due(session):
            return None
        is_outdated = session is not cookie_session and self._is_outdated(cookie_session, session)
        return None if can_set_cookies and is_outdated else session

    def was_revoked(self) -> bool:
        """Whether this request came with a session that was revoked."""
        return self._current().is_revoked

    def is_revoked(self, session: Session) -> bool:
        return self._revoked.contains(session)

    def tokens(self, session: Session) -> Tokens:
        """The backend's tokens of a session."""
        refresh_token = self._refresh_tokens.open(session.sid, session.sealed_refresh_token)
        return Tokens(session.access_token, refresh_token, session.token_expires_at or jwt_expiry(session.access_token))

    def start(
        self,
        user: User,
        tokens: Tokens,
        provider: str,
        *,
        identifier: str | None = None,
        cross_site: bool = False,
        reuse: Session | None = None,
    ) -> tuple[Session, list[Session]]:
        """Sign a user in. Returns the new session, and those that it replaces, which are revoked.

        identifier: what the person has signed in with beside a password.
        cross_site: the request is a POST from another site, so that the browser may have more cookies than it sent.
        reuse: the session that another response to the same sign-in has started; signing out of one ends both.

        Raises `SessionTooLarge`, and then nothing has changed.

        Session fixation: a stranger may have planted a visitor cookie, whose CSRF token they then know, or may still
        have the last person's session. So the session gets a new `sid`, and the visitor cookie is reset. It keeps the
        language alone, and nothing of what Flask-Login writes there: the user must be in one place only.
        """
        now = int(self._clock.time())
        auth_time = reuse.auth_time if reuse else self._revoked.next_auth_time(user, now)
        sid = reuse.sid if reuse else secrets.token_urlsafe(16)
        session = Session(
            user=user,
            access_token=tokens.access,
            sealed_refresh_token=self._refresh_tokens.seal(sid, tokens.refresh),
            token_expires_at=None if tokens.expires_at == jwt_expiry(tokens.access) else tokens.expires_at,
            provider=provider,
            identifier=None if identifier == user.email else identifier,
            sid=sid,
            auth_time=auth_time,
            checked_at=now,
            expires_at=self._new_expiry(auth_time, now),
        )
        result = self._cookie.read(_cookie_header())
        stale_names = self._cookie.all_names() if cross_site else result.names
        session, token = self._encrypt(session)
        user = session.user
        g.session = _RequestSession(stale_names, session, token)
        login_user(user)
        if reuse:
            self._memory.learn(reuse, user, self._clock.time())
        self._revalidator.mark_revalidated(session)
        _reset_visitor()
        others = [copy.session for copy in self._usable(result) if copy.session.sid != session.sid]
        for other in others:
            self._revoked.revoke(other)
        return session, others

    def update_user(self, user: User, asked_at: float | None = None) -> None:
        """Replace the session's user by newer data; raises `SessionExpired` if it is another user.

        asked_at: when the backend was asked, in seconds since 1970; by default just now.
        """
        current = self._current()
        if current.session is None:
            return
        if not user.is_same_person(current.session.user):
            raise errors.SessionExpired("the backend returned another user for the same token")
        self._revalidator.mark_revalidated(current.session)
        if user != current.session.user:
            self._renew(current, self._with_user(current.session, user, asked_at))

    def end(self, *, everywhere: bool = False) -> list[Session]:
        """Sign out. Returns the session, and others that the browser sent too, so that their tokens can be revoked.

        The sessions are revoked, so a copy of a cookie is useless. With `everywhere`, all sessions of the user are.
        """
        session = self._current().session
        result = self._cookie.read(_cookie_header())
        others = [copy.session for copy in self._usable(result)]
        for other in others:  # a copy that this site cannot delete must not sign anyone in again
            self._revoked.revoke(other)
        if session is not None and everywhere:
            self._revoked.revoke_all(session)
        g.session = _RequestSession(result.names)
        logout_user()
        _reset_visitor()
        return [session, *others] if session else []

    def set_cookies(self) -> None:
        """Add the session's cookies to the response; none if the request did not load the session."""
        current: _RequestSession | None = g.get("session")
        if current is None:
            return
        cookies = self._get_context().response_cookies
        if current.session is None:
            self._cookie.delete(cookies, current.cookie_names)
        elif current.new_token is not None:
            # The browser keeps it longer than the session lasts without use: `/auth/verify` cannot write it again.
            ends_at = min(current.session.auth_time + self._settings.session_absolute_age, MAX_DATE)
            self._cookie.write(cookies, current.new_token, ends_at, current.cookie_names)

    def _current(self) -> _RequestSession:
        current: _RequestSession | None = g.get("session")
        if current is None:
            current = g.session = self._read()
        return current

    def _read(self) -> _RequestSession:
        result = self._cookie.read(_cookie_header())
        self._log_repeated(result.repeated_names)
        used_copies = tuple(copy for copy in result.idle_copies if self._memory.is_extended(copy.session))
        result = replace(result, copies=result.copies + used_copies, idle_copies=())
        if not result.copies:
            return _RequestSession(result.names)
        self._revoked.wait_until_ready()
        copies = self._usable(result)
        if not copies:
            self._record_revocation(result.copies[0].session, "person", "it was signed out")
        for copy in copies:
            try:
                return self._load_copy(copy, result.names)
            except errors.SessionExpired as error:
                self._revoked.revoke(copy.session)
                self._record_revocation(copy.session, "backend", error.reason)
        return _RequestSession(result.names, is_revoked=True)

    def _usable(self, result: ReadResult) -> list[Copy]:
        """The sessions of a request that were not revoked."""
        used_copies = [copy for copy in result.idle_copies if self._memory.is_extended_here(copy.session)]
        return [copy for copy in (*result.copies, *used_copies) if not self._revoked.contains(copy.session)]

    def _load_copy(self, copy: Copy, names: tuple[str, ...]) -> _RequestSession:
        """Raises `SessionExpired`."""
        session = self._memory.apply(copy.session)
        asked_at = self._clock.time()
        user = self._revalidator.revalidate(session, self._get_context)
        session = self._memory.apply(session) if user == session.user else self._with_user(session, user, asked_at)
        current = _RequestSession(names, session, cookie_session=copy.session)
        if not copy.uses_current_key or self._is_outdated(copy.session, session):
            self._renew(current, session)
        return current

    def _with_user(self, session: Session, user: User, asked_at: float | None = None) -> Session:
        """The session with what the backend answered when it was asked (by default: just now), for every door.

        The session as it is, if the user does not fit into its cookies: all doors have to agree.
        """
        asked_at = self._clock.time() if asked_at is None else asked_at
        try:
            user = self._encrypt(replace(session, user=user))[0].user
        except errors.SessionTooLarge as error:
            log.error("session not renewed, the old one is kept: %s", error)
            user = session.user
        self._memory.learn(session, user, asked_at)
        return self._memory.apply(session)

    def _encrypt(self, session: Session) -> tuple[Session, str]:
        """The session and its token; without the claims of `USER_CLAIMS` if it fits into the cookies only like that.

        Raises `SessionTooLarge`.
        """
        try:
            return session, self._cookie.encrypt(session)
        except errors.SessionTooLarge:
            if not session.user.claims:
                raise
            without_claims = replace(session, user=session.user.without_claims())
            token = self._cookie.encrypt(without_claims)
            log.warning("user claims not kept: with them, the session is too large for its cookies")
            return without_claims, token

    def _is_outdated(self, cookie_session: Session, session: Session) -> bool:
        """Whether the cookie should be written."""
        return cookie_session.user != session.user or self._is_renewal_due(cookie_session)

    def _log_repeated(self, names: tuple[str, ...]) -> None:
        """An operator can find out what sets the other cookie; once a minute, for it comes with each request."""
        if names and self._clock.monotonic() >= self._next_repeated_log:
            self._next_repeated_log = self._clock.monotonic() + _REPEATED_LOG_SECONDS
            log.warning("session cookie sent more than once, a copy has another Domain or Path: %s", ", ".join(names))

    def _record_revocation(self, session: Session, by: str, reason: str) -> None:
        self._audit.record("session_expired", self._get_context(), by=by, reason=reason, sid=session.sid)

    def _is_renewal_due(self, session: Session) -> bool:
        """After a tenth of its life. A new token on each read would be more work, and a race with signing out."""
        gain = self._new_expiry(session.auth_time, int(self._clock.time())) - session.expires_at
        return gain * 10 >= self._settings.session_max_age

    def _renew(self, current: _RequestSession, session: Session) -> None:
        session = replace(session, expires_at=self._new_expiry(session.auth_time, int(self._clock.time())))
        try:
            current.session, current.new_token = session, self._cookie.encrypt(session)
        except errors.SessionTooLarge as error:
            log.error("session not renewed, the old one is kept: %s", error)

    def _new_expiry(self, auth_time: int, now: int) -> int:
        settings = self._settings
        return min(now + settings.session_max_age, auth_time + settings.session_absolute_age)


def _cookie_header() -> str:
    return request.environ.get("HTTP_COOKIE", "")  # type: ignore[no-any-return]


def _reset_visitor() -> None:
    """Give the visitor a new cookie with a new CSRF token."""
    kept_values = {name: flask.session[name] for name in _KEPT_ON_RESET if name in flask.session}
    flask.session.clear()
    flask.session.update(kept_values)
    g.pop(_CSRF_FIELD, None)  # Flask-WTF's token of this request
    flask.session[_CSRF_FIELD] = secrets.token_hex(20)  # Flask-WTF signs it for each form from now on
