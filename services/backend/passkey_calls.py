"""The calls around passkeys, beside the sign-in itself: the options that browsers answer, and a new passkey.

Options and answers pass through: only the backend knows the passkeys.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import errors
from backends.base import Backend
from config import Settings
from services.backend import answer_errors
from services.backend.answer import Answer
from services.backend.client import BackendClient, passkey_values
from services.backend.next_step import MAX_CHALLENGE
from services.request_context import RequestContext


@dataclass(frozen=True)
class Options:
    public_key: Mapping[str, Any]
    """For the browser."""
    challenge: str | None
    """What the backend knows them by."""


class PasskeyCalls:
    def __init__(self, settings: Settings, client: BackendClient) -> None:
        self._backend: Backend = settings.backend
        self._client = client

    @property
    def wants_password(self) -> bool:
        """Whether the backend wants the password before a passkey is added."""
        return self._backend.confirm_password is not None

    def confirm_password(self, values: Mapping[str, Any], context: RequestContext) -> None:
        """Send the password of who is signed in. Raises `WrongPassword`, or another `SiteError`."""
        self._checked("confirm_password", values, context)

    def options(self, context: RequestContext) -> Options:
        """The options of a sign-in. Raises a `SiteError`."""
        answer = self._checked("passkey_options", {}, context)
        return self._read("passkey_options", answer, self._backend.passkeys.request_options)

    def register_options(self, values: Mapping[str, Any], context: RequestContext) -> Options:
        """The options with which a person adds a passkey. Raises a `SiteError`.

        values: `token` and `user_id`. `RecentSignInRequired`: the backend wants a newer sign-in.
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
        """Add a passkey. Raises a `SiteError`, and then there is none."""
        answer_values = passkey_values(self._backend.passkey_register, credential, challenge)
        self._checked("passkey_register", {**values, **answer_values}, context)

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
