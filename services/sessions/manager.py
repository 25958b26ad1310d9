"""Loads, starts and ends the session of a request. No other module does.

The session lives in the encrypted session cookie (`cookie.py`). `flask.session` is another cookie, which every visitor
has. It contains CSRF token, flashed messages and language, but never a user. Flask-Login and Flask-WTF keep their state
in `flask.g` and `flask.session`, so this module uses them too.
"""

import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import flask
from flask import g, request
from flask_login import login_user, logout_user

import errors
from config import Settings
from services.backend.tokens import MAX_DATE, Tokens
from services.backend.user import User
from services.clock import Clock
from services.observability.audit import AuditLog
from services.request_context import GetContext
from services.sessions.cookie import Copy, ReadResult, SessionCookie
from services.sessions.issuer_session import IssuerSession
from services.sessions.memory import SessionMemory
from services.sessions.model import Session
from services.sessions.revalidation import Revalidator, UnconfirmedError
from services.sessions.revoked_sessions import RevokedSessions
from services.sessions.session_list import SessionList
from services.sessions.token_refresh import TokenRefresher
from services.sessions.token_sealer import Kind, TokenSealer
from services.sessions.token_store import TokenStore

log = logging.getLogger("munjigi.sessions")

_T = TypeVar("_T")
_KEPT_ON_RESET = ("locale",)
_CSRF_FIELD = "csrfToken"
_REPEATED_LOG_SECONDS = 60.0
"""The interval of log lines about a cookie that is sent more than once, which happens with each request."""


@dataclass
class _RequestSession:
    """The session of a request, and the changes for its response."""

    cookie_names: tuple[str, ...]
    """The session cookies of the request."""
    session: Session | None = None
    new_token: str | None = None
    """The token to set; None if the cookie of the request is up to date."""
    is_revoked: bool = False
    """Whether the request has a session that has ended: by a sign-out, by the backend, or because it expired."""
    cookie_session: Session | None = None
    """The session as the cookie of the request has it."""


