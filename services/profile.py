"""The names that a signed-in person may change."""

import errors
from services.backend import Backend
from services.session import Sessions


class Profile:
    def __init__(self, backend: Backend, sessions: Sessions) -> None:
        self._backend = backend
        self._sessions = sessions

    def save(self, name: str, nick_name: str | None) -> None:
        """Save both at the backend, then show them. Raises a `SiteError`, and then nothing has changed."""
        session = self._sessions.load()
        if session is None:
            raise errors.SessionRequired("a profile was sent without a session")
        try:
            user = self._backend.save_profile(session.access_token, name, nick_name)
        except errors.SessionExpired:
            self._sessions.end()
            raise
        self._sessions.change(user)
