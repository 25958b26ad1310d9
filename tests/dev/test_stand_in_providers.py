"""The stand-in providers, over a real socket, accept and refuse what the real providers do."""

import base64
import hashlib
import html
import json
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
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OctKey
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

import providers
from dev import stand_in_settings
from dev.providers import stand_ins as all_stand_ins
from dev.providers.base import Client, Provider
from dev.signing import at_hash
from dev.stand_ins import create_stand_ins, needed_stand_ins, serve_in_background
from providers.base import Registration
from tests.support.commands import free_port_pair

PROVIDERS = all_stand_ins()
ALL = sorted(PROVIDERS)
CHALLENGED = [name for name in ALL if PROVIDERS[name].pkce_required]
SIGNED_BY_KEYS = ["apple", "google", "oidc"]
KEY = "a key of this checkout"
STATE = "a+b/c=d e&f"


class Quiet(WSGIRequestHandler):
    def log_request(self, *args: Any) -> None:
        pass


@dataclass
class StandIn:
    """One stand-in provider, and a client that plays the site."""

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
            "scope": providers.find(self.provider.id).scope,
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
        """Return the parameters of the site's callback."""
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
        """Return the claims of the id_token after verifying its signature."""
        if self.provider.algorithm == "HS256":
            key = OctKey.import_key(self.client.settings["CLIENT_SECRET"])
            return dict(jwt.decode(tokens["id_token"], key, algorithms=["HS256"]).claims)
        keys = KeySet.import_key_set(requests.get(self.url + urlsplit(self.provider.jwks_url).path, timeout=5).json())
        return dict(jwt.decode(tokens["id_token"], keys, algorithms=["RS256"]).claims)


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[dict[str, StandIn]]:
    port = free_port_pair()
    settings = {
        "SITE_URL": f"http://localhost:{port}",
        "BACKEND_URL": stand_in_settings.stand_in_origin(port),
        **stand_in_settings.missing_settings({}, port, KEY),
    }
    server: BaseWSGIServer = make_server(
        "127.0.0.1", port + 1, create_stand_ins(settings, port), threaded=True, request_handler=Quiet
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield {
        name: StandIn(PROVIDERS[name], client, f"{stand_in_settings.stand_in_origin(port)}/{name}")
        for name, client in stand_in_settings.client_registrations(settings).items()
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
    for path, expected in stand_in.provider.personas[0].api_responses.items():
        assert stand_in.ask(path, tokens["access_token"]).json() == expected


def test_cancelling_returns_the_providers_own_error(stand_in: StandIn) -> None:
    assert stand_in.answer("cancel") == {**stand_in.provider.cancel_error, "state": STATE}


def of(stand_ins: dict[str, StandIn], names: list[str]) -> list[StandIn]:
    return [stand_ins[name] for name in names]


@pytest.mark.parametrize("name", ALL)
def test_the_responses_about_a_development_user_have_their_id(name: str) -> None:
    """Else the first example's subject has another type than in its response: `"4711"` for 4711."""
    for persona in PROVIDERS[name].personas:
        if persona.api_responses:
            assert persona.subject in json.dumps([persona.claims, persona.api_responses])


def test_a_stand_in_has_a_sign_out_page_where_the_site_sends_people(stand_ins: dict[str, StandIn]) -> None:
    named = [provider for provider in providers.in_order() if provider.logout_url]
    assert {"kakao", "microsoft"} <= {provider.id for provider in named}
    for provider in named:
        stand_in = stand_ins[provider.id]
        settings = {**{name: spec.default for name, spec in provider.settings.items()}, **stand_in.client.settings}
        params = {
            "client_id": stand_in.client.settings["CLIENT_ID"],
            provider.logout_redirect_param: stand_in.client.logout_redirect_uri,
            "state": STATE,
        }
        page = requests.get(Registration(provider, settings).url(provider.logout_url or ""), params, timeout=10)
        assert page.status_code == 200, provider.id
        assert f"not {stand_in.provider.name}" in page.text


# --- The authorization endpoint


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example.com/"},
        {"redirect_uri": None},
        {"client_id": "another"},
    ],
    ids=["elsewhere", "missing", "another client"],
)
@pytest.mark.corpus
def test_an_unregistered_redirect_uri_or_client_is_refused(stand_in: StandIn, changes: dict[str, str | None]) -> None:
    page = stand_in.page(**changes)
    assert page.status_code == 400
    assert "evil.example.com" not in page.text
    assert f"not {stand_in.provider.name}" in page.text


