"""Validates a logout token, with which an issuer announces that a person signed out there.

OpenID Connect Back-Channel Logout 1.0, 2.4 and 2.6. `signed_jwt.py` verifies the signature.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import Key

from services.clock import MAX_DIFFERENCE_SECONDS
from services.oauth import signed_jwt
from services.oauth.signed_jwt import InvalidToken, is_time

EVENT = "http://schemas.openid.net/event/backchannel-logout"
MAX_AGE_SECONDS = 600
"""Seconds since it was issued. An issuer sends it at once, and may try again for a while."""
MAX_ID_LENGTH = 255
"""Characters of `sub`, as of an id_token (OpenID Connect Core 1.0, 2), and of `sid`, for which there is no limit."""
_TYPES = ("LOGOUT+JWT", "APPLICATION/LOGOUT+JWT", "JWT")
"""2.4 recommends `logout+jwt`; older issuers send `JWT` or no type."""


@dataclass(frozen=True)
class Expected:
    issuers: Sequence[str]
    client_id: str
    algorithms: Sequence[str]
    now: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class LogoutToken:
    """The sessions that ended: the session `sid` if there is one, else all sessions of `subject`."""

    subject: str | None
    sid: str | None
    jti: str
    issued_at: int
    """Seconds since 1970, by the issuer's clock."""


def verify(token: object, keys: Callable[[str | None], Sequence[Key]], expected: Expected) -> LogoutToken:
    """Return the content of a valid token; raises `InvalidToken`. `keys`: those for a `kid`."""
    _, claims = signed_jwt.verify(token, keys, expected.algorithms, _TYPES)
    _check_origin_and_times(claims, expected)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise InvalidToken("it is not about a logout")
    if "nonce" in claims:
        raise InvalidToken("it has a nonce, as an id_token has")
    jti = _identifier(claims, "jti")
    if jti is None:
        raise InvalidToken("it has no jti")
    subject, sid = _identifier(claims, "sub"), _identifier(claims, "sid")
    if subject is None and sid is None:
        raise InvalidToken("it names neither a person nor a session")
    return LogoutToken(subject, sid, jti, int(claims["iat"]))


def _check_origin_and_times(claims: dict[str, Any], expected: Expected) -> None:
    """As for an id_token (2.6)."""
    if claims.get("iss") not in expected.issuers:
        raise InvalidToken("it is from another issuer")
    if claims.get("aud") not in (expected.client_id, [expected.client_id]):
        raise InvalidToken("it is for another site, or not for this one alone")
    if not is_time(claims.get("iat")) or not is_time(claims.get("exp")) or not is_time(claims.get("nbf", 0)):
        raise InvalidToken("one of its times is not valid")
    earliest = expected.now - MAX_AGE_SECONDS - MAX_DIFFERENCE_SECONDS
    latest = expected.now + MAX_DIFFERENCE_SECONDS
    if not earliest <= claims["iat"] <= latest:
        raise InvalidToken("it was not issued just now")
    if claims["exp"] <= expected.now - MAX_DIFFERENCE_SECONDS or claims.get("nbf", 0) > latest:
        raise InvalidToken("it has expired, or is not valid yet")


def _identifier(claims: dict[str, Any], name: str) -> str | None:
    """The text of a claim; None if the claim is missing. Raises `InvalidToken` for anything else."""
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ID_LENGTH:
        raise InvalidToken(f"its {name} is not a text of 1 to {MAX_ID_LENGTH} characters")
    return value
