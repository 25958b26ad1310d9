"""The token endpoint, the user endpoints and the keys of a stand-in provider (RFC 6749, RFC 7636, OpenID Connect Core).

It makes the same checks as the real provider. The values in `dev/providers/` describe the differences.
"""

import json
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, request
from werkzeug.datastructures import CombinedMultiDict, MultiDict

from dev.authorization import Authorization
from dev.grants import Grant, Grants
from dev.logout import Logout
from dev.notifications import Notifications
from dev.providers.base import Client, Json, Provider
from dev.signing import Keys, PublishedKeys, SharedSecret, at_hash


class ProviderError(Exception):
    """The request failed with the error of this name (see `Provider.error`)."""


class IdentityProvider:
    """A provider with the site as its only client."""

    def __init__(self, provider: Provider, client: Client) -> None:
        self.provider = provider
        self.client = client
        self.issuer = provider.issuer or client.base_url
        self.grants = Grants()
        uses_secret = provider.algorithm == "HS256"
        self.keys: Keys = SharedSecret(client.settings["CLIENT_SECRET"]) if uses_secret else PublishedKeys()

    def blueprint(self) -> Blueprint:
        """Return the endpoints below `/<id>`, with the paths of the real provider."""
        provider = self.provider
        bp = Blueprint(provider.id, __name__, url_prefix=f"/{provider.id}")
        logout = Logout(provider, self.client)
        logout.register(bp)
        Notifications(provider, self.client, self.keys).register(bp)
        Authorization(provider, self.client, self.grants, self.keys, logout).register(bp)
        bp.add_url_rule(provider.token_path, view_func=self.token, methods=provider.token_methods)
        for path in provider.personas[0].api_responses:
            bp.add_url_rule(path, view_func=self.user, methods=["GET", "POST"])
        if provider.jwks_url:
            bp.add_url_rule(urlsplit(provider.jwks_url).path, view_func=self.jwks)
        if provider.discovery_path:
            bp.add_url_rule(provider.discovery_path, view_func=self.discovery)
        return bp

    def token(self) -> Response:
        form = request.form if request.method == "POST" else request.args
        try:
            grant = self._grant(form)
        except ProviderError as error:
            status, body = self.provider.error(str(error))
            return self._token_endpoint_response(body, status)
        failure = grant.failure_at("token")
        if failure and failure.respond:
            return failure.respond()
        body = self._tokens(grant)
        return self._token_endpoint_response(failure.transform(body) if failure and failure.transform else body)

    def user(self) -> Response:
        """Return the API response for this path about the user of the access token."""
        path = request.path.removeprefix(f"/{self.provider.id}")
        grant = self.grants.grant_for_token(request.headers.get("Authorization", "").partition("Bearer ")[2])
        if self.provider.requires_user_agent and not request.headers.get("User-Agent"):
            return self._json({"message": "Request forbidden: a User-Agent header is needed"}, 403)
        if grant is None:
            status, body = self.provider.error("invalid_token")
            return self._json(body, status)
        if self.provider.required_scopes.get(path, "") not in ["", *grant.scopes]:
            return self._json({"message": "Not Found"}, 404)
        failure = grant.failure_at("user")
        if failure and failure.respond:
            return failure.respond()
        body = grant.persona.api_responses[path]
        body = self._filter_by_scopes(grant, body) if "sub" in body else body
        return self._json(failure.transform(body) if failure and failure.transform else body)

    def jwks(self) -> Response:
        key_set = self.keys.key_set() if isinstance(self.keys, PublishedKeys) else {"keys": []}
        response = self._json(key_set)
        response.headers["Cache-Control"] = "public, max-age=60"
        return response

    def discovery(self) -> Response:
        """Return the metadata (OpenID Connect Discovery 1.0, section 3): the real issuer, endpoints of the stand-in."""
        base, provider = self.client.base_url, self.provider
        return self._json(
            {
                "issuer": self.issuer,
                "authorization_endpoint": base + provider.authorization_path,
                "token_endpoint": base + provider.token_path,
                "userinfo_endpoint": base + next(iter(provider.personas[0].api_responses)),
                **({"end_session_endpoint": base + provider.logout_path} if provider.logout_path else {}),
                "jwks_uri": base + urlsplit(provider.jwks_url).path,
                "scopes_supported": ["openid", "email", "profile"],
                "response_types_supported": ["code"],
                "response_modes_supported": ["query", "form_post"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [provider.algorithm],
                "token_endpoint_auth_methods_supported": list(provider.auth_methods),
                "code_challenge_methods_supported": ["S256"],
            }
        )

    def _grant(self, form: MultiDict[str, str] | CombinedMultiDict[str, str]) -> Grant:
        """Verify a token request and return its grant. Redeems the code. Raises `ProviderError`."""
        self._authenticate(form)
        if form.get("grant_type") != "authorization_code":
            raise ProviderError("unsupported_grant_type")
        if not all(form.get(name) for name in ("code", "redirect_uri", *self.provider.required_token_parameters)):
            raise ProviderError("invalid_request")
        grant = self.grants.redeem(form["code"])
        if grant is None:
            raise ProviderError("invalid_grant")
        if form["redirect_uri"] != grant.redirect_uri:
            raise ProviderError("redirect_uri_mismatch")
        if self.provider.pkce_required and not grant.matches_verifier(form.get("code_verifier", "")):
            raise ProviderError("invalid_grant")
        return grant

    def _authenticate(self, form: MultiDict[str, str] | CombinedMultiDict[str, str]) -> None:
        """Authenticate the client with exactly one method that the provider supports (RFC 6749, section 2.3.1)."""
        basic = request.authorization
        if basic and (basic.type != "basic" or "client_secret_basic" not in self.provider.auth_methods):
            raise ProviderError("invalid_client")
        credentials = basic.parameters if basic else form
        client_id = (basic.username if basic else form.get("client_id")) or ""
        secret = (basic.password if basic else form.get("client_secret")) or ""
        if not credentials or client_id != self.client.settings["CLIENT_ID"] or (basic and "client_secret" in form):
            raise ProviderError("invalid_client")
        if not self.provider.is_valid_secret(self.client, secret):
            raise ProviderError("invalid_client")

    def _tokens(self, grant: Grant) -> Json:
        body = {"access_token": self.grants.issue_token(grant), **self.provider.token_response(grant.scopes)}
        adds_id_token = grant.failure and grant.failure.sends_id_token
        if adds_id_token or self.provider.id_token in ("always", *grant.scopes):
            body["id_token"] = self.grants.issue_token(grant, self._id_token(grant, body["access_token"]))
        return body

    def _id_token(self, grant: Grant, access_token: str) -> str:
        """Return a signed id_token (OpenID Connect Core 1.0, section 2)."""
        now = int(time.time())
        claims: Json = {
            "iss": self.issuer,
            "aud": self.client.settings["CLIENT_ID"],
            "sub": grant.persona.subject,
            "iat": now,
            "exp": now + 3600,
            "auth_time": now,
            "at_hash": at_hash(access_token),
        }
        claims |= {"nonce": grant.nonce} if grant.nonce else {}
        claims |= self._filter_by_scopes(grant, grant.persona.claims)
        failure = grant.failure_at("id_token")
        claims = failure.transform(claims) if failure and failure.transform else claims
        return failure.sign(self.keys, claims) if failure and failure.sign else self.keys.sign(claims)

    def _filter_by_scopes(self, grant: Grant, claims: Json) -> Json:
        """Return the claims that the granted scopes include (OpenID Connect Core 1.0, section 5.4)."""
        hidden = {name for scope, names in self.provider.scopes.items() if scope not in grant.scopes for name in names}
        return {name: value for name, value in claims.items() if name not in hidden}

    def _token_endpoint_response(self, body: Json, status: int = 200) -> Response:
        """Return a response of the token endpoint, which must not be cached (RFC 6749, section 5.1)."""
        if self.provider.form_encoded and "application/json" not in request.headers.get("Accept", ""):
            response = Response(urlencode(body), status, mimetype="application/x-www-form-urlencoded")
        else:
            response = self._json(body, status)
        response.headers["Cache-Control"] = "no-store"
        return response

    def _json(self, body: Any, status: int = 200) -> Response:
        return Response(json.dumps(body), status, content_type=self.provider.json_content_type)
