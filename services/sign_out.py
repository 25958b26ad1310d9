"""The use case of signing out: here, at the backend, and at the provider if it supports that."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from providers.base import Registration
from services.backend.client import BackendClient, Revocation
from services.backend.tokens import Tokens
from services.oauth.provider_logout import ProviderLogout
from services.observability.audit import AuditLog
from services.request_context import RequestContext
from services.sessions.manager import Sessions
from services.sessions.model import Session

_MAX_REVOKED_TOKENS = 3
"""A browser may send further session cookies with another `Domain` or `Path`, set by an earlier setup."""


class SignOutOutcome(Enum):
    """The result of a sign-out."""

    DONE = "done"
    FAILED_AT_BACKEND = "failed at the backend"
    """The session ended, but revoking the backend's tokens failed."""
    NO_SESSION = "no session"
    """Nobody was signed in, so no other session could end either."""


@dataclass(frozen=True)
class SignedOut:
    outcome: SignOutOutcome
    provider: Registration | None = None
    """The provider at which the sign-out continues."""
    provider_url: str | None = None
    """The URL to which the browser is sent for that; None if the provider has none, or cannot be reached."""


class SignOut:
    def __init__(
        self, *, backend: BackendClient, sessions: Sessions, provider_logout: ProviderLogout, audit: AuditLog
    ) -> None:
        self._backend = backend
        self._sessions = sessions
        self._provider_logout = provider_logout
        self._audit = audit

    def end_session(
        self, context: RequestContext, *, everywhere: bool = False, return_to: str | None = None
    ) -> SignedOut:
        """Sign out here, whatever the backend answers. The sign-out may continue at the provider.

        return_to: where the person goes from there.
        """
        sessions = self._sessions.end(everywhere=everywhere)
        if not sessions:
            return SignedOut(SignOutOutcome.NO_SESSION)
        session, (first, *others) = sessions[0], self._tokens_of(sessions)
        revocation = self._backend.logout(first, context)
        self._revoke(others, context)
        provider, url = self._provider_logout.registration(session), None
        if provider:
            id_token = self._sessions.id_token(session)
            url = self._provider_logout.start(
                provider, session, context, id_token=id_token, return_to=return_to, everywhere=everywhere
            )
        self._audit.record(
            "signed_out",
            context,
            provider=session.provider,
            sid=session.sid,
            revoked=revocation is Revocation.REVOKED,
            everywhere=everywhere,
            at_provider=bool(url) if provider else None,
        )
        outcome = SignOutOutcome.FAILED_AT_BACKEND if revocation is Revocation.FAILED else SignOutOutcome.DONE
        return SignedOut(outcome, provider, url)

    def revoke_replaced(self, sessions: Iterable[Session], new: Tokens, context: RequestContext) -> None:
        """Revoke the tokens of sessions that a new sign-in has replaced, except those that are valid for it too."""
        self._revoke([old for old in self._tokens_of(sessions) if not _share_token(old, new)], context)

    def _tokens_of(self, sessions: Iterable[Session]) -> list[Tokens]:
        """The tokens of ended sessions, each once: at some backends, all sessions of a user share a token."""
        by_access_token: dict[str, Session] = {}
        for session in sessions:
            by_access_token.setdefault(session.access_token, session)
        return [self._sessions.tokens(session) for session in by_access_token.values()]

    def _revoke(self, old_tokens: Iterable[Tokens], context: RequestContext) -> None:
        for tokens in islice(old_tokens, _MAX_REVOKED_TOKENS):
            self._backend.logout(tokens, context)


def _share_token(old: Tokens, new: Tokens) -> bool:
    """Whether revoking the old tokens would end the new ones: some backends return the same token again."""
    return old.access == new.access or (old.refresh is not None and old.refresh == new.refresh)
