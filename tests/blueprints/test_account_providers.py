"""Connecting and disconnecting providers while signed in, and the way there from a sign-in that was refused."""

import itertools
import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from dev.backend import PASSWORD
from tests.support.faulty_backend import SECRET_MARKER
from tests.support.issuer import (
    ACCESS_TOKEN,
    CODE,
    Issuer,
    running_issuer,
    send_callback,
    sign_in_via_provider,
    start_sign_in,
)
from tests.support.redirects import destination
from tests.support.scripted import USER
from tests.support.site import (
    MINJI,
    ManualClock,
    Page,
    Site,
    Visitor,
    cookie_names,
    running_site,
    serve_in_thread,
    set_cookies,
)

PAGE, CONNECT, DISCONNECT = "/account/providers", "/account/providers/connect", "/account/providers/disconnect"
CONFIRM, LOGIN = "/auth/login/confirm", "/auth/login/email"
SESSION, OFFER = "next-auth.session-token", "munjigi.link"
PATHS: dict[str, Any] = {
    "backend_link_path": "/user/providers",
    "backend_unlink_path": "/user/providers/{provider}",
    "backend_links_path": "/user/providers",
}


@dataclass
class LinkingBackend:
    """A backend in the protocol of `laravel`. The user with the password is connected with nothing at first."""

    url: str = ""
    linked: set[str] = field(default_factory=set)
    statuses: dict[str, int] = field(default_factory=dict)
    """Method of a call to `/user/providers` -> status of a refusal."""
    knows_social: bool = False
    """Whether a social sign-in succeeds, instead of 409."""
    links: Any = ...
    """The answer to the call for the list, instead of what is connected."""
    refused_tokens: set[str] = field(default_factory=set)
    calls: list[tuple[str, str, str, Any]] = field(default_factory=list)
    """Method, path, bearer token and JSON of each request."""
    users: dict[str, Any] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def link_calls(self, method: str = "POST") -> list[tuple[str, Any]]:
        """The bearer token and the JSON of each call that connects, or makes another call of that page."""
        return [
            (bearer, body)
            for called, path, bearer, body in self.calls
            if path.startswith("/user/providers") and called == method
        ]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        bearer = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        body = json.loads(raw) if raw else None
        with self.lock:
            self.calls.append((method, path, bearer, body))
            status, answer = self._respond(method, path, bearer, body)
        start_response(f"{status} Whatever", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    def _respond(self, method: str, path: str, bearer: str, body: Any) -> tuple[int, Any]:
        if path.startswith("/login/social") and not self.knows_social:
            return 409, {"message": "This address signs in another way."}
        if path.startswith("/login"):
            token = f"{next(self.numbers)}|{SECRET_MARKER}"
            number = 8 if body.get("email") == "jun@example.com" else USER["id"]
            self.users[token] = {**USER, "id": number}
            return 200, {"data": {"token": {"plainTextToken": token}}}
        if bearer not in self.users or bearer in self.refused_tokens:
            return 401, {"message": "Unauthenticated."}
        if path == "/user":
            return 200, {"data": {"user": self.users[bearer]}}
        if status := self.statuses.get(method):
            return status, {"message": "No."}
        if method == "POST":
            self.linked.add(body["provider"])
        elif method == "DELETE":
            self.linked.discard(path.rpartition("/")[2])
        links = sorted(self.linked) if self.links is ... else self.links
        return 200, {"data": {"providers": links}}


@contextmanager
def linking_backend() -> Iterator[LinkingBackend]:
    backend = LinkingBackend()
    with serve_in_thread("127.0.0.1", lambda _: backend) as port:
        backend.url = f"http://127.0.0.1:{port}"
        yield backend


@pytest.fixture
def backend() -> Iterator[LinkingBackend]:
    with linking_backend() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture
def site(issuer: Issuer, backend: LinkingBackend, clock: ManualClock) -> Iterator[Site]:
    issuer.reset()
    issuer.clock = clock
    with running_site(backend.url, clock=clock, backend_logout_path=None, **PATHS, **issuer.site_settings()) as running:
        yield running


def member(site: Site, email: str = MINJI) -> Visitor:
    visitor = site.new_visitor()
    assert visitor.sign_in(email).status_code == 303
    return visitor


def start_link(visitor: Visitor, issuer: Issuer, provider: str = "oidc", **fields: str) -> dict[str, str]:
    """Press the button *Connect*. Return the parameters of the authorization request."""
    return start_sign_in(visitor, issuer, provider, link="true", **fields)


def connect(visitor: Visitor, issuer: Issuer, provider: str = "oidc", **fields: str) -> requests.Response:
    return send_callback(visitor, start_link(visitor, issuer, provider, **fields), provider)


def states(page: Page) -> dict[str, tuple[str, str]]:
    """Label of each provider -> what the page says about it, and its button."""
    found = {}
    for item in page.find_all("section//li"):
        texts = [" ".join("".join(each.itertext()).split()) for each in item.findall(".//p")]
        button = item.find(".//button")
        found[texts[0]] = ((texts[1:] or [""])[0], "" if button is None else str(button.text))
    assert len(found) == len(page.find_all("section//li"))
    return found


def assert_error(visitor: Visitor, response: requests.Response, code: str) -> Page:
    url = urlsplit(response.headers["Location"])
    assert (response.status_code, url.path, parse_qs(url.query)["error"]) == (303, PAGE, [code])
    page = visitor.get_page(response.headers["Location"])
    assert page.status == 200
    assert page.message
    assert SECRET_MARKER not in page.text + response.headers["Location"]
    return page


# --- The page


def test_the_page_says_what_is_connected_and_the_account_page_leads_there(site: Site, backend: LinkingBackend) -> None:
    visitor = member(site)
    assert PAGE in [link.get("href") for link in visitor.get_page("/account").find_all("a")]
    backend.linked = {"google", "another-that-this-site-does-not-have"}
    page = visitor.get_page(PAGE)
    assert page.heading == "Ways to sign in"
    assert states(page)["Google"] == ("Connected", "Disconnect")
    assert states(page)["GitHub"] == ("Not connected", "Connect")
    assert len(states(page)) == 5


def test_the_page_is_for_members(site: Site) -> None:
    response = site.new_visitor().get(PAGE)
    assert (response.status_code, urlsplit(response.headers["Location"]).path) == (303, LOGIN)
    assert parse_qs(urlsplit(response.headers["Location"]).query)["callbackUrl"] == [PAGE]


@pytest.mark.parametrize(
    "links", [None, "google", 7, {}, {"google": True}, [None, 1, ["google"], {"provider": 3}, {"id": "google"}]]
)
def test_a_list_that_cannot_be_read_offers_to_connect_alone(site: Site, backend: LinkingBackend, links: Any) -> None:
    backend.links = links
    rows = states(member(site).get_page(PAGE))
    status = "Not connected" if isinstance(links, list) else ""
    assert set(rows.values()) == {(status, "Connect")}


def test_objects_in_the_list_name_the_provider(site: Site, backend: LinkingBackend) -> None:
    backend.links = [{"provider": "google", "id": 7}, "github"]
    rows = states(member(site).get_page(PAGE))
    assert [label for label, (status, _) in rows.items() if status == "Connected"] == ["Google", "GitHub"]


def test_the_list_may_be_in_the_answer_of_the_user_call(issuer: Issuer, backend: LinkingBackend) -> None:
    settings = {**PATHS, "backend_links_path": None, **issuer.site_settings()}
    with running_site(backend.url, **settings) as site:
        visitor = member(site)
        assert set(states(visitor.get_page(PAGE)).values()) == {("", "Connect")}
        for user in backend.users.values():
            user["providers"] = ["github"]
        assert states(visitor.get_page(PAGE))["GitHub"] == ("Connected", "Disconnect")


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_a_backend_that_does_not_give_the_list_gets_a_page_all_the_same(
    site: Site, backend: LinkingBackend, status: int
) -> None:
    backend.statuses["GET"] = status
    page = member(site).get_page(PAGE)
    assert page.status == 200
    assert page.message
    assert set(states(page).values()) == {("", "Connect")}


@pytest.mark.parametrize("paths", [{}, {**PATHS, "providers": ""}])
def test_without_the_call_or_without_providers_there_is_no_page(paths: dict[str, Any], issuer: Issuer) -> None:
    settings = {**issuer.site_settings(), **paths}
    with running_site(**settings) as site:
        visitor = member(site)
        assert "providers" not in str([link.get("href") for link in visitor.get_page("/account").find_all("a")])
        for path in (PAGE, CONNECT):
            assert visitor.get(path).status_code == 404
        assert visitor.submit(DISCONNECT, {"provider": "google"}).status_code == 404


# --- Connecting


@pytest.mark.parametrize("provider", ["oidc", "google", "github", "line"])
def test_a_provider_is_connected_and_the_session_stays(
    site: Site, backend: LinkingBackend, issuer: Issuer, provider: str
) -> None:
    visitor = member(site)
    session = visitor.get_session()
    response = connect(visitor, issuer, provider)
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}{PAGE}")
    assert SESSION not in cookie_names(response)
    ((bearer, body),) = backend.link_calls()
    assert (bearer, body) == (f"1|{SECRET_MARKER}", {"provider": provider, "social_token": ACCESS_TOKEN})
    assert not [path for _, path, _, _ in backend.calls if path.startswith("/login/social")], "no sign-in"
    page = visitor.get_page(PAGE)
    assert "is connected." in " ".join(page.status_messages)
    assert visitor.get_session() == session
    assert ("Connected", "Disconnect") in states(page).values()


