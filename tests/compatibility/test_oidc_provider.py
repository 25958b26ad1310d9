"""The certified `oidc-provider` from npm signs people in with `PROVIDERS=oidc` and no other change."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin

import pytest
import requests

import dev
from dev.stand_ins import create_stand_ins
from services.oauth import document_cache
from tests.support.commands import free_port_pair
from tests.support.node import find_node
from tests.support.site import SECRET, Page, Visitor, serve_in_thread

pytestmark = [pytest.mark.external, pytest.mark.usefixtures("restore_logging")]

HERE = Path(__file__).parents[1] / "support"
CLIENT_ID = "munjigi+test:1"
CLIENT_SECRET = "secret:with/what=a&form%would+change"


class Issuers:
    """Instances of `oidc-provider`, in a Node.js process that waits for calls."""

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
        [find_node("oidc-provider"), script], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as process:
        yield Issuers(process)


@dataclass
class Registered:
    """The site and the issuer at which it is registered."""

    site_url: str
    issuer: str
    issuers: Issuers
    registration: dict[str, Any]

    def change(self, **changes: Any) -> None:
        """Restart the issuer with a new key and these changes."""
        self.registration |= changes
        self.issuers.call("serve", issuer=self.issuer, **self.registration)

    def visitor(self) -> Visitor:
        return Visitor(self.site_url, {})

    def start(self, visitor: Visitor, back_to: str = "/account") -> str:
        """Press the button; return the URL of the issuer's login page."""
        page = Page(visitor.submit("/api/auth/signin/oidc", {"callbackUrl": back_to}))
        assert page.status == 200
        address = str(page.find_all("meta[@http-equiv='refresh']")[0].get("content")).partition("url=")[2]
        assert address == page.find_all("a[@class='button button-primary']")[0].get("href")
        return self._follow(visitor, requests.Request("GET", address))

    def sign_in(self, visitor: Visitor, login: str = "minji") -> requests.Response:
        """Sign in at the issuer; return the site's answer to the callback."""
        form = self.start(visitor)
        consent = self._follow(visitor, requests.Request("POST", form, data={"prompt": "login", "login": login}))
        callback = self._follow(visitor, requests.Request("POST", consent, data={"prompt": "consent"}))
        assert callback.startswith(f"{self.site_url}/api/auth/callback/oidc?"), callback
        return visitor.get(callback)

    def cancel(self, visitor: Visitor) -> requests.Response:
        return visitor.get(self._follow(visitor, requests.Request("GET", f"{self.start(visitor)}/abort")))

    def _follow(self, visitor: Visitor, request: requests.Request) -> str:
        """Follow the issuer's redirects to its next page, or to the site's callback, which is not requested yet."""
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
    issuers: Issuers,
    method: str = "client_secret_basic",
    alg: str = "RS256",
    settings: Mapping[str, str] | None = None,
    **more: Any,
) -> Iterator[Registered]:
    """A development site with one real provider: the stand-in backend verifies each token with the issuer."""
    port, issuer = free_port_pair(), issuers.call("listen")
    secret = {} if method == "none" else {"OIDC_CLIENT_SECRET": CLIENT_SECRET}
    environ = {"SECRET_KEY": SECRET, "PROVIDERS": "oidc", "OIDC_CLIENT_ID": CLIENT_ID, "OIDC_ISSUER": issuer, **secret}
    environ |= settings or {}
    client = {"client_id": CLIENT_ID, "redirect_uris": [f"http://localhost:{port}/api/auth/callback/oidc"]}
    client |= {
        "backchannel_logout_uri": f"http://localhost:{port}/api/auth/backchannel-logout/oidc",
        "post_logout_redirect_uris": [f"http://localhost:{port}/auth/logout/done"],
    }
    client |= {} if method == "none" else {"client_secret": CLIENT_SECRET}
    with (
        serve_in_thread("127.0.0.1", lambda _: create_stand_ins(dev.completed(environ, port), port), port + 1),
        serve_in_thread("localhost", lambda _: dev.create_site(environ, port), port),
    ):
        running = Registered(f"http://localhost:{port}", issuer, issuers, {})
        running.change(client=client, method=method, alg=alg, **more)
        yield running


def expect_signed_in(answer: requests.Response, visitor: Visitor, login: str = "minji") -> None:
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{visitor.url}/account")
    user = visitor.get_session()["user"]
    assert (user["name"], user["nick_name"], user["email"]) == (f"{login} 홍", login, f"{login}@example.org")


def expect_error(answer: requests.Response, code: str) -> None:
    assert answer.status_code == 303
    assert re.search(rf"/auth/login/email\?error={code}&callbackUrl=.*%2Faccount", answer.headers["Location"])


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_sign_in_works_with_each_client_authentication_method(issuers: Issuers, method: str) -> None:
    with registered(issuers, method) as at:
        visitor = at.visitor()
        expect_signed_in(at.sign_in(visitor), visitor)


@pytest.mark.parametrize("alg", ["PS256", "ES256", "EdDSA"])
def test_sign_in_works_with_each_signing_algorithm(issuers: Issuers, alg: str) -> None:
    with registered(issuers, alg=alg) as at:
        visitor = at.visitor()
        expect_signed_in(at.sign_in(visitor), visitor)


def test_sign_in_works_when_the_id_token_contains_all_claims(issuers: Issuers) -> None:
    with registered(issuers, more={"conformIdTokenClaims": False}) as at:
        visitor = at.visitor()
        expect_signed_in(at.sign_in(visitor), visitor)


