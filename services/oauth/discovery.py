"""Where a provider's addresses are: in its file, or in what an issuer publishes (OpenID Connect Discovery)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import Key, OctKey

import errors
import settings_readers
from providers.base import Registration
from services.clock import Clock
from services.oauth import id_token
from services.oauth.metadata_cache import MetadataCache
from services.oauth.provider_http import ProviderHttp

_WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True)
class Endpoints:
    authorize: str
    token: str
    keys: str | None
    user: str | None
    issuers: tuple[str, ...]
    """By which names the provider goes."""
    client_auth: str
    names_itself: bool = False
    """Each callback bears the issuer's name (RFC 9207)."""


class ProviderMetadata:
    """The endpoints and the keys of each provider, as far as they have to be looked up."""

    def __init__(self, api: ProviderHttp, clock: Clock) -> None:
        self._documents = MetadataCache(api.document, api.time_left, clock)

    def endpoints(self, registration: Registration) -> Endpoints:
        """Raises `ProviderUnavailable` if they cannot be had, or are not to be trusted."""
        provider = registration.provider
        if not provider.discovery:
            return Endpoints(
                authorize=registration.url(provider.authorize_url),
                token=registration.url(provider.token_url),
                keys=provider.keys_url and registration.url(provider.keys_url),
                user=provider.user_url and registration.url(provider.user_url),
                issuers=tuple(filter(None, (provider.issuer, *provider.other_issuers))),
                client_auth=provider.client_auth,
            )
        url = (registration.issuer or "").rstrip("/") + _WELL_KNOWN
        try:
            return _discovered(registration, self._documents.get(url))
        except errors.ProviderUnavailable:
            renewed = self._documents.again(url)
            if renewed is None:
                raise
            return _discovered(registration, renewed)

    def keys(self, registration: Registration, endpoints: Endpoints, kid: str | None) -> Sequence[Key]:
        """Those that may have signed an id_token with this `kid`; raises `InvalidIdToken` if there are none."""
        if registration.provider.signed_with_secret:
            return [OctKey.import_key(registration.secret or "")]
        return id_token.public_keys(self._documents.get(endpoints.keys or ""), kid)

    def renew_keys(self, endpoints: Endpoints) -> bool:
        """Look whether there are new keys; False if that was done a moment ago, or there are none to look for."""
        return bool(endpoints.keys) and self._documents.again(endpoints.keys or "") is not None


def _discovered(registration: Registration, metadata: Mapping[str, Any]) -> Endpoints:
    """OpenID Connect Discovery, 3 and 4.3: the issuer is compared to the letter, and no address may be an open one."""
    issuer = registration.issuer or ""
    if metadata.get("issuer") != issuer:
        raise errors.ProviderUnavailable("its metadata names another issuer than the settings")
    local = issuer.startswith("http://")
    found = {}
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
        found[name] = url = metadata.get(name)
        if url is None and name == "userinfo_endpoint":
            continue
        if not isinstance(url, str) or not settings_readers.is_safe(url, loopback=local):
            raise errors.ProviderUnavailable(f"its metadata has no safe {name}")
    methods = metadata.get("token_endpoint_auth_methods_supported")
    post = isinstance(methods, list) and "client_secret_post" in methods
    return Endpoints(
        authorize=str(found["authorization_endpoint"]),
        token=str(found["token_endpoint"]),
        keys=found["jwks_uri"],
        user=found["userinfo_endpoint"],
        issuers=(issuer,),
        client_auth="client_secret_post" if post else "client_secret_basic",
        names_itself=metadata.get("authorization_response_iss_parameter_supported") is True,
    )
