"""The encrypted cookie of a session: claims <-> cookies.

A token of up to 3933 characters is one cookie under NextAuth's name; a longer one is cut into chunks
`.0`, `.1`, `.2` of that size. With a fourth, Node's 16 kB of request headers would be full.
"""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from flask import Request, Response
from werkzeug.http import parse_cookie

from config import Settings
from errors import SessionTooLarge
from services import jwe
from services.claims import Session

CHUNK_SIZE = 3933  # next-auth `core/lib/cookie.ts`: 4096 less the longest name and attributes
MOST_CHUNKS = 3
_REMEMBERED, _LONGEST_REMEMBERED = 1024, 8192
"""`Cookie` headers, and the characters of one: some 10 MB a process at most."""


@dataclass(frozen=True)
class Found:
    """What a request brought. `names`: our cookies in it, good or bad. `fresh`: sealed with the first key."""

    names: tuple[str, ...]
    session: Session | None = None
    fresh: bool = False


class SessionCookie:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.name = f"{'__Secure-' if settings.secure else ''}next-auth.session-token"
        # One digit: what a next-auth site or an older version may have left, and no name that a stranger made up.
        self._ours = re.compile(rf"{re.escape(self.name)}(\.[0-9])?")
        self._keys = tuple(jwe.derive_key(secret) for secret in settings.secret_keys)
        # The same header always holds the same session, and a page asks many times: the sound ones are remembered.
        self._opened_before = lru_cache(_REMEMBERED)(self._open)

    def read(self, request: Request) -> Found:
        """The session that this request's cookies hold, if they hold a sound one. Never raises."""
        header = request.environ.get("HTTP_COOKIE", "")
        if self.name not in header:
            return Found(())
        try:
            found = (self._opened_before if len(header) <= _LONGEST_REMEMBERED else self._open)(header)
        except (ValueError, KeyError):
            return Found(self._names(header))
        lasts = found.session is not None and found.session.expires_at > time.time()
        return found if lasts else Found(found.names)

    def _open(self, header: str) -> Found:
        """The sound session of a `Cookie` header; raises `ValueError` or `KeyError`, also if it is over."""
        names = self._names(header)
        claims, key = jwe.decrypt(self._joined(parse_cookie(header), names), self._keys)
        ages = self._settings.session_max_age, self._settings.session_absolute_age
        return Found(names, Session.from_claims(claims, int(time.time()), *ages), fresh=key == 0)

    def _names(self, header: str) -> tuple[str, ...]:
        # From the header itself: Werkzeug leaves out cookies whose value it cannot read, and they must go as well.
        brought = (piece.partition("=")[0].strip(" \t") for piece in header.split(";"))
        return tuple(dict.fromkeys(name for name in brought if self._ours.fullmatch(name)))

    def _joined(self, cookies: Mapping[str, str], names: tuple[str, ...]) -> str:
        """The token. One rule where cookies contradict each other: the whole one, else exactly `.0` to the last."""
        if self.name in names:
            return cookies[self.name][: CHUNK_SIZE + 1]
        chunks = [f"{self.name}.{number}" for number in range(min(len(names), MOST_CHUNKS))]
        if set(chunks) != set(names):
            raise ValueError("chunks are missing, or too many")
        return "".join(cookies[chunk] for chunk in chunks)

    def every_name(self) -> tuple[str, ...]:
        """The cookies that a session of ours may have."""
        return (self.name, *(f"{self.name}.{number}" for number in range(MOST_CHUNKS)))

    def seal(self, session: Session) -> str:
        """The session as a token; raises `SessionTooLarge` if no cookies can carry it."""
        token = jwe.encrypt(session.to_claims(int(time.time())), self._keys[0])
        if len(token) > CHUNK_SIZE * MOST_CHUNKS:
            raise SessionTooLarge(
                f"session of {len(token)} characters is over {MOST_CHUNKS} cookies of {CHUNK_SIZE}:"
                f" the backend's token has {len(session.access_token)}"
            )
        return token

    def write(self, response: Response, token: str, expires_at: int, stale: Iterable[str]) -> None:
        """Set the token's cookies, and delete those of an earlier token that the new one does not overwrite."""
        chunks = {self.name: token}
        if len(token) > CHUNK_SIZE:
            starts = range(0, len(token), CHUNK_SIZE)
            chunks = {f"{self.name}.{n}": token[at : at + CHUNK_SIZE] for n, at in enumerate(starts)}
        self.delete(response, (name for name in stale if name not in chunks))
        for name, value in chunks.items():
            self._set(response, name, value, expires=expires_at)

    def delete(self, response: Response, names: Iterable[str]) -> None:
        for name in names:
            self._set(response, name, "", max_age=0)

    def _set(
        self,
        response: Response,
        name: str,
        value: str,
        expires: int | None = None,
        max_age: int | None = None,
    ) -> None:
        # Path "/" under a sub-path too: a Next.js app beside the site reads this cookie.
        response.set_cookie(
            name,
            value,
            max_age=max_age,
            expires=expires,
            path="/",
            secure=self._settings.secure,
            httponly=True,
            samesite="Lax",
        )
