"""Sign-in with a provider: OAuth 2.0 (RFC 6749, RFC 9700) with PKCE and state, and OpenID Connect Core 1.0.

`authorization_url` starts an attempt, which is stored in a cookie of the browser; `finish` ends it. Authlib implements
the protocol. This module and `id_token.py` add the checks that Authlib does not make.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import quote_plus, urlencode

from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.client import OAuth2Client

import errors
from config import Settings
from providers.base import Identity, ProviderResponses, Registration, dig
from services.backend.user import validate_identity
from services.bearer_token import validate_token
from services.clock import MAX_DIFFERENCE_SECONDS, Clock
from services.http.client import HttpClient
from services.oauth import id_token, logout_token, notification
from services.oauth.attempts import Attempt
from services.oauth.logout_token import LogoutToken
from services.oauth.notification import Notification
from services.oauth.provider_http import AuthlibSession, ProviderHttp
from services.oauth.provider_metadata import Endpoints, ProviderMetadata
from services.oauth.signed_jwt import InvalidToken
from services.request_context import RequestContext
from services.sessions.issuer_session import IssuerSession

_CODE = re.compile(r"[!-~]+")
"""RFC 6749, A.11, which allows a space too; in practice, a space was a `+`. The size is up to the provider."""
_CANCELLED_ERRORS = ("access_denied", "user_cancelled_authorize")
_BUSY_ERRORS = ("temporarily_unavailable", "server_error", "slow_down")
_CONFIGURATION_ERRORS = ("invalid_client", "unauthorized_client", "redirect_uri_mismatch", "invalid_scope",
                         "invalid_request", "incorrect_client_credentials", "unsupported_response_type",
                         "unsupported_grant_type")  # fmt: skip


class OAuthClient:
    def __init__(self, settings: Settings, http: HttpClient, clock: Clock) -> None:
        self._clock = clock
        self._settings = settings
        self._http = ProviderHttp(http)
        self.metadata = ProviderMetadata(self._http, clock)

    def authorization_url(
        self,
        registration: Registration,
        context: RequestContext,
        return_to: str | None,
        locale: str | None,
        *,
        user_id: str | None = None,
        remember: bool | None = None,
        end_others_of: str | None = None,
        link_session: str | None = None,
        is_automatic: bool = False,
        **extra_params: str,
    ) -> tuple[str, Attempt]:
        """The URL to redirect to, and the attempt that starts; raises `ProviderUnavailable`.

        return_to: where the person goes afterwards. locale: the language that they chose on this site. user_id: the
        user whose session this sign-in confirms; the provider is asked to sign the person in again, if it can be.
        remember: the person asked to stay signed in. end_others_of: as in `SignInOptions`. link_session: the session
        whose user connects the provider. is_automatic: the provider shows no page (`Provider.auto_login_params`).
        """
        provider = registration.provider
        declared_params = _declared_params(registration, is_confirmation=user_id is not None)
        started_at = int(self._clock.time()) if user_id or "max_age" in declared_params else None
        attempt = Attempt(
            provider.id,
            return_to,
            locale,
            user_id=user_id,
            started_at=started_at,
            remember=remember,
            end_others_of=end_others_of,
            link_session=link_session,
            is_automatic=is_automatic or None,
        )
        if is_automatic:
            extra_params |= provider.auto_login_params
        nonce = {"nonce": attempt.nonce} if provider.is_oidc else {}
        url, _ = self._authlib_client(registration, context).create_authorization_url(
            self.metadata.endpoints(registration, context).authorization_endpoint,
            state=attempt.state,
            code_verifier=attempt.code_verifier,
            **{**declared_params, **extra_params, **nonce},
        )
        return str(url), attempt

    def fetch_identity(
        self, registration: Registration, attempt: Attempt, params: Mapping[str, str], context: RequestContext
    ) -> Identity:
        """The identity of the person who returns in a callback; raises a `SiteError`.

        params: the parameters of the callback, none of them repeated.
        """
        return self.finish(registration, attempt, params, context)[0]

    def finish(
        self, registration: Registration, attempt: Attempt, params: Mapping[str, str], context: RequestContext
    ) -> tuple[Identity, IssuerSession | None]:
        """The same, with the session at the provider if the provider can end it with a logout token."""
        endpoints = self.metadata.endpoints(registration, context)
        _check_issuer(endpoints, params)
        if "error" in params:
            _raise_provider_error(registration, params["error"], "the callback")
        if not params.get("code"):
            raise errors.OAuthCallback("the callback has no code")
        if not _CODE.fullmatch(params["code"]):
            raise errors.OAuthCallback("the callback's code is not printable ASCII without spaces")
        tokens = self._fetch_tokens(registration, endpoints, attempt, params, context)
        claims: dict[str, Any] = {}
        if registration.provider.is_oidc:
            claims = self._verify_id_token(registration, endpoints, attempt, tokens, context)
            _check_auth_time(registration, attempt, claims)
            _check_param_claims(registration, claims)
        identity = self._identity(registration, endpoints, tokens, claims=claims, params=params, context=context)
        id_token = tokens["id_token"] if registration.provider.is_oidc else ""  # otherwise, nobody has verified it
        identity = replace(
            identity,
            social_token=tokens[registration.provider.backend_token],
            access_token=tokens["access_token"],
            id_token=id_token,
        )
        return identity, _issuer_session(registration, identity, claims, tokens.get("id_token"))

    def verify_logout_token(self, registration: Registration, token: object, context: RequestContext) -> LogoutToken:
        """The content of a logout token of this provider; raises `InvalidToken` or `ProviderUnavailable`."""
        endpoints = self.metadata.endpoints(registration, context)
        expected = logout_token.Expected(
            endpoints.issuers, registration.client_id, registration.provider.algorithms, self._clock.time()
        )
        return self.metadata.verify(
            registration, endpoints, context, lambda keys: logout_token.verify(token, keys, expected)
        )

    def verify_notification(self, registration: Registration, token: object, context: RequestContext) -> Notification:
        """The content of a notification of this provider; raises `InvalidToken` or `ProviderUnavailable`."""
        endpoints = self.metadata.endpoints(registration, context)
        expected = notification.Expected(
            endpoints.issuers,
            registration.notification_audiences,
            registration.provider.algorithms,
            self._clock.time(),
        )
        return self.metadata.verify(
            registration, endpoints, context, lambda keys: notification.verify(token, keys, expected)
        )

    def _authlib_client(
        self, registration: Registration, context: RequestContext, endpoints: Endpoints | None = None
    ) -> Any:
        issued_at = int(self._clock.time()) - MAX_DIFFERENCE_SECONDS  # not in the future for the provider's clock
        secret = registration.provider.client_secret(registration, issued_at) if endpoints else None
        method = endpoints.token_endpoint_auth_method if endpoints and secret else "none"
        in_header = method == "client_secret_basic"  # RFC 6749, 2.3.1: both are form-encoded there
        return OAuth2Client(
            AuthlibSession(self._http, context),
            client_id=quote_plus(registration.client_id) if in_header else registration.client_id,
            client_secret=quote_plus(secret or "") if in_header else secret,
            token_endpoint_auth_method=method,
            scope=registration.scope or None,
            redirect_uri=f"{self._settings.site_url}/api/auth/callback/{registration.id}",
            code_challenge_method="S256",
        )

    def _fetch_tokens(
        self,
        registration: Registration,
        endpoints: Endpoints,
        attempt: Attempt,
        params: Mapping[str, str],
        context: RequestContext,
    ) -> Mapping[str, Any]:
        extra = {name: params[name] for name in registration.provider.token_params if name in params}
        body = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in extra.items())
        try:
            tokens = self._authlib_client(registration, context, endpoints).fetch_token(
                endpoints.token_endpoint,
                body=body,
                grant_type="authorization_code",
                code=params["code"],
                code_verifier=attempt.code_verifier,
            )
            validate_token(tokens.get("access_token"))
        except OAuth2Error as error:
            _raise_provider_error(registration, registration.provider.error_code(error.error), "the token endpoint")
        except (ValueError, TypeError, AttributeError):
            raise errors.OAuthCallback("the token endpoint returned no valid token") from None
        if str(tokens.get("token_type", "bearer")).lower() != "bearer":
            raise errors.OAuthCallback("the token endpoint returned a token of another type")
        return tokens  # type: ignore[no-any-return]  # untyped library

    def _verify_id_token(
        self,
        registration: Registration,
        endpoints: Endpoints,
        attempt: Attempt,
        tokens: Mapping[str, Any],
        context: RequestContext,
    ) -> dict[str, Any]:
        expected = id_token.Expected(
            endpoints.issuers,
            registration.client_id,
            attempt.nonce,
            tokens["access_token"],
            registration.provider.algorithms,
            self._clock.time(),
            registration.issuers if registration.provider.issuer_of else None,
        )
        try:
            return self.metadata.verify(
                registration,
                endpoints,
                context,
                lambda keys: id_token.verify(tokens.get("id_token"), keys, expected),
            )
        except InvalidToken as error:
            raise errors.OAuthCallback(f"its id_token is refused: {error}") from None

    def _identity(
        self,
        registration: Registration,
        endpoints: Endpoints,
        tokens: Mapping[str, Any],
        *,
        claims: dict[str, Any],
        params: Mapping[str, str],
        context: RequestContext,
    ) -> Identity:
        token, provider = tokens["access_token"], registration.provider
        userinfo = extra = None
        if endpoints.userinfo_endpoint and not (claims.get("email") and claims.get("name")):
            # The id_token alone proves the identity. Without userinfo, only a name or an address may be missing.
            url = _with_params(endpoints.userinfo_endpoint, provider.user_params(registration, token))
            userinfo = self._http.get_json(url, token, context, kind=dict, optional=bool(claims))
            if claims and userinfo is not None and (subject := dig(userinfo, "sub")) != claims["sub"]:
                # OpenID Connect Core 1.0, 5.3.2
                raise errors.OAuthCallback(
                    "its userinfo has no sub" if subject is None else "its userinfo is about another person"
                )
        if provider.optional_url:
            url = _with_params(registration.url(provider.optional_url), provider.user_params(registration, token))
            extra = self._http.get_json(url, token, context, optional=True)
        try:
            return validate_identity(provider.identity(ProviderResponses(claims, userinfo, extra, params)), provider.id)
        except (ValueError, KeyError, TypeError) as error:
            raise errors.OAuthCallback(f"its user data cannot be used ({error})") from None


def _with_params(url: str, params: Mapping[str, str]) -> str:
    if not params:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}"


def _issuer_session(
    registration: Registration, identity: Identity, claims: Mapping[str, Any], verified_token: str | None
) -> IssuerSession | None:
    """The session at the provider. claims: of the id_token, which is verified for OpenID Connect providers."""
    if not registration.provider.can_send_logout_tokens:
        return None
    sid = claims.get("sid")
    has_sid = isinstance(sid, str) and 0 < len(sid) <= logout_token.MAX_ID_LENGTH
    return IssuerSession.create(
        registration.issuer_name,
        identity.subject,
        sid if has_sid else None,
        int(claims["iat"]),
        with_hint=registration.ends_at_provider,
        id_token=verified_token,
    )


def _raise_provider_error(registration: Registration, code: object, place: str) -> NoReturn:
    """Raise the error for a provider's error code. The provider's description is not shown."""
    word = code.lower() if isinstance(code, str) else ""
    reason = f"{place} says {word if re.fullmatch(r'[a-z0-9_.-]{1,64}', word) else 'something unreadable'}"
    if word in _CANCELLED_ERRORS:
        raise errors.Cancelled(reason)
    if word in _BUSY_ERRORS:
        raise errors.ProviderUnavailable(reason, status=503)
    if word in registration.provider.code_reuse_errors:
        raise errors.AttemptExpired(reason)
    if word in _CONFIGURATION_ERRORS:
        raise errors.Configuration(f"{reason}: check the settings of {registration.id}")
    raise errors.OAuthCallback(reason)


def _declared_params(registration: Registration, *, is_confirmation: bool) -> Mapping[str, str]:
    """The parameters of the provider's file and of the settings. A confirmation always asks for the password."""
    provider = registration.provider
    reauthenticate_params = provider.reauthenticate_params if is_confirmation else {}
    return {**registration.params, **provider.authorize_params, **reauthenticate_params}


