"""NextAuth v4's addresses under /api/auth, asked as its client asks them (`react/index.tsx`, 4.24.15)."""

import time
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
import requests

from dev.backend import PASSWORD
from services.clock import Clock
from services.sessions.cookie import SessionCookie
from tests.site import MINJI, Site, SiteMaker, Visitor, cookie_names, set_cookies

API = "/api/auth"


def ask(visitor: Visitor, path: str, **fields: str) -> requests.Response:
    """A form as `signIn()` and `signOut()` send it."""
    return visitor.submit(f"{API}/{path}", {"json": "true", **fields})


def error_in(response: requests.Response) -> str | None:
    """What the client does with an answer: `new URL(data.url)`, so the address has to be a whole one."""
    url = urlsplit(response.json()["url"])
    assert url.scheme
    found = parse_qs(url.query).get("error")
    return found[0] if found else None


def update(visitor: Visitor, *data: Any) -> requests.Response:
    """As `useSession().update(data)` sends it, or `update()`."""
    return visitor.post(
        f"{API}/session", json={"csrfToken": visitor.csrf_token(), **({"data": data[0]} if data else {})}
    )


@pytest.fixture
def signed_in(visitor: Visitor) -> Visitor:
    assert ask(visitor, "callback/email", email=MINJI, password=PASSWORD).status_code == 200
    return visitor


def test_providers_come_in_the_order_of_the_settings_with_whole_addresses(shared_site: SiteMaker) -> None:
    listed = shared_site().new_visitor().get(f"{API}/providers").json()
    assert list(listed) == ["email"]
    assert listed["email"]["type"] == "credentials"
    assert listed["email"]["callbackUrl"].endswith(f"{API}/callback/email")


def test_the_right_password_signs_in_and_says_where_to_go(visitor: Visitor) -> None:
    response = ask(visitor, "callback/email", email=MINJI, password=PASSWORD, callbackUrl="/me", redirect="false")
    assert (response.status_code, response.json()) == (200, {"url": f"{visitor.url}/me"})
    assert visitor.get_session()["user"]["email"] == MINJI


@pytest.mark.parametrize("fields", [{"email": MINJI, "password": "wrong"}, {"email": "x"}, {}])
def test_a_wrong_one_is_credentials_signin_with_401(visitor: Visitor, fields: dict[str, str]) -> None:
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
def test_other_failures_have_their_codes_and_statuses(visitor: Visitor, account: str, status: int, code: str) -> None:
    response = ask(visitor, "callback/email", email=f"{account}@example.com", password=PASSWORD)
    assert (response.status_code, error_in(response)) == (status, code)


@pytest.mark.parametrize("path", ["callback/email", "signout", "signin/email"])
def test_a_failed_csrf_check_is_400_and_names_itself(visitor: Visitor, path: str) -> None:
    visitor.csrf_token()
    response = visitor.post(f"{API}/{path}", data={"csrfToken": "wrong", "json": "true"})
    assert (response.status_code, error_in(response)) == (400, "FormExpired")
    assert "csrf=true" in response.json()["url"]


@pytest.mark.parametrize("path", ["callback/email", "signout", "signin/google"])
def test_a_failed_csrf_check_keeps_where_the_person_wants_to_go(shared_site: SiteMaker, path: str) -> None:
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
    "lives",
    [{}, {"session_max_age": 60}, {"session_max_age": 3600, "session_absolute_age": 120}],
    ids=["of NextAuth", "short", "ended by the absolute age"],
)
def test_the_end_that_a_page_is_told_lies_ahead_and_is_the_cookies(make_site: SiteMaker, lives: dict[str, int]) -> None:
    visitor = make_site(**lives).new_visitor()
    ask(visitor, "callback/email", email=MINJI, password=PASSWORD)
    for told in (visitor.get_session(), update(visitor, {"nick_name": "새이름"}).json(), visitor.get_session()):
        (of_cookie,) = [one.expires or 0 for one in visitor.cookies if one.name.endswith("session-token")]
        late = of_cookie - datetime.fromisoformat(told["expires"]).timestamp()
        assert 0 <= late <= 1  # `Max-Age` counts whole seconds from when the answer came
        assert time.time() < of_cookie <= time.time() + min(lives.values(), default=2592000)


def test_signing_out_answers_with_the_address(signed_in: Visitor) -> None:
    response = ask(signed_in, "signout", callbackUrl="/bye")
    assert response.json() == {"url": f"{signed_in.url}/bye"}
    assert not signed_in.is_signed_in
    assert ask(signed_in, "signout").status_code == 200


def test_pages_of_next_auth_lead_to_ours(visitor: Visitor) -> None:
    way = visitor.get(f"{API}/signin?callbackUrl=/me&error=SessionRequired").headers["Location"]
    assert way.startswith(f"{visitor.url}/auth/login/email?error=SessionRequired&callbackUrl=")
    assert visitor.get(f"{API}/signout").headers["Location"] == f"{visitor.url}/auth/logout"
    assert visitor.get(f"{API}/error?error=AccessDenied").headers["Location"].endswith("?error=AccessDenied")
    assert visitor.get(f"{API}/error?error=<b>").headers["Location"].endswith("?error=Default")


def test_what_a_page_reports_is_taken_without_a_word(visitor: Visitor) -> None:
    response = visitor.post(f"{API}/_log", data={"level": "error", "code": "CLIENT_FETCH_ERROR", "x": "y" * 5000})
    assert (response.status_code, response.text, cookie_names(response)) == (200, "", set())