def test_a_provider_that_answers_by_post_is_connected_too(site: Site, backend: LinkingBackend, issuer: Issuer) -> None:
    """The POST comes from another site: browsers send no session with it, and send it with the GET that follows."""
    visitor = member(site)
    params = start_link(visitor, issuer, "apple")
    attempt = {name: value for name, value in visitor.cookies.items() if name.startswith("munjigi.attempt")}
    form = {"code": CODE, "state": params["state"], "user": '{"name": {"firstName": "민지"}}'}
    response = requests.post(
        f"{site.url}/api/auth/callback/apple", form, cookies=attempt, allow_redirects=False, timeout=30
    )
    assert response.status_code == 303
    assert CODE not in response.text + str(response.headers)
    assert not backend.link_calls()
    (line,) = [line for line in set_cookies(response) if line.startswith("munjigi.attempt")]
    name, _, value = line.partition(";")[0].partition("=")
    location = response.headers["Location"]
    stranger = site.new_visitor()
    cookies = {**dict(visitor.cookies.items()), name: value}
    finished = stranger.get(location, cookies=cookies)
    assert (finished.status_code, finished.headers["Location"]) == (303, f"{site.url}{PAGE}")
    ((_, body),) = backend.link_calls()
    assert body["provider"] == "apple"
    again = site.new_visitor().get(location, cookies=dict(visitor.cookies.items()))
    assert again.status_code == 303
    assert len(backend.link_calls()) == 1


