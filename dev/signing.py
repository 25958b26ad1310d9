"""Signing keys of the stand-in providers, and id_tokens with valid and invalid signatures."""

import base64
import hashlib
import hmac
import json
import secrets
import threading
from typing import Any

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

Json = dict[str, Any]


class PublishedKeys:
    """The RSA keys of an issuer: the current signing key and the previous one. Both are in the key set."""

    def __init__(self) -> None:
        self._keys: list[RSAKey] = []
        self._lock = threading.Lock()

    def signing_keys(self) -> list[RSAKey]:
        """Return the current and the previous key. They are generated on first use: key generation slows the start."""
        with self._lock:
            if not self._keys:
                self._keys = [_rsa_key(), _rsa_key()]
            return self._keys

    def rotate(self) -> None:
        """Replace the signing key with a new one, which a key set cached by the site does not contain."""
        new_key = _rsa_key()
        previous_key = self.signing_keys()[0]
        with self._lock:
            self._keys = [new_key, previous_key]

    def key_set(self) -> Json:
        return {"keys": [dict(key.as_dict(private=False)) for key in self.signing_keys()]}

    def sign(self, claims: Json) -> str:
        return _sign(self.signing_keys()[0], claims)


class SharedSecret:
    """Signs with the client secret (HS256): no key set and no `kid`."""

    def __init__(self, secret: str) -> None:
        self._key = OctKey.import_key(secret)

    def sign(self, claims: Json) -> str:
        return jwt.encode({"alg": "HS256"}, claims, self._key, algorithms=["HS256"])


Keys = PublishedKeys | SharedSecret


def at_hash(access_token: str) -> str:
    """Return the `at_hash` claim (OpenID Connect Core 1.0, section 3.1.3.6)."""
    return _base64url(hashlib.sha256(access_token.encode()).digest()[:16])


def sign_with_unknown_key(_keys: PublishedKeys, claims: Json) -> str:
    return _sign(_rsa_key(), claims)


def sign_with_wrong_key(keys: Keys, claims: Json) -> str:
    """Sign with another key under the `kid` of the right one."""
    if isinstance(keys, SharedSecret):
        return SharedSecret(secrets.token_hex(16)).sign(claims)
    return _sign(_rsa_key(str(keys.signing_keys()[0].kid)), claims)


def encode_unsigned(_keys: Keys, claims: Json) -> str:
    return _compact({"alg": "none"}, claims) + "."


def sign_with_public_key_as_secret(keys: PublishedKeys, claims: Json) -> str:
    """Sign with HS256 and the public key as the secret: the algorithm confusion attack (RFC 8725, section 2.1)."""
    key = keys.signing_keys()[0]
    signing_input = _compact({"alg": "HS256", "kid": key.kid}, claims)
    mac = hmac.digest(key.as_pem(private=False), signing_input.encode(), hashlib.sha256)
    return f"{signing_input}.{_base64url(mac)}"


def _rsa_key(kid: str = "") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid or secrets.token_hex(5), "use": "sig", "alg": "RS256"})


def _sign(key: RSAKey, claims: Json) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key, algorithms=["RS256"])


def _compact(header: Json, claims: Json) -> str:
    return ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
