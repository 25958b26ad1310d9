"""The use case of ending sessions at the request of another server.

That is the backend, an OpenID Connect issuer (Back-Channel Logout 1.0), or a provider that notifies the site.
"""

from config import Settings
from providers.base import Registration
from services.clock import MAX_DIFFERENCE_SECONDS, Clock
from services.oauth import logout_token
from services.oauth.client import OAuthClient
from services.oauth.signed_jwt import InvalidToken
from services.observability.audit import AuditLog, account_hash
from services.request_context import RequestContext
from services.sessions import issuer_session
from services.sessions.revoked_sessions import RevokedSessions
from services.state.redis import Redis
from services.state.used_tokens import UsedTokens

_KEEP_SECONDS = logout_token.MAX_AGE_SECONDS + 2 * MAX_DIFFERENCE_SECONDS
"""How long a logout token can be valid. Its `iat` may be slightly in the future."""


class BackchannelLogout:
    def __init__(
        self,
        settings: Settings,
        *,
        oauth: OAuthClient,
        revoked_sessions: RevokedSessions,
        redis: Redis | None,
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._secret_key = settings.secret_key
        self._oauth = oauth
        self._revoked = revoked_sessions
        self._used_tokens = UsedTokens("munjigi:logout-token", _KEEP_SECONDS, redis, clock)
        self._audit = audit

    def by_backend(self, name: str, value: int | str, context: RequestContext) -> None:
        """End all sessions of the user with this `user_id`, or the session with this `sid`."""
        if name == "user_id":
            self._revoked.revoke_user(value)
        else:
            self._revoked.revoke_sid(str(value))
        self._audit.record("session_revoked", context, by="backend", scope="user" if name == "user_id" else "session")

    def by_issuer(self, registration: Registration, token: object, context: RequestContext) -> None:
        """End the sessions of a logout token. Raises `InvalidToken` or `ProviderUnavailable`.

        With a `sid`, these are the sessions that started from that session of the issuer; without one, all sessions of
        the person. Sessions that the issuer started after it issued the token are not affected.
        """
        content = self._oauth.verify_logout_token(registration, token, context)
        if not self._used_tokens.use(registration.issuer_name, content.jti):
            raise InvalidToken("it was used before")
        if content.sid:
            key = issuer_session.sid_key(registration.issuer_name, content.sid)
        else:
            key = issuer_session.subject_key(registration.issuer_name, content.subject or "")
        self._revoked.revoke_issuer_key(key, content.issued_at)
        self._record(registration, content.subject, "session" if content.sid else "user", context)

    def by_provider_event(
        self, registration: Registration, subject: str, issued_at: int, context: RequestContext
    ) -> None:
        """End all sessions of a person at a provider that started there at `issued_at` or before."""
        self._revoked.revoke_issuer_key(issuer_session.subject_key(registration.issuer_name, subject), issued_at)
        self._record(registration, subject, "user", context)

    def _record(self, registration: Registration, subject: str | None, scope: str, context: RequestContext) -> None:
        account = f"{registration.id}:{subject}" if subject else None
        self._audit.record(
            "session_revoked",
            context,
            by=registration.id,
            scope=scope,
            account=account_hash(account, self._secret_key),
        )