def test_a_page_may_tell_the_provider_whom_it_expects_and_nothing_else(shared_site: SiteMaker) -> None:
    """`signIn("github", {}, {login_hint: …})`; v4 lets the page replace any parameter."""
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


def test_under_a_sub_path_every_address_is_below_it(shared_site: SiteMaker) -> None:
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


def test_json_bodies_are_read_as_forms_are(visitor: Visitor) -> None:
    sent = {"json": "true", "email": MINJI, "password": PASSWORD, "callbackUrl": "/me"}
    response = visitor.post(f"{API}/callback/email", json={"csrfToken": visitor.csrf_token(), **sent})
    assert response.json() == {"url": f"{visitor.url}/me"}
    assert visitor.is_signed_in
    left = {"csrfToken": visitor.csrf_token(), "json": "true", "callbackUrl": "https://evil.example"}
    assert visitor.post(f"{API}/signout", json=left).json() == {"url": f"{visitor.url}/"}
    assert not visitor.is_signed_in


def test_what_is_no_text_in_a_json_body_is_not_read(visitor: Visitor) -> None:
    body = {
        "csrfToken": visitor.csrf_token(),
        "json": True,
        "email": [MINJI],
        "password": {"$ne": ""},
        "callbackUrl": 1,
    }
    response = visitor.post(f"{API}/callback/email", json=body)
    assert response.status_code == 302  # v4 compares with the text "true"
    assert "error=CredentialsSignin" in response.headers["Location"]


def test_a_token_in_a_json_body_is_held_as_well(visitor: Visitor) -> None:
    visitor.csrf_token()
    for token in ("wrong", None, ["wrong"]):
        response = visitor.post(f"{API}/signout", json={"csrfToken": token, "json": "true"})
        assert (response.status_code, error_in(response)) == (400, "FormExpired")


# --- update()


def test_an_update_of_the_names_is_saved_and_shown(signed_in: Visitor) -> None:
    changed = update(signed_in, {"nick_name": "새이름"}).json()
    assert changed["user"]["nick_name"] == "새이름"
    assert changed["user"]["name"] == "김민지"
    assert signed_in.get_session() == changed
    assert update(signed_in, {"nick_name": None}).json()["user"]["nick_name"] is None
    assert (
        update(signed_in, {"nick_name": "민지"}).json()["user"]["nick_name"] == "민지"
    )  # others come to this site, too


def test_a_person_without_a_name_may_have_a_nickname(signed_in: Visitor, site: Site) -> None:
    assert site.backend
    person = site.backend.extensions["user_store"].users[MINJI]
    person["name"] = None
    try:
        update(signed_in)
        changed = update(signed_in, {"nick_name": "새이름"}).json()["user"]
    finally:
        person.update(name="김민지", nick_name="민지")
    assert (changed["name"], changed["nick_name"]) == (None, "새이름")


def test_an_update_without_data_reads_the_person_again(signed_in: Visitor, site: Site) -> None:
    assert site.backend
    people = site.backend.extensions["user_store"]
    people.users[MINJI]["name"] = "김새로"
    try:
        assert update(signed_in).json()["user"]["name"] == "김새로"
    finally:
        people.users[MINJI]["name"] = "김민지"


@pytest.mark.parametrize("data", [[], [{"name": "김민지"}]], ids=["read again", "saved"])
def test_an_update_that_brings_somebody_else_ends_the_session(signed_in: Visitor, site: Site, data: list[Any]) -> None:
    assert site.backend
    person = site.backend.extensions["user_store"].users[MINJI]
    own = person["id"]
    person["id"] = 666
    try:
        assert update(signed_in, *data).status_code == 401
    finally:
        person["id"] = own
    assert signed_in.get_session() == {}


def test_a_failure_that_is_not_the_persons_bears_the_reference_of_the_log(visitor: Visitor) -> None:
    response = ask(visitor, "callback/email", email="html@example.com", password=PASSWORD)
    assert f"reference={response.headers['X-Request-Id']}" in response.json()["url"]


def test_without_a_profile_path_the_session_alone_changes(make_site: SiteMaker) -> None:
    visitor = make_site(backend_profile_path=None).new_visitor()
    visitor.sign_in()
    assert update(visitor, {"name": "나"}).json()["user"]["name"] == "나"
    assert update(visitor).json()["user"]["name"] == "김민지"


def test_an_update_of_nobody_is_empty(visitor: Visitor) -> None:
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
def test_an_update_of_anything_else_is_refused_and_changes_nothing(signed_in: Visitor, site: Site, data: Any) -> None:
    before = signed_in.get_session()
    response = update(signed_in, data)
    assert (response.status_code, response.json()) == (422, {})
    assert response.headers["Cache-Control"] == "no-store"
    assert SessionCookie(site.app.extensions["munjigi"].settings, Clock()).name not in cookie_names(response)
    assert signed_in.get_session() == before


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'"x"', b"[" * 5000, b"\xff", b"{}" * 40_000])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("path", ["session", "callback/email", "signout", "signin/email", "_log"])
def test_no_body_breaks_anything(visitor: Visitor, path: str, kind: str, body: bytes) -> None:
    visitor.csrf_token()
    response = visitor.post(f"{API}/{path}", data=body, headers={"Content-Type": kind})
    # 302: a form of a browser's, whose token is missing, goes to the page that says so
    assert response.status_code in {"_log": (200, 413, 415), "session": (400, 413, 415)}.get(path, (302, 400, 413, 415))
    assert not visitor.is_signed_in
