"""How a person gets in, and out again. The policy; it reads like prose."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import errors
from config import Settings
from providers.base import Identity, Registration
from services.backend.client import Backend
from services.backend.user import User
from services.limits.login_limiter import LoginLimiter
from services.observability.audit import account_hash, audit
from services.sessions.manager import Sessions
from services.sessions.model import Session

log = logging.getLogger("munjigi.sign_in")


class SignIn:
    def __init__(self, settings: Settings, backend: Backend, sessions: Sessions, limiter: LoginLimiter) -> None:
        self._key = settings.secret_key
        self._revokes = settings.backend_logout_path is not None
        self._backend = backend
        self._sessions = sessions
        self._limiter = limiter

    def with_password(self, email: str, password: str) -> User:
        """Sign in by e-mail address and password. Raises a `SiteError`, and then nobody is signed in."""
        with self._audited("email", email):
            give_back = self._limiter.hit(email)
            access_token = self._backend.login(email, password)
            session = self._admit(access_token, "email")
            give_back()
            return session.user

    def with_identity(self, registration: Registration, identity: Identity) -> Session:
        """Sign in whom a provider has proven. Raises as above."""
        with self._audited(registration.id, f"{registration.id}:{identity.subject}"):
            with_email = registration.provider.backend_token == "id_token"
            access_token = self._backend.social_login(registration.backend_name, identity, with_email)
            return self._admit(access_token, registration.id, blind=registration.provider.form_post)

    def refused(self, registration: Registration, error: errors.SiteError) -> None:
        """Put into the log a sign-in that ended before anybody was proven."""
        audit("sign_in_failed", _level(error), provider=registration.id, outcome=error.code, reason=error.reason)

    def again(self, registration: Registration, first: Session) -> None:
        """The same sign-in, asked for twice: the second answer needs the session in its cookies too.

        Raises `AttemptExpired` if it was signed out meanwhile: nothing brings that session back.
        """
        try:
            user = self._backend.user(first.access_token)
        except errors.SessionExpired:
            raise errors.AttemptExpired("the token was revoked meanwhile") from None
        if self._sessions.is_ended(first):
            raise errors.AttemptExpired("it was signed out meanwhile")
        self._sessions.start(
            user, first.access_token, registration.id, blind=registration.provider.form_post, again=first
        )

    def out(self, *, everywhere: bool = False) -> bool:
        """Sign out here, whatever the backend says; whether its token is revoked, as far as it can be."""
        session = self._sessions.end(everywhere=everywhere)
        if session is None:
            return True
        revoked = self._backend.logout(session.access_token)
        audit("signed_out", provider=session.provider, sid=session.sid, revoked=revoked, everywhere=everywhere)
        return revoked or not self._revokes

    def _admit(self, access_token: str, provider: str, *, blind: bool = False) -> Session:
        """From a backend's token to a session: nobody is signed in unless token and user are both sound.

        A token that cannot be used is revoked: left alone it would open the account for ever.
        """
        try:
            user = self._backend.user(access_token)
            session, replaced = self._sessions.start(user, access_token, provider, blind=blind)
        except errors.SiteError as error:
            revoked = self._backend.logout(access_token)
            log.error("a token was issued and not used (%s); revoked: %s", error, revoked)
            if isinstance(error, errors.SessionExpired):
                raise errors.BackendUnavailable("/user refused the token that was just given") from None
            raise
        if replaced and replaced.access_token != access_token:
            self._backend.logout(replaced.access_token)
        return session

    @contextmanager
    def _audited(self, provider: str, email: str | None) -> Iterator[None]:
        account = account_hash(email, self._key)
        try:
            yield
        except errors.SiteError as error:
            facts = {"provider": provider, "account": account, "outcome": error.code, "reason": error.reason}
            audit("sign_in_failed", _level(error), **facts)
            raise
        audit("signed_in", provider=provider, account=account)


def _level(error: errors.SiteError) -> int:
    return logging.ERROR if isinstance(error, errors.ServerSideError) else logging.INFO
