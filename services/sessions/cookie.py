"""The encrypted cookie of a session: claims <-> cookies.

A token of up to 3933 characters is one cookie under NextAuth's name; a longer one is cut into chunks
`.0`, `.1`, `.2` of that size. With a fourth, Node's 16 kB of request headers would be full.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flask import Response

from config import Settings
from errors import SessionTooLarge
from services.clock import Clock
from services.sessions import jwe
from services.sessions.model import Session

CHUNK_SIZE = 3933  # next-auth `core/lib/cookie.ts`: 4096 less the longest name and attributes
MAX_CHUNKS = 3


@dataclass(frozen=True)
class Found:
    """What a request brought. `names`: our cookies in it, good or bad. `fresh`: sealed with the first key."""

    names: tuple[str, ...]
    session: Session | None = None
    fresh: bool = False


class SessionCookie:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._settings = settings
        self.name = f"{'__Secure-' if settings.secure else ''}next-auth.session-token"
        # One digit: what a next-auth site or an older version may have left, and no name that a stranger made up.
        self._ours = re.compile(rf"{re.escape(self.name)}(\.[0-9])?")
        self._keys = tuple(jwe.derive_key(secret) for secret in settings.secret_keys)

    def read(self, header: str) -> Found:
        """The session that the cookies of this `Cookie` header hold, if they hold a sound one. Never raises."""
        if self.name not in header:
            return Found(())
        cookies = self._brought(header)
        names = tuple(cookies)
        try:
            return Found(names, *self._open(cookies))
        except (ValueError, KeyError):
            return Found(names)

    def _brought(self, header: str) -> dict[str, str]:
        """Our cookies. Not read with Werkzeug, which leaves out those whose value is odd: they must be deleted too."""
        found: dict[str, str] = {}
        for piece in header.split(";"):
            name, _, value = piece.partition("=")
            if self.name in name and self._ours.fullmatch(name.strip(" \t")):
                found.setdefault(name.strip(" \t"), value.strip(' \t"'))
        return found

    def _open(self, cookies: Mapping[str, str]) -> tuple[Session, bool]:
        """The sound session in these cookies, and whether it is fresh; raises `ValueError` or `KeyError`."""
        claims, key = jwe.decrypt(self._joined(cookies), self._keys)
        ages = self._settings.session_max_age, self._settings.session_absolute_age
        return Session.from_claims(claims, int(self._clock.time()), *ages), key == 0

    def _joined(self, cookies: Mapping[str, str]) -> str:
        """The token. One rule where cookies contradict each other: the whole one, else exactly `.0` to the last."""
        if self.name in cookies:
            return cookies[self.name][: CHUNK_SIZE + 1]
        chunks = [f"{self.name}.{number}" for number in range(min(len(cookies), MAX_CHUNKS))]
        if chunks != sorted(cookies):
            raise ValueError("chunks are missing, or too many")
        return "".join(cookies[chunk] for chunk in chunks)

    def every_name(self) -> tuple[str, ...]:
        """The cookies that a session of ours may have."""
        return (self.name, *(f"{self.name}.{number}" for number in range(MAX_CHUNKS)))

    def seal(self, session: Session) -> str:
        """The session as a token; raises `SessionTooLarge` if no cookies can carry it."""
        token = jwe.encrypt(session.to_claims(int(self._clock.time())), self._keys[0])
        if len(token) > CHUNK_SIZE * MAX_CHUNKS:
            raise SessionTooLarge(
                f"session of {len(token)} characters is over {MAX_CHUNKS} cookies of {CHUNK_SIZE}:"
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
