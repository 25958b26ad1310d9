"""A session, and the claims of NextAuth's token that carry it (contract, section 5)."""

import json
import re
import uuid
from dataclasses import dataclass
from hashlib import sha256

from services.backend.user import User

_LAST_TIME = 2**53
"""Seconds since 1970 that every JSON reader keeps exact; later ones are no times."""
_LAST_DATE = 253402300799
"""The end of 9999: Python and browsers can write no later one."""
_TOKEN, _WORD = re.compile(r"[!-~]{1,4096}"), re.compile(r"[\w\-]{1,64}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Session:
    user: User
    access_token: str
    """The backend's bearer token. Never shown, never logged."""
    provider: str | None
    sid: str
    """Stable for the session, through every new token of it."""
    auth_time: int
    """When the person signed in, in seconds since 1970; the absolute age counts from here."""
    checked_at: int
    """When the user was last read from the backend, as far as this token knows."""
    expires_at: int

    def to_claims(self, now: int) -> dict[str, object]:
        user = self.user
        return {
            "name": user.name,
            "email": user.email,
            "sub": str(user.id),
            "user": user.to_json(),
            "accessToken": self.access_token,
            "provider": self.provider,
            "sid": self.sid,
            "auth_time": self.auth_time,
            "checked_at": self.checked_at,
            "iat": now,
            "exp": self.expires_at,
            "jti": str(uuid.uuid4()),
        }

    @classmethod
    def from_claims(cls, claims: dict[str, object], now: int, max_age: int, absolute_age: int) -> "Session":
        """The session of a decrypted token that still lasts; raises `ValueError` for any other.

        A token of another site's making, such as the original article's, lacks `sid`, `auth_time` and
        `checked_at`: they follow from what it has, so that every copy of it is the same session. The article's
        `update` let pages write what they liked into `user`, and nowhere else: a token of ours that names
        somebody else there is refused, one of its own is another session, about which nobody was asked yet.
        """
        access_token = validate_token(claims.get("accessToken"))
        user = User.from_json(claims.get("user"))
        sid = _word(claims.get("sid"))
        if sid and (claims.get("sub"), claims.get("email")) != (str(user.id), user.email):
            raise ValueError("the token is one person's, and its user another")
        issued_at = _time(claims["iat"])
        auth_time = _time(claims.get("auth_time", issued_at))
        expires_at = min(_time(claims["exp"]), issued_at + max_age, auth_time + absolute_age, _LAST_DATE)
        if expires_at <= now or _time(claims.get("nbf", 0)) > now:
            raise ValueError("session is over, or not yet begun")
        return cls(
            user=user,
            access_token=access_token,
            provider=_word(claims.get("provider")),
            sid=sid or _derived(access_token, user),
            auth_time=auth_time,
            checked_at=_time(claims.get("checked_at", 0)),
            expires_at=expires_at,
        )


def validate_token(value: object) -> str:
    """A bearer token fit for a header, taken as it is: only the backend knows its shape. Else `ValueError`."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ValueError("no usable token")
    return value


def _derived(access_token: str, user: User) -> str:
    known = json.dumps([access_token, user.to_json()])
    return sha256(known.encode()).hexdigest()[:32]


def _time(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _LAST_TIME:
        raise ValueError("a time is no whole number of seconds")
    return value


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None
