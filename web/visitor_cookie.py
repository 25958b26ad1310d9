"""The cookie of `flask.session`: CSRF token, flashed messages and language of a visitor, signed but not encrypted."""

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from itsdangerous import BadData

from config import Settings
from services import Services
from services.signing import TimedSerializer


class SessionInterface(SecureCookieSessionInterface):
    """Flask's session interface, for processes whose clocks differ, and for browsers that send the cookie twice.

    It leaves publicly cacheable responses unchanged. Flask-Login reads the session after each request, so Flask would
    add `Vary: Cookie` to static files too.
    """

    def get_signing_serializer(self, app: Flask) -> TimedSerializer:
        settings: Settings = app.config["MUNJIGI"]
        services: Services = app.extensions["munjigi"]
        signer_kwargs = {"key_derivation": self.key_derivation, "digest_method": self.digest_method}
        return TimedSerializer(
            settings.signing_keys,
            self.salt,
            services.clock,
            serializer=self.serializer,
            signer_kwargs=signer_kwargs,
        )

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
