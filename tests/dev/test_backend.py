"""The stand-in backend in the protocol of each preset, through the pages of the development site."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import requests
from flask import Flask

import dev
import errors
from dev import exchanges
from dev.backend import PASSWORD, TAKEN_PHONE, accounts
from dev.exchanges import Exchanges
from dev.stand_ins import create_stand_ins
from services.backend.client import BackendClient
from services.backend.tokens import Tokens
from services.sessions.cookie import SessionCookie
from tests.support.commands import free_port_pair
from tests.support.site import (
    MINJI,
    NO_LIMITS_ENVIRON,
    SECRET,
    ManualClock,
    Page,
    Visitor,
    a_context,
    make_settings,
    serve_in_thread,
)
from tests.support.social_backend import Browser, error_code
from tests.support.tables import sample_rows

pytestmark = pytest.mark.usefixtures("restore_logging")

REVALIDATE_SECONDS = 30
"""With 10 more, less than the shortest life of a token."""
SENTENCES = {
    "unverified": (403, "is not verified yet"),
    "locked": (401, "is incorrect"),
    "throttled": (429, "Too many attempts"),
    "next_step": (403, "extra verification step"),
    "configuration": (502, "not set up correctly"),
    "down": (503, "not responding"),
    "html": (502, "not responding"),
}
"""Status and text of the sign-in page for each failing account."""


@dataclass
class Development:
    """A development site with its stand-ins. `name`: of the preset; `recorded`: its exchanges."""

    name: str
    url: str
    site: Flask
    backend: Flask
    recorded: Exchanges
    clock: ManualClock

    @property
    def client(self) -> BackendClient:
        """The site's client of the backend."""
        client: BackendClient = self.site.extensions["munjigi"].backend
        return client

    def new_visitor(self) -> Visitor:
        return Visitor(self.url, {})

    def login(self) -> Tokens:
        """Sign in at the backend without a page."""
        return self.client.login(MINJI, PASSWORD, a_context()).tokens

    def tokens(self, visitor: Visitor) -> Tokens:
        """The tokens in the session cookie."""
        cookies = "; ".join(f"{name}={value}" for name, value in visitor.cookies.get_dict().items())
        session = SessionCookie(make_settings(), self.clock).read(cookies).session
        assert session
        tokens: Tokens = self.site.extensions["munjigi"].sessions.tokens(session)
        return tokens

    def accepts(self, access_token: str) -> bool:
        """Whether the backend accepts this token."""
        with suppress(errors.SessionExpired):
            self.client.user(access_token, a_context())
            return True
        return False

    def refresh(self, tokens: Tokens) -> Tokens | None:
        """The new tokens; None if the backend refuses."""
        with suppress(errors.SessionExpired):
            return self.client.refresh(tokens, a_context())
        return None


@contextmanager
def development(name: str, **environ: str) -> Iterator[Development]:
    """Run the site as `make run BACKEND=<name>` does, with a clock of its own."""
    clock, port = ManualClock(), free_port_pair()
    environ = {"SECRET_KEY": SECRET, "BACKEND": name, **NO_LIMITS_ENVIRON, **environ}
    backend = create_stand_ins(dev.completed(environ, port), port, now=clock.time)
    site = dev.create_site(environ, port, clock)
    with (
        serve_in_thread("127.0.0.1", lambda _: backend, port + 1),
        serve_in_thread("localhost", lambda _: site.wsgi_app, port),
    ):
        yield Development(name, f"http://localhost:{port}", site, backend, exchanges.load(name), clock)
    site.extensions["munjigi"].close()


def shown(recorded: Exchanges, **user: Any) -> dict[str, Any]:
    """The fields of this user that the backend tells, without the id."""
    return {name: value if recorded.user[name] is not None else None for name, value in user.items()}


def session_user(visitor: Visitor) -> dict[str, Any]:
    user = visitor.get_session()["user"]
    assert user.pop("id")
    return dict(user)


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest, restore_logging: None) -> Iterator[Development]:
    with development(request.param, SESSION_REVALIDATE=str(REVALIDATE_SECONDS)) as running:
        yield running


every_preset = pytest.mark.parametrize("site", sample_rows(exchanges.ids(), max_rows=7), indirect=True)


