"""Validates that an id_token is from the issuer, for this site and of this sign-in (OpenID Connect Core, 3.1.3.7).

Authlib alone accepts a foreign `aud` if `azp` is this site, an empty `aud` or `sub`, and tokens of any age; this module
rejects these. `signed_jwt.py` verifies the signature.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc.errors import JoseError
from joserfc.jwk import Key

from services.clock import MAX_DIFFERENCE_SECONDS
from services.oauth import signed_jwt
from services.oauth.signed_jwt import InvalidToken, is_time

MAX_AGE_SECONDS = 600
"""Seconds since it was issued. It comes directly from the token endpoint."""
MAX_SUBJECT_LENGTH = 255
"""OpenID Connect Core 1.0, 2: `sub`."""


@dataclass(frozen=True)
class Expected:
    issuers: Sequence[str]
    client_id: str
    nonce: str
    access_token: str
    algorithms: Sequence[str]
    now: float
    """Seconds since 1970."""
    issuers_for: Callable[[Mapping[str, Any]], Sequence[str]] | None = None
    """Returns the issuers to accept for these claims, if that depends on them; then `issuers` is not used."""


def verify(token: object, keys: Callable[[str | None], Sequence[Key]], expected: Expected) -> dict[str, Any]:
    """Return the claims of a valid token; raises `InvalidToken`. `keys`: those for a `kid`."""
    header, claims = signed_jwt.verify(token, keys, expected.algorithms)
    _check_claims(claims, header, expected)
    return claims


def _check_claims(claims: dict[str, Any], header: dict[str, Any], expected: Expected) -> None:
    _check_identity_claims(claims, expected)
    now = expected.now
    if not all(is_time(claims.get(name)) for name in ("exp", "iat")) or not is_time(claims.get("nbf", 0)):
        raise InvalidToken("one of its times is not valid")
    if not now - MAX_AGE_SECONDS - MAX_DIFFERENCE_SECONDS <= claims["iat"] <= now + MAX_DIFFERENCE_SECONDS:
        raise InvalidToken("it was not issued just now")
    if not claims.get("at_hash", True):
        raise InvalidToken("its at_hash is empty")  # Authlib ignores that
    code_id_token = CodeIDToken(
        claims, header, params={"client_id": expected.client_id, "access_token": expected.access_token}
    )
    try:
        code_id_token.validate(now=int(now), leeway=MAX_DIFFERENCE_SECONDS)  # exp, nbf, at_hash
    except (JoseError, ValueError, TypeError, AttributeError) as error:
        raise InvalidToken(f"its claims do not hold ({type(error).__name__})") from None


def _check_identity_claims(claims: dict[str, Any], expected: Expected) -> None:
    issuers = expected.issuers_for(claims) if expected.issuers_for else expected.issuers
    if claims.get("iss") not in issuers:
        raise InvalidToken("it is from another issuer")
    if claims.get("aud") not in (expected.client_id, [expected.client_id]):
        raise InvalidToken("it is for another site, or not for this one alone")
    if claims.get("azp", expected.client_id) != expected.client_id:
        raise InvalidToken("it was issued to another site")
    if not isinstance(claims.get("sub"), str) or not 0 < len(claims["sub"]) <= MAX_SUBJECT_LENGTH:
        raise InvalidToken(f"its sub is not a text of 1 to {MAX_SUBJECT_LENGTH} characters")
    if claims.get("nonce") != expected.nonce:
        raise InvalidToken("it belongs to another sign-in")
