"""A cookie with the token of a browser that the backend trusts: a sign-in there needs no second factor.

The cookie is sealed and has a token for each account. It replaces the second factor, never the password.
"""

import unicodedata
from hashlib import sha256
from typing import Any

from config import Settings
from services import identifiers
from services.clock import Clock
from services.request_context import RequestContext
from services.response_cookies import Cookie, prefixed
from services.sealing import Sealer

MAX_AGE_SECONDS = 30 * 24 * 3600
"""How long the browser keeps the cookie. The backend decides how long the token is accepted."""
MAX_ACCOUNTS = 3
"""Accounts in one browser. Each has a token, and browsers limit a cookie to 4096 bytes."""
_MAX_TOKEN = 700
"""Characters of a token; a longer one is not kept."""


class TrustedBrowser:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._name = prefixed("munjigi.trusted", settings)
        self._path = settings.site_path or "/"
        self._secure = settings.secure
        self._sealer = Sealer(settings.secret_keys, "trusted browser")
        self._clock = clock

    def token(self, identifier: str, context: RequestContext) -> str | None:
        """The token of this account in this browser."""
        return self._read(context).get(_key(identifier))

    def remember(self, identifier: str, token: str | None, context: RequestContext) -> None:
        """Save a token of the backend. Does nothing without one."""
        if not token or len(token) > _MAX_TOKEN:
            return
        others = {key: other for key, other in self._read(context).items() if key != _key(identifier)}
        newest = dict([(_key(identifier), token), *others.items()][:MAX_ACCOUNTS])
        value = {"tokens": newest, "expires_at": int(self._clock.time()) + MAX_AGE_SECONDS}
        context.response_cookies.set(
            Cookie(
                name=self._name,
                value=self._sealer.seal(self._name, value).decode(),
                path=self._path,
                secure=self._secure,
                max_age=MAX_AGE_SECONDS,
            )
        )

    def _read(self, context: RequestContext) -> dict[str, str]:
        """The tokens by account; if the browser sent several cookies, those of the one that was written last."""
        newest: dict[str, str] = {}
        expires_at = self._clock.time()
        for copy in context.cookies.get(self._name, ()):
            try:
                value: Any = self._sealer.open(self._name, copy.encode())
                if value["expires_at"] > expires_at:
                    newest = {str(key): str(token) for key, token in value["tokens"].items()}
                    expires_at = value["expires_at"]
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
        return newest


def _key(identifier: str) -> str:
    account = unicodedata.normalize("NFC", identifiers.fold_case(identifier))
    return sha256(account.encode()).hexdigest()[:32]