@every_preset
def test_each_failing_account_gets_its_sentence_on_the_page(site: Development) -> None:
    visitor = site.new_visitor()
    failing = [account for account, _ in accounts(site.name) if account.case not in ("right", *steps(site.recorded))]
    assert {"down", "html"} <= {account.case for account in failing}
    pages = {account.case: Page(visitor.sign_in(account.email)) for account in failing}
    assert {case: page.status for case, page in pages.items()} == {case: SENTENCES[case][0] for case in pages}
    assert [case for case, page in pages.items() if SENTENCES[case][1] not in page.message] == []
    for credentials in ((MINJI, "wrong"), ("nobody@example.com", PASSWORD)):
        page = Page(visitor.sign_in(*credentials))
        assert (page.status, "is incorrect" in page.message) == (401, True)
    assert Page(visitor.sign_in("nouser@example.com")).status == 502
    assert not visitor.is_signed_in


def steps(recorded: Exchanges) -> tuple[str, ...]:
    """The cases of accounts whose sign-in goes on at another page."""
    return ("next_step", "redirect") if "verify" in recorded.calls else ()


WITH_NEXT_STEP = [name for name in exchanges.ids() if "verify" in exchanges.load(name).calls]


@pytest.mark.parametrize("name", WITH_NEXT_STEP)
def test_a_second_factor_signs_in(name: str) -> None:
    with development(name) as site:
        visitor = site.new_visitor()
        assert Page(visitor.sign_in("nextstep@example.com", "wrong")).status == 401
        response = visitor.sign_in("nextstep@example.com", callbackUrl="/account")
        assert (
            response.headers["Location"]
            == f"{site.url}/auth/login/verify?callbackUrl={quote(f'{site.url}/account', '')}"
        )
        page = visitor.get_page(response.headers["Location"])
        assert page.find_all("input[@autocomplete='one-time-code']")
        assert not visitor.is_signed_in
        assert Page(visitor.submit("/auth/login/verify", {"code": "000000"})).status == 401
        response = visitor.submit("/auth/login/verify", {"code": "123 456", "callbackUrl": "/account"})
        assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/account")
        user = shown(site.recorded, name="Sten", email="nextstep@example.com")
        assert {field: session_user(visitor)[field] for field in user} == user


def test_a_second_factor_can_follow_a_sign_in_through_a_provider() -> None:
    with development("laravel") as site:
        visitor = Browser(site.url)
        response = approve(visitor, "google", failure="backend_next_step")
        assert response.headers["Location"].startswith(f"{site.url}/auth/login/verify")
        assert not visitor.is_signed_in
        assert visitor.submit("/auth/login/verify", {"code": "123456"}).status_code == 303
        assert visitor.get_session()["user"]["email"] == "nextstep@example.com"


def test_a_new_account_after_a_provider_can_need_further_fields() -> None:
    with development("laravel") as site:
        visitor = Browser(site.url)
        response = approve(visitor, "google", failure="backend_fields")
        assert response.headers["Location"].startswith(f"{site.url}/auth/login/register")
        typed = {"name": "Haneul Kim", "email": MINJI, "phone": TAKEN_PHONE}
        assert "already been taken" in Page(visitor.submit("/auth/login/register", typed)).text
        assert error_code(visitor.submit("/auth/login/register", {**typed, "phone": "01011112222"})) == (
            "OAuthAccountNotLinked"
        )
        approve(visitor, "google", failure="backend_fields")
        typed |= {"email": "haneul.kim@example.com", "phone": "01011112222"}
        assert visitor.submit("/auth/login/register", typed).status_code == 303
        assert session_user(visitor)["name"] == "Haneul Kim"
        again = Browser(site.url)
        approve(again, "google", failure="backend_fields")  # there is an account now
        assert again.get_session()["user"] == visitor.get_session()["user"]


WITH_ACCOUNTS = [name for name in exchanges.ids() if "register" in exchanges.load(name).calls]


