"""The failures that can be chosen on the page of a stand-in provider. A choice applies to one sign-in."""

import json
import secrets
import socket
import time
from dataclasses import replace
from typing import Any

from flask import Response, request

from dev import signing
from dev.providers.base import Failure, Provider

_PAGE = "<!doctype html><title>Service Unavailable</title><h1>Back soon</h1>"
_SLOW_SECONDS = 15


def available_failures(provider: Provider) -> dict[str, Failure]:
    """Return the failures of this provider by name: its own, and the common ones that apply to it."""
    failures = dict(_CALLBACK | _TOKEN)
    if provider.id_token != "never":
        failures |= _ID_TOKEN
    if provider.id_token != "never" and provider.algorithm == "RS256":
        failures |= _PUBLISHED_KEYS
    if provider.user_urls or provider.discovery_path:
        failures |= _USER
    if any("sub" in answer for answer in provider.personas[0].api_responses.values()):
        failures |= _USERINFO
    return {**provider.failures, **failures, **_BACKEND}


def _html_response(status: int) -> Response:
    return Response(_PAGE, status, mimetype="text/html")


def _json_response(status: int, message: str, **headers: str) -> Response:
    return Response(json.dumps({"message": message}), status, headers, mimetype="application/json")


def _close_connection() -> Response:
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return Response()


def _delay(body: Any) -> Any:
    time.sleep(_SLOW_SECONDS)
    return body


def _without(*names: str) -> Any:
    return lambda body: {name: value for name, value in body.items() if name not in names}


def _with(**items: Any) -> Any:
    return lambda body: body | items


def _error(code: str) -> Any:
    return lambda callback: (
        {"error": code, "error_description": "<b>chosen on the page</b>"}
        | {name: value for name, value in callback.items() if name == "state"}
    )


def _two_audiences(claims: dict[str, Any]) -> dict[str, Any]:
    return claims | {"aud": [claims["aud"], "another-client"], "azp": claims["aud"]}


def _other_authorized_party(claims: dict[str, Any]) -> dict[str, Any]:
    return _two_audiences(claims) | {"azp": "another-client"}


def _expired(claims: dict[str, Any]) -> dict[str, Any]:
    return claims | {"iat": claims["iat"] - 7200, "exp": claims["iat"] - 3600}


def _other_subject(body: Any) -> Any:
    return body | {"sub": "somebody-else"} if isinstance(body, dict) and "sub" in body else body


_CALLBACK = {
    "server_error": Failure("error=server_error", "callback", _error("server_error")),
    "temporarily_unavailable": Failure("error=temporarily_unavailable", "callback", _error("temporarily_unavailable")),
    "missing_state": Failure("no state", "callback", _without("state")),
    "other_state": Failure(
        "another browser's state", "callback", lambda callback: callback | {"state": secrets.token_urlsafe(24)}
    ),
    "missing_code": Failure("neither code nor error", "callback", _without("code")),
    "replayed_code": Failure("a code that was used already", "grant", lambda grant: replace(grant, used=True)),
}
_TOKEN = {
    "slow": Failure(f"responds after {_SLOW_SECONDS} s", "token", _delay),
    "token_503": Failure("503 and an HTML page", "token", respond=lambda: _html_response(503)),
    "token_html": Failure("200 and an HTML page", "token", respond=lambda: _html_response(200)),
    "dropped": Failure("closes the connection without a response", "token", respond=_close_connection),
    "no_access_token": Failure("a response without access_token", "token", _without("access_token")),
}
_ID_TOKEN = {
    "no_id_token": Failure("is missing", "token", _without("id_token")),
    "wrong_nonce": Failure("another nonce", "id_token", _with(nonce="another")),
    "wrong_aud": Failure("for another client (aud)", "id_token", _with(aud="another-client")),
    "extra_aud": Failure("for two clients (list in aud), azp is this client", "id_token", _two_audiences),
    "other_azp": Failure("for two clients (list in aud), azp is the other client", "id_token", _other_authorized_party),
    "wrong_iss": Failure("another issuer", "id_token", _with(iss="https://issuer.example.net")),
    "expired": Failure("expired an hour ago", "id_token", _expired),
    "wrong_at_hash": Failure("at_hash of another access token", "id_token", _with(at_hash=signing.at_hash("other"))),
    "no_sub": Failure("no sub", "id_token", _without("sub")),
    "wrong_signature": Failure("signed with another key", "id_token", sign=signing.sign_with_wrong_key),
    "alg_none": Failure("not signed (alg none)", "id_token", sign=signing.encode_unsigned),
}
_PUBLISHED_KEYS = {
    "unknown_kid": Failure("a key that is not published", "id_token", sign=signing.sign_with_unknown_key),
    "public_key_as_secret": Failure(
        "HS256 with the public key as secret", "id_token", sign=signing.sign_with_public_key_as_secret
    ),
}
_USER = {
    "user_503": Failure("503 and an HTML page", "user", respond=lambda: _html_response(503)),
}
_USERINFO = {
    "user_other_sub": Failure("another sub than in the id_token", "user", _other_subject),
}


def ask_for_next_step(answer: Any) -> Any:
    """Changes nothing: it marks the failure after which the backend asks for a second factor."""
    return answer


def ask_for_fields(answer: Any) -> Any:
    """Changes nothing: it marks the failure after which the backend wants further fields for a new account."""
    return answer


_BACKEND = {
    "backend_next_step": Failure("a second factor", "backend", ask_for_next_step),
    "backend_fields": Failure("further fields for a new account", "backend", ask_for_fields),
    "backend_401": Failure("401", "backend", respond=lambda: _json_response(401, "Invalid token")),
    "backend_422": Failure(
        "422: e-mail address required",
        "backend",
        respond=lambda: Response(
            '{"message": "The email field is required.", "errors": {"email": ["The email field is required."]}}',
            422,
            mimetype="application/json",
        ),
    ),
    "backend_403": Failure(
        "403", "backend", respond=lambda: _json_response(403, "Your email address is not verified.")
    ),
    "backend_409": Failure("409", "backend", respond=lambda: _json_response(409, "Already linked to another account.")),
    "backend_429": Failure(
        "429 with Retry-After",
        "backend",
        respond=lambda: _json_response(429, "Too Many Attempts.", **{"Retry-After": "57"}),
    ),
    "backend_429_bare": Failure(
        "429 without Retry-After", "backend", respond=lambda: _json_response(429, "Too many login attempts.")
    ),
    "backend_500": Failure("500", "backend", respond=lambda: _json_response(500, "Server Error")),
    "backend_503": Failure("503 and an HTML page", "backend", respond=lambda: _html_response(503)),
    "backend_html": Failure("200 and an HTML page", "backend", respond=lambda: _html_response(200)),
    "backend_no_user": Failure("401 for the user after a good sign-in", "backend", lambda token: f"0|{token}"),
    "backend_newline": Failure("a token with a line break", "backend", lambda token: f"{token}\r\nX-Injected: 1"),
}