def test_the_person_arrives_where_they_were_going(site: Site, issuer: Issuer) -> None:
    response = connect(member(site), issuer, callbackUrl="/billing?a=1")
    assert response.headers["Location"] == f"{site.url}/billing?a=1"


@pytest.mark.parametrize("address", ["//evil.example", "https://evil.example/", "javascript:alert(1)", "\\\\evil"])
def test_no_target_leaves_the_site(site: Site, issuer: Issuer, address: str) -> None:
    assert connect(member(site), issuer, callbackUrl=address).headers["Location"] == f"{site.url}{PAGE}"


def test_a_second_click_at_the_provider_ends_on_the_same_page(
    site: Site, backend: LinkingBackend, issuer: Issuer
) -> None:
    visitor = member(site)
    params = start_link(visitor, issuer)
    copy = site.new_visitor()
    copy.cookies.update(visitor.cookies)
    for each in (visitor, copy, visitor):
        assert send_callback(each, params).headers["Location"] == f"{site.url}{PAGE}"
    assert len(backend.link_calls()) == 1


def test_the_form_without_a_script_gets_a_page_that_leads_on(site: Site) -> None:
    page = Page(member(site).submit("/api/auth/signin/oidc", {"link": "true"}))
    assert page.status == 200
    assert "/authorize?" in str([link.get("href") for link in page.find_all("main//a")])


# --- Who may


def test_connecting_demands_a_recent_sign_in(
    site: Site, backend: LinkingBackend, clock: ManualClock, issuer: Issuer
) -> None:
    visitor = member(site)
    clock.advance(16 * 60)
    for path, fields in (("/api/auth/signin/oidc", {"link": "true"}), (DISCONNECT, {"provider": "google"})):
        response = visitor.submit(path, fields)
        url = urlsplit(response.headers["Location"])
        assert (response.status_code, url.path) == (303, CONFIRM)
        assert parse_qs(url.query)["callbackUrl"] == [f"{site.url}{PAGE}"]
    as_json = visitor.submit("/api/auth/signin/oidc", {"link": "true", "json": "true"}).json()["url"]
    assert urlsplit(as_json).path == CONFIRM
    assert not backend.link_calls()
    response = visitor.submit(CONFIRM, {"password": PASSWORD, "callbackUrl": PAGE})
    assert destination(response) == f"{site.url}{PAGE}"
    assert connect(visitor, issuer).headers["Location"] == f"{site.url}{PAGE}"
    assert len(backend.link_calls()) == 1


