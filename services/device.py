"""A browser that has signed in to an account before (OWASP, "Slow down online guessing attacks with device cookies").

A stranger who guesses from a thousand addresses uses up what an account may be tried over all of them, and would
lock its owner out. The owner's browser shows this cookie, and is counted by itself. It grants nothing else.
"""

import hmac
import secrets
from typing import Any

from flask import Response, g, request
from itsdangerous import BadData, URLSafeTimedSerializer

from config import Settings
from services.events import same_address

_YEAR = 365 * 24 * 3600
_MOST_ACCOUNTS = 5


class Device:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._name = f"{'__Secure-' if settings.secure else ''}munjigi.device"
        keys = list(reversed(settings.secret_keys))  # the serializer signs with the last
        self._sealed = URLSafeTimedSerializer(keys, salt="munjigi.device")

    def account(self, text: str) -> str:
        """What stands for an account in counts and cookies: nobody can tell which it is."""
        return hmac.new(self._settings.secret_key.encode(), b"device:" + text.encode(), "sha256").hexdigest()[:32]

    def known(self, email: str) -> str | None:
        """The id of this browser, if it has signed in to this account before."""
        name, accounts = self._read()
        return name if self.account(same_address(email)) in accounts else None

    def remember(self, email: str) -> None:
        """This browser has just signed in to this account; `commit` writes it down."""
        name, accounts = self._read()
        account = self.account(same_address(email))
        others = [other for other in accounts if other != account]
        g.device = [name or secrets.token_urlsafe(12), [account, *others][:_MOST_ACCOUNTS]]

    def commit(self, response: Response) -> Response:
        if found := g.get("device"):
            response.set_cookie(
                self._name,
                str(self._sealed.dumps(found)),
                max_age=_YEAR,
                path=self._settings.site_path or "/",
                secure=self._settings.secure,
                httponly=True,
                samesite="Lax",
            )
        return response

    def _read(self) -> tuple[str | None, list[str]]:
        sealed = request.cookies.get(self._name, "")
        try:
            found: Any = self._sealed.loads(sealed, max_age=_YEAR)
            name, accounts = found
        except (BadData, TypeError, ValueError):
            return None, []
        return str(name), list(accounts)
