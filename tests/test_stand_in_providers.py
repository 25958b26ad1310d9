"""The stand-in providers over a real socket: each signs people in as the real one would, and refuses what it would."""

import base64
import hashlib
import html
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from dev import stand_in_settings
from dev.providers import PROVIDERS
from dev.providers.base import Client, Provider
from dev.stand_ins import create_stand_ins
from tests.commands import free_ports

ALL = sorted(PROVIDERS)
SCOPES = {
    "kakao": "",
    "naver": "",
    "apple": "openid name email",
    "google": "openid email profile",
    "github": "read:user user:email",
    "line": "profile openid email",
    "discord": "identify email",
    "oidc": "openid email profile",
}
CHALLENGED = [name for name in ALL if PROVIDERS[name].pkce_required]
SIGNED_BY_KEYS = ["apple", "google", "oidc"]
STATE = "a+b/c=d e&f"


class Quiet(WSGIRequestHandler):
    def log_request(self, *args: Any) -> None:
        pass


@dataclass
class StandIn:
    """One provider, and the site as its client, acted out by hand."""

    provider: Provider
    client: Client
    url: str
    verifier: str = "v" * 43
    nonce: str = "n-0S6"

    def wish(self, **changes: str | None) -> dict[str, str]:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.client.settings["CLIENT_ID"],
            "redirect_uri": self.client.redirect_uri,
            "scope": SCOPES[self.provider.id],
            "state": STATE,
            "nonce": self.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "response_mode": "form_post" if self.provider.id == "apple" else "query",
            **changes,
        }
        return {name: value for name, value in asked.items() if value is not None}

    def page(self, **changes: str | None) -> requests.Response:
        return requests.get(self.url + self.provider.authorization_path, self.wish(**changes), timeout=5)

    def answer(self, action: str, person: str = "haneul", failure: str = "", **changes: str | None) -> dict[str, str]:
        """What comes to the site's callback."""
        form = {"action": action, "person": person, "failure": failure}
        page = self.page(**changes)
        assert page.status_code == 200, page.text
        done = requests.post(page.url, form, timeout=5, allow_redirects=False)
        if done.status_code == 200:
            assert f'action="{self.client.redirect_uri}"' in done.text
            fields = re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', done.text)
            return {name: html.unescape(value) for name, value in fields}
        assert done.status_code == 302
        address, _, query = done.headers["Location"].partition("?")
        assert address == self.client.redirect_uri
        return {name: values[0] for name, values in parse_qs(query).items()}

    def secret(self, **claims: Any) -> str:
        settings = self.client.settings
        if self.provider.id != "apple":
            return settings["CLIENT_SECRET"]
        now = int(time.time())
        stated = {"iss": settings["TEAM_ID"], "sub": settings["CLIENT_ID"], "aud": "https://appleid.apple.com"}
        header = {"alg": "ES256", "kid": settings["KEY_ID"]}
        key = ECKey.import_key(settings["PRIVATE_KEY"])
        return jwt.encode(header, stated | {"iat": now, "exp": now + 300} | claims, key, algorithms=["ES256"])

    def exchange(self, code: str, **changes: str | None) -> requests.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.client.redirect_uri,
            "client_id": self.client.settings["CLIENT_ID"],
            "client_secret": self.secret(),
            "code_verifier": self.verifier,
            "state": STATE,
            **changes,
        }
        sent = {name: value for name, value in form.items() if value is not None}
        return requests.post(
            self.url + self.provider.token_path, sent, headers={"Accept": "application/json"}, timeout=20
        )

    def tokens(self, person: str = "haneul", failure: str = "", **changes: str | None) -> dict[str, Any]:
        answer = self.exchange(self.answer("approve", person, failure, **changes)["code"])
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        assert tokens["access_token"], tokens
        return tokens

    def ask(self, path: str, token: str, **headers: str) -> requests.Response:
        return requests.get(self.url + path, headers={"Authorization": f"Bearer {token}", **headers}, timeout=5)

    def claims(self, tokens: Mapping[str, Any]) -> dict[str, Any]:
        """Of the id_token, its signature verified as a client would."""
        if self.provider.algorithm == "HS256":
            key = OctKey.import_key(self.client.settings["CLIENT_SECRET"])
            return dict(jwt.decode(tokens["id_token"], key, algorithms=["HS256"]).claims)
        keys = KeySet.import_key_set(requests.get(self.url + urlsplit(self.provider.jwks_url).path, timeout=5).json())
        return dict(jwt.decode(tokens["id_token"], keys, algorithms=["RS256"]).claims)


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[dict[str, StandIn]]:
    port = free_ports()
    settings = {"SITE_URL": f"http://localhost:{port}", "BACKEND_URL": stand_in_settings.origin(port)}
    settings |= stand_in_settings.completed(
        {"SITE_URL": settings["SITE_URL"], "PROVIDERS": ",".join(ALL)}, port, "a key of this checkout"
    ) | {"PROVIDERS": ",".join(ALL)}
    server: BaseWSGIServer = make_server(
        "127.0.0.1", port + 1, create_stand_ins(settings, port), threaded=True, request_handler=Quiet
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield {
        name: StandIn(PROVIDERS[name], client, f"{stand_in_settings.origin(port)}/{name}")
        for name, client in stand_in_settings.clients(settings).items()
    }
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(params=ALL)
def stand_in(request: pytest.FixtureRequest, stand_ins: dict[str, StandIn]) -> StandIn:
    return stand_ins[request.param]


def test_a_person_signs_in_at_each_provider(stand_in: StandIn) -> None:
    callback = stand_in.answer("approve")
    assert callback["state"] == STATE
    tokens = stand_in.exchange(callback["code"]).json()
    for path, expected in stand_in.provider.personas[0].answers.items():
        assert stand_in.ask(path, tokens["access_token"]).json() == expected


def test_who_cancels_comes_back_with_the_providers_own_error(stand_in: StandIn) -> None:
    assert stand_in.answer("cancel") == {**stand_in.provider.cancelled, "state": STATE}


def social(stand_in: StandIn, tokens: Mapping[str, Any], **body: str) -> requests.Response:
    url = f"{stand_in.url.rpartition('/')[0]}/login/social/callback/{stand_in.provider.id}"
    token = tokens[stand_in.provider.social_token]
    return requests.post(url, json={"social_token": token, **body}, timeout=10)


def test_the_backend_takes_each_providers_token_and_knows_the_person_again(stand_in: StandIn) -> None:
    person = "long"
    email = {"email": "long@example.com"} if stand_in.provider.id == "apple" else {}
    first = social(stand_in, stand_in.tokens(person), **email)
    again = social(stand_in, stand_in.tokens(person), **email)
    assert (first.status_code, again.status_code) == (201, 200)
    backend = stand_in.url.rpartition("/")[0]
    users = [
        requests.post(
            f"{backend}/user",
            headers={"Authorization": f"Bearer {answer.json()['data']['token']['plainTextToken']}"},
            timeout=5,
        ).json()["data"]["user"]
        for answer in (first, again)
    ]
    assert users[0] == users[1]
    assert set(users[0]) == {"id", "name", "nick_name", "email"}