def _check_auth_time(registration: Registration, attempt: Attempt, claims: Mapping[str, Any]) -> None:
    """Check `auth_time`: the browser may remove `prompt` and `max_age` from the URL (OpenID Connect Core, 3.1.2.1)."""
    max_age = _declared_params(registration, is_confirmation=attempt.user_id is not None).get("max_age")
    if attempt.started_at is None or max_age is None:
        return
    auth_time = claims.get("auth_time")
    if not isinstance(auth_time, int | float) or isinstance(auth_time, bool):
        raise errors.OAuthCallback("its id_token has no auth_time, although the request had max_age")
    if auth_time < attempt.started_at - int(max_age) - MAX_DIFFERENCE_SECONDS:
        raise errors.OAuthCallback("it did not ask for the password again: auth_time is too long before the request")


def _check_param_claims(registration: Registration, claims: Mapping[str, Any]) -> None:
    for param, claim in registration.provider.param_claims.items():
        expected, actual = registration.params.get(param), claims.get(claim)
        if expected is not None and (not isinstance(actual, str) or actual.lower() != expected.lower()):
            raise errors.AccessDenied(f"its id_token does not have the {claim} of {registration.id.upper()}_PARAMS")


def _check_issuer(endpoints: Endpoints, params: Mapping[str, str]) -> None:
    """Prevent mix-up attacks: `iss` in a callback must be the issuer at which the sign-in started (RFC 9207)."""
    if "iss" in params and params["iss"] not in endpoints.issuers:
        raise errors.OAuthCallback("the callback is from another issuer")
    if endpoints.sends_iss and "iss" not in params:
        raise errors.OAuthCallback("the callback does not name its issuer")
