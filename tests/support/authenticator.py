"""A virtual authenticator of Chromium: a device with passkeys, which a test plugs into a page."""

from collections.abc import Mapping
from typing import Any

from playwright.sync_api import CDPSession, Page

_OPTIONS: Mapping[str, Any] = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


_WITHOUT_SUGGESTIONS = "if (window.PublicKeyCredential) PublicKeyCredential.isConditionalMediationAvailable = undefined"


def without_suggestions(page: Page) -> None:
    """Let the pages be those of a browser that has passkeys, but does not suggest them at a field: only the button."""
    page.add_init_script(_WITHOUT_SUGGESTIONS)


class Authenticator:
    """Its person is present: it answers each request at once, also those of the suggestions at a field."""

    def __init__(self, page: Page) -> None:
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.send("WebAuthn.enable")
        self._id = self._session.send("WebAuthn.addVirtualAuthenticator", {"options": dict(_OPTIONS)})[
            "authenticatorId"
        ]

    def set_verified(self, *, is_verified: bool) -> None:
        """Whether the person unlocks the device, or fails to."""
        self._send("setUserVerified", isUserVerified=is_verified)

    @property
    def credentials(self) -> list[dict[str, Any]]:
        return list(self._send("getCredentials")["credentials"])

    def add(self, credential: Mapping[str, Any]) -> None:
        """Add a passkey that another authenticator has."""
        self._send("addCredential", credential=dict(credential))

    def forget_all(self) -> None:
        self._send("clearCredentials")

    def _send(self, command: str, **parameters: Any) -> dict[str, Any]:
        answer = self._session.send(f"WebAuthn.{command}", {"authenticatorId": self._id, **parameters})
        return dict(answer or {})
