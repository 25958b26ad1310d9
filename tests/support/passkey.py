"""The answers of a browser to options for passkeys, made up. Nothing is signed: the stand-in backend believes them."""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def encode(value: bytes | str) -> str:
    data = value.encode() if isinstance(value, str) else value
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@dataclass(frozen=True)
class FakePasskey:
    id: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def sign_in(self, options: Mapping[str, Any], **changes: Any) -> str:
        """The JSON of the browser's answer to the options of a sign-in."""
        response = {"authenticatorData": encode("data"), "signature": encode("signature"), "userHandle": encode("1")}
        return self._answer("webauthn.get", options, response, changes)

    def create(self, options: Mapping[str, Any], **changes: Any) -> str:
        """The JSON of its answer to those of a new passkey."""
        response = {"attestationObject": encode("object"), "transports": ["internal"]}
        return self._answer("webauthn.create", options, response, changes)

    def _answer(self, kind: str, options: Mapping[str, Any], response: dict[str, Any], changes: dict[str, Any]) -> str:
        signed = {"type": kind, "challenge": options["challenge"], "origin": "http://localhost", "crossOrigin": False}
        answer = {
            "id": self.id,
            "rawId": self.id,
            "type": "public-key",
            "response": {"clientDataJSON": encode(json.dumps(signed)), **response},
            "clientExtensionResults": {"credProps": {"rk": True}},
            "authenticatorAttachment": "platform",
        }
        return json.dumps({**answer, **changes})
