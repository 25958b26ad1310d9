"""Build session tokens and cookies, valid and invalid, without the code of the site.

An independent implementation does not repeat the mistakes of the one under test.
"""

import itertools
import json
import os
import time
import uuid
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac, keywrap, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.support.site import SECRET

COOKIE = "next-auth.session-token"
CHUNK_SIZE = 3933
HEADER = '{"alg":"dir","enc":"A256GCM"}'
DAY = 24 * 3600
MONTH = 30 * DAY
USER = {"id": 7, "name": "홍길동", "nick_name": "길동", "email": "hong@example.com"}
OMITTED: Any = object()
"""The value of a claim that is left out."""
IV, CIPHERTEXT, TAG = 2, 3, 4
"""Index of a part of the compact JWE (RFC 7516, section 7.1)."""

_numbers = itertools.count(1)


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def derive_session_key(secret: str = SECRET, salt: str = "") -> bytes:
    """Derive the encryption key as NextAuth v4 does. Sessions use no salt; other cookies use their names."""
    purpose = "NextAuth.js Generated Encryption Key" + (f" ({salt})" if salt else "")
    return hkdf(secret, salt, purpose, 32)


def hkdf(secret: str, salt: str, purpose: str, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt.encode(), purpose.encode()).derive(secret.encode())


def make_claims(**changes: Any) -> dict[str, Any]:
    """Return the claims that a NextAuth v4 site puts into a session, with an access token of its own.

    Keyword arguments replace claims; `OMITTED` removes one.
    """
    now = int(time.time())
    user = changes.get("user", USER)
    fields = user if isinstance(user, dict) else USER
    all_claims = {
        "name": fields.get("name"),
        "email": fields.get("email"),
        "sub": str(fields.get("id")),
        "user": user,
        "accessToken": f"{next(_numbers)}|forged",
        "iat": now,
        "exp": now + MONTH,
        "jti": str(uuid.uuid4()),
        **changes,
    }
    return {name: value for name, value in all_claims.items() if value is not OMITTED}


def make_claims_aged(seconds: int, **changes: Any) -> dict[str, Any]:
    """Return the claims of a token that was issued `seconds` ago."""
    issued_at = int(time.time()) - seconds
    return make_claims(**{"iat": issued_at, "exp": issued_at + MONTH, **changes})


def to_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def claims_json(**literals: str) -> bytes:
    """Return the claims as JSON, with these literals as the values of the named claims."""
    text = to_json(make_claims(**{name: f"@{name}@" for name in literals})).decode()
    for name, literal in literals.items():
        text = text.replace(f'"@{name}@"', literal)
    return text.encode()


def encrypt(
    payload: Mapping[str, Any] | bytes,
    key: bytes | None = None,
    header: str = HEADER,
    iv: bytes | None = None,
    encrypted_key: bytes = b"",
) -> str:
    """Return a compact JWE with direct AES-GCM encryption, whatever the header says."""
    iv = os.urandom(12) if iv is None else iv
    head = base64url(header.encode())
    raw = payload if isinstance(payload, bytes) else to_json(payload)
    encrypted = AESGCM(key or derive_session_key()).encrypt(iv, raw, head.encode())
    return ".".join((head, *map(base64url, (encrypted_key, iv, encrypted[:-16], encrypted[-16:]))))


def encrypt_cbc(payload: Mapping[str, Any], key: bytes, enc: str, kind: hashes.HashAlgorithm) -> str:
    """Return a compact JWE with AES-CBC and HMAC: the first half of the key signs (RFC 7518, section 5.2)."""
    half, iv = len(key) // 2, os.urandom(16)
    head = base64url(to_json({"alg": "dir", "enc": enc}))
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key[half:]), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(to_json(payload)) + padder.finalize()) + encryptor.finalize()
    mac = hmac.HMAC(key[:half], kind)
    mac.update(head.encode() + iv + ciphertext + (len(head) * 8).to_bytes(8, "big"))
    return ".".join((head, "", *map(base64url, (iv, ciphertext, mac.finalize()[:half]))))


def encrypt_with_wrapped_key(payload: Mapping[str, Any]) -> str:
    """Return a compact JWE whose content key is wrapped with the session key (A256KW)."""
    key = os.urandom(32)
    wrapped = keywrap.aes_key_wrap(derive_session_key(), key)
    return encrypt(payload, key, '{"alg":"A256KW","enc":"A256GCM"}', encrypted_key=wrapped)


def encrypt_compressed(payload: Mapping[str, Any] | bytes) -> str:
    """Return a compact JWE with a compressed payload (`zip`, RFC 7516, section 4.1.3)."""
    raw = payload if isinstance(payload, bytes) else to_json(payload)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return encrypt(compressor.compress(raw) + compressor.flush(), header='{"alg":"dir","enc":"A256GCM","zip":"DEF"}')


def sign_jws(payload: Mapping[str, Any], alg: str) -> str:
    """Return a signed token (JWS) instead of an encrypted one."""
    text = f"{base64url(to_json({'alg': alg, 'typ': 'JWT'}))}.{base64url(to_json(payload))}"
    if alg == "none":
        return f"{text}."
    mac = hmac.HMAC(derive_session_key(), hashes.SHA256())
    mac.update(text.encode())
    return f"{text}.{base64url(mac.finalize())}"


def decrypt(token: str, secret: str = SECRET) -> dict[str, Any]:
    """Return the claims of a token. Raises `InvalidTag` if `secret` is not the one it was made with."""
    head, _, *parts = token.split(".")
    iv, ciphertext, tag = map(decode_base64url, parts)
    claims = json.loads(AESGCM(derive_session_key(secret)).decrypt(iv, ciphertext + tag, head.encode()))
    assert isinstance(claims, dict)
    return claims


def replace_part(token: str, index: int, part: str | bytes) -> str:
    """Return the token with another part at this index."""
    parts = token.split(".")
    parts[index] = part if isinstance(part, str) else base64url(part)
    return ".".join(parts)


def get_part(token: str, index: int) -> bytes:
    return decode_base64url(token.split(".")[index])


def flip_bit(token: str, index: int, bit: int) -> str:
    """Return the token with one bit of a part inverted. A negative `bit` counts from the end."""
    raw = bytearray(get_part(token, index))
    bit %= len(raw) * 8
    raw[bit // 8] ^= 0x80 >> bit % 8
    return replace_part(token, index, bytes(raw))


def token_of_length(length: int, **changes: Any) -> str:
    """Return a valid token of `length` characters, or one fewer where base64 has no such length."""
    claims = make_claims(padding="", **changes)
    payload_length = (length - len(encrypt(b""))) * 3 // 4
    return encrypt({**claims, "padding": "x" * (payload_length - len(to_json(claims)))})


def cookie_pair(token: str, name: str = COOKIE) -> str:
    return f"{name}={token}"


def chunk_cookies(token: str, size: int = CHUNK_SIZE, name: str = COOKIE) -> list[str]:
    """Split a token into the cookies `name.0`, `name.1`, …"""
    return [f"{name}.{n}={token[start : start + size]}" for n, start in enumerate(range(0, len(token), size))]


def cookie_header(*cookies: str) -> str:
    """Return the value of a `Cookie` header."""
    return "; ".join(cookies)