def test_another_session_at_the_callback_is_refused(site: Site, backend: LinkingBackend, issuer: Issuer) -> None:
    """A second tab has signed in to another account, or to the same one again."""
    for email in ("jun@example.com", MINJI):
        visitor = member(site)
        params = start_link(visitor, issuer)
        assert visitor.sign_in(email).status_code == 303
        page = assert_error(visitor, send_callback(visitor, params), "SessionChanged")
        assert "Nothing was connected" in page.message
        assert not backend.link_calls()


def test_a_session_that_has_ended_is_refused(site: Site, backend: LinkingBackend, issuer: Issuer) -> None:
    visitor = member(site)
    params = start_link(visitor, issuer)
    visitor.submit("/auth/logout", {})
    response = send_callback(visitor, params)
    assert urlsplit(response.headers["Location"]).path == LOGIN
    assert not backend.link_calls()
    assert not visitor.is_signed_in


def test_a_strangers_callback_connects_nothing(site: Site, backend: LinkingBackend, issuer: Issuer) -> None:
    """A stranger begins with an account of their own, and sends the address of their callback to somebody."""
    stranger, victim = member(site, "jun@example.com"), member(site)
    params = start_link(stranger, issuer)
    response = send_callback(victim, params)
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}/")
    assert not backend.link_calls()
    # Even with the stranger's cookie, planted by a sibling domain, it is not this session that has begun it.
    for cookie in stranger.cookies:
        if cookie.name.startswith("munjigi.attempt"):
            victim.cookies.set_cookie(cookie)
    assert_error(victim, send_callback(victim, params), "SessionChanged")
    assert not backend.link_calls()


def test_a_callback_of_a_sign_in_connects_nothing(site: Site, backend: LinkingBackend, issuer: Issuer) -> None:
    visitor = member(site)
    params = start_sign_in(visitor, issuer, callbackUrl=PAGE)
    assert "error=OAuthAccountNotLinked" in send_callback(visitor, params).headers["Location"]
    assert not backend.link_calls()


def test_the_form_needs_a_session_and_a_token(site: Site, backend: LinkingBackend) -> None:
    response = site.new_visitor().submit("/api/auth/signin/oidc", {"link": "true"})
    assert urlsplit(response.headers["Location"]).path == LOGIN
    visitor = member(site)
    for path, fields in (("/api/auth/signin/oidc", {"link": "true"}), (DISCONNECT, {"provider": "google"})):
        refused = visitor.post(path, data={"csrfToken": "x", **fields})
        assert refused.status_code in (302, 303, 400)
        foreign = visitor.submit(path, fields, headers={"Origin": "https://evil.example"})
        assert foreign.status_code in (302, 303, 400)
        assert "/authorize" not in foreign.headers.get("Location", "")
    assert not backend.link_calls("POST") + backend.link_calls("DELETE")


@pytest.mark.parametrize("value", ["2", "yes", "true,true", "\x00", "x" * 5000, "é", "[]", "null"])
def test_a_form_that_says_neither_yes_nor_no_starts_nothing(site: Site, backend: LinkingBackend, value: str) -> None:
    visitor = member(site)
    response = visitor.submit("/api/auth/signin/oidc", {"link": value})
    assert response.status_code in (400, 422)
    assert not [name for name in cookie_names(response) if name.startswith("munjigi.attempt")]


@pytest.mark.parametrize("code", ["x" * 5000, "a", "%00", "é"])
def test_a_callback_by_post_with_odd_parameters_connects_nothing(
    site: Site, backend: LinkingBackend, issuer: Issuer, code: str
) -> None:
    visitor = member(site)
    params = start_link(visitor, issuer, "apple")
    issuer.token_fields = {"id_token": "x.y.z"}
    form = {"code": code, "state": params["state"], "user": "{" * 500}
    cookies = {name: value or "" for name, value in visitor.cookies.items()}
    answer = requests.post(
        f"{site.url}/api/auth/callback/apple", form, cookies=cookies, allow_redirects=False, timeout=30
    )
    lines = [line for line in set_cookies(answer) if line.startswith("munjigi.attempt")]
    name, _, value = lines[-1].partition(";")[0].partition("=")
    assert len(value) < 4000
    finished = site.new_visitor().get(answer.headers["Location"], cookies={**cookies, name: value})
    assert (finished.status_code, urlsplit(finished.headers["Location"]).path) == (303, PAGE)
    assert "error=" in finished.headers["Location"]
    assert not backend.link_calls()


