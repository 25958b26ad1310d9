"""A session, and the claims of NextAuth's session token that carry it."""

import json
import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

from backends.base import Backend
from services.backend.tokens import MAX_DATE, REFRESH_MARGIN_SECONDS, jwt_expiry
from services.backend.user import User
from services.bearer_token import validate_token
from services.clock import MAX_DIFFERENCE_SECONDS
from services.sessions.issuer_session import IssuerSession
from services.sessions.short_hash import short_hash
from settings_readers import UserClaim

RECENT_SECONDS = 15 * 60
"""After a sign-in that is older, people confirm it before they end another session, connect a provider or add a
passkey: an open browser alone must not suffice (OWASP ASVS 5.0, 7.5.1 and 7.5.2)."""
_MAX_TIME = 2**53
"""Seconds since 1970. JSON readers may round larger integers."""
_MAX_IDENTIFIER_LENGTH = 255
"""Characters: `MAX_USERNAME_LENGTH` in `web/forms.py`."""
_WORD = re.compile(r"[\w\-]{1,64}", re.ASCII)
_SEALED = re.compile(r"[\w\-=]+", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Session:
    user: User
    access_token: str = field(repr=False)
    """The backend's bearer token. Never shown, never logged."""
    sealed_refresh_token: str | None = field(default=None, repr=False)
    """The backend's refresh token, as `TokenSealer` has encrypted it; None if there is none."""
    token_expires_at: int | None = None
    """Seconds since 1970 when the access token expires; None if that is unknown."""
    refresh_at: int | None = None
    """Seconds since 1970 when the access token should be refreshed; None if that is unknown."""
    refresh_expires_at: int | None = None
    """Seconds since 1970 when the refresh token expires; None if that is unknown."""
    refresh_count: int = 0
    """How often the tokens were refreshed since the sign-in. Of two copies of a session, the higher one is newer."""
    provider: str | None
    identifier: str | None = field(default=None, repr=False)
    """The identifier of the sign-in; None if it is the user's email address or not known."""
    sid: str
    """The id of the session. Renewed tokens of the session have the same one."""
    auth_time: int
    """Seconds since 1970 at sign-in. `SESSION_ABSOLUTE_AGE` counts from here."""
    auth_delay: int = 0
    """How many seconds `auth_time` is later than the sign-in. It has to be after the time up to which all sessions of
    the user were ended, which may be by another clock."""
    is_adopted: bool = False
    """NextAuth issued the first token of this session and renews its `iat`, so `auth_time` may be later than the
    sign-in."""
    is_confirmed: bool = True
    """False if NextAuth issued this token. It may name any user: the backend has to be asked before it counts."""
    checked_at: int
    """Seconds since 1970 when the user was last read from the backend, as far as this token knows."""
    expires_at: int
    """Seconds since 1970."""
    is_short: bool = False
    """The person did not ask to stay signed in: the session ends with the browser, and after `SESSION_SHORT_AGE`."""
    issuer_session: IssuerSession | None = None
    """Of a sign-in through a provider that can end sessions by back-channel logout; None for all others."""
    sealed_id_token: str | None = field(default=None, repr=False)
    """The id_token of that sign-in, as `TokenSealer` has encrypted it, if a sign-out continues at the provider."""

    @cached_property
    def key(self) -> bytes:
        """A short hash of `sid`, under which processes remember and publish what they know about the session."""
        return session_key(self.sid)

    @cached_property
    def user_key(self) -> bytes:
        """The same for the user: for all sessions of the user."""
        return user_key(self.user.id)

    @property
    def public_sid(self) -> str:
        """The id of the session for apps and the backend: `key` in hexadecimal. `sid` cannot be computed from it."""
        return self.key.hex()

    @property
    def signed_in_at(self) -> int:
        """Seconds since 1970 when the person signed in."""
        return self.auth_time - self.auth_delay

    def tokens_end_at(self, backend: Backend) -> int | None:
        """Seconds since 1970 when the tokens of this backend end for good; None if that is unknown."""
        has_refresh_token = self.sealed_refresh_token is not None
        can_refresh = backend.can_refresh(has_refresh_token=has_refresh_token)
        if can_refresh and (has_refresh_token or backend.refreshes_expired):
            return self.refresh_expires_at
        return self.token_expires_at

    def is_recent(self, max_age: int, now: float) -> bool:
        """Whether the person has signed in at most `max_age` seconds before `now`, as far as this site knows."""
        return not self.is_adopted and int(now) - self.signed_in_at <= max_age

    def to_claims(self, now: int) -> dict[str, object]:
        user = self.user
        optional = {
            "sealed_refresh": self.sealed_refresh_token,
            "sealed_id_token": self.sealed_id_token,
            "token_exp": self.token_expires_at,
            "user_claims": dict(user.claims) or None,
            "identifier": self.identifier,
            "auth_delay": self.auth_delay or None,
            "adopted": self.is_adopted or None,
            "short": self.is_short or None,
            "refresh_at": self.refresh_at,
            "refresh_exp": self.refresh_expires_at,
            "refresh_count": self.refresh_count or None,
        }
        return {
            "name": user.name,
            "email": user.email,
            "sub": str(user.id),
            "user": user.to_json_without_claims(),
            "accessToken": self.access_token,
            "provider": self.provider,
            "sid": self.sid,
            "auth_time": self.auth_time,
            "checked_at": self.checked_at,
            "renewed_at": now,
            "iat": now,
            "exp": self.expires_at,
            "jti": str(uuid.uuid4()),
            **{name: value for name, value in optional.items() if value is not None},
            **({"issuer_session": self.issuer_session.to_claim()} if self.issuer_session else {}),
        }

    @classmethod
    def from_claims(
        cls,
        claims: dict[str, object],
        now: int,
        max_age: int,
        absolute_age: int,
        user_claims: Collection[UserClaim] = (),
        *,
        short_age: int | None = None,
    ) -> "Session":
        """The session of a decrypted token; raises `ValueError` or `KeyError` if it is not valid or too old.

        Ages are in seconds. short_age: instead of the two others for a session that `is_short`, if it is less.

        It may have expired by `expires_at`: the caller knows whether it was extended by use.

        Tokens that NextAuth issued have no `sid`, `auth_time` and `checked_at`. These are derived from other claims, so
        that all copies of a token are the same session. A NextAuth app may let its pages change `user` by `update()`,
        and nothing else. So a token of this site whose `user` is another person than its `sub` is rejected; one of
        NextAuth's is another session, about which the backend has not been asked yet. `USER_CLAIMS` are a claim of
        their own for that reason, which is only read from a token of this site.

        A NextAuth app may also write a token again, with new `iat` and `exp`. That does not prolong a session of this
        site: `renewed_at` stays as it is. Otherwise a copy could outlive the list of revoked sessions.
        """
        access_token = validate_token(claims.get("accessToken"))
        is_short = claims.get("short") is True
        if is_short and short_age is not None:
            max_age, absolute_age = min(max_age, short_age), min(absolute_age, short_age)
        user = User.from_json(claims.get("user"))
        sid = _word(claims.get("sid"))
        if sid and (claims.get("sub"), claims.get("email")) != (str(user.id), user.email):
            raise ValueError("sub and user are different people")
        if sid and user_claims:
            user = replace(user, claims=_user_claims(claims.get("user_claims"), user_claims))
        issued_at = _time(claims["iat"])
        renewed_at = min(issued_at, _time(claims.get("renewed_at", issued_at))) if sid else issued_at
        auth_time = _time(claims.get("auth_time", issued_at))
        token_expires_at = _date(claims.get("token_exp")) if sid else jwt_expiry(access_token)
        refresh_at = token_expires_at - REFRESH_MARGIN_SECONDS if token_expires_at else None
        ends_at = min(auth_time + absolute_age, MAX_DATE)
        expires_at = min(_time(claims["exp"]), renewed_at + max_age, ends_at)
        if ends_at <= now or _time(claims.get("nbf", 0)) > now + MAX_DIFFERENCE_SECONDS:
            raise ValueError("the session is over or is not valid yet")
        return cls(
            user=user,
            access_token=access_token,
            sealed_refresh_token=_sealed(claims.get("sealed_refresh")),
            token_expires_at=token_expires_at,
            refresh_at=_date(claims.get("refresh_at")) or refresh_at,
            refresh_expires_at=_date(claims.get("refresh_exp")),
            refresh_count=_time(claims.get("refresh_count", 0)),
            provider=_word(claims.get("provider")),
            identifier=_identifier(claims.get("identifier")) if sid else None,
            sid=sid or _derive_sid(access_token, user),
            auth_time=auth_time,
            auth_delay=_time(claims.get("auth_delay", 0)),
            is_adopted=not sid or claims.get("adopted") is True,
            is_confirmed=bool(sid),
            checked_at=_time(claims.get("checked_at", 0)),
            expires_at=expires_at,
            is_short=is_short,
            issuer_session=IssuerSession.from_claim(claims["issuer_session"]) if "issuer_session" in claims else None,
            sealed_id_token=_sealed(claims.get("sealed_id_token")),
        )


def user_key(user_id: int | str) -> bytes:
    return short_hash(f"person:{user_id}")


def session_key(sid: str) -> bytes:
    return short_hash(f"sid:{sid}")


def _derive_sid(access_token: str, user: User) -> str:
    return sha256(json.dumps([access_token, user.to_json()]).encode()).hexdigest()[:32]


def _time(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_TIME:
        raise ValueError("a time is not a whole number of seconds")
    return value


def _date(value: object) -> int | None:
    return value if type(value) is int and 0 < value <= MAX_DATE else None


def _sealed(value: object) -> str | None:
    return value if isinstance(value, str) and _SEALED.fullmatch(value) else None


def _user_claims(value: object, configured: Collection[UserClaim]) -> dict[str, object]:
    """The claims that the settings still name."""
    claims = value if isinstance(value, dict) else {}
    return {claim.name: claims[claim.name] for claim in configured if claim.name in claims}


def _identifier(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_IDENTIFIER_LENGTH else None


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None
