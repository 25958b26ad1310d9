"""The cookie of `flask.session`: CSRF token, flashed messages and language of a visitor, signed but not encrypted."""

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from itsdangerous import BadData

from config import Settings
from services.clock import Clock
from services.signing import TimedSerializer


class SessionInterface(SecureCookieSessionInterface):
    """Flask's session interface, for processes whose clocks differ, and for browsers that send the cookie twice.

    It leaves publicly cacheable responses unchanged. Flask-Login reads the session after each request, so Flask would
    add `Vary: Cookie` to static files too.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        signer_kwargs = {"key_derivation": self.key_derivation, "digest_method": self.digest_method}
        self._serializer = TimedSerializer(
            settings.signing_keys, self.salt, clock, serializer=self.serializer, signer_kwargs=signer_kwargs
        )

    def get_signing_serializer(self, _: Flask) -> TimedSerializer:
        """Return one serializer for all requests: creating it takes a tenth of the time of a sign-in page."""
        return self._serializer

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession:
        copies = request.cookies.getlist(self.get_cookie_name(app))
        if not copies:
            return self.session_class()
        max_age = int(app.permanent_session_lifetime.total_seconds())
        try:
            return self.session_class(self.get_signing_serializer(app).loads_newest(copies, max_age))
        except BadData:
            return self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if not response.cache_control.public:
            super().save_session(app, session, response)
