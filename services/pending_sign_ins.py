"""Sign-ins that wait for a next step: a second factor, another page, or the fields of a new account.

A pending sign-in is sealed in a cookie of the browser and grants no access. Only a form of this site can continue it,
in the browser that started it: the cookie is bound to the CSRF token of the visitor, which the form sends too. When
the sign-in has succeeded or was cancelled, copies of the cookie are no longer accepted.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import Any

import errors
from backends.base import Method
from config import Settings
from services.backend.next_step import Step
from services.clock import MAX_DIFFERENCE_SECONDS, Clock
from services.request_context import RequestContext
from services.response_cookies import MAX_COOKIE_SIZE, Cookie, prefixed
from services.sealing import Sealer
from services.sign_in_options import NO_OPTIONS, SignInOptions
from services.state.redis import Redis
from services.state.used_tokens import UsedTokens

MAX_AGE_SECONDS = 10 * 60
"""Long enough for a code that is sent by mail. After that, the person signs in again."""


@dataclass(frozen=True, kw_only=True)
class PendingSignIn:
    provider: str
    """`email`, or the id of a provider."""
    account: str
    """The account for which the limiter counts codes: the identifier, or the provider and its subject."""
    step: Step
    method: str = ""
    """The name of the method in use: a key of `step.methods`; empty if the step leads to another page."""
    identifier: str | None = None
    password: str | None = field(default=None, repr=False)
    """Set only if the backend requires it again with the code."""
    options: SignInOptions = NO_OPTIONS
    issuer_session: dict[str, Any] | None = None
    """The session at the provider: the claim of an `IssuerSession`."""
    id_token: str | None = field(default=None, repr=False)
    """The id_token of that `IssuerSession`."""
    social_token: str | None = field(default=None, repr=False)
    """The provider's token. Only if the backend wants it again with the fields of a new account."""
    prefill: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Name of a field of a new account -> its initial value in the form."""
    sent_method: str = ""
    """The name of the method for which the last code was sent."""
    resend_at: int = 0
    """Seconds since 1970 from when a code can be sent again."""
    expires_at: int
    visitor: str | None = None
    """A digest of the visitor's CSRF token; None if the browser sent none, as in a POST from another site."""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def person(self) -> dict[str, Any]:
        """The fields that stay the same if one step follows another."""
        names = ("provider", "account", "identifier", "password", "options", "issuer_session", "id_token")
        return {name: getattr(self, name) for name in (*names, "social_token", "prefill")}

    @property
    def credentials(self) -> dict[str, str]:
        """What the calls of a next step can send again."""
        credentials = {"identifier": self.identifier, "password": self.password}
        return {name: value for name, value in credentials.items() if value is not None}

    @property
    def kind(self) -> str:
        """What the person has to do.

        Enter a `code` or a `recovery` code, go to another page (`redirect`), or fill in `fields` of a new account.
        """
        if self.step.fields:
            return "fields"
        if self.step.url:
            return "redirect"
        return "recovery" if self.step.methods[self.method] is Method.RECOVERY else "code"


class PendingSignIns:
    def __init__(self, settings: Settings, redis: Redis | None, clock: Clock) -> None:
        self._settings = settings
        self._name = prefixed("munjigi.pending", settings)
        self._path = f"{settings.site_path}/auth/login"
        self._sealer = Sealer(settings.secret_keys, "pending sign-in")
        self._clock = clock
        self._ended = UsedTokens("munjigi:pending", MAX_AGE_SECONDS + MAX_DIFFERENCE_SECONDS, redis, clock)

    def seal(self, pending: PendingSignIn) -> str:
        """The value of the cookie, without the id_token if it would be too large with it. Raises `SessionTooLarge`."""
        sealed = self._sealer.seal(self._name, _without_empty(asdict(pending))).decode()
        if len(sealed) > MAX_COOKIE_SIZE and pending.id_token:
            return self.seal(replace(pending, id_token=None))
        if len(sealed) > MAX_COOKIE_SIZE:
            raise errors.SessionTooLarge(f"the pending sign-in has {len(sealed)} characters")
        return sealed

    def write(self, sealed: str, context: RequestContext) -> None:
        """Set the cookie to this value."""
        self._set(sealed, MAX_AGE_SECONDS, context)

    def save(self, pending: PendingSignIn, context: RequestContext) -> None:
        """Set the cookie of a sign-in that has changed."""
        self.write(self.seal(pending), context)

    def load(self, context: RequestContext) -> PendingSignIn | None:
        """The pending sign-in of this browser, or None. If the browser has several, the one that ends last."""
        copies = [copy for value in context.cookies.get(self._name, ()) if (copy := self._open(value, context))]
        pending = max(copies, key=lambda copy: copy.expires_at, default=None)
        return None if pending is None or self._ended.is_used(pending.id) else pending

    def end(self, pending: PendingSignIn, context: RequestContext) -> None:
        """Delete the cookie, and refuse all copies of it."""
        self._ended.use(pending.id)
        self.delete_cookie(context)

    def has_cookie(self, context: RequestContext) -> bool:
        """Whether the browser sent a pending sign-in, valid or not."""
        return self._name in context.cookies

    def delete_cookie(self, context: RequestContext) -> None:
        if self._name in context.cookies:
            self._set("", 0, context)

    def _open(self, value: str, context: RequestContext) -> PendingSignIn | None:
        try:
            data: Any = self._sealer.open(self._name, value.encode())
            step = data.pop("step")
            methods = {name: Method(method) for name, method in step.pop("methods", {}).items()}
            step["fields"] = tuple(step.pop("fields", ()))
            options = SignInOptions(**data.pop("options", {}))
            pending = PendingSignIn(**data, options=options, step=Step(methods, **step))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        is_this_visitor = pending.visitor is None or hmac.compare_digest(pending.visitor, context.visitor or "")
        return pending if is_this_visitor and self._clock.time() < pending.expires_at else None

    def _set(self, value: str, max_age: int, context: RequestContext) -> None:
        secure = self._settings.secure
        context.response_cookies.set(
            Cookie(name=self._name, value=value, path=self._path, secure=secure, max_age=max_age)
        )


def visitor_digest(csrf_token: str | None) -> str | None:
    """The value by which a pending sign-in recognizes its visitor."""
    return sha256(b"visitor:" + csrf_token.encode()).hexdigest()[:32] if csrf_token else None


def _without_empty(data: dict[str, Any]) -> dict[str, Any]:
    """The data without empty values, which are the defaults: this keeps the cookie small."""
    data = {name: _without_empty(value) if name in ("step", "options") else value for name, value in data.items()}
    return {name: value for name, value in data.items() if value or name == "step"}
