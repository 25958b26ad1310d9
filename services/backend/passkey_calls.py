"""The backend's calls for passkeys, except the sign-in itself: get options; add, list and remove passkeys.

Options and answers are passed on unchanged: only the backend knows the passkeys.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import errors
from backends.base import Backend
from config import Settings
from services.backend import answer_errors
from services.backend.answer import Answer, find_joined
from services.backend.client import BackendClient, passkey_values
from services.backend.next_step import MAX_CHALLENGE
from services.backend.tokens import parse_expiry
from services.backend.user import clean_text
from services.request_context import RequestContext

_MAX_ID_LENGTH = 1400
"""Characters of a passkey's id at the backend. A credential id of 1023 bytes, the most that Web Authentication allows,
has 1364 in Base64url."""
_MAX_NAME_LENGTH = 100
"""Characters of its name, which fills two lines on a phone. Of a longer one, the rest is cut off."""


@dataclass(frozen=True)
class Options:
    public_key: Mapping[str, Any]
    """For the browser."""
    challenge: str | None
    """The backend's id of the options; None if it has none."""


@dataclass(frozen=True)
class Passkey:
    """A passkey of the signed-in person, as the backend lists it."""

    id: str | int
    """The backend's id."""
    name: str | None
    created_at: int | None
    """Seconds since 1970, as `used_at`; None if the backend does not say."""
    used_at: int | None


class PasskeyCalls:
    def __init__(self, settings: Settings, client: BackendClient) -> None:
        self._backend: Backend = settings.backend
        self._client = client

    @property
    def wants_password(self) -> bool:
        """Whether the backend wants the password before a passkey is added."""
        return self._backend.confirm_password is not None

    def confirm_password(self, values: Mapping[str, Any], context: RequestContext) -> None:
        """Send the password of the signed-in person. Raises `WrongPassword`, or another `SiteError`."""
        self._checked("confirm_password", values, context)

    def options(self, context: RequestContext) -> Options:
        """The options of a sign-in. Raises a `SiteError`."""
        answer = self._checked("passkey_options", {}, context)
        return self._read("passkey_options", answer, self._backend.passkeys.request_options)

    def register_options(self, values: Mapping[str, Any], context: RequestContext) -> Options:
        """The options with which a person adds a passkey. Raises a `SiteError`.

        values: `token` and `user_id`. Raises `RecentSignInRequired` if the backend requires a newer sign-in.
        """
        answer = self._checked("passkey_register_options", values, context)
        return self._read("passkey_register_options", answer, self._backend.passkeys.creation_options)

    def register(
        self,
        values: Mapping[str, Any],
        credential: Mapping[str, Any],
        challenge: str | None,
        context: RequestContext,
    ) -> None:
        """Add a passkey. Raises a `SiteError` if it was not added."""
        answer_values = passkey_values(self._backend.passkey_register, credential, challenge)
        self._checked("passkey_register", {**values, **answer_values}, context)

    def has(self, name: str) -> bool:
        """Whether the backend has this call of `backends.base.PASSKEY_CALLS`."""
        return name in self._backend.calls

    def list_passkeys(self, values: Mapping[str, Any], context: RequestContext) -> list[Passkey]:
        """The passkeys of a person. Raises a `SiteError`. values: `token` and `user_id`."""
        items = self._checked("passkey_list", values, context).get(self._backend.passkeys.listed)
        if not isinstance(items, list):
            raise errors.Configuration(f"the passkey_list path has no list at {self._backend.passkeys.listed}")
        return [passkey for item in items if (passkey := self._read_passkey(item))]

    def remove(self, values: Mapping[str, Any], passkey: Passkey, context: RequestContext) -> None:
        """Remove a passkey. Raises a `SiteError`, and then it is still there. values: `token` and `user_id`."""
        self._checked("passkey_remove", {**values, "passkey": passkey.id}, context)

    def _read_passkey(self, item: object) -> Passkey | None:
        places = self._backend.passkeys.fields
        names = ("id", "name", "created_at", "used_at")
        value = {name: find_joined(item, places[name]) if name in places else None for name in names}
        passkey_id = value["id"]
        is_id = isinstance(passkey_id, str | int) and not isinstance(passkey_id, bool) and passkey_id != ""
        if not is_id or len(str(passkey_id)) > _MAX_ID_LENGTH:
            return None
        times = [parse_expiry(value[name], "at", 0) for name in ("created_at", "used_at")]
        return Passkey(passkey_id, clean_text(value["name"], _MAX_NAME_LENGTH), *times)  # type: ignore[arg-type]  # str or int

    def _checked(self, name: str, values: Mapping[str, Any], context: RequestContext) -> Answer:
        answer = self._client.call(name, values, context)
        meaning = answer_errors.declared_meaning(self._backend, name, answer)
        if meaning is not None or not 200 <= answer.status < 300:
            raise answer_errors.call_error(self._backend, name, answer, meaning)
        return answer

    def _read(self, name: str, answer: Answer, place: str) -> Options:
        options = answer.get(place)
        if isinstance(options, dict) and isinstance(options.get("publicKey"), dict):
            options = options["publicKey"]
        if not isinstance(options, dict) or not isinstance(options.get("challenge"), str):
            raise errors.Configuration(f"the {name} path answered {answer.status} without options at {place}")
        challenge_place = self._backend.passkeys.challenge
        challenge = answer.get(challenge_place) if challenge_place else None
        if not isinstance(challenge, str) or not 0 < len(challenge) <= MAX_CHALLENGE:
            challenge = None
        return Options(options, challenge)
