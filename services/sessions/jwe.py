"""NextAuth v4's encrypted session token: a compact JWE (RFC 7516) with `dir` and `A256GCM`.

Exactly one protected header is written and accepted, which prevents algorithm confusion. Source:
next-auth 4.24, `jwt/index.ts`; the tests compare with the npm package.
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
# Python's decoder skips invalid characters and ignores surplus bits. Here a token has exactly one spelling: the unused
# bits of a part's last character are zero.
_PARTS = re.compile(r"([\w-]{16})\.([\w-]+)\.([\w-]{21}[AQgw])", re.ASCII)
_LAST_CHARACTERS = (f"{ascii_letters}{digits}-_", "", "AQgw", "AEIMQUYcgkosw048")
"""The last characters that a part may have, by its length modulo 4."""


def derive_key(secret: str) -> AESGCM:
    """The encryption key for a secret (HKDF, RFC 5869, with NextAuth's `info` and no salt)."""
    info = b"NextAuth.js Generated Encryption Key"
    return AESGCM(HKDF(SHA256(), length=32, salt=b"", info=info).derive(secret.encode()))


def encrypt(claims: dict[str, object], key: AESGCM, iv: bytes | None = None) -> str:
    """Encrypt claims into a token. `iv` is for test vectors only: two tokens with one iv would reveal the key."""
    iv = iv or os.urandom(_IV_BYTES)
    payload = json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()
    encrypted = key.encrypt(iv, payload, _AAD)
    parts = (iv, encrypted[:-_TAG_BYTES], encrypted[-_TAG_BYTES:])
    return _START + ".".join(_encode(part) for part in parts)


def decrypt(token: str, keys: tuple[AESGCM, ...]) -> tuple[dict[str, object], int]:
    """A token's claims, and the index of the key that decrypts it; raises `ValueError`."""
    if not token.startswith(_START):
        raise ValueError("not a NextAuth v4 token")
    iv, ciphertext, tag = _split(token[len(_START) :])
    for index, key in enumerate(keys):
        try:
            payload = key.decrypt(iv, ciphertext + tag, _AAD)
        except InvalidTag:
            continue
        claims = strict_json.loads(payload)
        if not isinstance(claims, dict):
            raise ValueError("the claims are not an object")
        return claims, index
    raise ValueError("no key decrypts this token")


def _split(text: str) -> tuple[bytes, bytes, bytes]:
    match = _PARTS.fullmatch(text)
    if match is None or match[2][-1] not in _LAST_CHARACTERS[len(match[2]) % 4]:
        raise ValueError("not a compact JWE with an iv and a tag of the right lengths")
    return _decode(match[1]), _decode(match[2]), _decode(match[3])


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return a2b_base64(text.replace("-", "+").replace("_", "/") + "==")  # surplus padding is ignored