@pytest.mark.parametrize("name", WITH_ACCOUNTS)
def test_a_person_signs_up_and_gets_a_new_password_by_the_mails_of_the_stand_in(name: str) -> None:
    with development(name) as site:
        visitor, email = site.new_visitor(), "sora@example.com"
        fields = {"email": email, "name": "Sora", "password": "blue-whale-31"}
        assert visitor.submit("/auth/register", fields).status_code in (200, 303)
        if site.backend.extensions["mails"]:
            assert visitor.submit("/auth/email/verify", last_link(site, visitor)).status_code == 303
        assert visitor.sign_in(email, "blue-whale-31").status_code == 303
        password = "blue-whale-31"
        if "reset" in site.recorded.calls:
            password = "red-whale-32"
            visitor.submit("/auth/password/forgot", {"email": email})
            fields = {**last_link(site, visitor), "new_password": password}
            assert visitor.submit("/auth/password/reset", fields).status_code == 303
            assert visitor.sign_in(email, password).status_code == 303
        fields = {"password": password, "new_password": "green-whale-33"}
        assert visitor.submit("/account/password", fields).status_code == 303
        assert visitor.is_signed_in


def last_link(site: Development, visitor: Visitor) -> dict[str, str]:
    """The fields of the form that the link of the last mail opens."""
    page = visitor.get_page(site.backend.extensions["mails"][-1].path)
    inputs = page.find_all("main//form//input")
    return {field.get("name"): field.get("value") for field in inputs if field.get("name") != "csrfToken"}


@every_preset
def test_a_session_lasts_from_the_sign_in_to_the_sign_out(site: Development) -> None:
    visitor = site.new_visitor()
    assert f"<code>{site.name}</code>" in visitor.get("/auth/login/email").text
    assert visitor.sign_in().status_code == 303
    minji = shown(site.recorded, name="김민지", nick_name="민지", email=MINJI)
    assert session_user(visitor) == minji
    page = visitor.get_page("/account").text
    assert all(text in page for text in minji.values() if text)
    stored = site.backend.extensions["user_store"].users[MINJI]
    before = dict(stored)
    if "profile" in site.recorded.calls:
        assert visitor.submit("/account", {"name": "김새봄", "nick_name": "민지"}).status_code == 303
        assert stored["name"] == "김새봄"
    stored["name"] = "박민지"
    site.clock.advance(REVALIDATE_SECONDS + 10)
    assert session_user(visitor) == minji | shown(site.recorded, name="박민지")
    visitor.get("/account")
    tokens = site.tokens(visitor)
    assert site.accepts(tokens.access)
    login = site.login()
    assert (tokens.refresh is None, tokens.expires_at is None) == (login.refresh is None, login.expires_at is None)
    visitor.submit("/auth/logout", {})
    assert not visitor.is_signed_in
    is_dead = "logout" in site.recorded.calls and not site.recorded.survives_logout
    assert site.accepts(tokens.access) is not is_dead
    if tokens.refresh and "logout" in site.recorded.calls:
        assert site.refresh(tokens) is None
    stored.update(before)


@every_preset
def test_tokens_expire_and_are_refreshed_as_recorded(site: Development) -> None:
    recorded, tokens, other_device = site.recorded, site.login(), site.login()
    assert site.accepts(tokens.access)
    assert not site.accepts(tokens.access[:-4] + "AAAA")
    site.clock.advance((recorded.life or 0) - 60 if renews_itself(recorded) else (recorded.life or 0) + 60)
    if recorded.life and not renews_itself(recorded):
        assert not site.accepts(tokens.access)
    if "refresh" not in recorded.calls:
        return
    new = site.refresh(tokens)
    assert new
    assert new.access != tokens.access
    assert site.accepts(new.access)
    rotates = exchanges.has_name(recorded.calls["refresh"].answers["right"], "new_refresh_token")
    assert (new.refresh != tokens.refresh) is rotates
    assert (site.refresh(tokens) is None) is (rotates or recorded.renews_once)
    if "logout" in recorded.calls:
        site.client.logout(new, a_context())
        assert (site.refresh(new) is None) is not (renews_itself(recorded) and recorded.survives_logout)
    assert site.refresh(other_device)


def renews_itself(recorded: Exchanges) -> bool:
    """Whether the access token is exchanged for a new one, without a refresh token."""
    refresh = recorded.calls.get("refresh")
    return refresh is not None and not exchanges.has_name(refresh.request, "refresh_token")