@pytest.mark.corpus
def test_a_redirect_uri_with_an_extra_path_is_refused(stand_in: StandIn) -> None:
    assert stand_in.page(redirect_uri=f"{stand_in.client.redirect_uri}/..").status_code == 400


@pytest.mark.corpus
def test_a_missing_code_challenge_returns_an_error_where_pkce_is_required(stand_ins: dict[str, StandIn]) -> None:
    for stand_in in of(stand_ins, CHALLENGED):
        for changes in ({"code_challenge": None}, {"code_challenge_method": "plain"}):
            address = stand_in.url + stand_in.provider.authorization_path
            response = requests.get(address, stand_in.wish(**changes), timeout=5, allow_redirects=False)
            if stand_in.provider.has_separate_sign_in_host:
                response = requests.get(response.headers["Location"], timeout=5, allow_redirects=False)
            assert response.headers["Location"].startswith(f"{stand_in.client.redirect_uri}?error=invalid_request&")


@pytest.mark.corpus
def test_kakao_signs_in_on_a_further_origin(stand_ins: dict[str, StandIn]) -> None:
    page = stand_ins["kakao"].page()
    assert [urlsplit(step.url).hostname for step in [*page.history, page]] == ["127.0.0.1", "localhost"]


@pytest.mark.corpus
@pytest.mark.parametrize(("name", "error"), [("kakao", "consent_required"), ("oidc", "login_required")])
def test_without_a_page_only_who_is_signed_in_gets_a_code(stand_ins: dict[str, StandIn], name: str, error: str) -> None:
    stand_in, browser = stand_ins[name], requests.Session()

    def ask_without_page() -> dict[str, list[str]]:
        url = stand_in.url + stand_in.provider.authorization_path
        response = browser.get(url, params=stand_in.wish(prompt="none"), timeout=5, allow_redirects=False)
        while not response.headers["Location"].startswith(stand_in.client.redirect_uri):
            response = browser.get(response.headers["Location"], timeout=5, allow_redirects=False)
        return parse_qs(urlsplit(response.headers["Location"]).query)

    assert ask_without_page()["error"] == [error]
    page = browser.get(stand_in.url + stand_in.provider.authorization_path, params=stand_in.wish(), timeout=5)
    browser.post(page.url, {"action": "approve", "person": "haneul"}, timeout=5, allow_redirects=False)
    assert stand_in.exchange(ask_without_page()["code"][0]).status_code == 200


def test_kakao_without_openid_connect_refuses_the_openid_scope(stand_ins: dict[str, StandIn]) -> None:
    assert "KOE205" in stand_ins["kakao"].page(scope="openid account_email").text


@pytest.mark.corpus
def test_apple_requires_response_mode_form_post(stand_ins: dict[str, StandIn]) -> None:
    assert "response_mode must be form_post" in stand_ins["apple"].page(response_mode=None).text


@pytest.mark.corpus
def test_apple_sends_the_name_once_until_consent_is_revoked(stand_ins: dict[str, StandIn]) -> None:
    apple = stand_ins["apple"]
    requests.post(apple.page().url, {"action": "forget"}, timeout=5)
    assert '"lastName": "김"' in apple.answer("approve")["user"]
    assert "user" not in apple.answer("approve")
    requests.post(apple.page().url, {"action": "forget"}, timeout=5)
    assert "user" in apple.answer("approve")


