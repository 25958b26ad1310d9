"""Verifies signed JWTs of providers: id_tokens, logout tokens, and others that are signed with a provider's keys.

RFC 7515 (JWS) and RFC 8725 (best practices). The allowed algorithms and types come from the caller, never from the
token. The caller checks the claims.
"""

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from services.http import strict_json

_KEY_TYPES: Mapping[str, Any] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
MAX_TOKEN_LENGTH = 256 * 1024
"""Characters. Decoding and hashing a token blocks the event loop, before its signature is verified."""
MIN_RSA_BITS = 2048
"""RFC 7518, 3.3."""
MAX_RSA_BITS = 16384
"""The largest key with which OpenSSL verifies."""
_JWK_MEMBERS = ("kty", "crv", "n", "e", "x", "y", "key_ops")
"""The members of a JWK that are used."""


class _Registry(jws.JWSRegistry):
    """Ignores unknown header parameters (RFC 7515, 4). joserfc's own limits are below what issuers may send."""

    max_header_length = max_payload_length = max_signature_length = MAX_TOKEN_LENGTH

    def get_alg(self, name: str) -> Any:
        """Skip the deprecation warning for `EdDSA`: issuers still use that name."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


class InvalidToken(ValueError):
    pass


class KeyNotFound(InvalidToken):
    """No known key verifies the signature: the provider may have a new one."""


def verify(
    token: object,
    keys: Callable[[str | None], Sequence[Key]],
    algorithms: Sequence[str],
    types: Collection[str] = ("JWT",),
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token with a valid signature; raises `InvalidToken`.

    keys: returns those for a `kid`. types: the values of `typ` to accept, in upper case; a token may have no `typ`.
    """
    if not isinstance(token, str) or token.count(".") != 2:
        raise InvalidToken("it is not a signed token")
    if len(token) > MAX_TOKEN_LENGTH:
        raise InvalidToken(f"it has {len(token)} characters; at most {MAX_TOKEN_LENGTH} are read")
    head, body, _ = token.split(".")
    header, claims = _json(head), _json(body)
    _check_header(header, algorithms, types)
    _check_signature(token, header, keys(header.get("kid")))
    return header, claims


def is_for(verified_token: str, client_id: str) -> bool:
    """Whether a token that was verified before is for this client alone."""
    try:
        return _json(verified_token.split(".")[1]).get("aud") in (client_id, [client_id])
    except (IndexError, InvalidToken):
        return False


def public_keys(document: Mapping[str, Any], kid: str | None) -> list[Key]:
    """The keys of a JWK set (RFC 7517) that may have signed a token with this `kid`; without a `kid`, the only key."""
    jwks = document.get("keys")
    if not isinstance(jwks, list):
        raise KeyNotFound("the issuer's JWK set has no list of keys")
    public_jwks = [jwk for jwk in jwks if isinstance(jwk, dict) and jwk.get("use", "sig") == "sig" and "d" not in jwk]
    matching_jwks = [jwk for jwk in public_jwks if kid is None or jwk.get("kid") == kid]
    keys = [key for key in map(_key, matching_jwks) if key]
    if not matching_jwks:
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
        raise InvalidToken("a part of it is not JSON") from None
    if not isinstance(value, dict):
        raise InvalidToken("a part of it is not a JSON object")
    return value


def _check_header(header: dict[str, Any], algorithms: Sequence[str], types: Collection[str]) -> None:
    if header.get("alg") not in algorithms:
        raise InvalidToken("its signature algorithm is not allowed")
    if "crit" in header or "b64" in header:
        raise InvalidToken("it requires an extension (crit)")
    if "typ" in header and str(header["typ"]).upper() not in types:
        raise InvalidToken("it is a token of another kind")
    if not isinstance(header.get("kid", ""), str):
        raise InvalidToken("its key id is not text")


def _check_signature(token: str, header: dict[str, Any], keys: Sequence[Key]) -> None:
    registry = _Registry(algorithms=[header["alg"]], strict_check_header=False)
    for key in keys:
        try:
            jws.deserialize_compact(token, key, registry=registry)
        except (JoseError, ValueError, TypeError):
            continue
        return
    raise KeyNotFound("its signature is not valid")


def is_time(value: object) -> bool:
    """Whether this is a NumericDate (RFC 7519, 2): seconds since 1970."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
