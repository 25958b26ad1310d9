"""The use case of connecting providers with the account of the signed-in person.

A sign-in never connects accounts by their address: a stranger who registered an account with somebody else's address
would share that account with its owner.
"""

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

import errors
from config import Settings
from providers.base import Identity, Registration
from services.backend.client import BackendClient
from services.backend.link_calls import LinkCalls, LinkedAccount
from services.limits.rate_limiter import RateLimiter
from services.observability.audit import AuditLog
from services.request_context import RequestContext
from services.sessions.manager import Sessions
from services.sessions.model import Session

_T = TypeVar("_T")


class ProviderLinks:
    def __init__(
        self,
        settings: Settings,
        *,
        calls: LinkCalls,
        backend: BackendClient,
        sessions: Sessions,
        limiter: RateLimiter,
        audit: AuditLog,
    ) -> None:
        self._registrations = settings.registrations
        self._calls = calls
        self._backend = backend
        self._sessions = sessions
        self._limiter = limiter
        self._audit = audit

    @property
    def can_unlink(self) -> bool:
        return self._calls.has("unlink")

    def list_accounts(self, context: RequestContext) -> Mapping[str, LinkedAccount] | None:
        """Provider id -> connected account; None if the backend does not list them. Raises a `SiteError`."""
        accounts = self._call(lambda session, token: self._calls.list_accounts(token, session.user, context), context)
        if accounts is None:
            return None
        by_name = {account.provider: account for account in reversed(accounts)}
        return {each.id: by_name[each.backend_name] for each in self._registrations if each.backend_name in by_name}

    def link(self, registration: Registration, identity: Identity, context: RequestContext) -> Session:
        """Connect the account that a provider has proven. Returns the session, which continues. Raises a `SiteError`.

        identity: what the provider has proven in an attempt that this session started.
        """
        try:
            self._call(
                lambda session, token: self._calls.link(token, session.user, registration, identity, context), context
            )
        except errors.SiteError as error:
            self._record_failure("link", registration, error, context)
            raise
        self._audit.record("provider_linked", context, provider=registration.id, sid=self._session().sid)
        return self._session()

    def unlink(self, registration: Registration, context: RequestContext) -> None:
        """Disconnect a provider. Raises a `SiteError`; nothing happens if it is not connected."""
        try:
            self._limiter.hit_ip(context)
            linked = (self.list_accounts(context) or {}).get(registration.id)
            if linked is None:
                return
            self._call(lambda session, token: self._calls.unlink(token, session.user, linked, context), context)
        except errors.SiteError as error:
            self._record_failure("unlink", registration, error, context)
            raise
        self._audit.record("provider_unlinked", context, provider=registration.id, sid=self._session().sid)

    def record_failure(self, registration: Registration, error: errors.SiteError, context: RequestContext) -> None:
        """Log a failure before the provider has proven an identity."""
        self._record_failure("link", registration, error, context)

    def _call(self, call: Callable[[Session, str], _T], context: RequestContext) -> _T:
        """Make a call with the session's access token, refreshed if needed.

        A 401 may also mean that the backend does not accept the token of the provider: the session ends only if the
        user can no longer be read either.
        """
        session = self._session()
        try:
            return self._sessions.call_backend(session, lambda token: call(session, token))
        except errors.SessionExpired as expired:
            reason = expired.reason
        try:
            if self._backend.can_reread_user:
                self._sessions.call_backend(self._session(), lambda token: self._backend.user(token, context))
                raise errors.LinkRefused(f"{reason}, but the user can be read")
        except errors.SessionExpired:
            pass
        self._sessions.end()
        raise errors.SessionExpired(reason)

    def _session(self) -> Session:
        session = self._sessions.load()
        if session is None:
            raise errors.SessionRequired("a provider cannot be connected without a session")
        return session

    def _record_failure(
        self, what: str, registration: Registration, error: errors.SiteError, context: RequestContext
    ) -> None:
        level = logging.ERROR if isinstance(error, errors.ServerSideError) else logging.INFO
        fields = {"provider": registration.id, "outcome": error.code, "reason": error.reason}
        self._audit.record("provider_link_failed", context, level, form=what, **fields)
