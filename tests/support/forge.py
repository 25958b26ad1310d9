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

from tests.support.site import SECRET

COOKIE = "next-auth.session-token"
CHUNK_SIZE = 3933
HEADER = '{"alg":"dir","enc":"A256GCM"}'
DAY = 24 * 3600
MONTH = 30 * DAY
USER = {"id": 7, "name": "홍길동", "nick_name": "길동", "email": "hong@example.com"}
LEFT_OUT: Any = object()
"""As the value of a claim: the claim is not there."""
IV, CIPHERTEXT, TAG = 2, 3, 4
"""Which of a token's five parts."""

_numbers = itertools.count(1)


def base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def bytes_of(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def key_of(secret: str = SECRET, salt: str = "") -> bytes:
    """NextAuth v4's key; sessions have no salt, its state, nonce and PKCE cookies their own names."""
    purpose = "NextAuth.js Generated Encryption Key" + (f" ({salt})" if salt else "")
    return derived(secret, salt, purpose, 32)


def derived(secret: str, salt: str, purpose: str, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt.encode(), purpose.encode()).derive(secret.encode())


def claims(**given: Any) -> dict[str, Any]:
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
    return {name: value for name, value in every.items() if value is not LEFT_OUT}


def aged(by: int, **given: Any) -> dict[str, Any]:
    """Claims of a token that was issued so many seconds ago."""
    issued = int(time.time()) - by
    return claims(**{"iat": issued, "exp": issued + MONTH, **given})


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def spelled(**literals: str) -> bytes:
    """Claims as JSON, some of whose values are written in just this way."""
    text = compact(claims(**{name: f"@{name}@" for name in literals})).decode()
    for name, literal in literals.items():
        text = text.replace(f'"@{name}@"', literal)
    return text.encode()


def seal(
    payload: Mapping[str, Any] | bytes,
    key: bytes | None = None,
    header: str = HEADER,
    iv: bytes | None = None,
    encrypted_key: bytes = b"",
) -> str:
    """A compact JWE in AES-GCM, sound in itself whatever its header says."""
    iv = os.urandom(12) if iv is None else iv
    head = base64url(header.encode())
    raw = payload if isinstance(payload, bytes) else compact(payload)
    sealed = AESGCM(key or key_of()).encrypt(iv, raw, head.encode())
    return ".".join((head, *map(base64url, (encrypted_key, iv, sealed[:-16], sealed[-16:]))))


def seal_cbc(payload: Mapping[str, Any], key: bytes, enc: str, kind: hashes.HashAlgorithm) -> str:
    """A compact JWE in AES-CBC with HMAC (RFC 7518, 5.2): the key's first half signs, the second encrypts."""
    half, iv = len(key) // 2, os.urandom(16)
    head = base64url(compact({"alg": "dir", "enc": enc}))
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key[half:]), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(compact(payload)) + padder.finalize()) + encryptor.finalize()
    mac = hmac.HMAC(key[:half], kind)
    mac.update(head.encode() + iv + ciphertext + (len(head) * 8).to_bytes(8, "big"))
    return ".".join((head, "", *map(base64url, (iv, ciphertext, mac.finalize()[:half]))))


def seal_wrapped(payload: Mapping[str, Any]) -> str:
    """A compact JWE under a key of its own, which the session's key wraps (A256KW)."""
    key = os.urandom(32)
    wrapped = keywrap.aes_key_wrap(key_of(), key)
    return seal(payload, key, '{"alg":"A256KW","enc":"A256GCM"}', encrypted_key=wrapped)


def seal_zipped(payload: Mapping[str, Any] | bytes) -> str:
    """A compact JWE whose payload is compressed (RFC 7516, 4.1.3)."""
    raw = payload if isinstance(payload, bytes) else compact(payload)
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return seal(squeezer.compress(raw) + squeezer.flush(), header='{"alg":"dir","enc":"A256GCM","zip":"DEF"}')


def signed(payload: Mapping[str, Any], alg: str) -> str:
    """A signed token (JWS) instead of an encrypted one."""
    text = f"{base64url(compact({'alg': alg, 'typ': 'JWT'}))}.{base64url(compact(payload))}"
    if alg == "none":
        return f"{text}."
    mac = hmac.HMAC(key_of(), hashes.SHA256())
    mac.update(text.encode())
    return f"{text}.{base64url(mac.finalize())}"


def unseal(token: str, secret: str = SECRET) -> dict[str, Any]:
    """A token's claims; raises `InvalidTag` under another secret."""
    head, _, *parts = token.split(".")
    iv, ciphertext, tag = map(bytes_of, parts)
    found = json.loads(AESGCM(key_of(secret)).decrypt(iv, ciphertext + tag, head.encode()))
    assert isinstance(found, dict)
    return found


def with_part(token: str, index: int, part: str | bytes) -> str:
    """The token with one of its five parts replaced."""
    parts = token.split(".")
    parts[index] = part if isinstance(part, str) else base64url(part)
    return ".".join(parts)


def part_of(token: str, index: int) -> bytes:
    return bytes_of(token.split(".")[index])


def flipped(token: str, index: int, bit: int) -> str:
    """The token with one bit of a part turned over; a negative one counts from the end."""
    raw = bytearray(part_of(token, index))
    bit %= len(raw) * 8
    raw[bit // 8] ^= 0x80 >> bit % 8
    return with_part(token, index, bytes(raw))


def of_length(length: int, **given: Any) -> str:
    """A sound token of so many characters (or one fewer, where base64 has no such length)."""
    bare = claims(padding="", **given)
    room = (length - len(seal(b""))) * 3 // 4
    return seal({**bare, "padding": "x" * (room - len(compact(bare)))})


def cookie(token: str, name: str = COOKIE) -> str:
    return f"{name}={token}"


def chunks(token: str, size: int = CHUNK_SIZE, name: str = COOKIE) -> list[str]:
    """The cookies `name.0`, `name.1`, … that carry a token."""
    return [f"{name}.{n}={token[at : at + size]}" for n, at in enumerate(range(0, len(token), size))]


def jar(*cookies: str) -> str:
    """A Cookie header."""
    return "; ".join(cookies)
