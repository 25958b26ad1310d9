"""NextAuth v4's routes under /api/auth, called as its client calls them (`react/index.tsx`, 4.24.15)."""

import time
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
import requests

from dev.backend import PASSWORD
from services.clock import Clock
from services.sessions.cookie import SessionCookie
from tests.support.site import MINJI, Site, SiteMaker, Visitor, cookie_names, set_cookies

API = "/api/auth"


def ask(visitor: Visitor, path: str, **fields: str) -> requests.Response:
    """Post a form as `signIn()` and `signOut()` do."""
    return visitor.submit(f"{API}/{path}", {"json": "true", **fields})


def error_in(response: requests.Response) -> str | None:
    """Return the error code of an answer. The client uses `new URL(data.url)`, so the URL has to be absolute."""
    url = urlsplit(response.json()["url"])
    assert url.scheme
    found = parse_qs(url.query).get("error")
    return found[0] if found else None


def update(visitor: Visitor, *data: Any) -> requests.Response:
    """Post what `useSession().update(data)` sends, or `update()` without data."""
    return visitor.post(
        f"{API}/session", json={"csrfToken": visitor.csrf_token(), **({"data": data[0]} if data else {})}
    )


@pytest.fixture
def signed_in(visitor: Visitor) -> Visitor:
    assert ask(visitor, "callback/email", email=MINJI, password=PASSWORD).status_code == 200
    return visitor


def test_providers_are_listed_in_the_order_of_the_settings_with_absolute_urls(shared_site: SiteMaker) -> None:
    listed = shared_site().new_visitor().get(f"{API}/providers").json()
    assert list(listed) == ["email"]
    assert listed["email"]["type"] == "credentials"
    assert listed["email"]["callbackUrl"].endswith(f"{API}/callback/email")


def test_the_right_password_signs_in_and_returns_the_target_url(visitor: Visitor) -> None:
    response = ask(visitor, "callback/email", email=MINJI, password=PASSWORD, callbackUrl="/me", redirect="false")
    assert (response.status_code, response.json()) == (200, {"url": f"{visitor.url}/me"})
    assert visitor.get_session()["user"]["email"] == MINJI


@pytest.mark.parametrize("fields", [{"email": MINJI, "password": "wrong"}, {"email": "x"}, {}])
def test_a_wrong_password_is_401_credentials_signin(visitor: Visitor, fields: dict[str, str]) -> None:
    response = ask(visitor, "callback/email", redirect="false", **fields)
    assert (response.status_code, error_in(response)) == (401, "CredentialsSignin")
    assert not visitor.is_signed_in


@pytest.mark.parametrize(
    ("account", "status", "code"),
    [
        ("unverified", 403, "EmailNotVerified"),
        ("throttled", 429, "TooManyAttempts"),
        ("down", 503, "BackendUnavailable"),
        ("html", 502, "BackendUnavailable"),
    ],
)
def test_other_sign_in_errors_have_their_own_codes_and_statuses(
    visitor: Visitor, account: str, status: int, code: str
) -> None:
    response = ask(visitor, "callback/email", email=f"{account}@example.com", password=PASSWORD)
    assert (response.status_code, error_in(response)) == (status, code)


@pytest.mark.parametrize("path", ["callback/email", "signout", "signin/email"])
def test_a_failed_csrf_check_is_400_form_expired(visitor: Visitor, path: str) -> None:
    visitor.csrf_token()
    response = visitor.post(f"{API}/{path}", data={"csrfToken": "wrong", "json": "true"})
    assert (response.status_code, error_in(response)) == (400, "FormExpired")
    assert "csrf=true" in response.json()["url"]


@pytest.mark.parametrize("path", ["callback/email", "signout", "signin/google"])
def test_a_failed_csrf_check_keeps_the_return_address(shared_site: SiteMaker, path: str) -> None:
    visitor = shared_site(
        providers="google", google_client_id="id", google_client_secret="secret-of-this-test"
    ).new_visitor()
    visitor.csrf_token()
    form = {"csrfToken": "wrong", "json": "true", "callbackUrl": "/me"}
    response = visitor.post(f"{API}/{path}", data=form, headers={"Accept": "*/*"})
    assert error_in(response) == "FormExpired"
    assert parse_qs(urlsplit(response.json()["url"]).query)["callbackUrl"] == [f"{visitor.url}/me"]


