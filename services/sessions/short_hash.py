"""Short hashes under which processes remember and publish what they know about sessions and people."""

from hashlib import sha256

KEY_BYTES = 8


def short_hash(text: str) -> bytes:
    return sha256(text.encode()).digest()[:KEY_BYTES]
