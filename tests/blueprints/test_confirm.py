"""`/auth/verify?max_age=` and the page on which a signed-in person signs in again."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dev.backend import PASSWORD
from tests.support.forge import encrypt, make_claims
from tests.support.issuer import (
    Issuer,
    assert_signed_in,
    running_issuer,
    send_callback,
    sign_in_via_provider,
    start_sign_in,
)
from tests.support.redirects import destination
from tests.support.rotating_backend import LIFE, SETTINGS, rotating_backend
from tests.support.scripted import TOKEN, USER, ScriptedBackend, scripted_backend
from tests.support.site import MINJI, ManualClock, Page, Site, Visitor, cookie_names, running_site

CONFIRM = "/auth/login/confirm"
VERIFY = "/auth/verify?max_age=600"
SESSION = "next-auth.session-token"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def site(clock: ManualClock) -> Iterator[Site]:
    with running_site(clock=clock) as running:
        yield running


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend() as running:
        yield running


def member(site: Site, **fields: str) -> Visitor:
    visitor = site.new_visitor()
    assert visitor.sign_in(**fields).status_code == 303
    return visitor


def verify(visitor: Visitor, query: str = "max_age=600", **headers: str) -> requests.Response:
    return visitor.get(f"/auth/verify?{query}", headers={"X-Forwarded-Uri": "/billing?a=1", "Accept": "*/*", **headers})


def confirm(visitor: Visitor, password: str = PASSWORD, **fields: str) -> requests.Response:
    return visitor.submit(CONFIRM, {"password": password, **fields})


# --- The check


def test_a_sign_in_that_is_too_long_ago_leads_to_the_confirm_page(site: Site, clock: ManualClock) -> None:
    visitor = member(site)
    assert verify(visitor).status_code == 204
    clock.advance(570)
    assert verify(visitor).status_code == 204
    clock.advance(60)
    response = verify(visitor)
    assert (response.status_code, response.content, cookie_names(response)) == (401, b"", set())
    url = urlsplit(response.headers["X-Auth-Sign-In"])
    assert (url.path, parse_qs(url.query)) == (CONFIRM, {"callbackUrl": [f"{site.url}/billing?a=1"]})
    assert "X-Auth-User-Id" not in response.headers
    assert visitor.get("/auth/verify").status_code == 204, "the session has not ended"
    assert verify(visitor, "max_age=3600").status_code == 204


def test_a_page_whose_proxy_passes_the_401_on_leads_to_the_confirm_page(site: Site, clock: ManualClock) -> None:
    visitor = member(site)
    clock.advance(700)
    page = Page(verify(visitor, Accept="text/html"))
    assert urlsplit(destination(page.response)).path == CONFIRM


def test_without_a_session_the_check_leads_to_the_sign_in_page(site: Site) -> None:
    response = verify(site.new_visitor())
    assert response.status_code == 401
    assert urlsplit(response.headers["X-Auth-Sign-In"]).path == "/auth/login/email"


def test_use_of_a_session_is_no_sign_in(site: Site, clock: ManualClock) -> None:
    visitor = member(site)
    for _ in range(3):
        clock.advance(301)
        visitor.get_session()
    assert verify(visitor).status_code == 401


@pytest.mark.parametrize(
    "query",
    [
        "max_age=", "max_age=-1", "max_age=+1", "max_age=1.5", "max_age=1e3", "max_age=soon", "max_age=0x10",
        "max_age=%20600", "max_age=600%0a", "max_age=%00", "max_age=%FF", "max_age=9999999999", "max_age=" + "9" * 5000,
        "max_age=600&max_age=600", "max_age=600&max_age=9999", "max_age=&max_age=600", "max_age=%D9%A3",
        "max_age=600,", "max_age=600;x",
    ],
)  # fmt: skip
def test_a_wrong_max_age_lets_nobody_in(site: Site, query: str) -> None:
    for visitor in (member(site), site.new_visitor()):
        response = verify(visitor, query)
        assert (response.status_code, response.text) == (400, "max_age must be a whole number of seconds, once\n")
        assert not [name for name in response.headers if name.startswith("X-Auth")]


@pytest.mark.parametrize(
    ("query", "status"), [("max_age=999999999", 204), ("max_age=0000600", 204), ("Max_Age=0", 204), ("x=1", 204)]
)
def test_other_queries_are_as_they_were(site: Site, query: str, status: int) -> None:
    assert verify(member(site), query).status_code == status


def test_a_session_that_nextauth_has_issued_is_never_recent(backend: ScriptedBackend) -> None:
    """NextAuth renews `iat` with each token: it says nothing about when the person signed in."""
    with running_site(backend_url=backend.url) as site:
        visitor = site.new_visitor()
        claims = make_claims(user=USER, auth_time=4_000_000_000)
        visitor.cookies.set(SESSION, encrypt({**claims, "auth_time": claims["iat"]}), domain="localhost.local")
        assert visitor.get("/auth/verify").status_code == 204
        assert verify(visitor).status_code == 401
        assert confirm(visitor).status_code == 303
        assert verify(visitor).status_code == 204


# --- The page, with a password


def test_the_page_shows_who_is_signed_in_and_asks_for_the_password(site: Site) -> None:
    visitor = member(site)
    page = visitor.get_page(f"{CONFIRM}?callbackUrl=/billing")
    assert (page.status, page.heading) == (200, "Sign in again to continue")
    (field,) = page.find_all("input[@name='email']")
    assert (field.get("value"), field.get("readonly")) == (MINJI, "")
    assert page.input_value("password") == ""
    assert page.input_value("callbackUrl") == f"{site.url}/billing"
    assert "You are signed in as 민지." in " ".join(page.texts("main/p"))


def test_a_right_password_renews_the_sign_in_and_ends_the_old_session(site: Site, clock: ManualClock) -> None:
    visitor = member(site)
    copy = site.new_visitor()
    copy.cookies.update(visitor.cookies)
    clock.advance(700)
    response = confirm(visitor, callbackUrl="/billing?a=1")
    assert (response.status_code, destination(response)) == (200, f"{site.url}/billing?a=1")
    assert verify(visitor).status_code == 204
    assert not copy.is_signed_in


def test_the_tokens_of_the_old_session_are_revoked(clock: ManualClock) -> None:
    with rotating_backend() as backend, running_site(backend_url=backend.url, clock=clock, **SETTINGS) as site:
        visitor = member(site)
        clock.advance(700)
        assert confirm(visitor).status_code == 303
        assert backend.families == {"f0": -1, "f1": 0}
        clock.advance(LIFE)
        assert visitor.is_signed_in
        assert backend.families == {"f0": -1, "f1": 1}


def test_a_wrong_password_has_the_words_of_the_sign_in_page_and_changes_nothing(site: Site, clock: ManualClock) -> None:
    visitor = member(site)
    cookie = visitor.cookies[SESSION]
    clock.advance(700)
    page = Page(confirm(visitor, "wrong-horse", callbackUrl="/billing"))
    at_sign_in = Page(site.new_visitor().sign_in(password="wrong-horse"))
    assert (page.status, page.message) == (at_sign_in.status, at_sign_in.message)
    assert page.status == 401
    assert "wrong-horse" not in page.text
    assert page.input_value("callbackUrl") == f"{site.url}/billing"
    assert visitor.cookies[SESSION] == cookie
    assert verify(visitor).status_code == 401


def test_a_confirmation_is_logged_as_a_sign_in_without_secrets(
    site: Site, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    visitor = member(site)
    confirm(visitor, "wrong-horse-6f1d")
    confirm(visitor)
    lines = [f"{record.getMessage()} {getattr(record, 'fields', '')}" for record in caplog.records]
    events = [line.split()[0] for line in lines if line.startswith(("signed_in", "sign_in_failed"))]
    assert events == ["signed_in", "sign_in_failed", "signed_in"]
    for secret in (PASSWORD, "wrong-horse-6f1d", MINJI, visitor.cookies[SESSION]):
        assert not [line for line in lines if secret in line]


def test_an_empty_password_gets_422(site: Site) -> None:
    page = Page(confirm(member(site), ""))
    assert (page.status, page.message) == (422, "Check what you entered Enter your password.")


def test_guesses_are_limited(clock: ManualClock) -> None:
    limits = {"login_limit_per_account_and_ip": "3/5minutes"}
    with running_site(clock=clock, **limits) as site:  # type: ignore[arg-type]
        visitor = member(site)
        statuses = [confirm(visitor, "wrong").status_code for _ in range(4)]
        assert statuses == [401, 401, 401, 429]
        assert confirm(visitor).status_code == 429
        assert visitor.is_signed_in


def test_another_identifier_is_ignored_if_it_is_known(site: Site) -> None:
    visitor = member(site)
    for name in ("email", "identifier", "username", "phone"):
        assert confirm(visitor, **{name: "hana@example.com"}).status_code == 303
        assert visitor.get_session()["user"]["email"] == MINJI


def test_another_person_is_refused_and_their_token_revoked(backend: ScriptedBackend) -> None:
    """The backend has given the address to another account meanwhile."""
    with running_site(backend_url=backend.url) as site:
        visitor = member(site)
        backend.user, backend.token = {**USER, "id": 8}, "18|another"
        page = Page(confirm(visitor))
        assert page.status == 403
        assert "another account" in page.message
        assert ("POST", "/logout", "Bearer 18|another") in backend.calls
        assert visitor.get_session()["user"]["id"] == 7


@pytest.mark.parametrize(("kind", "typed"), [("username", "Minji.K"), ("phone", "010-1234-5678"), ("any", "minji")])
def test_what_was_typed_at_the_sign_in_is_remembered(backend: ScriptedBackend, kind: str, typed: str) -> None:
    with running_site(backend_url=backend.url, login_identifier=kind) as site:
        visitor = site.new_visitor()
        visitor.submit("/auth/login/email", {"identifier": typed, "password": "x"})
        page = visitor.get_page(CONFIRM)
        fields = [each for each in page.find_all("input") if each.get("readonly") is not None]
        assert [(each.get("value") or "").replace("-", "") for each in fields] in ([typed.replace("-", "")], [typed])
        assert confirm(visitor, "x").status_code == 303


def test_an_identifier_that_is_not_known_is_asked_for(backend: ScriptedBackend) -> None:
    with running_site(backend_url=backend.url, login_identifier="username") as site:
        visitor = site.new_visitor()
        claims = make_claims(user=USER, sid="a-session", provider="email")
        visitor.cookies.set(SESSION, encrypt({**claims, "auth_time": claims["iat"]}), domain="localhost.local")
        (field,) = visitor.get_page(CONFIRM).find_all("input[@name='username']")
        assert field.get("readonly") is None
        assert confirm(visitor, "x", username="hong").status_code == 303


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_session_the_page_leads_to_the_sign_in_page(site: Site, method: str) -> None:
    visitor = site.new_visitor()
    fields = {"csrfToken": visitor.csrf_token(), "password": PASSWORD} if method == "POST" else None
    response = visitor.request(method, f"{CONFIRM}?callbackUrl=/billing", data=fields)
    url = urlsplit(response.headers["Location"])
    assert (response.status_code, url.path) == (303, "/auth/login/email")
    assert parse_qs(url.query) == {"callbackUrl": [f"{site.url}/billing"], "error": ["SessionRequired"]}
    as_json = visitor.request(method, CONFIRM, data=fields, headers={"Accept": "application/json"})
    assert (as_json.status_code, as_json.json()["error"]) == (401, "SessionRequired")


def test_an_outdated_form_gets_the_page_again(site: Site) -> None:
    visitor = member(site)
    page = Page(visitor.post(CONFIRM, data={"csrfToken": "x", "password": PASSWORD, "callbackUrl": "/billing"}))
    assert (page.status, page.heading) == (400, "Sign in again to continue")
    assert page.input_value("callbackUrl") == f"{site.url}/billing"


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "https://evil.example/",
        "\\\\evil",
        "javascript:alert(1)",
        "/\t/evil",
        "",
        CONFIRM,
        "/auth/logout",
    ],
)
def test_an_invalid_return_address_leads_to_the_home_page(site: Site, address: str) -> None:
    assert destination(confirm(member(site), callbackUrl=address)) == f"{site.url}/"


# --- With a provider


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture
def social_site(issuer: Issuer, backend: ScriptedBackend, clock: ManualClock) -> Iterator[Site]:
    issuer.reset()
    issuer.clock = clock
    with running_site(backend_url=backend.url, clock=clock, **issuer.site_settings()) as site:
        yield site


def social_member(site: Site, issuer: Issuer, provider: str = "oidc") -> Visitor:
    visitor = site.new_visitor()
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer, provider))
    return visitor


def start_confirmation(visitor: Visitor, issuer: Issuer, provider: str = "oidc") -> dict[str, str]:
    """Press the button of the page; return the parameters of the authorization request."""
    fields = {"confirm": "true", "json": "true", "callbackUrl": "/billing"}
    url = visitor.submit(f"/api/auth/signin/{provider}", fields).json()["url"]
    params = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    issuer.nonce = params.get("nonce")
    return params


def assert_not_confirmed(visitor: Visitor, response: requests.Response, code: str) -> Page:
    url = urlsplit(response.headers["Location"])
    assert (response.status_code, url.path) == (303, CONFIRM)
    query = parse_qs(url.query)
    assert (query["error"], query["callbackUrl"]) == ([code], [f"{visitor.url}/billing"])
    assert SESSION not in cookie_names(response)
    assert verify(visitor).status_code == 401
    return visitor.get_page(response.headers["Location"])


def test_the_page_offers_only_the_provider_of_the_sign_in(social_site: Site, issuer: Issuer) -> None:
    page = social_member(social_site, issuer).get_page(f"{CONFIRM}?callbackUrl=/billing")
    assert page.input_value("password") is None
    (button,) = page.find_all("form[@action='/api/auth/signin/oidc']")
    sent = {field.get("name"): field.get("value") for field in button.iter("input")}
    assert (sent["confirm"], sent["callbackUrl"]) == ("true", f"{social_site.url}/billing")
    assert len(page.find_all("main//form")) == 1


def test_the_provider_is_asked_for_the_password_only_to_confirm(social_site: Site, issuer: Issuer) -> None:
    visitor = social_member(social_site, issuer)
    params = start_confirmation(visitor, issuer)
    assert (params["prompt"], params["max_age"]) == ("login", "0")
    assert not {"prompt", "max_age"} & set(start_sign_in(visitor, issuer))


def test_a_new_sign_in_at_the_provider_renews_the_session(
    social_site: Site, issuer: Issuer, clock: ManualClock
) -> None:
    visitor = social_member(social_site, issuer)
    clock.advance(700)
    params = start_confirmation(visitor, issuer)
    issuer.extra_claims = {"auth_time": int(clock.time())}
    response = send_callback(visitor, params)
    assert destination(response) == f"{social_site.url}/billing"
    assert verify(visitor).status_code == 204


@pytest.mark.parametrize("auth_time", [..., -700, None, "now", True], ids=str)
def test_a_provider_that_did_not_ask_for_the_password_confirms_nothing(
    social_site: Site, issuer: Issuer, clock: ManualClock, auth_time: Any
) -> None:
    """Somebody at an unlocked computer can remove `prompt` and `max_age` from the address."""
    visitor = social_member(social_site, issuer)
    clock.advance(700)
    params = start_confirmation(visitor, issuer)
    if auth_time is not ...:
        issuer.extra_claims = {"auth_time": int(clock.time()) - 700 if auth_time == -700 else auth_time}
    assert_not_confirmed(visitor, send_callback(visitor, params), "OAuthCallback")


def test_a_provider_that_cannot_be_asked_for_the_password_confirms_by_a_sign_in(
    social_site: Site, issuer: Issuer, clock: ManualClock
) -> None:
    visitor = social_member(social_site, issuer, "google")
    clock.advance(700)
    params = start_confirmation(visitor, issuer, "google")
    assert destination(send_callback(visitor, params, "google")) == f"{social_site.url}/billing"
    assert verify(visitor).status_code == 204


def test_another_person_at_the_provider_is_refused(
    social_site: Site, issuer: Issuer, backend: ScriptedBackend, clock: ManualClock
) -> None:
    visitor = social_member(social_site, issuer)
    clock.advance(700)
    params = start_confirmation(visitor, issuer)
    issuer.extra_claims = {"auth_time": int(clock.time())}
    backend.user, backend.token = {**USER, "id": 8}, "18|another"
    response = send_callback(visitor, params)
    backend.user, backend.token = dict(USER), TOKEN
    page = assert_not_confirmed(visitor, response, "AccountMismatch")
    assert "another account" in page.message
    assert ("POST", "/logout", "Bearer 18|another") in backend.calls


def test_a_confirmation_that_was_cancelled_leads_back_to_the_page(
    social_site: Site, issuer: Issuer, clock: ManualClock
) -> None:
    visitor = social_member(social_site, issuer)
    clock.advance(700)
    params = start_confirmation(visitor, issuer)
    response = visitor.get("/api/auth/callback/oidc", params={"error": "access_denied", "state": params["state"]})
    assert_not_confirmed(visitor, response, "Cancelled")


def test_a_confirmation_without_a_session_starts_nothing(social_site: Site) -> None:
    visitor = social_site.new_visitor()
    response = visitor.submit("/api/auth/signin/oidc", {"confirm": "true", "callbackUrl": "/billing"})
    url = urlsplit(response.headers["Location"])
    assert (response.status_code, url.path) == (303, "/auth/login/email")
    assert parse_qs(url.query)["error"] == ["SessionRequired"]
