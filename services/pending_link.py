"""The provider that a person could not sign in with, because their account has another way to sign in.

After signing in that other way, in the same browser, the person can connect the provider with one click. The cookie
contains only the provider's id, no token and no identity: connecting starts a new sign-in at the provider.
"""

from itsdangerous import BadData

from config import Settings
from services.clock import Clock
from services.request_context import RequestContext
from services.response_cookies import Cookie, prefixed
from services.signing import TimedSerializer

MAX_AGE_SECONDS = 10 * 60
"""Long enough for a sign-in with a second factor. Later, people use the page of the connected providers."""


class PendingLink:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._name = prefixed("munjigi.link", settings)
        self._serializer = TimedSerializer(settings.signing_keys, "munjigi.link", clock)

    def save(self, provider_id: str, context: RequestContext) -> None:
        self._set(str(self._serializer.dumps(provider_id)), MAX_AGE_SECONDS, context)

    def load(self, context: RequestContext) -> str | None:
        """The id of the provider, if this browser could not sign in with it a short while ago."""
        if self._name not in context.cookies:
            return None
        try:
            provider_id = self._serializer.loads_newest(context.cookies[self._name], MAX_AGE_SECONDS)
        except BadData:
            return None
        ids = {registration.id for registration in self._settings.registrations}
        return provider_id if isinstance(provider_id, str) and provider_id in ids else None

    def delete(self, context: RequestContext) -> None:
        if self._name in context.cookies:
            self._set("", 0, context)

    def _set(self, value: str, max_age: int, context: RequestContext) -> None:
        path, secure = self._settings.site_path or "/", self._settings.secure
        context.response_cookies.set(Cookie(name=self._name, value=value, path=path, secure=secure, max_age=max_age))