@pytest.mark.parametrize(
    ("name", "issuer"), [("google", "https://accounts.google.com"), ("github", "https://github.com/login/oauth")]
)
@pytest.mark.corpus
def test_the_callback_has_the_issuer_of_the_real_provider(
    stand_ins: dict[str, StandIn], name: str, issuer: str
) -> None:
    assert stand_ins[name].answer("approve")["iss"] == issuer


@pytest.mark.corpus
def test_each_page_says_that_it_is_a_stand_in_and_works_without_javascript(stand_in: StandIn) -> None:
    text = stand_in.page().text
    assert f"Development sign-in, not {stand_in.provider.name}" in text
    assert "<script" not in text
    for persona in stand_in.provider.personas:
        assert f'value="{persona.key}"' in text


# --- The token endpoint


def error_of(answer: requests.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()


@pytest.mark.corpus
def test_a_code_is_valid_once(stand_in: StandIn) -> None:
    code = stand_in.answer("approve")["code"]
    assert "access_token" in stand_in.exchange(code).json()
    assert error_of(stand_in.exchange(code)) == stand_in.provider.error("invalid_grant")


@pytest.mark.corpus
def test_a_code_is_valid_for_one_minute(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    code = stand_in.answer("approve")["code"]
    monkeypatch.setattr("dev.grants._CODE_SECONDS", -1)
    assert error_of(stand_in.exchange(code)) == stand_in.provider.error("invalid_grant")


@pytest.mark.corpus
def test_another_redirect_uri_gets_no_token(stand_in: StandIn) -> None:
    answer = stand_in.exchange(stand_in.answer("approve")["code"], redirect_uri="http://localhost/other")
    assert error_of(answer) == stand_in.provider.error("redirect_uri_mismatch")


@pytest.mark.corpus
def test_a_wrong_or_missing_client_secret_gets_no_token(stand_in: StandIn) -> None:
    code = stand_in.answer("approve")["code"]
    for secret in ("wrong", None, "é"):
        answer = stand_in.exchange(code, client_secret=secret)
        assert error_of(answer) == stand_in.provider.error("invalid_client")
    assert "access_token" in stand_in.exchange(code).json()


@pytest.mark.parametrize("verifier", ["w" * 43, None])
@pytest.mark.corpus
def test_a_wrong_or_missing_code_verifier_gets_no_token_where_pkce_is_required(
    stand_in: StandIn, verifier: str | None
) -> None:
    answer = stand_in.exchange(stand_in.answer("approve")["code"], code_verifier=verifier)
    if stand_in.provider.pkce_required:
        assert error_of(answer) == stand_in.provider.error("invalid_grant")
    else:
        assert "access_token" in answer.json()


@pytest.mark.corpus
def test_basic_authentication_is_accepted_only_where_the_real_provider_accepts_it(stand_in: StandIn) -> None:
    settings = stand_in.client.settings
    answer = requests.post(
        stand_in.url + stand_in.provider.token_path,
        {
            "grant_type": "authorization_code",
            "code": stand_in.answer("approve")["code"],
            "redirect_uri": stand_in.client.redirect_uri,
            "code_verifier": stand_in.verifier,
            "state": STATE,
        },
        auth=(settings["CLIENT_ID"], stand_in.secret()),
        headers={"Accept": "application/json"},
        timeout=5,
    )
    if "client_secret_basic" in stand_in.provider.auth_methods:
        assert "access_token" in answer.json()
    else:
        assert error_of(answer) == stand_in.provider.error("invalid_client")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "ANOTHER"},
        {"sub": "another"},
        {"aud": "https://example.com"},
        {"exp": 1},
        {"exp": int(time.time()) + 20_000_000},
        {"exp": None},
    ],
    ids=["iss", "sub", "aud", "expired", "too long-lived", "no exp"],
)
@pytest.mark.corpus
def test_apple_checks_every_claim_of_the_client_secret(stand_ins: dict[str, StandIn], claims: dict[str, Any]) -> None:
    apple = stand_ins["apple"]
    answer = apple.exchange(apple.answer("approve")["code"], client_secret=apple.secret(**claims))
    assert error_of(answer) == (400, {"error": "invalid_client"})


