"""The users and tokens of the stand-in backend, in memory."""

import base64
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

UserKey = str | tuple[str, str]
"""The email address of a user with a password, or provider and subject."""

_NO_EXPIRY = float("inf")


@dataclass(frozen=True)
class _Token:
    user_key: UserKey
    session: str
    """The sign-in that it belongs to."""
    expires_at: float = _NO_EXPIRY


@dataclass(frozen=True)
class Tokens:
    user_key: UserKey
    access: str
    refresh: str


class UserStore:
    """Guarded by a lock: the stand-in serves requests in threads."""

    def __init__(
        self,
        users: Mapping[UserKey, dict[str, Any]],
        life: int | None = None,
        jwt: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        """life: seconds until an access token expires. jwt: whether access tokens are JWTs."""
        self.users = dict(users)
        self.life = life
        self.now = now
        self._jwt = jwt
        self._access_tokens: dict[str, _Token] = {}
        self._refresh_tokens: dict[str, _Token] = {}
        self._count = 0
        self._lock = threading.Lock()

    @property
    def tokens(self) -> dict[str, UserKey]:
        """The access tokens that are valid, with the keys of their users."""
        with self._lock:
            alive = {text: token for text, token in self._access_tokens.items() if token.expires_at > self.now()}
        return {text: token.user_key for text, token in alive.items()}

    def add_user(self, identity: tuple[str, str], user_id: object, **user: Any) -> bool:
        """Create a user for this provider and subject. Returns False if the user exists."""
        with self._lock:
            if identity in self.users:
                return False
            self.users[identity] = {"id": user_id} | user
        return True

    def issue_tokens(self, user_key: UserKey) -> Tokens:
        """Return the tokens of a new sign-in."""
        return self._issue(user_key, secrets.token_hex(8))

    def user(self, access_token: object) -> dict[str, Any] | None:
        """Return the user of a valid access token, or None."""
        return self.users.get(self.tokens.get(str(access_token), ""))

    def refresh(self, refresh_token: object, *, rotate: bool) -> Tokens | None:
        """Return a new access token and the refresh token, with `rotate` a new one; None if it is not valid."""
        with self._lock:
            token = self._refresh_tokens.get(str(refresh_token))
            if token and rotate:
                del self._refresh_tokens[str(refresh_token)]
        return self._issue(token.user_key, token.session, "" if rotate else str(refresh_token)) if token else None

    def renew(self, access_token: object, *, once: bool) -> Tokens | None:
        """Return new tokens for an access token; None if it is not valid.

        once: it is no longer valid afterwards, but can be exchanged after it has expired.
        """
        with self._lock:
            token = self._access_tokens.get(str(access_token))
            if token is None or (token.expires_at <= self.now() and not once):
                return None
            if once:
                del self._access_tokens[str(access_token)]
        return self._issue(token.user_key, token.session)

    def end_session(self, token: object, *, keep_access_tokens: bool) -> None:
        """Revoke the tokens of the sign-in that this access or refresh token belongs to."""
        with self._lock:
            issued_token = self._access_tokens.get(str(token)) or self._refresh_tokens.get(str(token))
            if issued_token is None:
                return
            self._refresh_tokens = _without_session(self._refresh_tokens, issued_token.session)
            if not keep_access_tokens:
                self._access_tokens = _without_session(self._access_tokens, issued_token.session)

    def _issue(self, user_key: UserKey, session: str, refresh_token: str = "") -> Tokens:
        expires_at = self.now() + self.life if self.life else _NO_EXPIRY
        refresh_token = refresh_token or secrets.token_urlsafe(32)
        with self._lock:
            self._count += 1
            access_token = self._make_jwt(user_key) if self._jwt else f"{self._count}|{secrets.token_hex(24)}"
            self._access_tokens[access_token] = _Token(user_key, session, expires_at)
            self._refresh_tokens[refresh_token] = _Token(user_key, session)
        return Tokens(user_key, access_token, refresh_token)

    def _make_jwt(self, user_key: UserKey) -> str:
        """A JWT with a random signature: the stand-in looks tokens up, and the site reads `exp` only."""
        now = int(self.now())
        claims = {"sub": str(self.users[user_key]["id"]), "iat": now, "exp": now + (self.life or 0), "jti": self._count}
        return f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}.{secrets.token_urlsafe(32)}"


def _without_session(tokens: Mapping[str, _Token], session: str) -> dict[str, _Token]:
    return {text: token for text, token in tokens.items() if token.session != session}


def _encode(part: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part, separators=(",", ":")).encode()).rstrip(b"=").decode()
