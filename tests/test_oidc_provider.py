"""An issuer that is not ours, the certified `oidc-provider` from npm, signs people in: `PROVIDERS=oidc` and no more."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin

import pytest
import requests

import dev
from dev.stand_ins import create_stand_ins
from services.oauth import metadata_cache
from tests.commands import free_ports
from tests.node import node
from tests.site import SECRET, Page, Visitor, served

pytestmark = [pytest.mark.external, pytest.mark.usefixtures("logs_as_before")]

HERE = Path(__file__).parent
CLIENT_ID = "munjigi+test:1"
CLIENT_SECRET = "secret:with/what=a&form%would+change"


class Issuers:
    """Providers of that package, in a Node process that waits for calls."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, name: str, **params: Any) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"name": name, "params": params}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "Node has ended; its last words are above"
        return str(json.loads(answer))


@pytest.fixture(scope="module")
def issuers() -> Iterator[Issuers]:
    script, pipe = HERE / "oidc_provider.mjs", subprocess.PIPE
    with subprocess.Popen(
        [node("oidc-provider"), script], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as process:
        yield Issuers(process)


@dataclass
class Registered:
    """The site and the issuer that it is registered with."""

    site_url: str
    issuer: str
    issuers: Issuers
    registration: dict[str, Any]

    def change(self, **changes: Any) -> None:
        """The issuer starts anew: with another key at least, and with what else is said."""
        self.registration |= changes
        self.issuers.call("serve", issuer=self.issuer, **self.registration)

    def visitor(self) -> Visitor:
        return Visitor(self.site_url, {})

    def start(self, visitor: Visitor, back_to: str = "/account") -> str:
        """Press the button; the page at the issuer where one signs in."""
        page = Page(visitor.submit("/api/auth/signin/oidc", {"callbackUrl": back_to}))
        assert page.status == 200
        address = str(page.all("meta[@http-equiv='refresh']")[0].get("content")).partition("url=")[2]
        assert address == page.all("a[@class='button button-primary']")[0].get("href")
        return self._follow(visitor, requests.Request("GET", address))

    def sign_in(self, visitor: Visitor, login: str = "minji") -> requests.Response:
        """All of it; the site's answer to the callback."""
        form = self.start(visitor)
        consent = self._follow(visitor, requests.Request("POST", form, data={"prompt": "login", "login": login}))
        callback = self._follow(visitor, requests.Request("POST", consent, data={"prompt": "consent"}))
        assert callback.startswith(f"{self.site_url}/api/auth/callback/oidc?"), callback
        return visitor.get(callback)

    def cancel(self, visitor: Visitor) -> requests.Response:
        return visitor.get(self._follow(visitor, requests.Request("GET", f"{self.start(visitor)}/abort")))

    def _follow(self, visitor: Visitor, request: requests.Request) -> str:
        """Through the issuer's redirects to its next page, or to the site's callback, which is not asked yet."""
        answer = visitor.request(request.method, request.url, data=request.data)
        for _ in range(5):
            if answer.status_code not in (302, 303):
                break
            if (address := answer.headers["Location"]).startswith(self.site_url):
                return address
            answer = visitor.get(urljoin(answer.url, address))
        assert answer.status_code == 200, answer.text
        return answer.url


@contextmanager
def registered(
    issuers: Issuers, method: str = "client_secret_basic", alg: str = "RS256", **more: Any
) -> Iterator[Registered]:
    """A development site whose one provider is real: its stand-in backend asks the issuer about each token."""
    port, issuer = free_ports(), issuers.call("listen")
    secret = {} if method == "none" else {"OIDC_CLIENT_SECRET": CLIENT_SECRET}
    environ = {"SECRET_KEY": SECRET, "PROVIDERS": "oidc", "OIDC_CLIENT_ID": CLIENT_ID, "OIDC_ISSUER": issuer, **secret}
    client = {"client_id": CLIENT_ID, "redirect_uris": [f"http://localhost:{port}/api/auth/callback/oidc"]}
    client |= {} if method == "none" else {"client_secret": CLIENT_SECRET}
    with (
        served("127.0.0.1", lambda _: create_stand_ins(dev.completed(environ, port), port), port + 1),
        served("localhost", lambda _: dev.create_site(environ, port), port),
    ):
        running = Registered(f"http://localhost:{port}", issuer, issuers, {})
        running.change(client=client, method=method, alg=alg, **more)
        yield running


def expect_signed_in(answer: requests.Response, visitor: Visitor, login: str = "minji") -> None:
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{visitor.url}/account")
    user = visitor.session()["user"]
    assert (user["name"], user["nick_name"], user["email"]) == (f"{login} 홍", login, f"{login}@example.org")


def expect_error(answer: requests.Response, code: str) -> None:
    assert answer.status_code == 303
    assert re.search(rf"/auth/login/email\?error={code}&callbackUrl=.*%2Faccount", answer.headers["Location"])


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_a_person_signs_in_however_the_site_proves_itself(issuers: Issuers, method: str) -> None:
    with registered(issuers, method) as at:
        visitor = at.visitor()
        expect_signed_in(at.sign_in(visitor), visitor)


@pytest.mark.parametrize("alg", ["PS256", "ES256", "EdDSA"])
def test_a_person_signs_in_whatever_the_issuer_signs_with(issuers: Issuers, alg: str) -> None:
    with registered(issuers, alg=alg) as at:
        visitor = at.visitor()
        expect_signed_in(at.sign_in(visitor), visitor)


def test_a_person_signs_in_where_the_id_token_tells_all(issuers: Issuers) -> None:
    with registered(issuers, more={"conformIdTokenClaims": False}) as at:
        visitor = at.visitor()
        expect_signed_in(at.sign_in(visitor), visitor)


def test_the_same_person_is_the_same_and_another_is_another(issuers: Issuers) -> None:
    with registered(issuers) as at:
        ids = []
        for login in ("minji", "minji", "jun"):
            visitor = at.visitor()
            expect_signed_in(at.sign_in(visitor, login), visitor, login)
            ids.append(visitor.session()["user"]["id"])
    assert ids[0] == ids[1] != ids[2]


def test_who_is_signed_in_at_the_issuer_only_presses_the_button(issuers: Issuers) -> None:
    with registered(issuers) as at:
        visitor = at.visitor()
        at.sign_in(visitor)
        visitor.submit("/auth/logout", {})
        assert not visitor.is_signed_in
        callback = at.start(visitor)
        expect_signed_in(visitor.get(callback), visitor)


def test_who_cancels_is_told_so_and_may_try_again(issuers: Issuers) -> None:
    with registered(issuers) as at:
        visitor = at.visitor()
        answer = at.cancel(visitor)
        expect_error(answer, "Cancelled")
        assert Page(visitor.get(answer.headers["Location"])).notes == [
            "Sign-in was cancelled. Try again, or sign in another way."
        ]
        assert not visitor.is_signed_in
        expect_signed_in(at.sign_in(visitor), visitor)


def test_a_new_key_is_found_at_once_but_not_asked_for_all_the_time(issuers: Issuers) -> None:
    with registered(issuers) as at:
        expect_signed_in(at.sign_in(first := at.visitor()), first)
        at.change()
        expect_signed_in(at.sign_in(second := at.visitor()), second)
        at.change()
        expect_error(at.sign_in(third := at.visitor()), "OAuthCallback")
        assert not third.is_signed_in


def test_after_the_pause_the_next_key_is_found_too(issuers: Issuers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_cache, "PAUSE_SECONDS", 0)
    with registered(issuers) as at:
        for alg in ("RS256", "ES256", "PS256"):
            at.change(alg=alg)
            expect_signed_in(at.sign_in(visitor := at.visitor()), visitor)


def test_a_wrong_secret_is_the_operators_matter(issuers: Issuers) -> None:
    with registered(issuers) as at:
        at.change(client={**at.registration["client"], "client_secret": "another-secret"})
        visitor = at.visitor()
        expect_error(at.sign_in(visitor), "Configuration")
        assert not visitor.is_signed_in


def test_a_code_is_good_for_one_sign_in(issuers: Issuers) -> None:
    with registered(issuers) as at:
        visitor, stranger = at.visitor(), at.visitor()
        answer = at.sign_in(visitor)
        expect_signed_in(answer, visitor)
        assert "error=AttemptExpired" in stranger.get(answer.url).headers["Location"]
        assert not stranger.is_signed_in


@pytest.mark.parametrize("change", [{"iss": "http://127.0.0.1:1"}, {"iss": None}], ids=["another", "none"])
def test_a_callback_that_does_not_name_this_issuer_is_refused(issuers: Issuers, change: dict[str, str | None]) -> None:
    with registered(issuers) as at:
        visitor = at.visitor()
        at.sign_in(visitor)
        visitor.submit("/auth/logout", {})
        address, _, query = at.start(visitor).partition("?")
        parts = {name: values[0] for name, values in parse_qs(query).items()} | change
        expect_error(visitor.get(address, params=parts), "OAuthCallback")
        assert not visitor.is_signed_in
