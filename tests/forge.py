"""Session tokens and cookies made by hand: sound ones, and ones that no honest site would make.

Not a line of the site's own is used here, so that a mistake there is not made a second time.
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

from tests.site import SECRET

COOKIE = "next-auth.session-token"
CHUNK_SIZE = 3933
HEADER = '{"alg":"dir","enc":"A256GCM"}'
DAY = 24 * 3600
MONTH = 30 * DAY
USER = {"id": 7, "name": "홍길동", "nick_name": "길동", "email": "hong@example.com"}
OMITTED: Any = object()
"""As the value of a claim: the claim is not there."""
IV, CIPHERTEXT, TAG = 2, 3, 4
"""Which of a token's five parts."""

_numbers = itertools.count(1)


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def derive_session_key(secret: str = SECRET, salt: str = "") -> bytes:
    """NextAuth v4's key; sessions have no salt, its state, nonce and PKCE cookies their own names."""
    purpose = "NextAuth.js Generated Encryption Key" + (f" ({salt})" if salt else "")
    return hkdf(secret, salt, purpose, 32)


def hkdf(secret: str, salt: str, purpose: str, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt.encode(), purpose.encode()).derive(secret.encode())


def make_claims(**given: Any) -> dict[str, Any]:
    """What the original article puts into a token, each with a bearer of its own; `LEFT_OUT` leaves a claim out."""
    now = int(time.time())
    user = given.get("user", USER)
    known = user if isinstance(user, dict) else USER
    every = {
        "name": known.get("name"),
        "email": known.get("email"),
        "sub": str(known.get("id")),
        "user": user,
        "accessToken": f"{next(_numbers)}|forged",
        "iat": now,
        "exp": now + MONTH,
        "jti": str(uuid.uuid4()),
        **given,
    }
    return {name: value for name, value in every.items() if value is not OMITTED}


def make_claims_aged(by: int, **given: Any) -> dict[str, Any]:
    """Claims of a token that was issued so many seconds ago."""
    issued = int(time.time()) - by
    return make_claims(**{"iat": issued, "exp": issued + MONTH, **given})


def to_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def claims_json(**literals: str) -> bytes:
    """Claims as JSON, some of whose values are written in just this way."""
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
    """A compact JWE in AES-GCM, sound in itself whatever its header says."""
    iv = os.urandom(12) if iv is None else iv
    head = base64url(header.encode())
    raw = payload if isinstance(payload, bytes) else to_json(payload)
    sealed = AESGCM(key or derive_session_key()).encrypt(iv, raw, head.encode())
    return ".".join((head, *map(base64url, (encrypted_key, iv, sealed[:-16], sealed[-16:]))))


def encrypt_cbc(payload: Mapping[str, Any], key: bytes, enc: str, kind: hashes.HashAlgorithm) -> str:
    """A compact JWE in AES-CBC with HMAC (RFC 7518, 5.2): the key's first half signs, the second encrypts."""
    half, iv = len(key) // 2, os.urandom(16)
    head = base64url(to_json({"alg": "dir", "enc": enc}))
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key[half:]), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(to_json(payload)) + padder.finalize()) + encryptor.finalize()
    mac = hmac.HMAC(key[:half], kind)
    mac.update(head.encode() + iv + ciphertext + (len(head) * 8).to_bytes(8, "big"))
    return ".".join((head, "", *map(base64url, (iv, ciphertext, mac.finalize()[:half]))))


def encrypt_with_wrapped_key(payload: Mapping[str, Any]) -> str:
    """A compact JWE under a key of its own, which the session's key wraps (A256KW)."""
    key = os.urandom(32)
    wrapped = keywrap.aes_key_wrap(derive_session_key(), key)
    return encrypt(payload, key, '{"alg":"A256KW","enc":"A256GCM"}', encrypted_key=wrapped)


def encrypt_compressed(payload: Mapping[str, Any] | bytes) -> str:
    """A compact JWE whose payload is compressed (RFC 7516, 4.1.3)."""
    raw = payload if isinstance(payload, bytes) else to_json(payload)
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return encrypt(squeezer.compress(raw) + squeezer.flush(), header='{"alg":"dir","enc":"A256GCM","zip":"DEF"}')


def sign_jws(payload: Mapping[str, Any], alg: str) -> str:
    """A signed token (JWS) instead of an encrypted one."""
    text = f"{base64url(to_json({'alg': alg, 'typ': 'JWT'}))}.{base64url(to_json(payload))}"
    if alg == "none":
        return f"{text}."
    mac = hmac.HMAC(derive_session_key(), hashes.SHA256())
    mac.update(text.encode())
    return f"{text}.{base64url(mac.finalize())}"


def decrypt(token: str, secret: str = SECRET) -> dict[str, Any]:
    """A token's claims; raises `InvalidTag` under another secret."""
    head, _, *parts = token.split(".")
    iv, ciphertext, tag = map(decode_base64url, parts)
    found = json.loads(AESGCM(derive_session_key(secret)).decrypt(iv, ciphertext + tag, head.encode()))
    assert isinstance(found, dict)
    return found


def replace_part(token: str, index: int, part: str | bytes) -> str:
    """The token with one of its five parts replaced."""
    parts = token.split(".")
    parts[index] = part if isinstance(part, str) else base64url(part)
    return ".".join(parts)


def get_part(token: str, index: int) -> bytes:
    return decode_base64url(token.split(".")[index])


def flip_bit(token: str, index: int, bit: int) -> str:
    """The token with one bit of a part turned over; a negative one counts from the end."""
    raw = bytearray(get_part(token, index))
    bit %= len(raw) * 8
    raw[bit // 8] ^= 0x80 >> bit % 8
    return replace_part(token, index, bytes(raw))


def token_of_length(length: int, **given: Any) -> str:
    """A sound token of so many characters (or one fewer, where base64 has no such length)."""
    bare = make_claims(padding="", **given)
    room = (length - len(encrypt(b""))) * 3 // 4
    return encrypt({**bare, "padding": "x" * (room - len(to_json(bare)))})


def cookie_pair(token: str, name: str = COOKIE) -> str:
    return f"{name}={token}"


def chunk_cookies(token: str, size: int = CHUNK_SIZE, name: str = COOKIE) -> list[str]:
    """The cookies `name.0`, `name.1`, … that carry a token."""
    return [f"{name}.{n}={token[at : at + size]}" for n, at in enumerate(range(0, len(token), size))]


def cookie_header(*cookies: str) -> str:
    """A Cookie header."""
    return "; ".join(cookies)
