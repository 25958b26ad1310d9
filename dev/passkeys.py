"""The passkeys of the stand-in backend. It believes every signature: it is for the site's part of the exchange."""

import base64
import json
import secrets
import threading
from dataclasses import dataclass
from typing import Any

from dev.user_store import UserKey


@dataclass(frozen=True)
class _Asked:
    handle: str
    """What the client sends back to say which options it answers."""
    user_key: UserKey | None
    """Who is adding a passkey; None for a sign-in."""


class Passkeys:
    """Each challenge can be answered once."""

    def __init__(self) -> None:
        self.confirmed: set[str] = set()
        """Tokens whose person has confirmed the password."""
        self._asked: dict[str, _Asked] = {}
        self._users: dict[str, UserKey] = {}
        """Credential id -> user."""
        self._listed: dict[str, dict[str, Any]] = {}
        """Credential id -> what a list of passkeys says about it."""
        self._lock = threading.Lock()

    def ask(self, user_key: UserKey | None) -> dict[str, str]:
        """Return the values of an answer with options."""
        challenge, handle = secrets.token_urlsafe(32), secrets.token_urlsafe(18)
        with self._lock:
            self._asked[challenge] = _Asked(handle, user_key)
        user_handle = base64.urlsafe_b64encode(str(user_key).encode()).decode().rstrip("=")
        return {"options_challenge": challenge, "challenge": handle, "user_handle": user_handle}

    def sign_in(self, handle: object, credential: Any) -> tuple[str, Any]:
        """Return what the answer is, `right` with the user, `wrong` or `over`."""
        options = self._take(credential)
        if options is None or options.handle != handle:
            return "over", None
        user_key = self._users.get(_id(credential))
        return ("right", user_key) if user_key and options.user_key is None else ("wrong", None)

    def register(self, user_key: UserKey, handle: object, credential: Any, **about: Any) -> bool:
        """Add a passkey. Returns whether it is a new one of this user.

        about: what a list says about it, beside its number. handle: None for a kind of backend that knows its options
        by the token.
        """
        options = self._take(credential)
        if options is None or options.user_key != user_key or handle not in (None, options.handle):
            return False
        self._listed.setdefault(_id(credential), {"passkey": len(self._listed) + 1, **about})
        return self._users.setdefault(_id(credential), user_key) == user_key

    def listed(self, user_key: UserKey) -> list[dict[str, Any]]:
        return [about for each, about in self._listed.items() if self._users.get(each) == user_key]

    def remove(self, user_key: UserKey, number: object) -> None:
        for each, about in list(self._listed.items()):
            if self._users.get(each) == user_key and about["passkey"] == number:
                del self._users[each]

    def _take(self, credential: Any) -> _Asked | None:
        try:
            text = credential["response"]["clientDataJSON"]
            challenge = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))["challenge"]
        except (ValueError, TypeError, KeyError):
            return None
        with self._lock:
            return self._asked.pop(challenge, None)


def _id(credential: Any) -> str:
    return str(credential.get("id"))
