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
from services.observability.audit import normalize_email

_YEAR = 365 * 24 * 3600
_MOST_ACCOUNTS = 5


class Device:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._name = f"{'__Secure-' if settings.secure else ''}munjigi.device"
        self._sealed = URLSafeTimedSerializer(settings.signing_keys, salt="munjigi.device")

    def accounts(self, text: str) -> list[str]:
        """What stands for an account in counts and cookies, under the present key and then under each older one:
        nobody can tell which it is."""
        keys = self._settings.secret_keys
        return [hmac.new(key.encode(), b"device:" + text.encode(), "sha256").hexdigest()[:32] for key in keys]

    def known(self, email: str) -> str | None:
        """The id of this browser, if it has signed in to this account before."""
        name, known = self._read()
        return name if known and not set(known).isdisjoint(self.accounts(normalize_email(email))) else None

    def remember(self, email: str) -> None:
        """This browser has just signed in to this account; `commit` writes it down."""
        name, known = self._read()
        same = self.accounts(normalize_email(email))
        others = [other for other in known if other not in same]
        g.device = [name or secrets.token_urlsafe(12), [same[0], *others][:_MOST_ACCOUNTS]]

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
        if "device_sent" not in g:
            g.device_sent = self._opened(request.cookies.get(self._name))
        return g.device_sent  # type: ignore[no-any-return]  # Flask keeps anything there

    def _opened(self, sealed: str | None) -> tuple[str | None, list[str]]:
        if not sealed:
            return None, []
        try:
            found: Any = self._sealed.loads(sealed, max_age=_YEAR)
            name, accounts = found
        except (BadData, TypeError, ValueError):
            return None, []
        return str(name), list(accounts)
