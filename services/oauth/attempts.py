"""Social sign-ins in progress, each in a signed cookie of its own, so that several tabs do not interfere.

Anybody can make a browser open a callback URL. The cookie proves that this browser started this sign-in at this
provider a short while ago. The callback deletes it, whatever its outcome.
"""

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from itsdangerous import BadData

import errors
from config import Settings
from providers.base import Provider
from services.clock import Clock
from services.request_context import RequestContext
from services.response_cookies import Cookie, prefixed
from services.sealing import Sealer
from services.sessions.model import Session
from services.signing import TimedSerializer
from services.single_flight import SharedSingleFlight
from services.state.redis import Redis

MAX_AGE_SECONDS = 15 * 60
"""Long enough for a second factor at the provider. A later callback fails with `AttemptExpired`."""
MAX_ATTEMPTS = 5
"""Attempts in one browser: a person may have several tabs open. The oldest is deleted."""
STATE_LENGTH = 43
"""Characters of a state: 32 random bytes in Base64."""
_MAX_TOTAL_SIZE = 4096
"""Characters of all attempt cookies: requests may have 16 kB of headers, and a session may take 12 kB."""
_MAX_PARAMS_SIZE = 1200
"""Characters of the encrypted parameters of a callback by POST: a code, and the name of the person. Larger ones are
dropped, and the attempt fails, because browsers limit a cookie to 4096 bytes."""
_STATE_PREFIX = 8
"""Characters of the state that are part of the cookie's name."""
_KEEP_SECONDS = 30
"""How long after a callback a second one, from a second click on the provider's page, gets the same result."""
EXTRA_SECONDS = 5
"""How much longer than the backend timeout a second callback waits."""


def _random_token() -> str:
    return secrets.token_urlsafe(32)


_OPTIONAL = frozenset({"remember", "end_others_of", "link_session", "sealed_params", "is_automatic"})
"""Fields that a cookie has only if they are set."""


@dataclass(frozen=True)
class Attempt:
    provider: str
    return_to: str | None
    language: str | None
    """The language that the visitor chose: a POST from the provider's site does not carry the visitor's cookie."""
    state: str = field(default_factory=_random_token)
    nonce: str = field(default_factory=_random_token)
    code_verifier: str = field(default_factory=_random_token)
    user_id: str | None = None
    """The only user who may sign in, because this confirms their session."""
    started_at: int | None = None
    """Seconds since 1970, for an attempt that confirms a session: the person has to sign in at the provider after this,
    if the provider says when that was."""
    remember: bool | None = None
    """Whether the person asked to stay signed in."""
    end_others_of: str | None = None
    """The value of `SignInOptions.end_others_of`."""
    link_session: str | None = None
    """The public id of the session whose user connects the provider. Nobody is signed in by such an attempt."""
    is_automatic: bool | None = None
    """The sign-in page started it, not the person: its failure is not shown."""
    sealed_params: str | None = None
    """The encrypted parameters of a callback by POST, for the next request, which has the session cookie too."""