@pytest.mark.corpus
def test_apple_refuses_a_client_secret_signed_by_another_key(stand_ins: dict[str, StandIn]) -> None:
    apple = stand_ins["apple"]
    other = stand_in_settings.missing_settings({}, 1, "another key")["APPLE_PRIVATE_KEY"]
    forger = StandIn(apple.provider, Client(apple.provider, {**apple.client.settings, "PRIVATE_KEY": other}, ""), "")
    answer = apple.exchange(apple.answer("approve")["code"], client_secret=forger.secret())
    assert error_of(answer) == (400, {"error": "invalid_client"})


@pytest.mark.corpus
def test_naver_requires_the_state_in_the_token_request_and_sends_expires_in_as_text(
    stand_ins: dict[str, StandIn],
) -> None:
    naver = stand_ins["naver"]
    assert naver.exchange(naver.answer("approve")["code"], state=None).json()["error"] == "invalid_request"
    assert naver.tokens()["expires_in"] == "3600"


@pytest.mark.corpus
def test_github_answers_form_encoded_unless_json_is_accepted(stand_ins: dict[str, StandIn]) -> None:
    github = stand_ins["github"]
    form = {"client_id": "another"}
    answer = requests.post(github.url + github.provider.token_path, form, timeout=5)
    assert answer.status_code == 200
    assert parse_qs(answer.text)["error"] == ["incorrect_client_credentials"]


# --- The resource endpoints


@pytest.mark.parametrize("name", ["apple", "google", "line", "oidc"])
@pytest.mark.corpus
def test_an_id_token_has_issuer_audience_nonce_and_subject(stand_ins: dict[str, StandIn], name: str) -> None:
    stand_in = stand_ins[name]
    claims = stand_in.claims(stand_in.tokens())
    assert claims["iss"] == (stand_in.provider.issuer or stand_in.url)
    assert claims["aud"] == stand_in.client.settings["CLIENT_ID"]
    assert claims["nonce"] == stand_in.nonce
    assert claims["sub"] == stand_in.provider.personas[0].subject
    assert claims["email"] == "haneul.kim@example.com"
    assert claims["iat"] <= time.time() < claims["exp"]


@pytest.mark.parametrize("name", ["kakao", "naver", "github"])
@pytest.mark.corpus
def test_a_plain_oauth_provider_sends_no_id_token(stand_ins: dict[str, StandIn], name: str) -> None:
    assert "id_token" not in stand_ins[name].tokens()


@pytest.mark.corpus
def test_kakao_may_send_an_unrequested_id_token(stand_ins: dict[str, StandIn]) -> None:
    kakao = stand_ins["kakao"]
    assert kakao.claims(kakao.tokens(failure="oidc_on"))["iss"] == "https://kauth.kakao.com"


@pytest.mark.parametrize("name", ["google", "oidc"])
@pytest.mark.corpus
def test_without_the_scopes_there_is_no_name_and_no_address(stand_ins: dict[str, StandIn], name: str) -> None:
    stand_in = stand_ins[name]
    tokens = stand_in.tokens(scope="openid")
    path = next(iter(stand_in.provider.personas[0].api_responses))
    for told in (stand_in.claims(tokens), stand_in.ask(path, tokens["access_token"]).json()):
        assert "sub" in told
        assert {"name", "email", "picture"}.isdisjoint(told)


@pytest.mark.corpus
def test_a_wrong_access_token_gets_an_error(stand_in: StandIn) -> None:
    for path in stand_in.provider.personas[0].api_responses:
        assert error_of(stand_in.ask(path, "wrong")) == stand_in.provider.error("invalid_token")
        assert requests.get(stand_in.url + path, timeout=5).status_code in (401, 403)


@pytest.mark.corpus
def test_an_access_token_of_one_provider_is_refused_by_another(stand_ins: dict[str, StandIn]) -> None:
    token = stand_ins["google"].tokens()["access_token"]
    assert stand_ins["oidc"].ask("/userinfo", token).status_code == 401


