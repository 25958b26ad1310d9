"""`POST /login/social/callback/{provider}` of the stand-in backend: exchanges a provider's token for its own token.

An access token is valid if the provider's API accepts it, an id_token if the provider signed it for this client.
Failures are chosen on the page of the stand-in provider.
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
    """`clients`: the registration of the site by provider id. `stand_ins`: the providers that are stand-ins, by id."""

    def __init__(self, clients: Mapping[str, Client], stand_ins: Mapping[str, IdentityProvider]) -> None:
        self.providers_by_backend_name = {
            client.settings.get("BACKEND_NAME", name): name for name, client in clients.items()
        }
        self.clients = clients
        self.stand_ins = stand_ins

    def blueprint(self) -> Blueprint:
        bp = Blueprint("social_login", __name__)
        bp.add_url_rule("/login/social/callback/<backend_name>", view_func=self.login, methods=["POST"])
        return bp

    def login(self, backend_name: str) -> ResponseReturnValue:
        name = self.providers_by_backend_name.get(backend_name)
        if name is None:
            return backend.error_response(
                404, f"The route login/social/callback/{backend_name[:40]} could not be found."
            )
        json_body = request.get_json(silent=True)
        body = json_body if isinstance(json_body, dict) else {}
        token = body.get("social_token")
        if not isinstance(token, str) or not token:
            return backend.validation_error({"social_token": "The social token field is required."})
        if not isinstance(body.get("email", ""), str):
            return backend.validation_error({"email": "The email field must be a string."})
        account = _account(PROVIDERS[name], self.clients[name], token)
        if account is None:
            return backend.error_response(401, "Invalid token")
        return self._issue_token(name, account, token, account.email or body.get("email"))

    def _issue_token(self, name: str, account: Account, token: str, email: str | None) -> ResponseReturnValue:
        grant = self.stand_ins[name].grants.grant_for_token(token) if name in self.stand_ins else None
        failure = grant.failure_at("backend") if grant else None
        if failure and failure.respond:
            return failure.respond()
        if email in backend.user_store().users:
            return backend.error_response(409, "This email address already signs in another way.")
        identity = (name, account.subject)
        is_new = backend.user_store().add_user(identity, name=account.name, nick_name=account.nickname, email=email)
        backend_token = backend.user_store().issue_token(identity)
        backend_token = failure.transform(backend_token) if failure and failure.transform else backend_token
        return backend.token_response(backend_token), 201 if is_new else 200


def _account(provider: Provider, client: Client, token: str) -> Account | None:
    """Return the account of the token, verified with the provider, or None if the token is invalid."""
    try:
        return _VERIFIERS[provider.social_token](provider, client, token)
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
        raise ValueError("the token has another audience or issuer")
    if claims["exp"] < time.time():
        raise ValueError("expired")
    return provider.account(claims)


_VERIFIERS: dict[str, Callable[[Provider, Client, str], Account]] = {
    "access_token": _by_access_token,
    "id_token": _by_id_token,
}


def _fetch(url: str, token: str = "") -> Any:
    """GET JSON, with an optional bearer token. Raises `OSError`, `HTTPException`, or `ValueError` if it is no 200."""
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    headers = {"Accept": "application/json", "User-Agent": "stand-in-backend"}
    with closing(connect(parts.netloc, timeout=5)) as connection:
        connection.request("GET", parts.path, headers=headers | ({"Authorization": f"Bearer {token}"} if token else {}))
        response = connection.getresponse()
        if response.status != 200:
            raise ValueError(f"{url}: status {response.status}")
        return json.loads(response.read())
