"""The types of stand-in providers. A `Provider` value describes how a provider differs from the standards."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from flask import Response

Json = dict[str, Any]
ErrorResponse = tuple[int, Json]
"""Status and body of an error."""


@dataclass(frozen=True)
class Persona:
    """A user with an account at the provider."""

    key: str
    description: str
    """What a sign-in as this user demonstrates."""
    subject: str
    claims: Json = field(default_factory=dict)
    """Claims of the id_token about the user."""
    api_responses: Mapping[str, Any] = field(default_factory=dict)
    """JSON bodies of the provider's API about this user, by path."""
    first_consent_user: str = ""
    """The `user` field of the callback, which Apple sends with the first consent only."""


@dataclass(frozen=True)
class Account:
    """What a backend reads from a provider's API or id_token."""

    subject: str
    name: str | None = None
    nickname: str | None = None
    email: str | None = None


@dataclass(frozen=True)
class Failure:
    """An error or a variation that can be chosen for one sign-in."""

    description: str
    step: str
    """Where it happens: `grant`, `callback`, `token`, `id_token`, `user` or `backend`."""
    transform: Callable[[Any], Any] | None = None
    """Changes the normal response."""
    respond: Callable[[], Response] | None = None
    """Returns another response instead of the normal one."""
    sign: Callable[[Any, Json], str] | None = None
    """Signs the id_token: (keys of the provider, claims) -> token."""
    sends_id_token: bool = False
    """The token response has an id_token although the scopes do not request one."""


@dataclass(frozen=True)
class Client:
    """The registration of the site with a provider."""

    provider: "Provider"
    settings: Mapping[str, str]
    """The site's settings for this provider, without the prefix: `CLIENT_ID` and so on."""
    redirect_uri: str

    @property
    def logout_redirect_uri(self) -> str:
        return self.redirect_uri.partition("/api/auth/callback/")[0] + "/auth/logout/done"

    @property
    def base_url(self) -> str:
        return self.settings.get("BASE_URL") or self.settings.get("ISSUER", "")

    def url(self, provider_url: str) -> str:
        """Return this URL of the provider, with the origin of `BASE_URL` if that is set."""
        base = self.settings.get("BASE_URL", "")
        return base + urlsplit(provider_url).path if base else provider_url


def matches_client_secret(client: Client, client_secret: str) -> bool:
    """Compare the secret with the registered one. Older Kakao applications have no secret and send none."""
    return hmac.compare_digest(client.settings.get("CLIENT_SECRET", "").encode(), client_secret.encode())


def default_settings(base_url: str, secret: str) -> dict[str, str]:
    return {"CLIENT_SECRET": secret, "BASE_URL": base_url}


STANDARD_SCOPES = {
    "profile": ("name", "given_name", "family_name", "nickname", "preferred_username", "picture"),
    "email": ("email", "email_verified", "is_private_email"),
}
"""Claims that each scope requests (OpenID Connect Core 1.0, section 5.4)."""

STANDARD_ERRORS: Mapping[str, ErrorResponse] = {
    "invalid_client": (401, {"error": "invalid_client", "error_description": "Client authentication failed."}),
    "invalid_grant": (400, {"error": "invalid_grant", "error_description": "The code is wrong, used or expired."}),
    "redirect_uri_mismatch": (400, {"error": "invalid_grant", "error_description": "Another redirect_uri."}),
    "invalid_request": (400, {"error": "invalid_request", "error_description": "A parameter is missing."}),
    "unsupported_grant_type": (400, {"error": "unsupported_grant_type"}),
    "invalid_token": (401, {"error": "invalid_token", "error_description": "Invalid access token."}),
}
"""Error responses of RFC 6749, section 5.2 and RFC 6750, section 3.1."""


@dataclass(frozen=True)
class Provider:
    """A provider: its paths, its requirements and its response formats. The defaults follow the standards."""

    id: str
    name: str
    client_id: str
    personas: tuple[Persona, ...]
    authorization_path: str
    token_path: str
    account: Callable[..., Account]
    """Makes an account of the responses of `user_urls`, or of the claims of an id_token."""
    jwks_url: str = ""
    user_urls: tuple[str, ...] = ()
    """API URLs with which a backend verifies an access token. Empty if discovery has the URL, or with id_tokens."""
    social_token: str = "access_token"
    issuer: str = ""
    """If empty, the base URL of the stand-in."""
    issuers: Callable[[Json], Sequence[str]] = lambda _: ()
    """(claims) -> the issuers that a backend accepts in an id_token. Needed if `social_token` is `id_token`."""
    id_token: str = "openid"
    """When the token response has an id_token: with this scope, `always` or `never`."""
    algorithm: str = "RS256"
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: STANDARD_SCOPES)
    discovery_path: str = ""
    logout_path: str = ""
    """Where a sign-out at the provider starts. If empty, it has no such address."""
    logout_redirect_param: str = "post_logout_redirect_uri"
    notification_events: tuple[str, ...] = ()
    """The kinds of events that its page `/notifications` sends to the site."""
    pkce_required: bool = True
    auth_methods: tuple[str, ...] = ("client_secret_post",)
    is_valid_secret: Callable[[Client, str], bool] = matches_client_secret
    settings: Callable[[str, str], dict[str, str]] = default_settings
    """(base URL of the stand-in, secret) -> settings of the site, without prefix and `CLIENT_ID`."""
    validate_request: Callable[[Mapping[str, str]], str | None] = lambda _: None
    """Checks the parameters of an authorization request by the provider's own rules. Returns an error text or None."""
    has_separate_sign_in_host: bool = False
    """The authorization endpoint redirects to a sign-in page on another host."""
    extra_callback_parameters: Callable[[Persona, list[str]], dict[str, str]] = lambda _persona, _scopes: {}
    no_page_error: Mapping[str, str] = field(default_factory=lambda: {"error": "login_required"})
    """The answer to `prompt=none` if nobody is signed in."""
    cancel_error: Mapping[str, str] = field(default_factory=lambda: {"error": "access_denied"})
    token_methods: tuple[str, ...] = ("POST",)
    required_token_parameters: tuple[str, ...] = ()
    """Further required parameters of a token request."""
    token_response: Callable[[list[str]], Json] = lambda scopes: {
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": " ".join(scopes),
    }
    form_encoded: bool = False
    """The token endpoint responds with `application/x-www-form-urlencoded` unless `Accept` names JSON."""
    json_content_type: str = "application/json"
    errors: Mapping[str, ErrorResponse] = field(default_factory=dict)
    requires_user_agent: bool = False
    required_scopes: Mapping[str, str] = field(default_factory=dict)
    """Scope that an API path requires; without it the path is a 404."""
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """Failures that only this provider has."""

    def named(self, name: str) -> "Provider":
        """Return a further provider of the same kind, for `PROVIDERS=<id>:<name>`."""
        label = name.replace("_", " ").title()
        return replace(
            self,
            id=name,
            name=label,
            client_id=f"{self.client_id}-{name}",
            settings=lambda base_url, secret: {**self.settings(base_url, secret), "LABEL": label},
        )

    def error(self, name: str) -> ErrorResponse:
        return self.errors.get(name) or STANDARD_ERRORS[name]

    def persona(self, key: str) -> Persona:
        return next((persona for persona in self.personas if persona.key == key), self.personas[0])
