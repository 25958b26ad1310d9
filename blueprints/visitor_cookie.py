"""The visitor's cookie, which is `flask.session`: CSRF token, messages and language. Never who they are.

Flask's own signed cookie, but opened only when something looks into it: a session read or a static file
does not, and checking a signature for nothing was a fifth of what a session read cost.
"""

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin

from services.small_cookie import SmallCookie


class Visitor(SessionMixin):
    """What the cookie holds. `accessed` and `modified` are what Flask's interface wants to know."""

    new = modified = accessed = False

    def __init__(self, opened: Callable[[], SecureCookieSession | None]) -> None:
        self._opened = opened

    @cached_property
    def _values(self) -> dict[str, Any]:
        self.accessed = True
        return dict(self._opened() or {})

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._values[name] = value
        self.modified = True

    def __delitem__(self, name: str) -> None:
        del self._values[name]
        self.modified = True

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class VisitorCookie(SecureCookieSessionInterface):
    def get_signing_serializer(self, app: Flask) -> SmallCookie:
        """Built once for each site, not for each request."""
        if "munjigi.visitor" not in app.extensions:
            app.extensions["munjigi.visitor"] = SmallCookie(
                app.extensions["munjigi"].settings.signing_keys,
                salt=self.salt,
                serializer=self.serializer,
                signer_kwargs={"key_derivation": self.key_derivation, "digest_method": self.digest_method},
            )
        return app.extensions["munjigi.visitor"]  # type: ignore[no-any-return]  # Flask keeps anything there

    def open_session(self, app: Flask, request: Request) -> Visitor:  # type: ignore[override]
        return Visitor(partial(super().open_session, app, request))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if session.accessed:
            super().save_session(app, session, response)