class Attempts:
    def __init__(self, settings: Settings, clock: Clock, redis: Redis | None = None) -> None:
        """redis: shared by the processes that may receive the same callback."""
        self._settings = settings
        self._name = prefixed("munjigi.attempt.", settings)
        self._serializer = TimedSerializer(settings.signing_keys, "munjigi.attempt", clock)
        self._params_sealer = Sealer(settings.secret_keys, "callback parameters")
        ages = settings.session_max_age, settings.session_absolute_age
        self._finishing = SharedSingleFlight(
            "munjigi:attempt",
            redis,
            Sealer(settings.secret_keys, "attempt"),
            clock,
            keep_seconds=_KEEP_SECONDS,
            dump=lambda session: session.to_claims(int(clock.time())),
            load=lambda claims: Session.from_claims(
                claims, int(clock.time()), *ages, settings.user_claims, short_age=settings.session_short_age
            ),
        )

    def save(self, attempt: Attempt, provider: Provider, context: RequestContext) -> None:
        """Set the attempt's cookie, and delete the oldest of the other attempts if there are too many."""
        fields = {name: value for name, value in asdict(attempt).items() if name not in _OPTIONAL or value is not None}
        value = self._serializer.dumps(fields)
        size_left = _MAX_TOTAL_SIZE - len(value)
        for number, (name, other) in enumerate(self._others(context), 1):
            size_left -= len(other)
            if number >= MAX_ATTEMPTS or size_left < 0:
                self._set(name, "", 0, provider, context)
        self._set(self._cookie_name(attempt.state), value, MAX_AGE_SECONDS, provider, context)

    def load(self, provider: Provider, state: str | None, context: RequestContext) -> Attempt | None:
        """The attempt of this browser with this state, or None."""
        for value in context.cookies.get(self._cookie_name(state), ()):
            try:
                attempt = Attempt(**self._serializer.loads(value, max_age=MAX_AGE_SECONDS))
            except (BadData, TypeError):
                continue
            if hmac.compare_digest(attempt.state.encode(), (state or "").encode()) and attempt.provider == provider.id:
                return attempt
        return None

    def save_params(
        self, attempt: Attempt, provider: Provider, params: Mapping[str, str], context: RequestContext
    ) -> None:
        """Save the parameters of a callback in the attempt's cookie, encrypted."""
        sealed_params = self._params_sealer.seal(attempt.state, dict(params)).decode()
        value = (
            sealed_params
            if len(sealed_params) <= _MAX_PARAMS_SIZE
            else self._params_sealer.seal(attempt.state, {}).decode()
        )
        self.save(replace(attempt, sealed_params=value), provider, context)

    def params(self, attempt: Attempt) -> dict[str, str]:
        """The saved parameters; empty if they cannot be read."""
        try:
            params: Any = self._params_sealer.open(attempt.state, (attempt.sealed_params or "").encode())
        except ValueError:
            return {}
        return dict(params)

    def delete(self, provider: Provider, state: str | None, context: RequestContext) -> None:
        name = self._cookie_name(state)
        if name in context.cookies:
            self._set(name, "", 0, provider, context)

    def finish_once(self, attempt: Attempt, finish: Callable[[], Session]) -> tuple[Session, bool]:
        """Finish an attempt once. A second callback gets the same session.

        Returns the session, and whether it was started by this call.
        """
        try:
            return self._finishing.run(attempt.state, finish, self._settings.backend_timeout + EXTRA_SECONDS)
        except TimeoutError:
            raise errors.ProviderUnavailable("the same sign-in is still in progress", status=504) from None

    def _cookie_name(self, state: str | None) -> str:
        return self._name + (state or "")[:_STATE_PREFIX]

    def _others(self, context: RequestContext) -> list[tuple[str, str]]:
        """The cookies of other attempts, newest first; those that cannot be read are last."""
        cookies = [
            (name, value) for name, values in context.cookies.items() if name.startswith(self._name) for value in values
        ]
        cookies.reverse()  # browsers send the oldest first (RFC 6265, 5.4); some may be of the same second
        return sorted(cookies, key=lambda cookie: self._started_at(cookie[1]), reverse=True)

    def _started_at(self, value: str) -> float:
        try:
            _, signed_at = self._serializer.loads(value, max_age=MAX_AGE_SECONDS, return_timestamp=True)
        except BadData:
            return 0.0
        return float(signed_at.timestamp())

    def _set(self, name: str, value: str, max_age: int, provider: Provider, context: RequestContext) -> None:
        context.response_cookies.set(
            Cookie(
                name=name,
                value=value,
                path=f"{self._settings.site_path}/api/auth",
                secure=self._settings.secure or provider.form_post,
                max_age=max_age,
                same_site="None" if provider.form_post else "Lax",
            )
        )
