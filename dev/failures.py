"""What can go wrong in a sign-in, to choose on the page of a stand-in provider. Each choice is good for one sign-in."""

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
_SLOW = 15


def offered(provider: Provider) -> dict[str, Failure]:
    """What can be chosen at this provider: what is common to all, and what is a matter of its own."""
    chosen = dict(_CALLBACK | _TOKEN)
    if provider.id_token != "never":
        chosen |= _ID_TOKEN
    if provider.id_token != "never" and provider.algorithm == "RS256":
        chosen |= _PUBLISHED_KEYS
    if provider.user_urls or provider.discovery_path:
        chosen |= _USER
    if any("sub" in answer for answer in provider.personas[0].answers.values()):
        chosen |= _USERINFO
    return {**provider.variants, **chosen, **_BACKEND}


def _page(status: int) -> Response:
    return Response(_PAGE, status, mimetype="text/html")


def _said(status: int, message: str, **headers: str) -> Response:
    return Response(json.dumps({"message": message}), status, headers, mimetype="application/json")


def _hang_up() -> Response:
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return Response()


def _after_a_while(answer: Any) -> Any:
    time.sleep(_SLOW)
    return answer


def _without(*names: str) -> Any:
    return lambda answer: {name: value for name, value in answer.items() if name not in names}


def _with(**items: Any) -> Any:
    return lambda answer: answer | items


def _error(code: str) -> Any:
    return lambda callback: (
        {"error": code, "error_description": "<b>chosen on the page</b>"}
        | {name: value for name, value in callback.items() if name == "state"}
    )


def _for_two(claims: dict[str, Any]) -> dict[str, Any]:
    return claims | {"aud": [claims["aud"], "another-client"], "azp": claims["aud"]}


def _for_another_of_two(claims: dict[str, Any]) -> dict[str, Any]:
    return _for_two(claims) | {"azp": "another-client"}


def _long_ago(claims: dict[str, Any]) -> dict[str, Any]:
    return claims | {"iat": claims["iat"] - 7200, "exp": claims["iat"] - 3600}


def _somebody_else(answer: Any) -> Any:
    return answer | {"sub": "somebody-else"} if isinstance(answer, dict) and "sub" in answer else answer


_CALLBACK = {
    "server_error": Failure("error=server_error", "callback", _error("server_error")),
    "temporarily_unavailable": Failure("error=temporarily_unavailable", "callback", _error("temporarily_unavailable")),
    "missing_state": Failure("no state", "callback", _without("state")),
    "other_state": Failure(
        "somebody else's state", "callback", lambda callback: callback | {"state": secrets.token_urlsafe(24)}
    ),
    "missing_code": Failure("neither code nor error", "callback", _without("code")),
    "replayed_code": Failure("a code that was used already", "grant", lambda grant: replace(grant, used=True)),
}
_TOKEN = {
    "slow": Failure(f"answers after {_SLOW} s", "token", _after_a_while),
    "token_503": Failure("503 and an HTML page", "token", respond=lambda: _page(503)),
    "token_html": Failure("200 and an HTML page", "token", respond=lambda: _page(200)),
    "dropped": Failure("hangs up without an answer", "token", respond=_hang_up),
    "no_access_token": Failure("an answer without access_token", "token", _without("access_token")),
}
_ID_TOKEN = {
    "no_id_token": Failure("is missing", "token", _without("id_token")),
    "wrong_nonce": Failure("another nonce", "id_token", _with(nonce="another")),
    "wrong_aud": Failure("for another client (aud)", "id_token", _with(aud="another-client")),
    "extra_aud": Failure("for another client, too (list of aud, azp is ours)", "id_token", _for_two),
    "other_azp": Failure("for two clients, issued to the other (azp)", "id_token", _for_another_of_two),
    "wrong_iss": Failure("another issuer", "id_token", _with(iss="https://issuer.example.net")),
    "expired": Failure("expired an hour ago", "id_token", _long_ago),
    "wrong_at_hash": Failure("at_hash of another access token", "id_token", _with(at_hash=signing.at_hash("other"))),
    "no_sub": Failure("no sub", "id_token", _without("sub")),
    "wrong_signature": Failure("signed with another key", "id_token", sign=signing.with_anothers_key),
    "alg_none": Failure("not signed (alg none)", "id_token", sign=signing.unsigned),
}
_PUBLISHED_KEYS = {
    "unknown_kid": Failure("a key that is not published", "id_token", sign=signing.with_unknown_key),
    "public_key_as_secret": Failure(
        "HS256 with the public key as secret", "id_token", sign=signing.with_public_key_as_secret
    ),
}
_USER = {
    "user_503": Failure("503 and an HTML page", "user", respond=lambda: _page(503)),
}
_USERINFO = {
    "user_other_sub": Failure("another sub than in the id_token", "user", _somebody_else),
}
_BACKEND = {
    "backend_401": Failure("401", "backend", respond=lambda: _said(401, "Invalid token")),
    "backend_422": Failure(
        "422: e-mail address required",
        "backend",
        respond=lambda: Response(
            '{"message": "The email field is required.", "errors": {"email": ["The email field is required."]}}',
            422,
            mimetype="application/json",
        ),
    ),
    "backend_403": Failure("403", "backend", respond=lambda: _said(403, "Your email address is not verified.")),
    "backend_409": Failure("409", "backend", respond=lambda: _said(409, "Already linked to another account.")),
    "backend_429": Failure(
        "429 with Retry-After", "backend", respond=lambda: _said(429, "Too Many Attempts.", **{"Retry-After": "57"})
    ),
    "backend_429_bare": Failure(
        "429 without Retry-After", "backend", respond=lambda: _said(429, "Too many login attempts.")
    ),
    "backend_500": Failure("500", "backend", respond=lambda: _said(500, "Server Error")),
    "backend_503": Failure("503 and an HTML page", "backend", respond=lambda: _page(503)),
    "backend_html": Failure("200 and an HTML page", "backend", respond=lambda: _page(200)),
    "backend_no_user": Failure("401 for the user after a good sign-in", "backend", lambda token: f"0|{token}"),
    "backend_newline": Failure("a token with a line break", "backend", lambda token: f"{token}\r\nX-Injected: 1"),
}