# --- Refusals


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (409, "LinkedElsewhere", "already connected to another account"),
        (400, "LinkRefused", "did not connect it"),
        (403, "LinkRefused", "did not connect it"),
        (422, "LinkRefused", "did not connect it"),
        (401, "LinkRefused", "did not connect it"),
        (404, "Configuration", "not set up correctly"),
        (429, "TooManyAttempts", "Too many attempts"),
        (500, "BackendUnavailable", "not responding"),
        (503, "BackendUnavailable", "not responding"),
    ],
)
def test_each_refusal_has_a_sentence_and_the_session_goes_on(
    site: Site, backend: LinkingBackend, issuer: Issuer, status: int, code: str, words: str
) -> None:
    visitor = member(site)
    backend.statuses["POST"] = status
    page = assert_error(visitor, connect(visitor, issuer), code)
    assert words in page.message
    assert visitor.is_signed_in
    assert ("Connected", "Disconnect") not in states(page).values()


def test_cancelling_at_the_provider_connects_nothing(site: Site, backend: LinkingBackend, issuer: Issuer) -> None:
    visitor = member(site)
    params = start_link(visitor, issuer)
    response = visitor.get("/api/auth/callback/oidc", params={"error": "access_denied", "state": params["state"]})
    assert "you cancelled it" in assert_error(visitor, response, "Cancelled").message
    assert not backend.link_calls()


def test_a_token_that_is_over_ends_the_session(site: Site, backend: LinkingBackend, issuer: Issuer) -> None:
    visitor = member(site)
    params = start_link(visitor, issuer)
    backend.refused_tokens.add(f"1|{SECRET_MARKER}")
    response = send_callback(visitor, params)
    assert urlsplit(response.headers["Location"]).path == LOGIN
    assert not visitor.is_signed_in


# --- Disconnecting


def test_a_provider_is_disconnected(site: Site, backend: LinkingBackend) -> None:
    visitor = member(site)
    backend.linked = {"google", "github"}
    response = visitor.submit(DISCONNECT, {"provider": "google"})
    assert (response.status_code, response.headers["Location"]) == (303, f"{site.url}{PAGE}")
    assert backend.linked == {"github"}
    page = visitor.get_page(PAGE)
    assert "Google is disconnected." in page.status_messages
    assert visitor.is_signed_in


@pytest.mark.parametrize("status", [400, 403, 409, 422])
def test_the_last_way_to_sign_in_stays(site: Site, backend: LinkingBackend, status: int) -> None:
    visitor = member(site)
    backend.linked, backend.statuses["DELETE"] = {"google"}, status
    page = assert_error(visitor, visitor.submit(DISCONNECT, {"provider": "google"}), "LastSignInMethod")
    assert "no other way to sign in" in page.message
    assert states(page)["Google"] == ("Connected", "Disconnect")


@pytest.mark.parametrize("provider", ["", "nothing", "google/../x", "GOOGLE", "\x00", "g" * 5000, "{provider}"])
def test_only_providers_of_the_site_are_disconnected(site: Site, backend: LinkingBackend, provider: str) -> None:
    backend.linked = {"google"}
    assert member(site).submit(DISCONNECT, {"provider": provider}).status_code in (400, 404)
    assert not backend.link_calls("DELETE")


def test_what_is_not_connected_is_not_disconnected(site: Site, backend: LinkingBackend) -> None:
    assert member(site).submit(DISCONNECT, {"provider": "google"}).status_code == 303
    assert not backend.link_calls("DELETE")


# --- From a sign-in that was refused, in one journey


def refuse(visitor: Visitor, issuer: Issuer, provider: str = "oidc", **fields: str) -> Page:
    """Sign in with a provider whose address belongs to an account with a password."""
    response = send_callback(visitor, start_sign_in(visitor, issuer, provider, **fields), provider)
    url = urlsplit(response.headers["Location"])
    assert (url.path, parse_qs(url.query)["error"]) == (LOGIN, ["OAuthAccountNotLinked"])
    return visitor.get_page(response.headers["Location"])


