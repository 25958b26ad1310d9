"""docs/moving-from-keycloak-login.md: Keycloak as issuer and backend, by the settings of the page.

The token endpoint answers as Keycloak's documentation of the standard token exchange says. It is no Keycloak.
"""

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from dotenv import dotenv_values

from tests.support.commands import ROOT
from tests.support.issuer import ACCESS_TOKEN, CLIENT_ID, CLIENT_SECRET, SUBJECT, Issuer, sign_in_via_provider
from tests.support.markdown import MarkdownPage
from tests.support.site import ManualClock, Site, running_site, serve_in_thread

PAGE = MarkdownPage(ROOT / "docs" / "moving-from-keycloak-login.md")
OIDC: dict[str, Any] = {
    "providers": "oidc",
    "oidc_issuer": "https://id.example.com",
    "oidc_label": "Example",
    "oidc_client_id": "x",
}
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@dataclass
class TokenEndpoint:
    """The token and userinfo endpoints of a realm. A refresh token works once."""

    forms: list[dict[str, str]] = field(default_factory=list)
    refresh_tokens: set[str] = field(default_factory=set)
    access_tokens: set[str] = field(default_factory=set)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        status, answer = self._answer(environ["PATH_INFO"], dict(parse_qsl(body)), environ.get("HTTP_AUTHORIZATION"))
        start_response(f"{status} Whatever", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    def _answer(self, path: str, form: dict[str, str], authorization: str | None) -> tuple[int, dict[str, Any]]:
        if path == "/userinfo":
            known = (authorization or "").removeprefix("Bearer ") in self.access_tokens
            return (200, {"sub": SUBJECT, "name": "하늘"}) if known else (401, {"error": "invalid_token"})
        self.forms.append(form)
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client"}
        if path == "/revoke":
            self.access_tokens.discard(form["token"])
            return 200, {}
        granted = {
            EXCHANGE: form.get("subject_token") == ACCESS_TOKEN,
            "refresh_token": form.get("refresh_token") in self.refresh_tokens,
        }
        return self._tokens(form) if granted.get(form["grant_type"]) else (400, {"error": "invalid_grant"})

    def _tokens(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.refresh_tokens.discard(form.get("refresh_token", ""))
        access, refresh = f"access-{len(self.forms)}", f"refresh-{len(self.forms)}"
        self.access_tokens.add(access)
        self.refresh_tokens.add(refresh)
        return 200, {
            "access_token": access,
            "expires_in": 300,
            "refresh_token": refresh,
            "refresh_expires_in": 1800,
            "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:refresh_token",
        }


@dataclass
class Moved:
    site: Site
    issuer: Issuer
    realm: TokenEndpoint
    clock: ManualClock


@pytest.fixture
def moved() -> Iterator[Moved]:
    first, *_ = (block.text for block in PAGE.code_blocks if block.language == "ini")
    shown = {name.lower(): value or "" for name, value in dotenv_values(stream=io.StringIO(first)).items()}
    del shown["site_url"], shown["secret_key"], shown["backend_url"]
    clock, realm = ManualClock(), TokenEndpoint()
    issuer = Issuer(clock=clock)
    secrets = {"oidc_client_id": CLIENT_ID, "oidc_client_secret": CLIENT_SECRET}
    secrets |= {"backend_client_id": CLIENT_ID, "backend_client_secret": CLIENT_SECRET}
    settings: dict[str, Any] = {
        **shown,
        **secrets,
        "oidc_issuer": issuer.url,
        "backend_logout_path": None,
        "backend_profile_path": None,
    }
    with (
        serve_in_thread("127.0.0.1", lambda _: realm) as port,
        running_site(f"http://127.0.0.1:{port}", clock=clock, **settings) as site,
    ):
        yield Moved(site, issuer, realm, clock)
    issuer.stop_listening()
    issuer.close_connections()


def test_the_token_of_the_sign_in_is_exchanged_for_one_of_the_session(moved: Moved) -> None:
    visitor = moved.site.new_visitor()
    sign_in_via_provider(visitor, moved.issuer)
    assert visitor.get_session()["user"]["id"] == SUBJECT
    (form,) = moved.realm.forms
    assert form["subject_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert form["requested_token_type"] == "urn:ietf:params:oauth:token-type:refresh_token"


def test_the_session_is_refreshed_as_long_as_keycloak_does(moved: Moved) -> None:
    visitor = moved.site.new_visitor()
    sign_in_via_provider(visitor, moved.issuer)
    for _ in range(3):
        moved.clock.advance(320)
        assert visitor.is_signed_in
    assert [form["grant_type"] for form in moved.realm.forms] == [EXCHANGE, *3 * ["refresh_token"]]
    moved.realm.refresh_tokens.clear()
    moved.clock.advance(320)
    assert not visitor.is_signed_in


def test_a_token_that_keycloak_does_not_exchange_signs_nobody_in(moved: Moved) -> None:
    moved.issuer.token_fields = {"access_token": "of-another-client"}
    visitor = moved.site.new_visitor()
    sign_in_via_provider(visitor, moved.issuer)
    assert not visitor.is_signed_in


def test_the_template_of_the_page_leaves_the_provider_and_the_messages(tmp_path: Path) -> None:
    (template,) = [block.text for block in PAGE.code_blocks if block.language == "jinja"]
    (tmp_path / "login.html").write_text(template)
    with running_site(templates_dir=tmp_path, **OIDC) as site:
        page = site.new_visitor().get_page("/auth/login/email?error=AccessDenied&callbackUrl=/bookings")
    assert page.find_all("input[@type='password']") == []
    assert page.message
    (form,) = page.find_all("form[@action='/api/auth/signin/oidc']")
    assert form.find(".//input[@name='callbackUrl']").get("value").endswith("/bookings")


def test_a_password_typed_at_munjigi_is_refused_without_direct_access_grants(moved: Moved) -> None:
    visitor = moved.site.new_visitor()
    visitor.sign_in()
    assert not visitor.is_signed_in
