"""The session at an OpenID Connect issuer that a sign-in came from, as short hashes.

An issuer that signs somebody out names the person (`sub`) or its session (`sid`), so a session of this site keeps both
(OpenID Connect Back-Channel Logout 1.0, 2.1). `issued_at` is a time of the issuer's clock, as the `iat` of its logout
token is: the clock of this site plays no part in which of two came first.
"""

from dataclasses import dataclass
from hashlib import sha256

KEY_BYTES = 8


@dataclass(frozen=True)
class IssuerSession:
    subject_key: bytes
    sid_key: bytes | None
    issued_at: int
    """Seconds since 1970 when the issuer issued the id_token."""

    @classmethod
    def create(cls, issuer: str, subject: str, sid: str | None, issued_at: int) -> "IssuerSession":
        return cls(subject_key(issuer, subject), sid_key(issuer, sid) if sid else None, issued_at)

    @property
    def keys(self) -> tuple[bytes, ...]:
        return (self.subject_key,) if self.sid_key is None else (self.subject_key, self.sid_key)

    def to_claim(self) -> list[object]:
        return [self.subject_key.hex(), self.sid_key.hex() if self.sid_key else None, self.issued_at]

    @classmethod
    def from_claim(cls, value: object) -> "IssuerSession | None":
        """The value of `to_claim`; None for anything else."""
        if not isinstance(value, list) or len(value) != 3 or type(value[2]) is not int:
            return None
        try:
            subject, sid = (None if key is None else bytes.fromhex(key) for key in value[:2])
        except (TypeError, ValueError):
            return None
        if subject is None or len(subject) != KEY_BYTES or (sid is not None and len(sid) != KEY_BYTES):
            return None
        return cls(subject, sid, value[2])


def subject_key(issuer: str, subject: str) -> bytes:
    return _key("sub", issuer, subject)


def sid_key(issuer: str, sid: str) -> bytes:
    return _key("sid", issuer, sid)


def _key(kind: str, issuer: str, value: str) -> bytes:
    return sha256(f"issuer:{kind}:{issuer}:{value}".encode()).digest()[:KEY_BYTES]