def test_a_form_without_json_gets_a_redirect(visitor: Visitor) -> None:
    response = visitor.submit(f"{API}/callback/email", {"email": MINJI, "password": "wrong"})
    assert response.status_code == 302
    assert "error=CredentialsSignin" in response.headers["Location"]


@pytest.mark.parametrize(
    ("lives", "expires", "kept"),
    [
        ({}, 2592000, 7776000),
        ({"session_max_age": 60}, 60, 7776000),
        ({"session_max_age": 3600, "session_absolute_age": 120}, 120, 120),
    ],
    ids=["of NextAuth", "short", "ended by the absolute age"],
)
def test_the_session_expires_without_use_and_the_browser_keeps_its_cookie_up_to_the_absolute_age(
    make_site: SiteMaker, lives: dict[str, int], expires: int, kept: int
) -> None:
    visitor = make_site(**lives).new_visitor()
    began = time.time()
    ask(visitor, "callback/email", email=MINJI, password=PASSWORD)
    for told in (visitor.get_session(), update(visitor, {"nick_name": "새이름"}).json(), visitor.get_session()):
        (of_cookie,) = [one.expires or 0 for one in visitor.cookies if one.name.endswith("session-token")]
        assert -1 <= datetime.fromisoformat(told["expires"]).timestamp() - began - expires <= 30
        assert -1 <= of_cookie - began - kept <= 30


def test_signing_out_returns_the_target_url(signed_in: Visitor) -> None:
    response = ask(signed_in, "signout", callbackUrl="/bye")
    assert response.json() == {"url": f"{signed_in.url}/bye"}
    assert not signed_in.is_signed_in
    assert ask(signed_in, "signout").status_code == 200


def test_next_auths_pages_redirect_to_ours(visitor: Visitor) -> None:
    way = visitor.get(f"{API}/signin?callbackUrl=/me&error=SessionRequired").headers["Location"]
    assert way.startswith(f"{visitor.url}/auth/login/email?error=SessionRequired&callbackUrl=")
    assert visitor.get(f"{API}/signout").headers["Location"] == f"{visitor.url}/auth/logout"
    assert visitor.get(f"{API}/error?error=AccessDenied").headers["Location"].endswith("?error=AccessDenied")
    assert visitor.get(f"{API}/error?error=<b>").headers["Location"].endswith("?error=Default")


def test_client_log_messages_are_accepted_and_ignored(visitor: Visitor) -> None:
    response = visitor.post(f"{API}/_log", data={"level": "error", "code": "CLIENT_FETCH_ERROR", "x": "y" * 5000})
    assert (response.status_code, response.text, cookie_names(response)) == (200, "", set())


def test_a_page_may_pass_login_hint_to_the_provider_and_no_other_parameter(shared_site: SiteMaker) -> None:
    """For `signIn("github", {}, {login_hint: …})`. NextAuth v4 lets the page replace any parameter."""
    site = shared_site(providers="github", github_client_id="the-client", github_client_secret="secret-of-this-test")
    told = {"login_hint": MINJI, "prompt": "login", "client_id": "x", "redirect_uri": "x", "scope": "x", "state": "x"}
    plain, hinted = (
        dict(parse_qsl(urlsplit(ask(site.new_visitor(), f"signin/github?{query}").json()["url"]).query))
        for query in (urlencode({"login_hint": "\n"}), urlencode(told))
    )
    assert set(hinted) - set(plain) == {"login_hint"}
    assert hinted["login_hint"] == MINJI
    assert all(hinted[name] == plain[name] for name in ("client_id", "redirect_uri", "scope"))
    assert hinted["state"] != "x"


