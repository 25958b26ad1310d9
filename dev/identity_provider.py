"""The token endpoint, the user endpoints and the keys of a stand-in provider (RFC 6749, RFC 7636, OpenID Connect Core).

It verifies what the real one verifies. In what providers differ is said by their values in `dev/providers/`.
"""

import json
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import Blueprint, Response, request
from werkzeug.datastructures import CombinedMultiDict, MultiDict

from dev.authorization import Authorization
from dev.grants import Grant, Grants
from dev.providers.base import Client, Json, Provider
from dev.signing import Keys, PublishedKeys, SharedSecret, at_hash


class Refused(Exception):
    """The request is answered with the provider's error of this name."""


class IdentityProvider:
    """One provider that has one client, the site."""

    def __init__(self, provider: Provider, client: Client) -> None:
        self.provider = provider
        self.client = client
        self.issuer = provider.issuer or client.base_url
        self.grants = Grants()
        shares_secret = provider.algorithm == "HS256"
        self.keys: Keys = SharedSecret(client.settings["CLIENT_SECRET"]) if shares_secret else PublishedKeys()

    def blueprint(self) -> Blueprint:
        """The provider under its id, at the paths that it has in the world."""
        provider = self.provider
        bp = Blueprint(provider.id, __name__, url_prefix=f"/{provider.id}")
        Authorization(provider, self.client, self.grants, self.keys).add_to(bp)
        bp.add_url_rule(provider.token_path, view_func=self.token, methods=provider.token_methods)
        for path in provider.personas[0].answers:
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
        except Refused as refused:
            status, body = self.provider.error(str(refused))
            return self._answer(body, status)
        failure = grant.has_failure("token")
        if failure and failure.respond:
            return failure.respond()
        answer = self._tokens(grant)
        return self._answer(failure.change(answer) if failure and failure.change else answer)

    def user(self) -> Response:
        """Something about the person who granted the token."""
        path = request.path.removeprefix(f"/{self.provider.id}")
        grant = self.grants.of_token(request.headers.get("Authorization", "").partition("Bearer ")[2])
        if self.provider.needs_user_agent and not request.headers.get("User-Agent"):
            return self._json({"message": "Request forbidden: a User-Agent header is needed"}, 403)
        if grant is None:
            status, body = self.provider.error("invalid_token")
            return self._json(body, status)
        if self.provider.api_scopes.get(path, "") not in ["", *grant.scopes]:
            return self._json({"message": "Not Found"}, 404)
        failure = grant.has_failure("user")
        if failure and failure.respond:
            return failure.respond()
        answer = grant.persona.answers[path]
        answer = self._agreed(grant, answer) if "sub" in answer else answer
        return self._json(failure.change(answer) if failure and failure.change else answer)

    def jwks(self) -> Response:
        published = self.keys.key_set() if isinstance(self.keys, PublishedKeys) else {"keys": []}
        response = self._json(published)
        response.headers["Cache-Control"] = "public, max-age=60"
        return response

    def discovery(self) -> Response:
        """OpenID Connect Discovery 3; the endpoints are where this stand-in is, the issuer is the provider's."""
        base, provider = self.client.base_url, self.provider
        return self._json(
            {
                "issuer": self.issuer,
                "authorization_endpoint": base + provider.authorization_path,
                "token_endpoint": base + provider.token_path,
                "userinfo_endpoint": base + next(iter(provider.personas[0].answers)),
                "jwks_uri": base + urlsplit(provider.jwks_url).path,
                "scopes_supported": ["openid", "email", "profile"],
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [provider.algorithm],
                "token_endpoint_auth_methods_supported": list(provider.auth_methods),
                "code_challenge_methods_supported": ["S256"],
            }
        )

    def _grant(self, form: MultiDict[str, str] | CombinedMultiDict[str, str]) -> Grant:
        """What the code stands for, once everything is verified. The code is spent by trying."""
        self._authenticate(form)
        if form.get("grant_type") != "authorization_code":
            raise Refused("unsupported_grant_type")
        if not all(form.get(name) for name in ("code", "redirect_uri", *self.provider.token_needs)):
            raise Refused("invalid_request")
        grant = self.grants.redeem(form["code"])
        if grant is None:
            raise Refused("invalid_grant")
        if form["redirect_uri"] != grant.redirect_uri:
            raise Refused("redirect_uri_mismatch")
        if self.provider.pkce_required and not grant.is_proved_by(form.get("code_verifier", "")):
            raise Refused("invalid_grant")
        return grant

    def _authenticate(self, form: MultiDict[str, str] | CombinedMultiDict[str, str]) -> None:
        """Client authentication in a way that the provider allows (RFC 6749, 2.3.1), and one way only."""
        basic = request.authorization
        if basic and (basic.type != "basic" or "client_secret_basic" not in self.provider.auth_methods):
            raise Refused("invalid_client")
        given = basic.parameters if basic else form
        client_id = (basic.username if basic else form.get("client_id")) or ""
        secret = (basic.password if basic else form.get("client_secret")) or ""
        if not given or client_id != self.client.settings["CLIENT_ID"] or (basic and "client_secret" in form):
            raise Refused("invalid_client")
        if not self.provider.accepts_secret(self.client, secret):
            raise Refused("invalid_client")

    def _tokens(self, grant: Grant) -> Json:
        answer = {"access_token": self.grants.issue_token(grant), **self.provider.token_answer(grant.scopes)}
        switched_on = grant.failure and grant.failure.sends_id_token
        if switched_on or self.provider.id_token in ("always", *grant.scopes):
            answer["id_token"] = self.grants.issue_token(grant, self._id_token(grant, answer["access_token"]))
        return answer

    def _id_token(self, grant: Grant, access_token: str) -> str:
        """OpenID Connect Core 2."""
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
        claims |= self._agreed(grant, grant.persona.claims)
        failure = grant.has_failure("id_token")
        claims = failure.change(claims) if failure and failure.change else claims
        return failure.sign(self.keys, claims) if failure and failure.sign else self.keys.sign(claims)

    def _agreed(self, grant: Grant, claims: Json) -> Json:
        """Of the claims those that the scopes ask for (OpenID Connect Core 5.4)."""
        hidden = {name for scope, names in self.provider.scopes.items() if scope not in grant.scopes for name in names}
        return {name: value for name, value in claims.items() if name not in hidden}

    def _answer(self, body: Json, status: int = 200) -> Response:
        """An answer of the token endpoint, never stored (RFC 6749, 5.1)."""
        if self.provider.form_encoded and "application/json" not in request.headers.get("Accept", ""):
            response = Response(urlencode(body), status, mimetype="application/x-www-form-urlencoded")
        else:
            response = self._json(body, status)
        response.headers["Cache-Control"] = "no-store"
        return response

    def _json(self, body: Any, status: int = 200) -> Response:
        return Response(json.dumps(body), status, content_type=self.provider.json_type)