def approve(visitor: Browser, provider: str, person: str = "haneul", failure: str = "") -> requests.Response:
    """Sign in at the stand-in of a provider."""
    url = visitor.start_sign_in(provider)
    form = {"action": "approve", "person": person, "failure": failure}
    done = requests.post(url, form, timeout=30, allow_redirects=False)
    query = parse_qs(urlsplit(done.headers["Location"]).query)
    return visitor.send_callback(provider, {name: values[0] for name, values in query.items()})


WITH_SOCIAL = [name for name in exchanges.ids() if "social" in exchanges.load(name).calls]


@pytest.mark.parametrize("name", WITH_SOCIAL)
def test_a_provider_signs_in_where_the_backend_has_a_social_call(name: str) -> None:
    with development(name) as site:
        visitor = Browser(site.url)
        assert approve(visitor, "google").status_code == 303
        user = shown(site.recorded, name="김하늘", email="haneul.kim@example.com")
        assert {field: session_user(visitor)[field] for field in user} == user
        assert error_code(approve(Browser(site.url), "google", "taken")) == "OAuthAccountNotLinked"
        assert error_code(approve(Browser(site.url), "google", failure="backend_429")) == "TooManyAttempts"


def test_the_stand_in_of_apple_notifies_the_site() -> None:
    token = "the-backend-of-development-knows-this-one"
    settings = {"BACKEND_PROVIDER_EVENT_PATH": "/provider-events", "BACKEND_EVENTS_TOKEN": token}
    with development("laravel", **settings) as site:
        (apple,) = [each for each in site.site.config["MUNJIGI"].registrations if each.id == "apple"]
        page = f"{apple.settings['BASE_URL']}/notifications"
        shown_page = requests.get(page, timeout=30).text
        for kind in ("consent-revoked", "account-delete", "email-disabled", "email-enabled", "a-new-kind"):
            assert f'value="{kind}"' in shown_page
            form = {"action": "send", "person": "relay", "type": kind}
            assert "The site answered: <code>200 </code>" in requests.post(page, form, timeout=30).text
        again = requests.post(page, {"action": "again"}, timeout=30).text
        assert "The site answered: <code>400" in again
        assert "it was used before" in again
        address = f"{page.partition('/apple/')[0]}/provider-events"
        events = requests.get(address, timeout=30).json()
        assert [event["type"] for event in events] == [
            *("consent-revoked", "account-delete", "email-disabled", "email-enabled")
        ]
        assert events[-1]["email"].endswith("@privaterelay.appleid.com")
        assert requests.post(address, json={}, timeout=30).status_code == 401


@pytest.mark.parametrize("name", sorted({*exchanges.ids()} - {*WITH_SOCIAL}))
def test_there_are_no_provider_buttons_where_the_backend_has_no_social_call(name: str) -> None:
    settings = dev.completed({"SECRET_KEY": SECRET, "BACKEND": name}, 8080)
    assert "PROVIDERS" not in settings
    assert settings["BACKEND_URL"].startswith("http://127.0.0.1:8081")


def test_a_listed_provider_without_a_social_call_is_an_error_of_the_site() -> None:
    with development("djoser", PROVIDERS="google") as site:
        visitor = Browser(site.url)
        response = approve(visitor, "google")
        assert error_code(response) == "Configuration"
        assert not visitor.is_signed_in


def test_settings_of_the_operator_come_before_those_of_the_stand_in() -> None:
    given = {"BACKEND": "oauth2", "BACKEND_LOGIN": "POST /other", "BACKEND_CLIENT_SECRET_FILE": "/run/secret"}
    settings = dev.completed({"SECRET_KEY_FILE": "/run/key", **given}, 8080)
    assert settings["BACKEND_CLIENT_ID"] == "cid"
    assert settings["BACKEND_REFRESH_PATH"] == "/o/token/"
    assert not settings.keys() & {"SECRET_KEY", "BACKEND_LOGIN_PATH", "BACKEND_CLIENT_SECRET"}


def test_a_client_that_the_backend_does_not_know_is_an_error_of_the_site() -> None:
    with development("oauth2", BACKEND_CLIENT_SECRET="wrong") as site:
        page = Page(site.new_visitor().sign_in())
        assert (page.status, "not set up correctly" in page.message) == (502, True)