@pytest.mark.corpus
def test_github_requires_a_user_agent_and_the_email_scope(stand_ins: dict[str, StandIn]) -> None:
    github = stand_ins["github"]
    token = github.tokens(scope="read:user")["access_token"]
    assert github.ask("/user", token).status_code == 200
    assert github.ask("/user", token, **{"User-Agent": ""}).status_code == 403
    assert github.ask("/user/emails", token).status_code == 404


@pytest.mark.parametrize("name", SIGNED_BY_KEYS)
@pytest.mark.corpus
def test_after_a_key_rotation_both_keys_are_published(stand_ins: dict[str, StandIn], name: str) -> None:
    stand_in = stand_ins[name]
    before = stand_in.tokens()
    requests.post(stand_in.page().url, {"action": "rotate"}, timeout=5)
    after = stand_in.tokens()
    assert before["id_token"].partition(".")[0] != after["id_token"].partition(".")[0]
    assert stand_in.claims(before)["sub"] == stand_in.claims(after)["sub"]
    keys = requests.get(stand_in.url + urlsplit(stand_in.provider.jwks_url).path, timeout=5).json()["keys"]
    assert len(keys) == 2
    assert all("d" not in key for key in keys)


@pytest.mark.corpus
def test_the_discovery_document_names_every_endpoint(stand_ins: dict[str, StandIn]) -> None:
    oidc = stand_ins["oidc"]
    document = requests.get(f"{oidc.url}/.well-known/openid-configuration", timeout=5).json()
    assert document["issuer"] == oidc.client.settings["ISSUER"] == oidc.url
    assert document["authorization_endpoint"] == f"{oidc.url}/authorize"
    assert requests.get(document["jwks_uri"], timeout=5).status_code == 200
    assert requests.get(document["userinfo_endpoint"], timeout=5).status_code == 401


# --- Failures that a tester can choose


@pytest.mark.parametrize("failure", ["server_error", "temporarily_unavailable"])
@pytest.mark.corpus
def test_an_error_callback_includes_the_state(stand_in: StandIn, failure: str) -> None:
    answer = stand_in.answer("approve", failure=failure)
    assert (answer["error"], answer["state"]) == (failure, STATE)
    assert "code" not in answer


@pytest.mark.corpus
def test_each_callback_failure_can_be_chosen(stand_in: StandIn) -> None:
    assert "state" not in stand_in.answer("approve", failure="missing_state")
    assert stand_in.answer("approve", failure="other_state")["state"] != STATE
    assert "code" not in stand_in.answer("approve", failure="missing_code")
    replayed = stand_in.answer("approve", failure="replayed_code")["code"]
    assert error_of(stand_in.exchange(replayed)) == stand_in.provider.error("invalid_grant")


@pytest.mark.corpus
def test_line_may_send_errors_in_upper_case(stand_ins: dict[str, StandIn]) -> None:
    assert stand_ins["line"].answer("cancel", failure="upper_case")["error"] == "ACCESS_DENIED"


