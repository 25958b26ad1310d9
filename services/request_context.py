"""What services need to know about a request, as plain values: services do not depend on a Flask request.

The exception is `sessions/manager.py`: Flask-Login and Flask-WTF keep their state in `g` and `flask.session`.

`web/request_context.py` makes one for each request; the doctor and the tests make their own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from babel.core import get_global

from services.clock import Clock
from services.response_cookies import ResponseCookies


class Deadline:
    """One deadline for all upstream calls of a request. The time starts with the first call."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._ends: float | None = None

    def seconds_left(self) -> float:
        if self._ends is None:
            self._ends = self._clock.monotonic() + self._seconds
        return self._ends - self._clock.monotonic()


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    client_ip: str | None
    """One IP address without port and zone; None if the server does not know it."""
    locale: str
    """The language of the answer, such as `ko` or `pt-BR`."""
    user_agent: str = ""
    """The `User-Agent` of the browser."""
    request_id: str
    """In the log, on error pages, and in `X-Request-Id` to the backend and to the browser."""
    deadline: Deadline
    cookies: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """All values of each cookie: a browser may send two of one name, with another `Domain` or `Path`, in any order."""
    visitor: str | None = None
    """A digest of the visitor's CSRF token, which binds a pending sign-in to its browser; None without a token."""
    response_cookies: ResponseCookies = field(default_factory=ResponseCookies)
    """The cookies that the response will set."""

    @property
    def accept_language(self) -> str:
        """The language as an `Accept-Language` header."""
        return _accept_language(self.locale)


@lru_cache
def _accept_language(locale: str) -> str:
    """Add the likely region to a language with a script, `zh-Hant,zh-TW;q=0.9`: many frameworks know only regions."""
    language, _, script = locale.partition("-")
    likely = get_global("likely_subtags")
    tags = (likely.get(tag, "").split("_") for tag in (f"{language}_{script}", language))
    region = next((tag[2] for tag in tags if tag[1:2] == [script]), None)
    return f"{locale},{language}-{region};q=0.9" if region else locale


GetContext = Callable[[], RequestContext]
"""Returns the context of the current request."""