def test_under_a_sub_path_every_url_includes_the_sub_path(shared_site: SiteMaker) -> None:
    site = shared_site(path="/login-site", providers="google", google_client_id="id", google_client_secret="a" * 20)
    visitor, here = site.new_visitor(), f"{site.url}/login-site"
    api = f"{here}{API}"
    for name, one in visitor.get(f"{api}/providers").json().items():
        assert (one["signinUrl"], one["callbackUrl"]) == (f"{api}/signin/{name}", f"{api}/callback/{name}")
    assert visitor.get(f"{api}/signin").headers["Location"] == f"{here}/auth/login/email"
    assert visitor.get(f"{api}/signout").headers["Location"] == f"{here}/auth/logout"
    assert visitor.get(f"{api}/error").headers["Location"] == f"{here}/auth/login/email?error=Default"
    opened = visitor.get(f"{api}/csrf")
    assert [line.partition("; ")[2] for line in set_cookies(opened)] == ["HttpOnly; Path=/login-site; SameSite=Lax"]
    form = {"csrfToken": opened.json()["csrfToken"], "json": "true"}
    refused = visitor.post(f"{api}/signin/google", data={"json": "true", "csrfToken": "x"}, headers={"Accept": "*/*"})
    assert refused.json()["url"].startswith(f"{here}/auth/login/email?error=FormExpired")
    refused = visitor.post(f"{api}/callback/email", data={"json": "true", "csrfToken": "x"})
    assert refused.json()["url"].startswith(f"{api}/signin?csrf=true")
    entered = visitor.post(f"{api}/callback/email", data={**form, "email": MINJI, "password": PASSWORD})
    assert entered.json() == {"url": f"{here}/"}
    paths = {line.partition("=")[0]: line.partition("Path=")[2].partition(";")[0] for line in set_cookies(entered)}
    own = dict.fromkeys(("munjigi.visitor", "munjigi.device"), "/login-site")
    assert paths == {"next-auth.session-token": "/", **own}
    assert visitor.get(f"{api}/session").json()["user"]["email"] == MINJI
    form["csrfToken"] = visitor.get(f"{api}/csrf").json()["csrfToken"]
    left = visitor.post(f"{api}/signout", data={**form, "callbackUrl": "/elsewhere"})
    assert left.json() == {"url": f"{site.url}/elsewhere"}
    assert visitor.get(f"{api}/session").json() == {}


# --- JSON bodies


def test_json_bodies_are_read_like_forms(visitor: Visitor) -> None:
    sent = {"json": "true", "email": MINJI, "password": PASSWORD, "callbackUrl": "/me"}
    response = visitor.post(f"{API}/callback/email", json={"csrfToken": visitor.csrf_token(), **sent})
    assert response.json() == {"url": f"{visitor.url}/me"}
    assert visitor.is_signed_in
    left = {"csrfToken": visitor.csrf_token(), "json": "true", "callbackUrl": "https://evil.example"}
    assert visitor.post(f"{API}/signout", json=left).json() == {"url": f"{visitor.url}/"}
    assert not visitor.is_signed_in


def test_values_of_a_json_body_that_are_no_strings_are_ignored(visitor: Visitor) -> None:
    body = {
        "csrfToken": visitor.csrf_token(),
        "json": True,
        "email": [MINJI],
        "password": {"$ne": ""},
        "callbackUrl": 1,
    }
    response = visitor.post(f"{API}/callback/email", json=body)
    assert response.status_code == 302  # NextAuth v4 compares with the string "true"
    assert "error=CredentialsSignin" in response.headers["Location"]


def test_the_csrf_token_of_a_json_body_is_checked(visitor: Visitor) -> None:
    visitor.csrf_token()
    for token in ("wrong", None, ["wrong"]):
        response = visitor.post(f"{API}/signout", json={"csrfToken": token, "json": "true"})
        assert (response.status_code, error_in(response)) == (400, "FormExpired")


# --- update()


def test_an_update_of_the_names_is_saved_and_returned(signed_in: Visitor) -> None:
    changed = update(signed_in, {"nick_name": "새이름"}).json()
    assert changed["user"]["nick_name"] == "새이름"
    assert changed["user"]["name"] == "김민지"
    assert signed_in.get_session() == changed
    assert update(signed_in, {"nick_name": None}).json()["user"]["nick_name"] is None
    assert (
        update(signed_in, {"nick_name": "민지"}).json()["user"]["nick_name"] == "민지"
    )  # the site is shared by other tests