def test_the_same_account_keeps_its_id_and_another_account_gets_another(issuers: Issuers) -> None:
    with registered(issuers) as at:
        ids = []
        for login in ("minji", "minji", "jun"):
            visitor = at.visitor()
            expect_signed_in(at.sign_in(visitor, login), visitor, login)
            ids.append(visitor.get_session()["user"]["id"])
    assert ids[0] == ids[1] != ids[2]


def test_an_active_session_at_the_issuer_needs_no_second_login(issuers: Issuers) -> None:
    with registered(issuers) as at:
        visitor = at.visitor()
        at.sign_in(visitor)
        visitor.submit("/auth/logout", {})
        assert not visitor.is_signed_in
        callback = at.start(visitor)
        expect_signed_in(visitor.get(callback), visitor)


def test_a_cancelled_sign_in_shows_a_notice_and_can_be_repeated(issuers: Issuers) -> None:
    with registered(issuers) as at:
        visitor = at.visitor()
        answer = at.cancel(visitor)
        expect_error(answer, "Cancelled")
        assert Page(visitor.get(answer.headers["Location"])).status_messages == [
            "Sign-in was cancelled. Try again, or sign in another way."
        ]
        assert not visitor.is_signed_in
        expect_signed_in(at.sign_in(visitor), visitor)


def test_a_rotated_key_is_fetched_at_once_but_a_second_rotation_has_to_wait(issuers: Issuers) -> None:
    with registered(issuers) as at:
        expect_signed_in(at.sign_in(first := at.visitor()), first)
        at.change()
        expect_signed_in(at.sign_in(second := at.visitor()), second)
        at.change()
        expect_error(at.sign_in(third := at.visitor()), "OAuthCallback")
        assert not third.is_signed_in


def test_after_the_pause_a_second_rotated_key_is_fetched(issuers: Issuers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_cache, "REFRESH_PAUSE_SECONDS", 0)
    with registered(issuers) as at:
        for alg in ("RS256", "ES256", "PS256"):
            at.change(alg=alg)
            expect_signed_in(at.sign_in(visitor := at.visitor()), visitor)


def test_a_wrong_client_secret_is_a_configuration_error(issuers: Issuers) -> None:
    with registered(issuers) as at:
        at.change(client={**at.registration["client"], "client_secret": "another-secret"})
        visitor = at.visitor()
        expect_error(at.sign_in(visitor), "Configuration")
        assert not visitor.is_signed_in


def test_an_authorization_code_signs_in_once(issuers: Issuers) -> None:
    with registered(issuers) as at:
        visitor, stranger = at.visitor(), at.visitor()
        answer = at.sign_in(visitor)
        expect_signed_in(answer, visitor)
        assert "error=AttemptExpired" in stranger.get(answer.url).headers["Location"]
        assert not stranger.is_signed_in


@pytest.mark.parametrize("change", [{"iss": "http://127.0.0.1:1"}, {"iss": None}], ids=["another", "none"])
def test_a_callback_with_a_wrong_or_missing_iss_is_refused(issuers: Issuers, change: dict[str, str | None]) -> None:
    with registered(issuers) as at:
        visitor = at.visitor()
        at.sign_in(visitor)
        visitor.submit("/auth/logout", {})
        address, _, query = at.start(visitor).partition("?")
        parts = {name: values[0] for name, values in parse_qs(query).items()} | change
        expect_error(visitor.get(address, params=parts), "OAuthCallback")
        assert not visitor.is_signed_in


def sign_out_at_issuer(at: Registered, visitor: Visitor, url: str) -> requests.Response:
    """Open the issuer's logout page and confirm. Return its last answer, a redirect to the site or a page."""
    page = visitor.get(url)
    assert page.status_code == 200, page.text
    xsrf = re.search(r'name="xsrf" value="([0-9a-f]+)"', page.text)
    assert xsrf, page.text
    return visitor.post(f"{at.issuer}/session/end/confirm", data={"xsrf": xsrf[1], "logout": "yes"})


@pytest.mark.parametrize("by_sid", [True, False], ids=["sid", "sub"])
def test_who_signs_out_at_the_issuer_is_signed_out_here(issuers: Issuers, by_sid: bool) -> None:
    with registered(issuers) as at:
        at.change(client={**at.registration["client"], "backchannel_logout_session_required": by_sid})
        phone, laptop = at.visitor(), at.visitor()
        expect_signed_in(at.sign_in(phone), phone)
        expect_signed_in(at.sign_in(laptop), laptop)
        assert sign_out_at_issuer(at, phone, f"{at.issuer}/session/end").status_code in (200, 302, 303)
        assert not phone.is_signed_in
        assert laptop.is_signed_in is by_sid
        expect_signed_in(at.sign_in(phone), phone)


def test_a_sign_out_goes_on_at_the_issuer_and_comes_back(issuers: Issuers) -> None:
    with registered(issuers, settings={"OIDC_LOGOUT": "true"}) as at:
        visitor = at.visitor()
        expect_signed_in(at.sign_in(visitor), visitor)
        answer = visitor.submit("/api/auth/signout", {"json": "true", "callbackUrl": "/account"})
        back = sign_out_at_issuer(at, visitor, answer.json()["url"])
        assert back.headers["Location"].startswith(f"{at.site_url}/auth/logout/done?state=")
        done = visitor.get(back.headers["Location"])
        assert (done.status_code, done.headers["Location"]) == (303, f"{at.site_url}/account")
        assert at.start(visitor).startswith(f"{at.issuer}/interaction/"), "the issuer asks who signs in"
