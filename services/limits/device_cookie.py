"""A cookie that marks a browser which has signed in to an account before.

See OWASP, "Slow Down Online Guessing Attacks with Device Cookies". A stranger who guesses from a thousand addresses
uses up the limit of an account over all addresses, and would lock its owner out. The owner's browser sends this cookie
and is counted separately. The cookie grants nothing else.
"""

import hmac
import secrets
from typing import Any, NamedTuple

from itsdangerous import BadData

from config import Settings
from services import identifiers
from services.clock import Clock
from services.request_context import RequestContext
from services.response_cookies import Cookie, prefixed
from services.signing import TimedSerializer

MAX_AGE_SECONDS = 365 * 24 * 3600
"""Long enough for people who sign in once a year. Browsers keep a cookie for 400 days at most."""
MAX_ACCOUNTS = 5
"""Accounts of one browser, enough for a family. The least recently used is forgotten."""


class _Device(NamedTuple):
    id: str | None
    account_keys: list[str]


class DeviceCookie:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._name = prefixed("munjigi.device", settings)
        self._serializer = TimedSerializer(settings.signing_keys, "munjigi.device", clock)

    def account_keys(self, account: str) -> list[str]:
        """Keyed hashes of an account for counts and cookies: under the current secret, then under each older one."""
        message = b"device:" + account.encode()
        return [hmac.new(key.encode(), message, "sha256").hexdigest()[:32] for key in self._settings.secret_keys]

    def id_for(self, identifier: str, context: RequestContext) -> str | None:
        """The id of this browser if it has signed in to this account before."""
        device = self._read(context)
        return device.id if not set(device.account_keys).isdisjoint(self._keys_of(identifier)) else None

    def remember(self, identifier: str, context: RequestContext) -> None:
        """Mark this browser as one that has signed in to this account."""
        device = self._read(context)
        current, *older = self._keys_of(identifier)
        others = [key for key in device.account_keys if key not in (current, *older)]
        value = [device.id or secrets.token_urlsafe(12), [current, *others][:MAX_ACCOUNTS]]
        context.response_cookies.set(
            Cookie(
                name=self._name,
                value=str(self._serializer.dumps(value)),
                path=self._settings.site_path or "/",
                secure=self._settings.secure,
                max_age=MAX_AGE_SECONDS,
            )
        )

    def _keys_of(self, identifier: str) -> list[str]:
        return self.account_keys(identifiers.fold_case(identifier))

    def _read(self, context: RequestContext) -> _Device:
        """The cookie of this browser. If there are several, the newest."""
        try:
            value: Any = self._serializer.loads_newest(context.cookies.get(self._name, ()), MAX_AGE_SECONDS)
            device_id, account_keys = value
            return _Device(str(device_id), list(account_keys))
        except (BadData, TypeError, ValueError):
            return _Device(None, [])
