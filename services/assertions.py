"""Signed identity for apps behind forward auth: a JWT that says who asks, for one host and one minute (RFC 7519).

A header such as `X-Auth-User-Id` is only as trustworthy as the network between the proxy and the app. An assertion is
verified with the public keys of `/.well-known/jwks.json`, so that an app does not need `SECRET_KEY`, which would let it
sign in anybody.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cachetools import LRUCache
from joserfc import jwt
from joserfc.jwk import ECKey

import settings_readers
from config import Settings
from services.clock import Clock
from services.sessions.model import Session

LIFETIME_SECONDS = 60
"""Long enough, since an app verifies it on arrival. A copy from a log or a trace soon becomes useless."""
REUSE_SECONDS = 10
"""How long an assertion is reused. Signing takes 60 µs, more than the rest of the check."""
_MAX_CACHED = 5_000
"""Cached assertions, about 1 kB each. The least recently used is dropped."""
_HOST = re.compile(r"[A-Za-z0-9._\-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


@dataclass(frozen=True)
class _Signed:
    session: Session
    issued_at: int
    text: str


class Assertions:
    """Signs assertions. Exists only if `ASSERTION_PRIVATE_KEY` is set."""

    def __init__(self, settings: Settings, keys: Sequence[ECKey], clock: Clock) -> None:
        self._site_url = settings.site_url
        self._scheme, _, self._site_host = settings.origin.partition("://")
        self._key = keys[0]
        self._header = {"alg": "ES256", "typ": "JWT", "kid": self._key.kid}
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: LRUCache[tuple[str, str], _Signed] = LRUCache(_MAX_CACHED)
        self._audience = lru_cache(1000)(self._audience_of)
        public = [{**key.as_dict(private=False), "use": "sig", "alg": "ES256"} for key in keys]
        self.jwks = {"keys": public}
        """The public keys (RFC 7517): the one that signs, and those of the next and the previous one."""

    def sign(self, session: Session, forwarded_host: str | None) -> str:
        """The assertion for an app at this host; empty if that is not a host name.

        forwarded_host: `X-Forwarded-Host`, the host that the browser asked for; None if the proxy does not send it.
        """
        audience = self._site_host if forwarded_host is None else self._audience(forwarded_host)
        if not audience:
            return ""
        now, key = int(self._clock.time()), (session.sid, audience)
        with self._lock:
            signed = self._cache.get(key)
        if signed is None or not 0 <= now - signed.issued_at < REUSE_SECONDS or not _is_same(signed.session, session):
            signed = _Signed(session, now, jwt.encode(self._header, self._claims(session, audience, now), self._key))
            with self._lock:
                self._cache[key] = signed
        return signed.text

    def _claims(self, session: Session, audience: str, now: int) -> dict[str, object]:
        user = session.user
        claims = {
            "iss": self._site_url,
            "aud": audience,
            "sub": str(user.id),
            "email": user.email,
            "name": user.name,
            "sid": session.sid,
            "auth_time": None if session.is_adopted else session.signed_in_at,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
        }
        return {name: value for name, value in {**user.claims, **claims}.items() if value is not None}

    def _audience_of(self, text: str) -> str:
        """The audience for a host and port, spelled as in browsers; empty if the header is not valid."""
        try:
            url = settings_readers.base_url(f"{self._scheme}://{text}") if _HOST.fullmatch(text) else ""
        except ValueError:
            return ""
        return url.partition("://")[2]


def _is_same(signed: Session, session: Session) -> bool:
    """Whether an assertion about one session is also true of the other."""
    return (signed.user, signed.auth_time, signed.is_adopted) == (session.user, session.auth_time, session.is_adopted)
