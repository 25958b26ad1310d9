"""Sign-out at the provider, if `<ID>_LOGOUT` is set: OpenID Connect RP-Initiated Logout 1.0 and similar protocols.

After a sign-out here, the browser goes to the logout endpoint of the provider and returns to `/auth/logout/done`, which
redirects to the target. A signed cookie holds the target and proves that this browser started the sign-out.
"""

import hmac
import logging
import secrets
from dataclasses import asdict, dataclass
from urllib.parse import urlencode

from itsdangerous import BadData

import errors
from config import Settings
from providers.base import Registration
from services.clock import Clock
from services.oauth import signed_jwt
from services.oauth.provider_metadata import ProviderMetadata
from services.request_context import RequestContext
from services.response_cookies import Cookie, prefixed
from services.sessions.model import Session
from services.signing import TimedSerializer

log = logging.getLogger("munjigi.oauth")

MAX_AGE_SECONDS = 15 * 60
"""As for a sign-in: a provider may ask whether to sign out. After this time, the browser goes to the home page."""


@dataclass(frozen=True)
class LogoutAttempt:
    state: str
    return_to: str | None
    everywhere: bool


class ProviderLogout:
    def __init__(self, settings: Settings, metadata: ProviderMetadata, clock: Clock) -> None:
        self._settings = settings
        self._metadata = metadata
        self._name = prefixed("munjigi.logout", settings)
        self._serializer = TimedSerializer(settings.signing_keys, "munjigi.logout", clock)

    def registration(self, session: Session) -> Registration | None:
        """The provider at which a sign-out of this session continues, or None."""
        registration = self._settings.registration(session.provider)
        return registration if registration and registration.ends_at_provider else None

    def start(
        self,
        registration: Registration,
        session: Session,
        context: RequestContext,
        *,
        id_token: str | None,
        return_to: str | None,
        everywhere: bool,
    ) -> str | None:
        """The URL to send the browser to; None if the provider has no logout address, or cannot be reached.

        id_token: of the sign-in, if the session has it. return_to: where the person goes afterwards.
        """
        try:
            url = self._metadata.endpoints(registration, context).end_session_endpoint
        except errors.ProviderUnavailable as error:
            log.warning("no sign-out at the provider: provider=%s reason=%s", registration.id, error.reason)
            return None
        if url is None:
            log.warning("no sign-out at the provider: provider=%s reason=no end_session_endpoint", registration.id)
            return None
        attempt = LogoutAttempt(secrets.token_urlsafe(32), return_to, everywhere)
        self._set(self._serializer.dumps(asdict(attempt)), MAX_AGE_SECONDS, context)
        params = {
            "client_id": registration.client_id,
            registration.provider.logout_redirect_param: f"{self._settings.site_url}/auth/logout/done",
            "state": attempt.state,
        }
        issuer_session = session.issuer_session
        if issuer_session and issuer_session.logout_hint and issuer_session.is_of(registration.issuer_name):
            # The settings may name another issuer, or another client, than at the sign-in.
            params["logout_hint"] = issuer_session.logout_hint
            if id_token and signed_jwt.is_for(id_token, registration.client_id):
                params["id_token_hint"] = id_token
        return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}"

    def finish(self, state: str | None, context: RequestContext) -> LogoutAttempt | None:
        """Remove and return the attempt of this browser with this `state`; None if there is none."""
        for value in context.cookies.get(self._name, ()):
            try:
                attempt = LogoutAttempt(**self._serializer.loads(value, max_age=MAX_AGE_SECONDS))
            except (BadData, TypeError):
                continue
            if hmac.compare_digest(attempt.state.encode(), (state or "").encode()):
                self._set("", 0, context)
                return attempt
        return None

    def _set(self, value: str, max_age: int, context: RequestContext) -> None:
        path, secure = f"{self._settings.site_path}/auth/logout", self._settings.secure
        context.response_cookies.set(Cookie(name=self._name, value=value, path=path, secure=secure, max_age=max_age))