@pytest.mark.corpus
def test_each_token_endpoint_failure_can_be_chosen(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def exchanged(failure: str) -> requests.Response:
        return stand_in.exchange(stand_in.answer("approve", failure=failure)["code"])

    assert exchanged("token_503").status_code == 503
    assert exchanged("token_html").text.startswith("<!doctype html>")
    assert "access_token" not in exchanged("no_access_token").json()
    with pytest.raises(requests.ConnectionError):
        exchanged("dropped")
    monkeypatch.setattr("dev.failures._SLOW_SECONDS", 0.3)
    assert exchanged("slow").elapsed.total_seconds() > 0.3


@pytest.mark.parametrize("name", SIGNED_BY_KEYS)
@pytest.mark.parametrize("failure", ["wrong_signature", "unknown_kid", "alg_none", "public_key_as_secret"])
@pytest.mark.corpus
def test_an_id_token_with_a_bad_signature_fails_verification(
    stand_ins: dict[str, StandIn], name: str, failure: str
) -> None:
    stand_in = stand_ins[name]
    with pytest.raises((JoseError, ValueError)):
        stand_in.claims(stand_in.tokens(failure=failure))


@pytest.mark.parametrize("name", [*SIGNED_BY_KEYS, "line"])
@pytest.mark.corpus
def test_each_wrong_claim_of_an_id_token_can_be_chosen(stand_ins: dict[str, StandIn], name: str) -> None:
    stand_in = stand_ins[name]
    right = stand_in.claims(stand_in.tokens())

    def wrong(failure: str) -> dict[str, Any]:
        return stand_in.claims(stand_in.tokens(failure=failure))

    assert wrong("wrong_nonce")["nonce"] != right["nonce"]
    assert wrong("wrong_aud")["aud"] == "another-client"
    assert wrong("extra_aud")["aud"] == [right["aud"], "another-client"]
    assert wrong("extra_aud")["azp"] == right["aud"]
    assert wrong("other_azp")["azp"] == "another-client"
    assert wrong("wrong_iss")["iss"] != right["iss"]
    assert wrong("expired")["exp"] < time.time() - 3000
    assert "sub" not in wrong("no_sub")
    assert "id_token" not in stand_in.tokens(failure="no_id_token")
    for failure, is_right in (("", True), ("wrong_at_hash", False)):
        tokens = stand_in.tokens(failure=failure)
        assert (stand_in.claims(tokens)["at_hash"] == at_hash(tokens["access_token"])) is is_right


@pytest.mark.corpus
def test_apple_flags_can_be_strings_or_booleans_and_its_issuer_can_be_the_new_one(
    stand_ins: dict[str, StandIn],
) -> None:
    apple = stand_ins["apple"]
    assert apple.claims(apple.tokens("relay"))["is_private_email"] == "true"
    assert apple.claims(apple.tokens("relay", "booleans"))["is_private_email"] is True
    assert apple.claims(apple.tokens(failure="new_issuer"))["iss"] == "https://account.apple.com"


@pytest.mark.parametrize(("name", "path"), [("google", "/v1/userinfo"), ("oidc", "/userinfo")])
@pytest.mark.corpus
def test_the_userinfo_endpoint_can_return_another_subject(stand_ins: dict[str, StandIn], name: str, path: str) -> None:
    stand_in = stand_ins[name]
    token = stand_in.tokens(failure="user_other_sub")["access_token"]
    assert stand_in.ask(path, token).json()["sub"] == "somebody-else"


@pytest.mark.corpus
def test_navers_profile_can_return_an_error_with_status_200(stand_ins: dict[str, StandIn]) -> None:
    naver = stand_ins["naver"]
    answer = naver.ask("/v1/nid/me", naver.tokens(failure="refused_024")["access_token"])
    assert (answer.status_code, answer.json()["resultcode"]) == (200, "024")


# --- The stand-in backend


def social(stand_in: StandIn, tokens: Mapping[str, Any], **body: str) -> requests.Response:
    url = f"{stand_in.url.rpartition('/')[0]}/login/social/callback/{stand_in.provider.id}"
    token = tokens[stand_in.provider.social_token]
    return requests.post(url, json={"social_token": token, **body}, timeout=10)


@pytest.mark.corpus
def test_the_backend_accepts_each_providers_token_and_recognizes_the_user(stand_in: StandIn) -> None:
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


@pytest.mark.corpus
def test_the_backend_refuses_an_invalid_provider_token(stand_in: StandIn) -> None:
    for token in ("wrong", "a.b.c", "한글", "line\r\nbreak"):
        answer = social(stand_in, {"access_token": token, "id_token": token})
        assert error_of(answer) == (401, {"message": "Invalid token"})


@pytest.mark.corpus
def test_the_backend_refuses_a_token_of_another_provider(stand_ins: dict[str, StandIn]) -> None:
    tokens = stand_ins["google"].tokens()
    assert social(stand_ins["apple"], tokens).status_code == 401
    assert social(stand_ins["oidc"], tokens).status_code == 401


@pytest.mark.parametrize("failure", ["wrong_aud", "wrong_iss", "expired", "alg_none", "public_key_as_secret"])
@pytest.mark.corpus
def test_the_backend_verifies_apples_id_token_itself(stand_ins: dict[str, StandIn], failure: str) -> None:
    assert social(stand_ins["apple"], stand_ins["apple"].tokens(failure=failure)).status_code == 401


@pytest.mark.parametrize("body", [[], {}, {"social_token": 1}, {"social_token": "t", "email": []}, "text"])
@pytest.mark.corpus
def test_the_backend_answers_a_malformed_body_with_422(stand_ins: dict[str, StandIn], body: Any) -> None:
    url = f"{stand_ins['apple'].url.rpartition('/')[0]}/login/social/callback/apple"
    assert requests.post(url, json=body, timeout=5).status_code == 422


@pytest.mark.corpus
def test_the_backend_answers_an_unknown_provider_with_404(stand_ins: dict[str, StandIn]) -> None:
    url = f"{stand_ins['apple'].url.rpartition('/')[0]}/login/social/callback/unknown"
    assert requests.post(url, json={"social_token": "t"}, timeout=5).status_code == 404


@pytest.mark.corpus
def test_an_address_that_belongs_to_an_email_account_is_a_conflict(stand_in: StandIn) -> None:
    email = {"email": "minji@example.com"} if stand_in.provider.id == "apple" else {}
    tells_it = email or "minji@example.com" in str(stand_in.provider.persona("taken").api_responses)
    assert social(stand_in, stand_in.tokens("taken"), **email).status_code == (409 if tells_it else 201)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        ("backend_401", 401),
        ("backend_422", 422),
        ("backend_403", 403),
        ("backend_409", 409),
        ("backend_429", 429),
        ("backend_429_bare", 429),
        ("backend_500", 500),
        ("backend_503", 503),
        ("backend_html", 200),
    ],
)
@pytest.mark.corpus
def test_a_backend_failure_can_be_chosen_on_the_providers_page(stand_in: StandIn, failure: str, status: int) -> None:
    answer = social(stand_in, stand_in.tokens(failure=failure))
    assert answer.status_code == status
    assert ("Retry-After" in answer.headers) == (failure == "backend_429")
    assert "plainTextToken" not in answer.text