class Sessions:
    def __init__(
        self,
        settings: Settings,
        *,
        cookie: SessionCookie,
        memory: SessionMemory,
        token_store: TokenStore,
        refresher: TokenRefresher,
        session_list: SessionList | None,
        revalidator: Revalidator,
        revoked_sessions: RevokedSessions,
        audit: AuditLog,
        get_context: GetContext,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._cookie = cookie
        self._memory = memory
        self._token_store = token_store
        self._refresher = refresher
        self._list = session_list
        self._revalidator = revalidator
        self._revoked = revoked_sessions
        self._audit = audit
        self._get_context = get_context
        self._clock = clock
        self._refresh_tokens = TokenSealer(settings.secret_keys, Kind.REFRESH)
        self._id_tokens = TokenSealer(settings.secret_keys, Kind.ID)
        self._next_repeated_log = 0.0

    def load(self) -> Session | None:
        """The session of this request, or None. Refreshes, revalidates and renews it when that is due."""
        return self._current().session

    def load_without_set_cookie(self) -> Session | None:
        """The same for a response that must not set cookies. A renewal is remembered until another response can."""
        current = self._current()
        session, cookie_session = current.session, current.cookie_session
        if session and cookie_session and self._is_renewal_due(self._memory.apply(cookie_session), session):
            self._memory.extend(session, session.expires_at)
        g.session = _RequestSession((), session, is_revoked=current.is_revoked)
        return session

    def time(self) -> float:
        """Seconds since 1970, as for `update_user`."""
        return self._clock.time()

    def load_if_fresh(self, cookie_header: str, *, can_set_cookies: bool) -> Session | None:
        """The session in a `Cookie` header if it needs no refresh, revalidation or renewal; else None.

        Works without a request context.
        """
        copies = self._usable(self._cookie.read(cookie_header))
        if not copies or not copies[0].uses_current_key:
            return None
        cookie_session = copies[0].session
        session = self._with_known_changes(cookie_session)
        if self._is_renewal_due(session) or self._refresher.is_due(session) or self._revalidator.is_due(session):
            return None
        if self._token_store.needs_confirmation(cookie_session):
            return None
        is_outdated = session is not cookie_session and self._is_outdated(cookie_session, session)
        return None if can_set_cookies and is_outdated else session

    def was_revoked(self) -> bool:
        """Whether this request has a session that has ended."""
        return self._current().is_revoked

    def is_revoked(self, session: Session) -> bool:
        return self._revoked.contains(session)

    def tokens(self, session: Session) -> Tokens:
        """The backend's tokens of a session."""
        return Tokens(
            session.access_token,
            self._refresh_tokens.open(session.sid, session.sealed_refresh_token),
            session.token_expires_at,
            session.refresh_at,
            session.refresh_expires_at,
        )

    def id_token(self, session: Session) -> str | None:
        """The id_token of the sign-in, if the session has it."""
        return self._id_tokens.open(session.sid, session.sealed_id_token)

    def call_backend(self, session: Session, call: Callable[[str], _T]) -> _T:
        """Make a call with the access token of this request's session. Raises a `SiteError`.

        If the backend no longer accepts the token, the call is repeated with a new one.
        """
        result = self._refresher.call(session, self._get_context(), call)
        current = self._current()
        if current.session:
            current.session = self._token_store.apply(current.session)
        return result

    def start(
        self,
        user: User,
        tokens: Tokens,
        provider: str,
        *,
        identifier: str | None = None,
        cross_site: bool = False,
        reuse: Session | None = None,
        issuer_session: IssuerSession | None = None,
        end_others: bool = False,
        remember: bool = False,
    ) -> tuple[Session, list[Session]]:
        """Start a session. Returns it, and the sessions that it replaces, which are revoked.

        identifier: with which the person signed in.
        cross_site: the request is a POST from another site, so that the browser may have more cookies than it sent.
        reuse: a session that another response to the same sign-in started; signing out of one ends both.
        issuer_session: the session at the provider, which may end this session.
        end_others: end all other sessions of this user, on all devices.
        remember: the person asked to stay signed in. Ignored without `REMEMBER_ME`, and with `reuse`.

        Raises `SessionTooLarge`; nothing has changed then.

        To prevent session fixation, the session gets a new `sid`, and the visitor cookie is reset: an attacker may have
        set that cookie and know its CSRF token. Only the language is kept. What Flask-Login writes there is removed,
        since the user must be stored in one place only.
        """
        now = int(self._clock.time())
        auth_time = reuse.auth_time if reuse else self._revoked.next_auth_time(user, now, end_others=end_others)
        sid = reuse.sid if reuse else secrets.token_urlsafe(16)
        sealed_id_token = self._id_tokens.seal(sid, issuer_session.id_token if issuer_session else None)
        session = Session(
            user=user,
            access_token=tokens.access,
            sealed_refresh_token=self._refresh_tokens.seal(sid, tokens.refresh),
            token_expires_at=tokens.expires_at,
            refresh_at=tokens.refresh_at,
            refresh_expires_at=tokens.refresh_expires_at,
            refresh_count=reuse.refresh_count if reuse else 0,
            provider=provider,
            identifier=None if identifier == user.email else identifier,
            sid=sid,
            auth_time=auth_time,
            auth_delay=reuse.auth_delay if reuse else auth_time - now,
            checked_at=now,
            expires_at=0,
            is_short=reuse.is_short if reuse else self._settings.remember_me and not remember,
            issuer_session=reuse.issuer_session if reuse else self._revoked.next_issuer_session(issuer_session),
            sealed_id_token=reuse.sealed_id_token if reuse else sealed_id_token,
        )
        session = replace(session, expires_at=self._new_expiry(session))
        result = self._cookie.read(_cookie_header())
        stale_names = self._cookie.all_names() if cross_site else result.names
        session, token = self._encrypt(session)
        if end_others:
            self._revoked.revoke_user(user.id, until=auth_time - 1)
        user = session.user
        g.session = _RequestSession(stale_names, session, token)
        login_user(user)
        if self._list:
            self._list.touch(session, self._get_context())
        if reuse:
            self._memory.learn(reuse, user, self._clock.time())
        self._revalidator.mark_revalidated(session)
        _reset_visitor()
        return session, self._revoke_all(copy.session for copy in self._usable(result) if copy.session.sid != sid)

    def update_user(self, user: User, asked_at: float | None = None) -> None:
        """Replace the session's user by newer data. Raises `SessionExpired` if it is another user.

        asked_at: when the request to the backend was sent, in seconds since 1970; by default now.
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
        """Sign out. Returns the session and others that the browser sent, so that their tokens can be revoked.

        The sessions are revoked, so copies of their cookies are rejected. everywhere: revoke all sessions of the user.
        """
        session = self._current().session
        result = self._cookie.read(_cookie_header())
        # All copies: a cookie that this site cannot delete must not sign in again.
        others = self._revoke_all(copy.session for copy in self._usable(result))
        session = next((other for other in others if session and other.sid == session.sid), session)
        if session is not None and everywhere:
            self._revoked.revoke_all(session)
        g.session = _RequestSession(result.names)
        logout_user()
        _reset_visitor()
        return [session, *others] if session else []

    def end_other(self, public_sid: str) -> bool:
        """End another session of this request's user. Returns whether there was one with this public id.

        Its tokens stay valid at the backend until they expire: only its own cookie has them.
        """
        session = self._current().session
        sessions = self._list.load(session) if self._list and session else None
        if session is None or public_sid not in {each.public_sid for each in sessions or ()} - {session.public_sid}:
            return False
        self._revoked.revoke_sid(public_sid)
        self._audit.record("session_revoked", self._get_context(), by="person", scope="session")
        return True

    def end_all_of(self, user: User) -> None:
        """End all sessions of a user, on all devices. Those that start from now on are not affected."""
        self._revoked.revoke_user(user.id)

    def set_cookies(self) -> None:
        """Add the session's cookies to the response, if the request has loaded the session.

        Not if another request has ended the session meanwhile: by a sign-out, whose response deletes the cookies, or by
        another sign-in, whose cookies this response must not replace.
        """
        current: _RequestSession | None = g.get("session")
        if current is None:
            return
        cookies = self._get_context().response_cookies
        if current.session and current.cookie_session:
            newest = self._token_store.apply(current.session)
            if newest is not current.session:  # another request has refreshed the tokens meanwhile
                self._renew(current, newest)
            if current.new_token is not None and self._revoked.contains(current.session):
                return
        if current.session is None:
            self._cookie.delete(cookies, current.cookie_names)
        elif current.new_token is not None:
            # The cookie outlives an unused session, because `/auth/verify` extends the session and cannot set cookies.
            ends_at = min(current.session.auth_time + self._settings.session_absolute_age, MAX_DATE)
            expires_at = None if current.session.is_short else ends_at
            self._cookie.write(cookies, current.new_token, expires_at, current.cookie_names)

    def _current(self) -> _RequestSession:
        current: _RequestSession | None = g.get("session")
        if current is None:
            current = g.session = self._read()
        return current

    def _read(self) -> _RequestSession:
        result = self._cookie.read(_cookie_header())
        self._log_repeated(result.repeated_names)
        idle_copies = result.idle_copies
        used_copies = tuple(copy for copy in idle_copies if self._memory.is_extended(copy.session))
        result = replace(result, copies=result.copies + used_copies, idle_copies=())
        if not result.copies:
            return _RequestSession(result.names, is_revoked=bool(idle_copies))
        self._revoked.wait_until_ready()
        copies = self._usable(result)
        if not copies:
            self._record_revocation(result.copies[0].session, "person", "it was signed out")
        names = result.names
        for copy in copies:
            try:
                return self._load_copy(copy, result.names)
            except UnconfirmedError as error:
                log.warning("session of NextAuth not accepted, its user could not be read: %s", error)
                return _RequestSession(())  # its cookie is kept, for the next request
            except errors.SessionExpired as error:
                if self._revoked.contains(copy.session):
                    names = ()  # see `set_cookies`
                self._revoke(copy.session)
                self._record_revocation(copy.session, "backend", error.reason)
        return _RequestSession(names, is_revoked=True)

    def _usable(self, result: ReadResult) -> list[Copy]:
        """The sessions of a request that were not revoked."""
        used_copies = [copy for copy in result.idle_copies if self._memory.is_extended_here(copy.session)]
        return [copy for copy in (*result.copies, *used_copies) if not self._revoked.contains(copy.session)]

    def _load_copy(self, copy: Copy, names: tuple[str, ...]) -> _RequestSession:
        """The session of a cookie, refreshed, revalidated and renewed as needed. Raises `SessionExpired`."""
        session = self._refresher.refresh_if_due(self._with_known_changes(copy.session), self._get_context)
        if self._token_store.needs_confirmation(copy.session):
            self._token_store.confirm(copy.session)
        asked_at = self._clock.time()
        user = self._revalidator.revalidate(session, self._get_context)
        session = self._token_store.apply(session)
        session = self._memory.apply(session) if user == session.user else self._with_user(session, user, asked_at)
        current = _RequestSession(names, session, cookie_session=copy.session)
        if not copy.uses_current_key or self._is_outdated(copy.session, session):
            self._renew(current, session)
        if self._list:
            self._list.touch(current.session or session, self._get_context())
        return current

    def _with_user(self, session: Session, user: User, asked_at: float | None = None) -> Session:
        """The session with the user that the backend returned at `asked_at` (by default: now), remembered for all
        readers.

        If the user does not fit into the cookies, the session is returned unchanged, so that all readers agree.
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
        """The session and its token. Raises `SessionTooLarge`.

        If it does not fit into the cookies, the id_token is dropped, and if needed the claims of `USER_CLAIMS` too.
        """
        try:
            return session, self._cookie.encrypt(session)
        except errors.SessionTooLarge:
            if session.sealed_id_token:
                log.warning("id_token dropped: the session would be too large for its cookies")
                return self._encrypt(replace(session, sealed_id_token=None))
            if not session.user.claims:
                raise
            without_claims = replace(session, user=session.user.without_claims())
            token = self._cookie.encrypt(without_claims)
            log.warning("user claims dropped: the session would be too large for its cookies")
            return without_claims, token

    def _is_outdated(self, cookie_session: Session, session: Session) -> bool:
        """Whether the cookie should be written."""
        is_refreshed = cookie_session.refresh_count < session.refresh_count
        return is_refreshed or cookie_session.user != session.user or self._is_renewal_due(cookie_session)

    def _with_known_changes(self, session: Session) -> Session:
        """The session of a cookie with what this process knows about it."""
        return self._token_store.apply(self._memory.apply(session))

    def _revoke_all(self, sessions: Iterable[Session]) -> list[Session]:
        """End these sessions, some of which may be copies. Returns each session once, with its newest tokens."""
        by_sid: dict[str, Session] = {}
        for session in sessions:
            by_sid.setdefault(session.sid, session)
        return [self._revoke(session) for session in by_sid.values()]

    def _revoke(self, session: Session) -> Session:
        """End a session. Returns it with its newest tokens, also those of a refresh by another process."""
        self._revoked.revoke(session)
        if self._list:
            self._list.remove(session)
        return self._token_store.end(session) if self._refresher.can_refresh(session) else session

    def _log_repeated(self, names: tuple[str, ...]) -> None:
        """Log a repeated cookie once a minute, so that an operator can find out what sets it."""
        if names and self._clock.monotonic() >= self._next_repeated_log:
            self._next_repeated_log = self._clock.monotonic() + _REPEATED_LOG_SECONDS
            log.warning("session cookie sent more than once, a copy has another Domain or Path: %s", ", ".join(names))

    def _record_revocation(self, session: Session, by: str, reason: str) -> None:
        self._audit.record("session_expired", self._get_context(), by=by, reason=reason, sid=session.sid)

    def _is_renewal_due(self, session: Session, renewed_session: Session | None = None) -> bool:
        """Whether a tenth of the session's life has passed. Writing it on each read would cost more, and race with
        sign-outs.

        renewed_session: the session after the renewal, if its tokens differ.
        """
        expires_at = renewed_session.expires_at if renewed_session else self._new_expiry(session)
        gain = expires_at - session.expires_at
        return gain > 0 and gain * 10 >= min(self._settings.session_max_age, expires_at - self._clock.time())

    def _renew(self, current: _RequestSession, session: Session) -> None:
        session = replace(session, expires_at=self._new_expiry(session))
        try:
            current.session, current.new_token = self._encrypt(session)
            if current.session.user != session.user:  # new tokens are larger: all readers have to agree
                self._memory.learn(session, current.session.user, self._clock.time())
        except errors.SessionTooLarge as error:
            log.error("session not renewed, the old one is kept: %s", error)

    def _new_expiry(self, session: Session) -> int:
        """Seconds since 1970 when the session expires if it is used now, at the latest with its tokens."""
        settings = self._settings
        expires_at = min(
            int(self._clock.time()) + settings.session_max_age, session.auth_time + settings.session_absolute_age
        )
        if session.is_short:
            expires_at = min(expires_at, session.auth_time + settings.session_short_age)
        return min(expires_at, session.tokens_end_at(settings.backend) or expires_at)


def _cookie_header() -> str:
    return request.environ.get("HTTP_COOKIE", "")  # type: ignore[no-any-return]


def _reset_visitor() -> None:
    """Give the visitor a new cookie with a new CSRF token."""
    kept_values = {name: flask.session[name] for name in _KEPT_ON_RESET if name in flask.session}
    flask.session.clear()
    flask.session.update(kept_values)
    g.pop(_CSRF_FIELD, None)  # Flask-WTF's token of this request
    flask.session[_CSRF_FIELD] = secrets.token_hex(20)  # Flask-WTF signs it for each form from now on
