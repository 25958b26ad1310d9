"""How a person gets in, and out again. The policy; it reads like prose."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import errors
from config import Settings
from services.backend import Backend
from services.events import account_hash, audit
from services.session import Sessions
from services.user import User

log = logging.getLogger("munjigi.sign_in")


class SignIn:
    def __init__(self, settings: Settings, backend: Backend, sessions: Sessions) -> None:
        self._key = settings.secret_key
        self._revokes = settings.backend_logout_path is not None
        self._backend = backend
        self._sessions = sessions

    def with_password(self, email: str, password: str) -> User:
        """Sign in by e-mail address and password. Raises a `SiteError`, and then nobody is signed in."""
        with self._audited("email", email):
            access_token = self._backend.login(email, password)
            return self._admit(access_token, "email")

    def out(self) -> bool:
        """Sign out here, whatever the backend says; whether its token is revoked, as far as it can be."""
        session = self._sessions.end()
        if session is None:
            return True
        revoked = self._backend.logout(session.access_token)
        audit("signed_out", provider=session.provider, sid=session.sid, revoked=revoked)
        return revoked or not self._revokes

    def _admit(self, access_token: str, provider: str) -> User:
        """From a backend's token to a session: nobody is signed in unless token and user are both sound.

        A token that cannot be used is revoked: left alone it would open the account for ever.
        """
        try:
            user = self._backend.user(access_token)
            replaced = self._sessions.start(user, access_token, provider)
        except errors.SiteError as error:
            revoked = self._backend.logout(access_token)
            log.error("a token was issued and not used (%s); revoked: %s", error, revoked)
            if isinstance(error, errors.SessionExpired):
                raise errors.BackendUnavailable("/user refused the token that /login gave") from None
            raise
        if replaced and replaced.access_token != access_token:
            self._backend.logout(replaced.access_token)
        return user

    @contextmanager
    def _audited(self, provider: str, email: str | None) -> Iterator[None]:
        account = account_hash(email, self._key)
        try:
            yield
        except errors.SiteError as error:
            level = logging.ERROR if isinstance(error, errors.Fault) else logging.INFO
            audit("sign_in_failed", level, provider=provider, account=account, outcome=error.code, reason=error.reason)
            raise
        audit("signed_in", provider=provider, account=account)
