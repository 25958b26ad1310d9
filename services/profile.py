"""The names of the signed-in user, which they may change."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import errors
from services.backend.client import BackendClient
from services.request_context import RequestContext
from services.sessions.manager import Sessions
from services.sessions.model import Session


class Profile:
    def __init__(self, backend: BackendClient, sessions: Sessions) -> None:
        self._backend = backend
        self._sessions = sessions

    def save(self, name: str | None, nick_name: str | None, context: RequestContext) -> None:
        """Save both names at the backend and in the session. Raises a `SiteError`; nothing has changed then.

        Without a profile call, only the session changes, until its next revalidation.
        """
        session = self._session()
        if not self._backend.can_save_profile:
            self._sessions.update_user(replace(session.user, name=name, nick_name=nick_name))
            return
        with self._ending_expired_session():
            user = self._sessions.call_backend(
                session, lambda token: self._backend.save_profile(token, session.user, name, nick_name, context)
            )
            self._sessions.update_user(user or replace(session.user, name=name, nick_name=nick_name))

    def refresh(self, context: RequestContext) -> None:
        """Read the user from the backend again, if it can be read. Raises a `SiteError`; a 401 ends the session."""
        session = self._session()
        if not self._backend.can_reread_user:
            return
        asked_at = self._sessions.time()
        with self._ending_expired_session():
            user = self._sessions.call_backend(session, lambda token: self._backend.user(token, context))
            self._sessions.update_user(user, asked_at)

    @contextmanager
    def _ending_expired_session(self) -> Iterator[None]:
        try:
            yield
        except errors.SessionExpired:
            self._sessions.end()
            raise

    def _session(self) -> Session:
        session = self._sessions.load()
        if session is None:
            raise errors.SessionRequired("names were submitted without a session")
        return session