@pytest.mark.corpus
def test_an_unusable_backend_token_can_be_chosen(stand_in: StandIn) -> None:
    def token(failure: str) -> str:
        return str(social(stand_in, stand_in.tokens(failure=failure)).json()["data"]["token"]["plainTextToken"])

    assert "\n" in token("backend_newline")
    backend = stand_in.url.rpartition("/")[0]
    headers = {"Authorization": f"Bearer {token('backend_no_user')}"}
    assert requests.post(f"{backend}/user", headers=headers, timeout=5).status_code == 401


# --- Settings


def test_without_settings_every_provider_has_a_stand_in_with_stable_secrets() -> None:
    settings = stand_in_settings.missing_settings({}, 8080, KEY)
    assert settings["PROVIDERS"] == ",".join(provider.id for provider in providers.in_order())
    assert settings["PROVIDERS"].startswith("kakao,naver,apple,google,")
    assert settings["KAKAO_BASE_URL"] == "http://127.0.0.1:8081/kakao"
    assert settings["OIDC_ISSUER"] == "http://127.0.0.1:8081/oidc"
    assert settings["OIDC_LABEL"] == "Example"
    assert "APPLE_CLIENT_SECRET" not in settings
    assert settings["APPLE_PRIVATE_KEY"].startswith("-----BEGIN PRIVATE KEY-----")
    assert settings == stand_in_settings.missing_settings({}, 8080, KEY)
    assert (
        settings["KAKAO_CLIENT_SECRET"]
        != stand_in_settings.missing_settings({}, 8080, "another")["KAKAO_CLIENT_SECRET"]
    )


