"""Sign-in with a provider: OAuth 2.0 (RFC 6749, RFC 9700) with PKCE and state; OpenID Connect Core.

`start` says where the person has to go, `finish` who came back. Between them lies the attempt, in the person's
own browser. The protocol's words are Authlib's; what it leaves unchecked is checked here and in `id_token.py`.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn
from urllib.parse import quote_plus

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.client import OAuth2Client

import errors
from config import Settings
from providers.base import Identity, ProviderResponses, Registration, dig
from services.backend.user import validate_identity
from services.clock import Clock
from services.http.client import HttpClient
from services.oauth import id_token
from services.oauth.attempts import Attempt
from services.oauth.discovery import Endpoints, ProviderMetadata
from services.oauth.id_token import Expected
from services.oauth.provider_http import ProviderHttp, Wire
from services.sessions.model import validate_token

_CODE = re.compile(r"[\x21-\x7e]{1,2048}")
_CANCELLED = ("access_denied", "user_cancelled_authorize")
_BUSY = ("temporarily_unavailable", "server_error", "slow_down")
_SETUP = ("invalid_client", "unauthorized_client", "redirect_uri_mismatch", "invalid_scope", "invalid_request",
          "incorrect_client_credentials", "unsupported_response_type", "unsupported_grant_type")  # fmt: skip


class OAuthClient:
    def __init__(self, settings: Settings, upstream: HttpClient, clock: Clock) -> None:
        self._clock = clock
        self._settings = settings
        self._api = ProviderHttp(settings.backend_timeout, upstream)
        self._directory = ProviderMetadata(self._api, clock)

    def start(
        self, registration: Registration, return_to: str | None, language: str | None, **wishes: str
    ) -> tuple[str, Attempt]:
        """The provider's address to go on to, and the attempt that begins; raises `ProviderUnavailable`.

        `wishes`: further parameters of this one start.
        """
        provider = registration.provider
        attempt = Attempt(provider.id, return_to, language)
        nonce = {"nonce": attempt.nonce} if provider.is_oidc else {}
        address, _ = self._oauth(registration).create_authorization_url(
            self._directory.endpoints(registration).authorize,
            state=attempt.state,
            code_verifier=attempt.code_verifier,
            **wishes,
            **nonce,
            **provider.authorize_params,
        )
        return str(address), attempt

    def finish(self, registration: Registration, attempt: Attempt, answer: Mapping[str, str]) -> Identity:
        """Who the person is that this callback of this attempt brings back; raises a `SiteError`.

        `answer`: the callback's parameters, each of which came once.
        """
        endpoints = self._directory.endpoints(registration)
        _check_issuer(endpoints, answer)
        if "error" in answer:
            _raise(registration, answer["error"], "the callback")
        if not _CODE.fullmatch(answer.get("code", "")):
            raise errors.OAuthCallback("the callback has no code")
        tokens = self._tokens(registration, endpoints, attempt, answer)
        claims = self._claims(registration, endpoints, attempt, tokens) if registration.provider.is_oidc else {}
        identity = self._identity(registration, endpoints, tokens, claims, answer)
        return replace(identity, social_token=tokens[registration.provider.backend_token])

    def _oauth(self, registration: Registration, endpoints: Endpoints | None = None) -> Any:
        secret = registration.provider.client_secret(registration, int(self._clock.time())) if endpoints else None
        method = endpoints.client_auth if endpoints and secret else "none"
        in_header = method == "client_secret_basic"  # RFC 6749, 2.3.1: both are written there as in a form
        return OAuth2Client(
            Wire(self._api),
            client_id=quote_plus(registration.client_id) if in_header else registration.client_id,
            client_secret=quote_plus(secret or "") if in_header else secret,
            token_endpoint_auth_method=method,
            scope=registration.provider.scope or None,
            redirect_uri=f"{self._settings.site_url}/api/auth/callback/{registration.id}",
            code_challenge_method="S256",
        )

    def _tokens(
        self, registration: Registration, endpoints: Endpoints, attempt: Attempt, answer: Mapping[str, str]
    ) -> Mapping[str, Any]:
        again = {name: answer[name] for name in registration.provider.token_params if name in answer}
        body = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in again.items())
        try:
            tokens = self._oauth(registration, endpoints).fetch_token(
                endpoints.token,
                body=body,
                grant_type="authorization_code",
                code=answer["code"],
                code_verifier=attempt.code_verifier,
            )
            validate_token(tokens.get("access_token"))
        except OAuth2Error as error:
            _raise(registration, error.error, "the token endpoint")
        except (ValueError, TypeError, AttributeError):
            raise errors.OAuthCallback("the token endpoint gave no usable token") from None
        if str(tokens.get("token_type", "bearer")).lower() != "bearer":
            raise errors.OAuthCallback("the token endpoint gave a token of another type")
        return tokens  # type: ignore[no-any-return]  # untyped library

    def _claims(
        self, registration: Registration, endpoints: Endpoints, attempt: Attempt, tokens: Mapping[str, Any]
    ) -> dict[str, Any]:
        expected = Expected(
            endpoints.issuers,
            registration.client_id,
            attempt.nonce,
            tokens["access_token"],
            registration.provider.algorithms,
            self._clock.time(),
        )
        keys = partial(self._directory.keys, registration, endpoints)
        try:
            try:
                return id_token.verify(tokens.get("id_token"), keys, expected)
            except id_token.UnknownKey:
                if not self._directory.renew_keys(endpoints):
                    raise
                return id_token.verify(tokens.get("id_token"), keys, expected)
        except id_token.InvalidIdToken as error:
            raise errors.OAuthCallback(f"its id_token is refused: {error}") from None

    def _identity(
        self,
        registration: Registration,
        endpoints: Endpoints,
        tokens: Mapping[str, Any],
        claims: dict[str, Any],
        answer: Mapping[str, str],
    ) -> Identity:
        token, provider = tokens["access_token"], registration.provider
        user = more = None
        if endpoints.user and not (claims.get("email") and claims.get("name")):
            user = self._api.read(endpoints.user, token)
            if claims and dig(user, "sub") != claims["sub"]:  # OpenID Connect Core, 5.3.2
                raise errors.OAuthCallback("its userinfo is about somebody else")
        if provider.optional_url:
            more = self._api.read(registration.url(provider.optional_url), token, optional=True)
        try:
            return validate_identity(provider.identity(ProviderResponses(claims, user, more, answer)), provider.id)
        except (ValueError, KeyError, TypeError) as error:
            raise errors.OAuthCallback(f"what it says of the person is not understood ({error})") from None


def _raise(registration: Registration, code: object, place: str) -> NoReturn:
    """The error that a provider's error code means to the person. None of its own words reaches anybody."""
    word = code.lower() if isinstance(code, str) else ""
    reason = f"{place} says {word if re.fullmatch(r'[a-z0-9_.-]{1,64}', word) else 'something strange'}"
    if word in _CANCELLED:
        raise errors.Cancelled(reason)
    if word in _BUSY:
        raise errors.ProviderUnavailable(reason, status=503)
    if word in registration.provider.code_reuse_errors:
        raise errors.AttemptExpired(reason)
    if word in _SETUP:
        raise errors.Configuration(f"{reason}: check the settings of {registration.id}")
    raise errors.OAuthCallback(reason)


def _check_issuer(endpoints: Endpoints, answer: Mapping[str, str]) -> None:
    """Mix-up (RFC 9207): a callback that names its issuer must name the one that this sign-in was started at."""
    if "iss" in answer and answer["iss"] not in endpoints.issuers:
        raise errors.OAuthCallback("the callback is from another issuer")
    if endpoints.names_itself and "iss" not in answer:
        raise errors.OAuthCallback("the callback does not name its issuer")
