"""The encrypted session cookie, in NextAuth v4's format.

A token of up to 3933 characters is one cookie with NextAuth's name. A longer one is split into `.0`, `.1`, `.2`. With a
fourth part, a request would exceed the 16 kB of headers that Node.js accepts.

A browser may send a cookie twice, in any order: one of this site, and an older one with a `Domain` or another `Path`,
which this site cannot delete. So every copy is tried, and invalid copies are ignored.
"""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice, product

from config import Settings
from errors import SessionTooLarge
from services.clock import Clock
from services.response_cookies import Cookie, ResponseCookies, prefixed
from services.sessions import jwe
from services.sessions.model import Session
from services.sessions.token_sealer import Kind, TokenSealer

log = logging.getLogger("munjigi.sessions")

CHUNK_SIZE = 3933
"""As in next-auth, core/lib/cookie.ts: 4096 minus the longest name and attributes."""
MAX_CHUNKS = 3
"""A fourth would exceed the 16 kB of headers that Node.js accepts. Beyond it, `SessionTooLarge`."""
_MAX_SIZE = CHUNK_SIZE * MAX_CHUNKS
"""Characters of a token."""
MAX_DECRYPTED = 5000
"""Decrypted tokens that a process caches. An app reads the session with each of its requests, and decrypting and
validating a token takes half of the time. An entry takes about 3 kB, with three cookies 15."""
_MAX_COPIES = 100
"""Values, and combinations of chunks, to try."""


@dataclass(frozen=True)
class Copy:
    """A valid session of a request."""

    session: Session
    uses_current_key: bool


@dataclass(frozen=True)
class ReadResult:
    """The session cookies of a request."""

    names: tuple[str, ...]
    """All session cookies of the request, valid or not."""
    copies: tuple[Copy, ...] = ()
    """The valid sessions; the latest sign-in first, and of one session the latest token."""
    repeated_names: tuple[str, ...] = ()
    """The names of cookies that the request has more than once, with different values."""
    idle_copies: tuple[Copy, ...] = ()
    """Sessions that have expired by their cookies, but may have been extended by use."""

    @property
    def session(self) -> Session | None:
        return self.copies[0].session if self.copies else None


class SessionCookie:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._settings = settings
        self.name = prefixed("next-auth.session-token", settings)
        # One digit: chunks that NextAuth or an older version may have set, but not arbitrary names.
        self._name_pattern = re.compile(rf"{re.escape(self.name)}(\.[0-9])?")
        self._keys = tuple(jwe.derive_key(secret) for secret in settings.secret_keys)
        self._refresh_tokens = TokenSealer(settings.secret_keys, Kind.REFRESH)
        self._id_tokens = TokenSealer(settings.secret_keys, Kind.ID)
        self._decrypt_once = lru_cache(MAX_DECRYPTED)(self._decrypt)

    def read(self, cookie_header: str) -> ReadResult:
        """The sessions in a `Cookie` header. Never raises."""
        if self.name not in cookie_header:
            return ReadResult(())
        cookies = self._parse(cookie_header)
        copies: list[Copy] = []
        now = self._clock.time()
        for token in islice(self._tokens(cookies), _MAX_COPIES):
            try:
                copy = self._decrypt_once(token)
            except (ValueError, KeyError):
                continue
            if copy.session.auth_time + self._settings.session_absolute_age > now:
                copies.append(copy)
        if len(copies) > 1:
            copies.sort(key=lambda copy: _age_key(copy.session), reverse=True)
        return ReadResult(
            tuple(cookies),
            tuple(copy for copy in copies if copy.session.expires_at > now),
            tuple(name for name, values in cookies.items() if len(values) > 1),
            tuple(copy for copy in copies if copy.session.expires_at <= now),
        )

    def encrypt(self, session: Session) -> str:
        """The token of a session; raises `SessionTooLarge` if it does not fit into the cookies."""
        sealed = self._refresh_tokens.reseal(session.sid, session.sealed_refresh_token)
        id_token = self._id_tokens.reseal(session.sid, session.sealed_id_token)
        token = self._encrypt(replace(session, sealed_refresh_token=sealed, sealed_id_token=id_token))
        if len(token) > _MAX_SIZE:
            raise SessionTooLarge(
                f"session of {len(token)} characters is over {MAX_CHUNKS} cookies of {CHUNK_SIZE}:"
                f" the access token has {len(session.access_token)}, the encrypted refresh token"
                f" {len(sealed or '')}"
            )
        return token

    def write(self, cookies: ResponseCookies, token: str, expires_at: int | None, stale_names: Iterable[str]) -> None:
        """Set the token's cookies, and delete those of an earlier token that are not overwritten.

        expires_at: seconds since 1970; None if the browser should delete them when it is closed.
        """
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

    def _parse(self, cookie_header: str) -> dict[str, list[str]]:
        """The different values of our cookies.

        Werkzeug's parser leaves out cookies with odd values, which have to be deleted too.
        """
        cookies: dict[str, list[str]] = {}
        for pair in cookie_header.split(";"):
            name, _, value = pair.partition("=")
            if self.name in name and self._name_pattern.fullmatch(name.strip(" \t")):
                values = cookies.setdefault(name.strip(" \t"), [])
                if value.strip(' \t"') not in values:
                    values.append(value.strip(' \t"'))
        return cookies

    def _tokens(self, cookies: Mapping[str, list[str]]) -> Iterator[str]:
        """Candidates for a token: each unsplit cookie, then each combination of chunks."""
        for value in cookies.get(self.name, ()):
            yield value[: CHUNK_SIZE + 1]
        chunks: list[list[str]] = []
        for number in range(MAX_CHUNKS):
            if not (values := cookies.get(f"{self.name}.{number}")):
                break
            chunks.append(values)
            yield from map("".join, product(*chunks))

    def _encrypt(self, session: Session) -> str:
        return jwe.encrypt(session.to_claims(int(self._clock.time())), self._keys[0])

    def _decrypt(self, token: str) -> Copy:
        """The session of a token; raises `ValueError` or `KeyError`."""
        claims, key_index = jwe.decrypt(token, self._keys)
        ages = self._settings.session_max_age, self._settings.session_absolute_age
        now = int(self._clock.time())
        short_age = self._settings.session_short_age
        session = Session.from_claims(claims, now, *ages, self._settings.user_claims, short_age=short_age)
        # An app that shares `SECRET_KEY` may have written it with NextAuth, which does not know the site's tokens.
        ends_at = session.tokens_end_at(self._settings.backend) or session.expires_at
        session = replace(session, expires_at=min(session.expires_at, ends_at))
        return Copy(session, key_index == 0)

    def _cookie(self, name: str, value: str, *, expires: int | None = None, max_age: int | None = None) -> Cookie:
        # The path is "/" even if the site is below a path: a Next.js app on the same host reads this cookie.
        secure = self._settings.secure
        return Cookie(name=name, value=value, path="/", secure=secure, expires=expires, max_age=max_age)


def _age_key(session: Session) -> tuple[int, int, int]:
    return session.auth_time, session.checked_at, session.expires_at
