"""The page of a stand-in provider that sends the site notifications of changes to accounts."""

import time
import urllib.error
import urllib.request
import uuid
from json import dumps

from flask import Blueprint, render_template, request

from dev.providers.base import Client, Json, Persona, Provider
from dev.signing import Keys

_SITE_TIMEOUT_SECONDS = 20
"""Longer than the site waits for its backend."""


class Notifications:
    def __init__(self, provider: Provider, client: Client, keys: Keys) -> None:
        self.provider = provider
        self.client = client
        self.keys = keys
        self._last = ""
        """The last one that was sent, to send it again."""

    def register(self, bp: Blueprint) -> None:
        if self.provider.notification_events:
            bp.add_url_rule("/notifications", endpoint="notifications", view_func=self.page, methods=["GET", "POST"])

    def page(self) -> str:
        """Let a person choose an account and an event, and send it. A second button sends the last one again."""
        result = ""
        if request.method == "POST":
            kind = request.form.get("type", "")
            if request.form.get("action") != "again" and kind in self.provider.notification_events:
                persona = self.provider.persona(request.form.get("person", ""))
                self._last = self.keys.sign(self._claims(persona, kind))
            result = self._send(self._last)
        return render_template(
            "notifications.html", provider=self.provider, address=self._address, result=result, last=self._last
        )

    @property
    def _address(self) -> str:
        return self.client.redirect_uri.replace("/api/auth/callback/", "/api/auth/notifications/")

    def _claims(self, persona: Persona, kind: str) -> Json:
        now = time.time()
        events = {"type": kind, "sub": persona.subject, "event_time": int(now * 1000)}
        if kind.startswith("email-") and "email" in persona.claims:
            is_private = persona.claims.get("is_private_email", "false")
            events |= {"email": persona.claims["email"], "is_private_email": is_private}
        return {
            "iss": self.provider.issuer,
            "aud": self.client.settings["CLIENT_ID"],
            "iat": int(now),
            "exp": int(now) + 86400,
            "jti": uuid.uuid4().hex,
            "events": dumps(events),
        }

    def _send(self, token: str) -> str:
        """Send it, and return what the site has answered."""
        body = dumps({"payload": token}).encode()
        message = urllib.request.Request(self._address, body, {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(message, timeout=_SITE_TIMEOUT_SECONDS) as response:  # noqa: S310
                return f"{response.status} {response.read(500).decode()}"
        except urllib.error.HTTPError as error:
            with error:  # it is the response, and has to be closed
                return f"{error.code} {error.read(500).decode()}"
        except OSError as error:
            return f"no answer: {error}"
