"""Ending sessions from outside: by the backend, which knows the user."""

from services.observability.audit import AuditLog
from services.request_context import RequestContext
from services.sessions.revocation import RevokedSessions


class SessionRevocation:
    def __init__(self, revoked_sessions: RevokedSessions, audit: AuditLog) -> None:
        self._revoked = revoked_sessions
        self._audit = audit

    def by_backend(self, name: str, value: int | str, context: RequestContext) -> None:
        """End all sessions of the user with this `user_id`, or the session with this `sid`."""
        if name == "user_id":
            self._revoked.revoke_user(value)
        else:
            self._revoked.revoke_sid(str(value))
        self._audit.record("session_revoked", context, by="backend", scope="user" if name == "user_id" else "session")