def test_a_provider_with_configured_credentials_has_no_stand_in() -> None:
    given = {"PROVIDERS": "kakao,google", "GOOGLE_CLIENT_ID": "real", "SITE_URL": "http://localhost:8080"}
    ours = stand_in_settings.missing_settings(given, 8080, KEY)
    assert set(ours) == {"KAKAO_CLIENT_ID", "KAKAO_CLIENT_SECRET", "KAKAO_BASE_URL"}
    assert needed_stand_ins({**given, **ours, "BACKEND_URL": "http://127.0.0.1:8081"}, 8080) == ["backend", "kakao"]


def test_each_of_several_issuers_has_a_stand_in() -> None:
    given = {"PROVIDERS": "oidc:staff,oidc:partners", "SITE_URL": "http://localhost:8080", "STAFF_LABEL": "Employees"}
    ours = stand_in_settings.missing_settings(given, 8080, KEY)
    assert ours["PARTNERS_ISSUER"] == "http://127.0.0.1:8081/partners"
    assert ours["PARTNERS_LABEL"] == "Partners"
    assert "STAFF_LABEL" not in ours
    assert ours["STAFF_CLIENT_SECRET"] != ours["PARTNERS_CLIENT_SECRET"]
    rules = {rule.rule for rule in create_stand_ins({**given, **ours}, 8080).url_map.iter_rules()}
    assert {"/staff/token", "/partners/token"} <= rules


def test_with_a_real_backend_only_the_listed_providers_have_a_stand_in() -> None:
    given = {"BACKEND_URL": "https://api.example.com", "SITE_URL": "http://localhost:8080"}
    assert stand_in_settings.missing_settings(given, 8080, KEY) == {}
    asked = {**given, "PROVIDERS": "naver"}
    assert needed_stand_ins({**asked, **stand_in_settings.missing_settings(asked, 8080, KEY)}, 8080) == ["naver"]


@pytest.mark.corpus
def test_with_a_real_backend_the_stand_ins_serve_providers_only() -> None:
    given = {"BACKEND_URL": "https://api.example.com", "SITE_URL": "http://localhost:8080", "PROVIDERS": "naver"}
    rules = create_stand_ins(given | stand_in_settings.missing_settings(given, 8080, KEY), 8080).url_map.iter_rules()
    assert {rule.rule for rule in rules} == {"/naver/oauth2.0/authorize", "/naver/oauth2.0/token", "/naver/v1/nid/me"}


@pytest.mark.corpus
def test_the_stand_in_logs_one_line_per_call_and_no_secrets(capfd: pytest.CaptureFixture[str]) -> None:
    port = free_port_pair()
    given = {
        "SITE_URL": f"http://localhost:{port}",
        "BACKEND_URL": stand_in_settings.stand_in_origin(port),
        "PROVIDERS": "kakao",
    }
    serve_in_background(given | stand_in_settings.missing_settings(given, port, KEY), port)
    here = stand_in_settings.stand_in_origin(port)
    requests.get(f"{here}/kakao/oauth/authorize?client_id=sent-1", timeout=5)
    requests.post(f"{here}/login/social/callback/kakao", json={"social_token": "sent-2"}, timeout=5)
    printed = capfd.readouterr().err
    assert "  kakao    GET    /oauth/authorize -> 400\n" in printed
    assert "  kakao    GET    /v2/user/me -> 401\n" in printed
    assert "  backend  POST   /login/social/callback/kakao -> 401\n" in printed
    assert "sent-" not in printed


def test_the_stand_in_backend_knows_a_backend_by_the_name_of_its_file_too() -> None:
    assert stand_in_settings.protocol({"BACKEND": "dj_rest_auth"}) == "dj-rest-auth"


def test_a_backend_without_a_protocol_of_its_own_gets_no_paths_of_another() -> None:
    assert "BACKEND_PROFILE_PATH" in stand_in_settings.backend_settings({}, 8080)
    assert stand_in_settings.backend_settings({"BACKEND": "custom"}, 8080).keys() == {
        "BACKEND_URL",
        "BACKEND_NEXT_STEP_URLS",
    }
