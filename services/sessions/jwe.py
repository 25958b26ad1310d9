"""NextAuth v4's encrypted token: a compact JWE (RFC 7516) with `dir` and `A256GCM`.

One header is written and one is read, byte for byte, so there is no algorithm to choose and nothing to
confuse. Source: next-auth 4.24 `jwt/index.ts`; held to the npm package by
`tests/compatibility/test_next_auth_cookie.py`.
"""

import json
import os
import re
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from string import ascii_letters, digits

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.http import strict_json

_HEADER = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0"  # {"alg":"dir","enc":"A256GCM"}
_AAD = _HEADER.encode()
_START = f"{_HEADER}.."
_IV_BYTES, _TAG_BYTES = 12, 16
# Python passes over characters and bits that do not belong: here a token has one spelling only. Of a part's last
# character, the bits that its bytes do not fill are zero.
_PARTS = re.compile(r"([\w-]{16})\.([\w-]+)\.([\w-]{21}[AQgw])", re.ASCII)
_LAST = (f"{ascii_letters}{digits}-_", "", "AQgw", "AEIMQUYcgkosw048")
"""The last characters that a part may have, by what is left of its length when divided by four."""


def derive_key(secret: str) -> AESGCM:
    """The key of sessions under this secret (HKDF, RFC 5869, with NextAuth's `info` and no salt)."""
    info = b"NextAuth.js Generated Encryption Key"
    return AESGCM(HKDF(SHA256(), length=32, salt=b"", info=info).derive(secret.encode()))


def encrypt(claims: dict[str, object], key: AESGCM, iv: bytes | None = None) -> str:
    """Claims to a token. `iv` is for test vectors: two tokens under one iv would give the key away."""
    iv = iv or os.urandom(_IV_BYTES)
    payload = json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()
    sealed = key.encrypt(iv, payload, _AAD)
    parts = (iv, sealed[:-_TAG_BYTES], sealed[-_TAG_BYTES:])
    return _START + ".".join(_encode(part) for part in parts)


def decrypt(token: str, keys: tuple[AESGCM, ...]) -> tuple[dict[str, object], int]:
    """A token's claims, and which of the keys opened it; raises `ValueError` for anything not sealed by one."""
    if not token.startswith(_START):
        raise ValueError("not a NextAuth v4 token")
    iv, ciphertext, tag = _parts(token[len(_START) :])
    for index, key in enumerate(keys):
        try:
            payload = key.decrypt(iv, ciphertext + tag, _AAD)
        except InvalidTag:
            continue
        claims = strict_json.loads(payload)
        if not isinstance(claims, dict):
            raise ValueError("claims are no object")
        return claims, index
    raise ValueError("no key opens this token")


def _parts(text: str) -> tuple[bytes, bytes, bytes]:
    found = _PARTS.fullmatch(text)
    if found is None or found[2][-1] not in _LAST[len(found[2]) % 4]:
        raise ValueError("a token has five parts, each base64url, two of them of given lengths")
    return _decode(found[1]), _decode(found[2]), _decode(found[3])


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return a2b_base64(text.replace("-", "+").replace("_", "/") + "==")  # more padding than needed is passed over
