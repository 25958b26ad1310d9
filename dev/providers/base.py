"""What a stand-in provider is made of: one value says all in which it differs from its neighbours."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from flask import Response

Json = dict[str, Any]
Refusal = tuple[int, Json]
"""Status and body of an error."""


@dataclass(frozen=True)
class Persona:
    """Somebody who has an account at the provider."""

    key: str
    shows: str
    """What signing in as this person shows."""
    subject: str
    claims: Json = field(default_factory=dict)
    """Of the id_token, besides those of the protocol."""
    answers: Mapping[str, Any] = field(default_factory=dict)
    """What the provider's API says of this person, by path."""
    first_consent: str = ""
    """The callback's `user` field, sent with the first consent alone."""


@dataclass(frozen=True)
class Account:
    """What a backend takes from a provider's answers."""

    subject: str
    name: str | None = None
    nickname: str | None = None
    email: str | None = None


@dataclass(frozen=True)
class Failure:
    """Something that goes wrong, or otherwise than usual, in one sign-in."""

    shows: str
    where: str
    """`grant`, `callback`, `token`, `id_token`, `user` or `backend`."""
    change: Callable[[Any], Any] | None = None
    """What was to be said -> what is said instead."""
    respond: Callable[[], Response] | None = None
    """The whole answer instead."""
    sign: Callable[[Any, Json], str] | None = None
    """(the provider's keys, claims) -> a token signed otherwise."""
    sends_id_token: bool = False
    """An id_token comes though the provider would send none."""


@dataclass(frozen=True)
class Client:
    """The site, as it is registered with one provider."""

    settings: Mapping[str, str]
    """The site's settings for this provider, without the prefix: `CLIENT_ID` and so on."""
    redirect_uri: str

    @property
    def base_url(self) -> str:
        return self.settings.get("BASE_URL") or self.settings.get("ISSUER", "")

    def url(self, real: str) -> str:
        """Where an endpoint of the provider is: moved to the base address, if there is one."""
        base = self.settings.get("BASE_URL", "")
        return base + urlsplit(real).path if base else real


def same_secret(client: Client, given: str) -> bool:
    """A client without a secret sends none, as older applications of Kakao's do."""
    return hmac.compare_digest(client.settings.get("CLIENT_SECRET", "").encode(), given.encode())


def with_secret(base_url: str, secret: str) -> dict[str, str]:
    return {"CLIENT_SECRET": secret, "BASE_URL": base_url}


STANDARD_SCOPES = {
    "profile": ("name", "given_name", "family_name", "nickname", "preferred_username", "picture"),
    "email": ("email", "email_verified", "is_private_email"),
}
"""Claims that a scope asks for (OpenID Connect Core 5.4)."""

STANDARD_ERRORS: Mapping[str, Refusal] = {
    "invalid_client": (401, {"error": "invalid_client", "error_description": "Client authentication failed."}),
    "invalid_grant": (400, {"error": "invalid_grant", "error_description": "The code is wrong, used or expired."}),
    "redirect_uri_mismatch": (400, {"error": "invalid_grant", "error_description": "Another redirect_uri."}),
    "invalid_request": (400, {"error": "invalid_request", "error_description": "A parameter is missing."}),
    "unsupported_grant_type": (400, {"error": "unsupported_grant_type"}),
    "invalid_token": (401, {"error": "invalid_token", "error_description": "Invalid access token."}),
}
"""RFC 6749 5.2 and RFC 6750 3.1."""


@dataclass(frozen=True)
class Provider:
    """One provider: addresses, what it demands, and how it says things. Defaults are what the standards say."""

    id: str
    name: str
    client_id: str
    personas: tuple[Persona, ...]
    authorization_path: str
    token_path: str
    account: Callable[..., Account]
    """Answers of `user_urls`, or the claims of an id_token -> what a backend takes from them."""
    jwks_url: str = ""
    user_urls: tuple[str, ...] = ()
    """What a backend asks to check an access token; empty: discovery knows it, or the id_token is the proof."""
    social_token: str = "access_token"
    issuer: str = ""
    """Empty: the address under which the stand-in is reached."""
    id_token: str = "openid"
    """When one is sent: with this scope, `always`, or `never`."""
    algorithm: str = "RS256"
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: STANDARD_SCOPES)
    discovery_path: str = ""
    pkce_required: bool = True
    auth_methods: tuple[str, ...] = ("client_secret_post",)
    accepts_secret: Callable[[Client, str], bool] = same_secret
    settings: Callable[[str, str], dict[str, str]] = with_secret
    """(address of the stand-in, a secret) -> settings of the site, without prefix and `CLIENT_ID`."""
    objection: Callable[[Mapping[str, str]], str | None] = lambda _: None
    """What is wrong with an authorization request by the provider's own rules, in words."""
    further_origin: bool = False
    """The sign-in page is on another host than the authorization endpoint."""
    callback_extras: Callable[[Persona, list[str]], dict[str, str]] = lambda _persona, _scopes: {}
    cancelled: Mapping[str, str] = field(default_factory=lambda: {"error": "access_denied"})
    token_methods: tuple[str, ...] = ("POST",)
    token_needs: tuple[str, ...] = ()
    """Parameters besides the usual."""
    token_answer: Callable[[list[str]], Json] = lambda scopes: {
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": " ".join(scopes),
    }
    form_encoded: bool = False
    """The token endpoint answers in a form's encoding unless JSON is asked for."""
    json_type: str = "application/json"
    errors: Mapping[str, Refusal] = field(default_factory=dict)
    needs_user_agent: bool = False
    api_scopes: Mapping[str, str] = field(default_factory=dict)
    """Scope without which a path is not found."""
    variants: Mapping[str, Failure] = field(default_factory=dict)
    """What can be chosen at this provider alone."""

    def error(self, name: str) -> Refusal:
        return self.errors.get(name) or STANDARD_ERRORS[name]

    def persona(self, key: str) -> Persona:
        return next((persona for persona in self.personas if persona.key == key), self.personas[0])
