"""The encrypted session cookie, in NextAuth v4's format.

A token of up to 3933 characters is one cookie with NextAuth's name. A longer one is split into `.0`, `.1`, `.2`. With a
fourth part, a request would exceed the 16 kB of headers that Node.js accepts.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from config import Settings
from errors import SessionTooLarge
from services.clock import Clock
from services.response_cookies import Cookie, ResponseCookies, prefixed
from services.sessions import jwe
from services.sessions.model import Session

CHUNK_SIZE = 3933
"""next-auth, core/lib/cookie.ts: 4096 less the longest name and attributes."""
MAX_CHUNKS = 3


@dataclass(frozen=True)
class ReadResult:
    """The session cookies of a request."""

    names: tuple[str, ...]
    """All session cookies of the request, valid or not."""
    session: Session | None = None
    uses_current_key: bool = False


class SessionCookie:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._settings = settings
        self.name = prefixed("next-auth.session-token", settings)
        # One digit: what NextAuth or an older version may have left, and not any name that a stranger makes up.
        self._name_pattern = re.compile(rf"{re.escape(self.name)}(\.[0-9])?")
        self._keys = tuple(jwe.derive_key(secret) for secret in settings.secret_keys)

    def read(self, cookie_header: str) -> ReadResult:
        """The session in a `Cookie` header, if it has a valid one. Never raises."""
        if self.name not in cookie_header:
            return ReadResult(())
        cookies = self._parse(cookie_header)
        names = tuple(cookies)
        try:
            return ReadResult(names, *self._decrypt(cookies))
        except (ValueError, KeyError):
            return ReadResult(names)

    def encrypt(self, session: Session) -> str:
        """The token of a session; raises `SessionTooLarge` if it does not fit into the cookies."""
        token = jwe.encrypt(session.to_claims(int(self._clock.time())), self._keys[0])
        if len(token) > CHUNK_SIZE * MAX_CHUNKS:
            raise SessionTooLarge(
                f"session of {len(token)} characters is over {MAX_CHUNKS} cookies of {CHUNK_SIZE}:"
                f" the backend's token has {len(session.access_token)}"
            )
        return token

    def write(self, cookies: ResponseCookies, token: str, expires_at: int, stale_names: Iterable[str]) -> None:
        """Set the token's cookies, and delete those of an earlier token that are not overwritten."""
        chunks = {self.name: token}
        if len(token) > CHUNK_SIZE:
            starts = range(0, len(token), CHUNK_SIZE)
            chunks = {f"{self.name}.{n}": token[start : start + CHUNK_SIZE] for n, start in enumerate(starts)}
        self.delete(cookies, (name for name in stale_names if name not in chunks))
        for name, value in chunks.items():
            cookies.set(self._cookie(name, value, expires=expires_at))

    def delete(self, cookies: ResponseCookies, names: Iterable[str]) -> None:
        for name in names:
            cookies.set(self._cookie(name, "", max_age=0))

    def all_names(self) -> tuple[str, ...]:
        """Every name that a session cookie of this site may have."""
        return (self.name, *(f"{self.name}.{number}" for number in range(MAX_CHUNKS)))

    def _parse(self, cookie_header: str) -> dict[str, str]:
        """Our cookies. Werkzeug's parser leaves out cookies with odd values, which have to be deleted too."""
        cookies: dict[str, str] = {}
        for pair in cookie_header.split(";"):
            name, _, value = pair.partition("=")
            if self.name in name and self._name_pattern.fullmatch(name.strip(" \t")):
                cookies.setdefault(name.strip(" \t"), value.strip(' \t"'))
        return cookies

    def _decrypt(self, cookies: Mapping[str, str]) -> tuple[Session, bool]:
        """The session, and whether its token uses the current key; raises `ValueError` or `KeyError`."""
        claims, key_index = jwe.decrypt(self._join_chunks(cookies), self._keys)
        ages = self._settings.session_max_age, self._settings.session_absolute_age
        return Session.from_claims(claims, int(self._clock.time()), *ages), key_index == 0

    def _join_chunks(self, cookies: Mapping[str, str]) -> str:
        """The token. If cookies contradict each other, the unsplit one counts, else exactly `.0` to the last."""
        if self.name in cookies:
            return cookies[self.name][: CHUNK_SIZE + 1]
        names = [f"{self.name}.{number}" for number in range(min(len(cookies), MAX_CHUNKS))]
        if names != sorted(cookies):
            raise ValueError("parts of the token are missing, or there are too many")
        return "".join(cookies[name] for name in names)

    def _cookie(self, name: str, value: str, *, expires: int | None = None, max_age: int | None = None) -> Cookie:
        # The path is "/" below a path too: a Next.js app beside the site reads this cookie.
        secure = self._settings.secure
        return Cookie(name=name, value=value, path="/", secure=secure, expires=expires, max_age=max_age)
