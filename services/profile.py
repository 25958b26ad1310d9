"""The names that a signed-in person may change."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import errors
from config import Settings
from services.backend.client import Backend
from services.sessions.manager import Sessions
from services.sessions.model import Session


class Profile:
    def __init__(self, settings: Settings, backend: Backend, sessions: Sessions) -> None:
        self._at_backend = settings.backend_profile_path is not None
        self._backend = backend
        self._sessions = sessions

    def save(self, name: str | None, nick_name: str | None) -> None:
        """Save both at the backend, then show them. Raises a `SiteError`, and then nothing has changed.

        Without a profile path the session alone changes, until the user is read again.
        """
        session = self._signed_in()
        if not self._at_backend:
            self._sessions.change(replace(session.user, name=name, nick_name=nick_name))
            return
        with self._until_it_is_over():
            self._sessions.change(self._backend.save_profile(session.access_token, name, nick_name))

    def refresh(self) -> None:
        """The person as the backend has them now. Raises a `SiteError`; with 401 the session is over."""
        session = self._signed_in()
        with self._until_it_is_over():
            self._sessions.change(self._backend.user(session.access_token))

    @contextmanager
    def _until_it_is_over(self) -> Iterator[None]:
        try:
            yield
        except errors.SessionExpired:
            self._sessions.end()
            raise

    def _signed_in(self) -> Session:
        session = self._sessions.load()
        if session is None:
            raise errors.SessionRequired("names were sent without a session")
        return session