def test_a_user_without_a_name_can_save_a_nickname(signed_in: Visitor, site: Site) -> None:
    assert site.backend
    person = site.backend.extensions["user_store"].users[MINJI]
    person["name"] = None
    try:
        update(signed_in)
        changed = update(signed_in, {"nick_name": "새이름"}).json()["user"]
    finally:
        person.update(name="김민지", nick_name="민지")
    assert (changed["name"], changed["nick_name"]) == (None, "새이름")


def test_an_update_without_data_reloads_the_user_from_the_backend(signed_in: Visitor, site: Site) -> None:
    assert site.backend
    people = site.backend.extensions["user_store"]
    people.users[MINJI]["name"] = "김새로"
    try:
        assert update(signed_in).json()["user"]["name"] == "김새로"
    finally:
        people.users[MINJI]["name"] = "김민지"


@pytest.mark.parametrize("data", [[], [{"name": "김민지"}]], ids=["read again", "saved"])
def test_an_update_that_returns_another_user_ends_the_session(signed_in: Visitor, site: Site, data: list[Any]) -> None:
    assert site.backend
    person = site.backend.extensions["user_store"].users[MINJI]
    own = person["id"]
    person["id"] = 666
    try:
        assert update(signed_in, *data).status_code == 401
    finally:
        person["id"] = own
    assert signed_in.get_session() == {}


def test_a_backend_error_includes_the_request_id_as_reference(visitor: Visitor) -> None:
    response = ask(visitor, "callback/email", email="html@example.com", password=PASSWORD)
    assert f"reference={response.headers['X-Request-Id']}" in response.json()["url"]


def test_without_a_profile_path_an_update_changes_the_session_only(make_site: SiteMaker) -> None:
    visitor = make_site(backend_profile_path=None).new_visitor()
    visitor.sign_in()
    assert update(visitor, {"name": "나"}).json()["user"]["name"] == "나"
    assert update(visitor).json()["user"]["name"] == "김민지"


def test_an_anonymous_update_returns_an_empty_session(visitor: Visitor) -> None:
    response = update(visitor, {"name": "x"})
    assert (response.status_code, response.json()) == (200, {})


ATTACKS: list[Any] = [
    {"id": 1},
    {"user": {"id": 1}},
    {"user.id": 1},
    {"sub": "1"},
    {"email": "admin@example.com"},
    {"accessToken": "x"},
    {"provider": "google", "id_token": ".."},
    {"exp": 9999999999},
    {"role": "admin", "name": "x"},
    {"__proto__": {"x": 1}},
    {"constructor": {}},
    {"name": None},
    {"name": 1},
    {"name": ["a"]},
    {"name": {"$ne": 1}},
    {"name": ""},
    {"name": "a" * 10_000},
    {"name": "a\x00b"},
    {"name": "a\r\nSet-Cookie: x=1"},
    {"Name": "x"},
    {"ｎａｍｅ": "x"},
    {f"key{number}": 1 for number in range(1000)},
    {"data": {"data": {}}},
    {},
    [],
    "x",
    1,
    True,
]


@pytest.mark.parametrize("data", ATTACKS, ids=lambda data: str(data)[:40])
def test_an_update_of_any_other_field_is_refused_and_changes_nothing(signed_in: Visitor, site: Site, data: Any) -> None:
    before = signed_in.get_session()
    response = update(signed_in, data)
    assert (response.status_code, response.json()) == (422, {})
    assert response.headers["Cache-Control"] == "no-store"
    assert SessionCookie(site.app.extensions["munjigi"].settings, Clock()).name not in cookie_names(response)
    assert signed_in.get_session() == before


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'"x"', b"[" * 5000, b"\xff", b"{}" * 40_000])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("path", ["session", "callback/email", "signout", "signin/email", "_log"])
def test_malformed_bodies_are_refused_without_a_server_error(
    visitor: Visitor, path: str, kind: str, body: bytes
) -> None:
    visitor.csrf_token()
    response = visitor.post(f"{API}/{path}", data=body, headers={"Content-Type": kind})
    # 302: a browser's form without a token is redirected to a page that says so
    assert response.status_code in {"_log": (200, 400, 413, 415), "session": (400, 413, 415)}.get(
        path, (302, 400, 413, 415)
    )
    assert not visitor.is_signed_in
