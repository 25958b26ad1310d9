"""The cookies that a response will set. Services add them; `web/request_context.py` writes them at the end."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from config import Settings

MAX_COOKIE_SIZE = 4000
"""Characters of a value that a service encrypts. Browsers keep 4096 bytes of a cookie, with its name."""


@dataclass(frozen=True, kw_only=True)
class Cookie:
    """A `Set-Cookie` header (RFC 6265, 4.1). It is always `HttpOnly` and never has a `Domain`."""

    name: str
    value: str
    path: str
    secure: bool
    max_age: int | None = None
    expires: int | None = None
    """Seconds since 1970, as an alternative to `max_age`."""
    same_site: Literal["Lax", "None"] = "Lax"


class ResponseCookies:
    """One cookie for each name: the last one that is set."""

    def __init__(self) -> None:
        self._cookies: dict[str, Cookie] = {}

    def set(self, cookie: Cookie) -> None:
        self._cookies[cookie.name] = cookie

    def __iter__(self) -> Iterator[Cookie]:
        return iter(self._cookies.values())


def prefixed(name: str, settings: Settings) -> str:
    """The name of a cookie with the prefix `__Secure-`, which browsers accept only over https."""
    return f"__Secure-{name}" if settings.secure else name
