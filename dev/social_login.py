"""The stand-in backend's `POST /login/social/callback/{provider}`: a provider's token in, a token of its own out.

It believes nobody: an access token is good if the provider's API takes it, an id_token if the provider has signed
it for this client. What goes wrong by choice was chosen on the provider's page.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from dev import backend
from dev.identity_provider import IdentityProvider
from dev.providers import PROVIDERS
from dev.providers.base import Account, Client, Provider

_APPLE_ISSUERS = ("https://appleid.apple.com", "https://account.apple.com")


class SocialLogin:
    """`clients`: the site's registration by provider. `stand_ins`: those that are ours, who know what was chosen."""

    def __init__(self, clients: Mapping[str, Client], stand_ins: Mapping[str, IdentityProvider]) -> None:
        self.ids = {client.settings.get("BACKEND_NAME", name): name for name, client in clients.items()}
        self.clients = clients
        self.stand_ins = stand_ins

    def blueprint(self) -> Blueprint:
        bp = Blueprint("social_login", __name__)
        bp.add_url_rule("/login/social/callback/<word>", view_func=self.login, methods=["POST"])
        return bp

    def login(self, word: str) -> ResponseReturnValue:
        name = self.ids.get(word)
        if name is None:
            return backend.message(404, f"The route login/social/callback/{word[:40]} could not be found.")
        sent = request.get_json(silent=True)
        body = sent if isinstance(sent, dict) else {}
        token = body.get("social_token")
        if not isinstance(token, str) or not token:
            return backend.invalid({"social_token": "The social token field is required."})
        if not isinstance(body.get("email", ""), str):
            return backend.invalid({"email": "The email field must be a string."})
        account = _account(PROVIDERS[name], self.clients[name], token)
        if account is None:
            return backend.message(401, "Invalid token")
        return self._admit(name, account, token, account.email or body.get("email"))

    def _admit(self, name: str, account: Account, token: str, email: str | None) -> ResponseReturnValue:
        grant = self.stand_ins[name].grants.of_token(token) if name in self.stand_ins else None
        failure = grant.has_failure("backend") if grant else None
        if failure and failure.respond:
            return failure.respond()
        if email in backend.people().users:
            return backend.message(409, "This email address already signs in another way.")
        identity = (name, account.subject)
        is_new = backend.people().is_new(identity, name=account.name, nick_name=account.nickname, email=email)
        plain = backend.people().admit(identity)
        plain = failure.change(plain) if failure and failure.change else plain
        return backend.issued(plain), 201 if is_new else 200


def _account(provider: Provider, client: Client, token: str) -> Account | None:
    """Whom the token stands for, by the provider's own word; `None` if it does not take the token."""
    try:
        return _PROOFS[provider.social_token](provider, client, token)
    except (JoseError, OSError, HTTPException, LookupError, TypeError, ValueError):
        return None


def _by_access_token(provider: Provider, client: Client, token: str) -> Account:
    return provider.account(*(_fetch(url, token) for url in _user_urls(provider, client)))


def _user_urls(provider: Provider, client: Client) -> list[str]:
    if provider.user_urls:
        return [client.url(url) for url in provider.user_urls]
    return [_fetch(client.base_url + provider.discovery_path)["userinfo_endpoint"]]


def _by_id_token(provider: Provider, client: Client, token: str) -> Account:
    keys = KeySet.import_key_set(_fetch(client.url(provider.jwks_url)))
    claims = jwt.decode(token, keys, algorithms=[provider.algorithm]).claims
    if claims["aud"] != client.settings["CLIENT_ID"] or claims["iss"] not in _APPLE_ISSUERS:
        raise ValueError("a token for somebody else")
    if claims["exp"] < time.time():
        raise ValueError("expired")
    return provider.account(claims)


_PROOFS: dict[str, Callable[[Provider, Client, str], Account]] = {
    "access_token": _by_access_token,
    "id_token": _by_id_token,
}


def _fetch(url: str, token: str = "") -> Any:
    """JSON from there. Raises `OSError`, `HTTPException` or `ValueError`; anything but 200 is a `ValueError`."""
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    headers = {"Accept": "application/json", "User-Agent": "stand-in-backend"}
    with closing(connect(parts.netloc, timeout=5)) as connection:
        connection.request("GET", parts.path, headers=headers | ({"Authorization": f"Bearer {token}"} if token else {}))
        answer = connection.getresponse()
        if answer.status != 200:
            raise ValueError(f"{url} answers {answer.status}")
        return json.loads(answer.read())
