"""Validates that an id_token is from this issuer, for this site and of this sign-in (OpenID Connect Core, 3.1.3.7).

Authlib's claims alone take a foreign `aud` beside our `azp`, an empty `aud` or `sub`, and tokens of any age;
this module rejects these. The allowed algorithms come from the provider's file, never from the token.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from services.clock import MAX_DIFFERENCE_SECONDS
from services.http import strict_json

MAX_AGE_SECONDS = 600
"""Seconds since it was issued: it comes straight from the token endpoint."""
_KEY_TYPES: Mapping[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
MAX_TOKEN_LENGTH = 256 * 1024
"""Characters. It is decoded and hashed before anything is known of who signed it, while no other request is served."""
MIN_RSA_BITS = 2048
"""RFC 7518, 3.3."""
MAX_RSA_BITS = 16384
"""The most that OpenSSL verifies with."""
MAX_SUBJECT_LENGTH = 255
"""OpenID Connect Core 1.0, 2: `sub`."""
_JWK_MEMBERS = ("kty", "crv", "n", "e", "x", "y", "key_ops")
"""The members of a JWK that are used."""


class _Registry(jws.JWSRegistry):
    """Ignores unknown header parameters (RFC 7515, 4). joserfc's own limits are below what issuers may send."""

    max_header_length = max_payload_length = max_signature_length = MAX_TOKEN_LENGTH

    def get_alg(self, name: str) -> Any:
        """Without the warning that `EdDSA`, which issuers write, is called Ed25519 now."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


class InvalidIdToken(ValueError):
    pass


class KeyNotFound(InvalidIdToken):
    """No known key verifies the signature: the provider may have a new one."""


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
    if not isinstance(token, str) or token.count(".") != 2:
        raise InvalidIdToken("it is no signed token")
    if len(token) > MAX_TOKEN_LENGTH:
        raise InvalidIdToken(f"it has {len(token)} characters; at most {MAX_TOKEN_LENGTH} are read")
    head, body, _ = token.split(".")
    header, claims = _json(head), _json(body)
    _check_header(header, expected.algorithms)
    _check_signature(token, header, keys(header.get("kid")))
    _check_claims(claims, header, expected)
    return claims


def public_keys(document: Mapping[str, Any], kid: str | None) -> list[Key]:
    """Those of a JWK set (RFC 7517) that may have signed a token with this `kid`; without one, the only one."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise KeyNotFound("the issuer's keys are no list of them")
    fit = [one for one in listed if isinstance(one, dict) and one.get("use", "sig") == "sig" and "d" not in one]
    named = [one for one in fit if kid is None or one.get("kid") == kid]
    keys = [key for key in map(_key, named) if key]
    if not named:
        raise KeyNotFound("the issuer has no such key")
    if not keys:
        raise KeyNotFound(f"the issuer's key cannot be used; RSA keys need {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    if kid is None and len(keys) > 1:
        raise KeyNotFound("the issuer has several keys, and the token does not name one")
    return keys


def _key(jwk: dict[str, Any]) -> Key | None:
    try:
        if jwk["kty"] == "RSA" and not MIN_RSA_BITS <= _bits(jwk["n"]) <= MAX_RSA_BITS:
            return None
        key: Key = _KEY_TYPES[jwk["kty"]].import_key({name: jwk[name] for name in _JWK_MEMBERS if name in jwk})
    except (KeyError, TypeError, ValueError, JoseError):
        return None
    return key


def _bits(modulus: str) -> int:
    """The bit length, checked before the key is imported: importing millions of bits takes seconds."""
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
    if not isinstance(header.get("kid", ""), str):
        raise InvalidIdToken("its key id is no text")


def _check_signature(token: str, header: dict[str, Any], keys: Sequence[Key]) -> None:
    registry = _Registry(algorithms=[header["alg"]], strict_check_header=False)
    for key in keys:
        try:
            jws.deserialize_compact(token, key, registry=registry)
        except (JoseError, ValueError, TypeError):
            continue
        return
    raise KeyNotFound("its signature is not right")


def _check_claims(claims: dict[str, Any], header: dict[str, Any], expected: Expected) -> None:
    _check_identity_claims(claims, expected)
    now = expected.now
    if not all(_is_time(claims.get(name)) for name in ("exp", "iat")) or not _is_time(claims.get("nbf", 0)):
        raise InvalidIdToken("one of its times is none")
    if not now - MAX_AGE_SECONDS - MAX_DIFFERENCE_SECONDS <= claims["iat"] <= now + MAX_DIFFERENCE_SECONDS:
        raise InvalidIdToken("it was not issued just now")
    if not claims.get("at_hash", True):
        raise InvalidIdToken("its at_hash is empty")  # which Authlib passes over
    code_id_token = CodeIDToken(
        claims, header, params={"client_id": expected.client_id, "access_token": expected.access_token}
    )
    try:
        code_id_token.validate(now=int(now), leeway=MAX_DIFFERENCE_SECONDS)  # exp, nbf, at_hash
    except (JoseError, ValueError, TypeError, AttributeError) as error:
        raise InvalidIdToken(f"its claims do not hold ({type(error).__name__})") from None


def _check_identity_claims(claims: dict[str, Any], expected: Expected) -> None:
    if claims.get("iss") not in expected.issuers:
        raise InvalidIdToken("it is from another issuer")
    if claims.get("aud") not in (expected.client_id, [expected.client_id]):
        raise InvalidIdToken("it is for another site, or not for this one alone")
    if claims.get("azp", expected.client_id) != expected.client_id:
        raise InvalidIdToken("another site had it issued")
    if not isinstance(claims.get("sub"), str) or not 0 < len(claims["sub"]) <= MAX_SUBJECT_LENGTH:
        raise InvalidIdToken(f"its sub is no text of 1 to {MAX_SUBJECT_LENGTH} characters")
    if claims.get("nonce") != expected.nonce:
        raise InvalidIdToken("it belongs to another sign-in")


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
