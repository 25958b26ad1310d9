"""A social sign-in under way: one signed cookie for each start, so that two tabs do not get into each other's way.

A callback proves nothing by itself: anybody can make a browser open one. The cookie says that this browser has
started this sign-in at this provider, a short while ago; it is gone once the callback has come, whatever that brings.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from flask import Request, Response
from itsdangerous import BadData, URLSafeTimedSerializer

import errors
from config import Settings
from providers.base import Provider
from services.clock import Clock
from services.single_flight import SingleFlight

MAX_AGE_SECONDS = 15 * 60
MAX_ATTEMPTS = 5
_MOST_CHARACTERS = 4096
"""Of all of them: a request has 16 kB for its headers, and a session may take 12."""
_PREFIX = 8
_SECONDS_TO_REPEAT = 30
EXTRA_SECONDS = 5
_Result = TypeVar("_Result")


def _random() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Attempt:
    provider: str
    return_to: str | None
    language: str | None
    """What the visitor had chosen: a callback from another site does not bring the visitor's cookie."""
    state: str = field(default_factory=_random)
    nonce: str = field(default_factory=_random)
    code_verifier: str = field(default_factory=_random)


class Attempts:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._settings = settings
        self._name = f"{'__Secure-' if settings.secure else ''}munjigi.attempt."
        self._sealed = URLSafeTimedSerializer(settings.signing_keys, salt="munjigi.attempt")
        self._finishing: SingleFlight[Any] = SingleFlight(clock, keep_seconds=_SECONDS_TO_REPEAT)

    def write(self, request: Request, response: Response, provider: Provider, attempt: Attempt) -> None:
        """Set the attempt's cookie, and delete the oldest of the others where there are too many."""
        sealed = self._sealed.dumps(asdict(attempt))
        room = _MOST_CHARACTERS - len(sealed)
        for number, (name, value) in enumerate(self._others(request), 1):
            room -= len(value)
            if number >= MAX_ATTEMPTS or room < 0:
                self._set(response, name, "", 0, provider)
        self._set(response, self._name + attempt.state[:_PREFIX], sealed, MAX_AGE_SECONDS, provider)

    def take(self, request: Request, provider: Provider, state: str | None) -> Attempt | None:
        """The attempt of this browser that this callback answers; None if there is none."""
        sealed = request.cookies.get(self._name + (state or "")[:_PREFIX], "")
        try:
            attempt = Attempt(**self._sealed.loads(sealed, max_age=MAX_AGE_SECONDS))
        except (BadData, TypeError):
            return None
        own = hmac.compare_digest(attempt.state.encode(), (state or "").encode())
        return attempt if own and attempt.provider == provider.id else None

    def forget(self, request: Request, response: Response, provider: Provider, state: str | None) -> None:
        """Whatever the callback brought, its attempt is over."""
        name = self._name + (state or "")[:_PREFIX]
        if name in request.cookies:
            self._set(response, name, "", 0, provider)

    def once(self, attempt: Attempt, finish: Callable[[], _Result]) -> tuple[_Result, bool]:
        """What finishing gives, done once; whoever comes meanwhile or soon again (a second click) gets the same.

        The second value tells whether it was done now.
        """
        try:
            return self._finishing.run(attempt.state, finish, self._settings.backend_timeout + EXTRA_SECONDS)
        except TimeoutError:
            raise errors.ProviderUnavailable("the same sign-in is still under way", status=504) from None

    def _others(self, request: Request) -> list[tuple[str, str]]:
        """Cookies of other attempts, the newest first; those that cannot be read last."""
        found = [(name, value) for name, value in request.cookies.items() if name.startswith(self._name)]
        found.reverse()  # browsers send the oldest first (RFC 6265, 5.4), and some may be of the same second
        return sorted(found, key=lambda cookie: self._started_at(cookie[1]), reverse=True)

    def _started_at(self, sealed: str) -> float:
        try:
            _, started = self._sealed.loads(sealed, max_age=MAX_AGE_SECONDS, return_timestamp=True)
        except BadData:
            return 0.0
        return float(started.timestamp()) if started.timestamp() <= self._clock.time() + 1 else 0.0

    def _set(self, response: Response, name: str, value: str, max_age: int, provider: Provider) -> None:
        response.set_cookie(
            name,
            value,
            max_age=max_age,
            path=f"{self._settings.site_path}/api/auth",
            secure=self._settings.secure or provider.form_post,
            httponly=True,
            samesite="None" if provider.form_post else "Lax",
        )
