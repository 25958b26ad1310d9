"""id_tokens of the stand-in providers: keys, signatures as they should be, and the ways to get them wrong."""

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
    """RSA keys of one issuer: the one that signs and the one before it, both in the key set."""

    def __init__(self) -> None:
        self._keys: list[RSAKey] = []
        self._lock = threading.Lock()

    def current(self) -> list[RSAKey]:
        """Made when first asked for: a start does not wait for the keys of providers that nobody uses."""
        with self._lock:
            if not self._keys:
                self._keys = [_rsa_key(), _rsa_key()]
            return self._keys

    def rotate(self) -> None:
        """A new key signs from here on; who keeps the key set has never seen it."""
        newest = _rsa_key()
        former = self.current()[0]
        with self._lock:
            self._keys = [newest, former]

    def key_set(self) -> Json:
        return {"keys": [dict(key.as_dict(private=False)) for key in self.current()]}

    def sign(self, claims: Json) -> str:
        return _signed(self.current()[0], claims)


class SharedSecret:
    """The client's secret as the key (HS256): nothing to publish, and no `kid`."""

    def __init__(self, secret: str) -> None:
        self._key = OctKey.import_key(secret)

    def sign(self, claims: Json) -> str:
        return jwt.encode({"alg": "HS256"}, claims, self._key, algorithms=["HS256"])


Keys = PublishedKeys | SharedSecret


def at_hash(access_token: str) -> str:
    """OpenID Connect Core 3.1.3.6."""
    return _base64url(hashlib.sha256(access_token.encode()).digest()[:16])


def with_unknown_key(_keys: PublishedKeys, claims: Json) -> str:
    return _signed(_rsa_key(), claims)


def with_anothers_key(keys: Keys, claims: Json) -> str:
    """Names the right key, or none where none is named, but another one has signed."""
    if isinstance(keys, SharedSecret):
        return SharedSecret(secrets.token_hex(16)).sign(claims)
    return _signed(_rsa_key(str(keys.current()[0].kid)), claims)


def unsigned(_keys: Keys, claims: Json) -> str:
    return _compact({"alg": "none"}, claims) + "."


def with_public_key_as_secret(keys: PublishedKeys, claims: Json) -> str:
    """What an attacker makes who has read the key set and hopes that `alg` is believed."""
    key = keys.current()[0]
    signed = _compact({"alg": "HS256", "kid": key.kid}, claims)
    return f"{signed}.{_base64url(hmac.digest(key.as_pem(private=False), signed.encode(), hashlib.sha256))}"


def _rsa_key(kid: str = "") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid or secrets.token_hex(5), "use": "sig", "alg": "RS256"})


def _signed(key: RSAKey, claims: Json) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key, algorithms=["RS256"])


def _compact(header: Json, claims: Json) -> str:
    return ".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
