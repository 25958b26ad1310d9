"""Validates a notification, with which a provider announces a change of a person's account.

A notification is a Security Event Token (RFC 8417), or similar to one. `signed_jwt.py` verifies the signature, and the
provider's file reads the event.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import Key

from services.clock import MAX_DIFFERENCE_SECONDS
from services.oauth import signed_jwt
from services.oauth.signed_jwt import InvalidToken, is_time

MAX_AGE_SECONDS = 24 * 60 * 60
"""Seconds since it was issued. The provider repeats it for a while if the site could not process it."""
MAX_ID_LENGTH = 255
"""Characters of `jti`."""
_TYPES = ("JWT", "SECEVENT+JWT", "APPLICATION/SECEVENT+JWT")
"""RFC 8417, 2.3. Older ones have no `typ`, or `JWT`."""


@dataclass(frozen=True)
class Expected:
    issuers: Sequence[str]
    audiences: Sequence[str]
    algorithms: Sequence[str]
    now: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class Notification:
    claims: Mapping[str, Any]
    jti: str
    issued_at: int
    """Seconds since 1970, by the provider's clock."""


def verify(token: object, keys: Callable[[str | None], Sequence[Key]], expected: Expected) -> Notification:
    """Return the content of a valid notification; raises `InvalidToken`. `keys`: those for a `kid`."""
    _, claims = signed_jwt.verify(token, keys, expected.algorithms, _TYPES)
    if claims.get("iss") not in expected.issuers:
        raise InvalidToken("it is from another issuer")
    audience = claims.get("aud")
    if not any(audience in (allowed, [allowed]) for allowed in expected.audiences):
        raise InvalidToken(f"it is for another client, {audience!a:.80}")
    _check_times(claims, expected.now)
    if "events" not in claims:
        raise InvalidToken("it has no events")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= MAX_ID_LENGTH or not jti.isprintable():
        raise InvalidToken(f"its jti is not a text of 1 to {MAX_ID_LENGTH} characters")
    return Notification(claims, jti, int(claims["iat"]))


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    if not is_time(claims.get("iat")) or not is_time(claims.get("exp")) or not is_time(claims.get("nbf", 0)):
        raise InvalidToken("one of its times is not valid")
    latest = now + MAX_DIFFERENCE_SECONDS
    if not now - MAX_AGE_SECONDS - MAX_DIFFERENCE_SECONDS <= claims["iat"] <= latest:
        raise InvalidToken("it was issued more than a day ago, or in the future")
    if claims["exp"] <= now - MAX_DIFFERENCE_SECONDS or claims.get("nbf", 0) > latest:
        raise InvalidToken("it has expired, or is not valid yet")
