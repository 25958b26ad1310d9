"""Is this id_token from this issuer, for this site, and of this sign-in? (OpenID Connect Core, 3.1.3.7)

Authlib's claims alone take a foreign `aud` beside our `azp`, an empty `aud` or `sub`, and tokens of any age;
what it leaves open is closed here. Which algorithms may sign is ours to say, never the token's.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from services.http import strict_json

LEEWAY = 60
"""Seconds that clocks may differ."""
OLDEST = 600
"""Seconds since it was issued: it comes straight from the token endpoint."""
_LONGEST = 32 * 1024
_MOST_KEYS = 100
_KINDS: Mapping[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_SHORTEST_RSA = 2048
_LONGEST_RSA = 16384
_MEMBERS = ("kty", "crv", "n", "e", "x", "y", "key_ops")
"""Of a key, as far as they matter."""


class _Registry(jws.JWSRegistry):
    """As RFC 7515 has it, 4: a header that nobody knows is passed over. Joserfc alone also refuses long ones."""

    max_header_length = _LONGEST

    def get_alg(self, name: str) -> Any:
        """Without the warning that `EdDSA`, which issuers write, is called Ed25519 now."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


class InvalidIdToken(ValueError):
    pass


class UnknownKey(InvalidIdToken):
    """No key that we know explains the signature: there may be a new one."""


@dataclass(frozen=True)
class Expected:
    issuers: Sequence[str]
    client_id: str
    nonce: str
    access_token: str
    algorithms: Sequence[str]
    now: float
    """Seconds since 1970."""


def verify(token: object, keys: Callable[[str | None], Sequence[Key]], expected: Expected) -> dict[str, Any]:
    """Return the claims of a valid token; raises `InvalidIdToken`. `keys`: those for a `kid`."""
    if not isinstance(token, str) or len(token) > _LONGEST or token.count(".") != 2:
        raise InvalidIdToken("it is no signed token")
    head, body, _ = token.split(".")
    header, claims = _json(head), _json(body)
    _check_header(header, expected.algorithms)
    _check_signature(token, header, keys(header.get("kid")))
    _check_claims(claims, header, expected)
    return claims


def public_keys(document: Mapping[str, Any], kid: str | None) -> list[Key]:
    """Those of a JWK set (RFC 7517) that may have signed a token with this `kid`; without one, the only one."""
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise UnknownKey("the issuer's keys are no list of them")
    fit = [one for one in listed if isinstance(one, dict) and one.get("use", "sig") == "sig" and "d" not in one]
    named = [one for one in fit if kid is None or one.get("kid") == kid]
    keys = [key for key in map(_key, named) if key]
    if not keys or (kid is None and len(keys) > 1):
        raise UnknownKey("the issuer has no such key")
    return keys


def _key(found: dict[str, Any]) -> Key | None:
    try:
        if found["kty"] == "RSA" and not _SHORTEST_RSA <= _bits(found["n"]) <= _LONGEST_RSA:
            return None
        key: Key = _KINDS[found["kty"]].import_key({name: found[name] for name in _MEMBERS if name in found})
    except (KeyError, TypeError, ValueError, JoseError):
        return None
    return key


def _bits(modulus: str) -> int:
    """Counted before the key is made of it: a modulus of millions of bits takes seconds to look at."""
    return int.from_bytes(base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))).bit_length()


def _json(part: str) -> dict[str, Any]:
    try:
        value = strict_json.loads(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except ValueError:
        raise InvalidIdToken("a part of it is no JSON") from None
    if not isinstance(value, dict):
        raise InvalidIdToken("a part of it is no object")
    return value


def _check_header(header: dict[str, Any], algorithms: Sequence[str]) -> None:
    if header.get("alg") not in algorithms:
        raise InvalidIdToken("it is signed in a way that is not allowed")
    if "crit" in header or "b64" in header:
        raise InvalidIdToken("it asks for an extension")
    if str(header.get("typ", "JWT")).upper() != "JWT":
        raise InvalidIdToken("it is a token of another kind")
    if not isinstance(header.get("kid", ""), str) or len(header.get("kid", "")) > 256:
        raise InvalidIdToken("its key id is no short text")


def _check_signature(token: str, header: dict[str, Any], keys: Sequence[Key]) -> None:
    registry = _Registry(algorithms=[header["alg"]], strict_check_header=False)
    for key in keys:
        try:
            jws.deserialize_compact(token, key, registry=registry)
        except (JoseError, ValueError, TypeError):
            continue
        return
    raise UnknownKey("its signature is not right")


def _check_claims(claims: dict[str, Any], header: dict[str, Any], expected: Expected) -> None:
    _check_parties(claims, expected)
    now = expected.now
    if not all(_is_time(claims.get(name)) for name in ("exp", "iat")) or not _is_time(claims.get("nbf", 0)):
        raise InvalidIdToken("one of its times is none")
    if not now - OLDEST - LEEWAY <= claims["iat"] <= now + LEEWAY:
        raise InvalidIdToken("it was not issued just now")
    if not claims.get("at_hash", True):
        raise InvalidIdToken("its at_hash is empty")  # which Authlib passes over
    known = CodeIDToken(claims, header, params={"client_id": expected.client_id, "access_token": expected.access_token})
    try:
        known.validate(now=int(now), leeway=LEEWAY)  # exp, nbf, at_hash
    except (JoseError, ValueError, TypeError, AttributeError) as error:
        raise InvalidIdToken(f"its claims do not hold ({type(error).__name__})") from None


def _check_parties(claims: dict[str, Any], expected: Expected) -> None:
    if claims.get("iss") not in expected.issuers:
        raise InvalidIdToken("it is from another issuer")
    if claims.get("aud") not in (expected.client_id, [expected.client_id]):
        raise InvalidIdToken("it is for another site, or not for this one alone")
    if claims.get("azp", expected.client_id) != expected.client_id:
        raise InvalidIdToken("another site had it issued")
    if not isinstance(claims.get("sub"), str) or not 0 < len(claims["sub"]) <= 255:
        raise InvalidIdToken("it names nobody")
    if claims.get("nonce") != expected.nonce:
        raise InvalidIdToken("it belongs to another sign-in")


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
