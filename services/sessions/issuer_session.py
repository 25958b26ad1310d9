"""The session at an OpenID Connect issuer that a sign-in came from, as short hashes.

A logout token of an issuer names the person (`sub`) or the session there (`sid`), so a session of this site stores both
(OpenID Connect Back-Channel Logout 1.0, 2.1), with the time when the id_token was issued. That time and the `iat` of a
logout token are both by the issuer's clock, so that comparing them does not depend on the clock of this site.
"""

from dataclasses import dataclass, field

from services.sessions.short_hash import KEY_BYTES, short_hash

MAX_ID_TOKEN_LENGTH = 2048
"""Characters. Encrypted twice, it takes one of the three session cookies. In the URL of the sign-out at the issuer it
is not encrypted: the URL stays below 4 kB, and servers accept 8."""


@dataclass(frozen=True)
class IssuerSession:
    keys: tuple[tuple[bytes, int], ...]
    """The keys of the person and of the session, with the time when each was issued, in seconds since 1970."""
    logout_hint: str | None = field(default=None, repr=False)
    """The person's `sub`, if a sign-out continues at the issuer (OpenID Connect RP-Initiated Logout 1.0, 2)."""

    id_token: str | None = field(default=None, repr=False)
    """The id_token of the sign-in, for the same purpose. Once the session has started, it is `Session.sealed_id_token`.
    """

    @classmethod
    def create(
        cls,
        issuer: str,
        subject: str,
        sid: str | None,
        issued_at: int,
        *,
        with_hint: bool = False,
        id_token: str | None = None,
    ) -> "IssuerSession":
        """with_hint: store the subject, and the id_token if it is not too long, for a sign-out at the issuer."""
        person = (subject_key(issuer, subject), issued_at)
        keys = (person, (sid_key(issuer, sid), issued_at)) if sid else (person,)
        if not with_hint:
            return cls(keys)
        return cls(keys, subject, id_token if id_token and len(id_token) <= MAX_ID_TOKEN_LENGTH else None)

    def is_of(self, issuer: str) -> bool:
        """Whether it is a session of the person in `logout_hint` at this issuer."""
        return bool(self.logout_hint) and self.keys[0][0] == subject_key(issuer, self.logout_hint or "")

    def to_claim(self) -> dict[str, object]:
        hint = {"logout_hint": self.logout_hint} if self.logout_hint else {}
        return {"keys": [[key.hex(), issued_at] for key, issued_at in self.keys], **hint}

    @classmethod
    def from_claim(cls, value: object, id_token: str | None = None) -> "IssuerSession | None":
        """The value of `to_claim`, with this id_token; None for anything else."""
        try:
            keys = tuple((bytes.fromhex(key), int(issued_at)) for key, issued_at in value["keys"])  # type: ignore[index]
            hint = value.get("logout_hint")  # type: ignore[attr-defined]
        except (TypeError, ValueError, KeyError):
            return None
        if not keys or any(len(key) != KEY_BYTES for key, _ in keys):
            return None
        return cls(keys, hint if isinstance(hint, str) else None, id_token)


def subject_key(issuer: str, subject: str) -> bytes:
    return _key("sub", issuer, subject)


def sid_key(issuer: str, sid: str) -> bytes:
    return _key("sid", issuer, sid)


def _key(kind: str, issuer: str, value: str) -> bytes:
    return short_hash(f"issuer:{kind}:{issuer}:{value}")
