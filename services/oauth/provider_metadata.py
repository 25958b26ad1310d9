"""The endpoints of a provider: from its file, or from the metadata of an issuer (OpenID Connect Discovery 1.0)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from joserfc.jwk import Key, OctKey

import errors
import settings_readers
from providers.base import Registration
from services.clock import Clock
from services.oauth import signed_jwt
from services.oauth.document_cache import DocumentCache
from services.oauth.provider_http import ProviderHttp
from services.request_context import RequestContext

Keys = Callable[[str | None], Sequence[Key]]
"""Returns the keys that may have signed a token with this `kid`; raises `signed_jwt.KeyNotFound` if there is none."""
_T = TypeVar("_T")
_WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True)
class Endpoints:
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str | None
    userinfo_endpoint: str | None
    issuers: tuple[str, ...]
    """The values of `iss` that the provider may use."""
    token_endpoint_auth_method: str
    """How the client authenticates at the token endpoint, such as `client_secret_basic`."""
    sends_iss: bool = False
    """Each callback has an `iss` parameter (RFC 9207)."""
    end_session_endpoint: str | None = None
    """Where a sign-out at the provider starts (OpenID Connect RP-Initiated Logout 1.0, 2)."""
    sends_logout_tokens: bool = False
    """Its metadata says that it supports back-channel logout."""


class ProviderMetadata:
    def __init__(self, http: ProviderHttp, clock: Clock) -> None:
        self._cache = DocumentCache(http, clock)

    def endpoints(self, registration: Registration, context: RequestContext) -> Endpoints:
        """The endpoints of a provider. Raises `ProviderUnavailable` if its metadata cannot be used."""
        provider = registration.provider
        if not provider.discovery:
            return Endpoints(
                authorization_endpoint=registration.url(provider.authorize_url),
                token_endpoint=registration.url(provider.token_url),
                jwks_uri=provider.keys_url and registration.url(provider.keys_url),
                userinfo_endpoint=provider.user_url and registration.url(provider.user_url),
                issuers=() if provider.issuer_of else registration.issuers({}),
                token_endpoint_auth_method=provider.client_auth,
                end_session_endpoint=registration.url(provider.logout_url) if provider.logout_url else None,
            )
        url = (registration.issuer or "").rstrip("/") + _WELL_KNOWN
        try:
            return _endpoints_from(registration, self._cache.get(url, context))
        except errors.ProviderUnavailable:
            document = self._cache.refresh(url, context)
            if document is None:
                raise
            return _endpoints_from(registration, document)

    def verify(
        self, registration: Registration, endpoints: Endpoints, context: RequestContext, verify: Callable[[Keys], _T]
    ) -> _T:
        """The result of `verify(keys)`, which verifies a token with the provider's keys.

        If no key fits, the provider may have rotated its keys: fetch them again, unless that was done a moment ago.
        """

        def keys(kid: str | None) -> Sequence[Key]:
            return self._keys(registration, endpoints, kid, context)

        try:
            return verify(keys)
        except signed_jwt.KeyNotFound:
            if not self._refresh_keys(endpoints, context):
                raise
            return verify(keys)

    def _keys(
        self, registration: Registration, endpoints: Endpoints, kid: str | None, context: RequestContext
    ) -> Sequence[Key]:
        if registration.provider.signed_with_secret:
            return [OctKey.import_key(registration.secret or "")]
        return signed_jwt.public_keys(self._cache.get(endpoints.jwks_uri or "", context), kid)

    def _refresh_keys(self, endpoints: Endpoints, context: RequestContext) -> bool:
        """Fetch the keys again. Returns False if that was done a moment ago, or the provider publishes no keys."""
        return bool(endpoints.jwks_uri) and self._cache.refresh(endpoints.jwks_uri or "", context) is not None


def _endpoints_from(registration: Registration, metadata: Mapping[str, Any]) -> Endpoints:
    """OpenID Connect Discovery 1.0, 3 and 4.3: the issuer must be identical, and every endpoint must be https."""
    issuer = registration.issuer or ""
    if metadata.get("issuer") != issuer:
        raise errors.ProviderUnavailable("its metadata names another issuer than the settings")
    is_local = issuer.startswith("http://")
    urls = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        urls[name] = url = metadata.get(name)
        if url is None and name == "userinfo_endpoint":
            continue
        if not isinstance(url, str) or not settings_readers.is_safe(url, loopback=is_local):
            raise errors.ProviderUnavailable(f"its metadata has no safe {name}")
    methods = metadata.get("token_endpoint_auth_methods_supported")
    supports_post = isinstance(methods, list) and "client_secret_post" in methods
    return Endpoints(
        authorization_endpoint=str(urls["authorization_endpoint"]),
        token_endpoint=str(urls["token_endpoint"]),
        jwks_uri=urls["jwks_uri"],
        userinfo_endpoint=urls["userinfo_endpoint"],
        issuers=(issuer,),
        token_endpoint_auth_method="client_secret_post" if supports_post else "client_secret_basic",
        sends_iss=metadata.get("authorization_response_iss_parameter_supported") is True,
        end_session_endpoint=_safe_url(metadata.get("end_session_endpoint"), loopback=is_local),
        sends_logout_tokens=metadata.get("backchannel_logout_supported") is True,
    )


def _safe_url(url: object, *, loopback: bool) -> str | None:
    """The URL of an optional endpoint; None if it is missing or not safe."""
    return url if isinstance(url, str) and settings_readers.is_safe(url, loopback=loopback) else None
