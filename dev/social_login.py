"""Verifies the tokens of providers for the social call of the stand-in backend.

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

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from dev.identity_provider import IdentityProvider
from dev.providers.base import Account, Client, Failure, Provider


class SocialLogin:
    """`clients`: the registration of the site by provider id. `stand_ins`: the providers that are stand-ins, by id."""

    def __init__(self, clients: Mapping[str, Client], stand_ins: Mapping[str, IdentityProvider]) -> None:
        self._ids = {client.settings.get("BACKEND_NAME", name): name for name, client in clients.items()}
        self._clients = clients
        self._stand_ins = stand_ins

    def provider_id(self, backend_name: object) -> str | None:
        """Return the id of the provider that the site names like this to the backend, or None."""
        return self._ids.get(str(backend_name))

    def backend_name(self, provider_id: str) -> str:
        """Return the name by which the site knows this provider when it talks to the backend."""
        return next(name for name, known_id in self._ids.items() if known_id == provider_id)

    def token(self, provider_id: str, values: Mapping[str, Any]) -> str:
        """Return the token with which the backend verifies the sign-in; empty if it got none."""
        kind = self._clients[provider_id].provider.social_token
        token = next((values[name] for name in ("social_token", kind, *_VERIFIERS) if values.get(name)), "")
        return token if isinstance(token, str) else ""

    def account(self, provider_id: str, token: str) -> Account | None:
        """Return the account of the token, verified with the provider, or None if the token is invalid."""
        client = self._clients[provider_id]
        kind = "id_token" if token.count(".") == 2 and client.provider.jwks_url else client.provider.social_token
        try:
            return _VERIFIERS[kind](client.provider, client, token)
        except (JoseError, OSError, HTTPException, LookupError, TypeError, ValueError):
            return None

    def failure(self, provider_id: str, token: str) -> Failure | None:
        """Return the failure of the backend that was chosen on the page of the provider."""
        stand_in = self._stand_ins.get(provider_id)
        grant = stand_in.grants.grant_for_token(token) if stand_in else None
        return grant.failure_at("backend") if grant else None


def _by_access_token(provider: Provider, client: Client, token: str) -> Account:
    return provider.account(*(_fetch(url, token) for url in _user_urls(provider, client)))


def _user_urls(provider: Provider, client: Client) -> list[str]:
    if provider.user_urls:
        return [client.url(url) for url in provider.user_urls]
    return [_fetch(client.base_url + provider.discovery_path)["userinfo_endpoint"]]


def _by_id_token(provider: Provider, client: Client, token: str) -> Account:
    keys = KeySet.import_key_set(_fetch(client.url(provider.jwks_url)))
    claims = jwt.decode(token, keys, algorithms=[provider.algorithm]).claims
    issuers = provider.issuers(claims) or (provider.issuer or client.base_url,)
    if claims["aud"] != client.settings["CLIENT_ID"] or claims["iss"] not in issuers:
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