def test_after_the_other_sign_in_one_click_connects_the_provider(
    site: Site, backend: LinkingBackend, issuer: Issuer
) -> None:
    visitor = site.new_visitor()
    page = refuse(visitor, issuer, "google", callbackUrl="/billing")
    assert "Sign in the way you did before. Then you can connect Google" in page.message
    assert page.input_value("callbackUrl") == f"{site.url}/billing"
    response = visitor.sign_in(callbackUrl="/billing")
    assert (response.status_code, urlsplit(response.headers["Location"]).path) == (303, CONNECT)
    offer = visitor.get_page(response.headers["Location"])
    assert offer.heading == "Connect Google?"
    assert f"{site.url}/billing" in [link.get("href") for link in offer.find_all("main//a")]
    (form,) = offer.find_all("main//form")
    fields = {each.get("name"): each.get("value") for each in form.iter("input")}
    assert not backend.link_calls(), "a GET connects nothing"
    assert form.get("action") == "/api/auth/signin/google"
    fields.pop("csrfToken")
    response = send_callback(visitor, start_sign_in(visitor, issuer, "google", **fields), "google")
    assert response.headers["Location"] == f"{site.url}/billing"
    assert [body["provider"] for _, body in backend.link_calls()] == ["google"]
    assert OFFER not in visitor.cookies.get_dict()
    assert visitor.get(CONNECT).headers["Location"] == f"{site.url}{PAGE}"


def test_the_cookie_of_the_offer_names_the_provider_and_holds_no_token(site: Site, issuer: Issuer) -> None:
    visitor = site.new_visitor()
    response = send_callback(visitor, start_sign_in(visitor, issuer), "oidc")
    (line,) = [line for line in set_cookies(response) if line.startswith(OFFER)]
    assert {"HttpOnly", "SameSite=Lax", "Max-Age=600"} <= {part.strip() for part in line.split(";")}
    assert len(line) < 200
    assert ACCESS_TOKEN not in line


def test_the_offer_is_for_ten_minutes_and_this_browser(site: Site, clock: ManualClock, issuer: Issuer) -> None:
    visitor = site.new_visitor()
    refuse(visitor, issuer)
    assert urlsplit(member(site).get(CONNECT).headers["Location"]).path == PAGE
    clock.advance(11 * 60)
    response = visitor.sign_in()
    assert destination(response) == f"{site.url}/"
    assert "connect" not in refuse(visitor, issuer).text.partition("<main")[0]


@pytest.mark.parametrize("value", ["", "oidc", "x.y.z", '"oidc"', "é", "a" * 4000])
def test_a_forged_offer_is_none(site: Site, value: str) -> None:
    visitor = site.new_visitor()
    cookies = f"{OFFER}={value}".encode()
    page = visitor.get(f"{LOGIN}?error=OAuthAccountNotLinked", headers={"Cookie": cookies})
    assert page.status_code == 200
    assert "Then you can connect" not in page.text


def test_signing_in_with_that_provider_after_all_offers_nothing(
    site: Site, backend: LinkingBackend, issuer: Issuer
) -> None:
    visitor = site.new_visitor()
    refuse(visitor, issuer)
    backend.knows_social = True
    response = sign_in_via_provider(visitor, issuer)
    assert response.headers["Location"] == f"{site.url}/"
    assert OFFER not in visitor.cookies.get_dict()


def test_signing_in_with_another_provider_offers_it(site: Site, backend: LinkingBackend, issuer: Issuer) -> None:
    visitor = site.new_visitor()
    refuse(visitor, issuer)
    backend.knows_social = True
    response = sign_in_via_provider(visitor, issuer, "github")
    assert urlsplit(response.headers["Location"]).path == CONNECT


def test_a_json_sign_in_of_next_auth_is_as_before(site: Site, issuer: Issuer) -> None:
    visitor = site.new_visitor()
    refuse(visitor, issuer)
    fields = {"email": MINJI, "password": PASSWORD, "json": "true", "callbackUrl": "/billing"}
    assert visitor.submit("/api/auth/callback/email", fields).json() == {"url": f"{site.url}/billing"}


def test_without_the_call_the_refusal_is_as_before(issuer: Issuer, backend: LinkingBackend) -> None:
    issuer.reset()
    with running_site(backend.url, **issuer.site_settings()) as site:
        visitor = site.new_visitor()
        page = refuse(visitor, issuer)
        assert page.message.endswith("Sign in the way you did before.")
        assert OFFER not in visitor.cookies.get_dict()
        assert destination(visitor.sign_in()) == f"{site.url}/"
