"""Every route: its methods, who may open it, whether it needs a CSRF token, which cookies it may set.

A new route fails here until it is listed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
import requests

from dev.backend import PASSWORD, create_backend
from services.backend.user import User
from tests.support.scripted import USER
from tests.support.signing_keys import private_pem
from tests.support.site import (
    ACCOUNT_PATHS,
    LINK_PATHS,
    MINJI,
    ManualClock,
    Page,
    Site,
    SiteMaker,
    Visitor,
    cookie_names,
    serve_in_thread,
)

METRICS_TOKEN = "Pr0metheus-asks-with-this-one-only"
ANYONE, MEMBERS, PROMETHEUS = "anyone", "people who are signed in", "who sends METRICS_TOKEN"
BACKEND = "who sends BACKEND_EVENTS_TOKEN"
ISSUERS = "who signs a token with a provider's key"
VISITOR, SESSION, DEVICE = "munjigi.visitor", "next-auth.session-token", "munjigi.device"
ATTEMPT, PASSKEY = "munjigi.attempt", "munjigi.passkey"
HTML = "text/html; charset=utf-8"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@dataclass(frozen=True)
class Route:
    """One method of one route. `cookies` are all that any answer to it may set."""

    method: str
    rule: str
    open_to: str = ANYONE
    cookies: frozenset[str] = frozenset()
    form_token: bool = True
    """For POST: whether it is refused without a CSRF token."""
    path: str = ""
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def address(self) -> str:
        return self.path or self.rule


def get(rule: str, *cookies: str, **more: Any) -> Route:
    return Route("GET", rule, cookies=frozenset(cookies), **more)


def post(rule: str, *cookies: str, fields: dict[str, str] | None = None, **more: Any) -> Route:
    return Route("POST", rule, cookies=frozenset(cookies), fields=tuple((fields or {}).items()), **more)


CREDENTIALS = {"email": MINJI, "password": PASSWORD}
OPTIONS_PATH = "/_allauth/app/v1/auth/webauthn/login"
PASSKEYS = {
    "passkeys": "true",
    "backend_passkey": "POST /passkey",
    "backend_passkey_body": "credential={credential}",
    "backend_confirm_password": "POST /password/confirm",
    "backend_confirm_password_body": "password={password}",
    "backend_passkey_register_options": "POST /passkeys/options",
    "backend_passkey_register": "POST /passkeys",
    "backend_passkey_register_body": "credential={credential}",
    "backend_passkey_list": "GET /passkeys",
    "backend_passkey_remove": "DELETE /passkeys/{passkey}",
    "backend_passkey_request_options": "data.request_options",
}
"""The stand-in backend has none of these paths; the options come from another one."""
ROUTES = [
    get("/", VISITOR, SESSION),
    get("/account", VISITOR, SESSION, open_to=MEMBERS),
    post("/account", VISITOR, SESSION, open_to=MEMBERS, fields={"name": "민지", "nick_name": ""}),
    post("/account/sessions/end", SESSION, open_to=MEMBERS, fields={"session": "0" * 16}),
    get("/account/password", VISITOR, SESSION, open_to=MEMBERS),
    post(
        "/account/password",
        VISITOR,
        SESSION,
        DEVICE,
        open_to=MEMBERS,
        fields={"password": PASSWORD, "new_password": PASSWORD},
    ),
    get("/account/providers", VISITOR, SESSION, open_to=MEMBERS),
    get("/account/providers/connect", SESSION, open_to=MEMBERS),
    post("/account/providers/disconnect", VISITOR, SESSION, open_to=MEMBERS, fields={"provider": "google"}),
    get("/account/passkeys", VISITOR, SESSION, open_to=MEMBERS),
    post("/account/passkeys", SESSION, open_to=MEMBERS, fields={"credential": "{}"}),
    post("/account/passkeys/options", SESSION, open_to=MEMBERS),
    get("/account/passkeys/remove", SESSION, open_to=MEMBERS),
    post("/account/passkeys/remove", SESSION, open_to=MEMBERS, fields={"passkey": "1"}),
    get("/auth/email/resend", VISITOR),
    post("/auth/email/resend", fields={"email": MINJI}),
    get("/auth/email/verify", VISITOR, path="/auth/email/verify?token=x"),
    post("/auth/email/verify", fields={"code": "x"}),
    get("/auth/login/email", VISITOR, SESSION),
    post("/auth/login/email", VISITOR, SESSION, DEVICE, fields=CREDENTIALS),
    get("/auth/login/confirm", VISITOR, SESSION, open_to=MEMBERS),
    post("/auth/login/confirm", VISITOR, SESSION, DEVICE, open_to=MEMBERS, fields=CREDENTIALS),
    post("/auth/login/confirm/passkey", SESSION, open_to=MEMBERS, fields={"credential": "{}"}),
    post("/auth/login/passkey", fields={"credential": "{}"}),
    post("/auth/passkey/options", PASSKEY),
    get("/auth/login/register"),
    post("/auth/login/register", SESSION),
    post("/auth/login/register/cancel"),
    get("/auth/login/verify"),
    get("/auth/login/verify/return"),
    post("/auth/login/verify", SESSION),
    post("/auth/login/verify/resend", SESSION),
    post("/auth/login/verify/method", SESSION),
    post("/auth/login/verify/cancel"),
    get("/auth/logout", VISITOR, SESSION),
    post("/auth/logout", VISITOR, SESSION),
    get("/auth/logout/done"),
    get("/auth/password/forgot", VISITOR),
    post("/auth/password/forgot", fields={"email": MINJI}),
    get("/auth/password/reset", VISITOR, path="/auth/password/reset?token=x"),
    post("/auth/password/reset", fields={"code": "x", "new_password": PASSWORD, "email": MINJI}),
    get("/auth/register", VISITOR, SESSION),
    post("/auth/register", fields={"email": MINJI, "name": "x", "password": "x"}),
    get("/auth/static/<name>", path="/auth/static/site.css"),
    get("/auth/verify", open_to=MEMBERS),
    get("/api/auth/csrf", VISITOR),
    get("/api/auth/error"),
    get("/api/auth/providers"),
    get("/api/auth/session", SESSION),
    post("/api/auth/session", VISITOR, SESSION),
    get("/api/auth/signin"),
    post("/api/auth/signin/email"),
    post("/api/auth/signin/<provider>", ATTEMPT, path="/api/auth/signin/google"),
    get("/api/auth/callback/<provider>", SESSION, path="/api/auth/callback/google"),
    post("/api/auth/callback/<provider>", form_token=False, path="/api/auth/callback/apple"),
    post("/api/auth/callback/email", VISITOR, SESSION, DEVICE, fields=CREDENTIALS),
    get("/api/auth/signout"),
    post("/api/auth/signout", VISITOR, SESSION),
    post("/api/auth/_log", form_token=False),
    get("/.well-known/jwks.json"),
    post(
        "/api/auth/backchannel-logout/<provider>",
        open_to=ISSUERS,
        form_token=False,
        path="/api/auth/backchannel-logout/google",
        fields={"logout_token": "a.b.c"},
    ),
    post(
        "/api/auth/notifications/<provider>",
        open_to=ISSUERS,
        form_token=False,
        path="/api/auth/notifications/apple",
        fields={"payload": "a.b.c"},
    ),
    post("/api/auth/sessions/revoke", open_to=BACKEND, form_token=False, fields={"user_id": "404"}),
    get("/health/live"),
    get("/health/ready"),
    get("/.well-known/change-password"),
    get("/metrics", open_to=PROMETHEUS),
]
CLOCK = ManualClock()
each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.rule}")


@pytest.fixture(scope="module")
def passkeys_url() -> Iterator[str]:
    with serve_in_thread("127.0.0.1", lambda _: create_backend(protocol="allauth")) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def site(shared_site: SiteMaker, passkeys_url: str) -> Site:
    client = {"google_client_id": "id", "google_client_secret": "a-secret-of-this-test-only"}
    client |= {"apple_client_id": "id", "apple_client_secret": "a.b.c"}
    client |= {"assertion_private_key": private_pem()}
    site = shared_site(
        metrics_token=METRICS_TOKEN,
        backend_events_token=METRICS_TOKEN,
        providers="google,apple",
        clock=CLOCK,
        **client,
        **ACCOUNT_PATHS,
        **LINK_PATHS,
        **PASSKEYS,
        backend_passkey_options=f"GET {passkeys_url}{OPTIONS_PATH}",
    )
    CLOCK.advance(300)  # no longer just started: sessions of earlier processes are revalidated at once
    return site


def member(site: Site) -> Visitor:
    visitor = site.new_visitor()
    assert visitor.sign_in().status_code == 303
    return visitor


def ask(visitor: Visitor, route: Route, **headers: str) -> requests.Response:
    """Send the request as a page of the site would, but accept JSON, so that no answer redirects to the login page."""
    headers = {"Accept": "application/json", **headers}
    if route.method == "GET":
        return visitor.get(route.address, headers=headers)
    if route.open_to == BACKEND:
        return visitor.post(route.address, json=dict(route.fields), headers=headers)
    return visitor.submit(route.address, dict(route.fields), headers=headers)


def kinds(response: requests.Response) -> set[str]:
    """Return the names of the cookies that an answer sets or deletes, without the id of an attempt."""
    return {ATTEMPT if name.startswith(ATTEMPT) else name for name in cookie_names(response)}


def test_the_table_lists_exactly_the_routes_and_methods_of_the_site(site: Site) -> None:
    listed: dict[str, set[str]] = {}
    for route in ROUTES:
        listed.setdefault(route.rule, set()).update({"GET", "HEAD"} if route.method == "GET" else {route.method})
    found: dict[str, set[str]] = {}
    for rule in site.app.url_map.iter_rules():
        found.setdefault(rule.rule, set()).update(rule.methods or ())
    assert found == listed


@each_route
def test_a_route_is_open_only_to_the_visitors_that_the_table_lists(site: Site, route: Route) -> None:
    anonymous, signed_in = ask(site.new_visitor(), route), ask(member(site), route)
    with_token = ask(site.new_visitor(), route, Authorization=f"Bearer {METRICS_TOKEN}")
    open_to = {ANYONE: (True, True, True), MEMBERS: (False, True, False)}
    open_to |= dict.fromkeys((PROMETHEUS, BACKEND), (False, False, True)) | {ISSUERS: (False, False, False)}
    assert tuple(map(is_open, (anonymous, signed_in, with_token))) == open_to[route.open_to]


def is_open(response: requests.Response) -> bool:
    assert response.status_code in (200, 204, 302, 303, 400, 401, 422)
    is_refused = response.status_code in (400, 401) and response.text.startswith(
        ('{"error":"Verification"', '{"error":"PasskeyRejected"')
    )
    return is_refused or response.status_code not in (400, 401)


@each_route
def test_a_route_sets_only_the_cookies_that_the_table_lists(site: Site, route: Route) -> None:
    """For a new visitor, one with a form, and signed-in ones: with a form, without one, and with an expired session."""
    known = site.new_visitor()
    known.csrf_token()
    visitors = [site.new_visitor(), known, member(site)]
    visitors += [site.visitor_signed_in_ago(seconds, User.from_json(USER)) for seconds in (0, 301)]
    seen = [kinds(ask(visitor, route)) for visitor in visitors]
    assert set().union(*seen) == route.cookies


@pytest.mark.parametrize("rule", sorted({route.rule for route in ROUTES}))
def test_other_methods_get_405_and_set_no_cookie(site: Site, rule: str) -> None:
    own = [route for route in ROUTES if route.rule == rule]
    allowed = {route.method for route in own} | ({"HEAD"} if any(route.method == "GET" for route in own) else set())
    others = [method for method in METHODS if method not in allowed]
    assert others
    visitor = member(site)
    for method in others:
        response = visitor.request(method, own[0].address)
        is_read_elsewhere = rule == "/api/auth/callback/email" and method in (
            "GET",
            "HEAD",
        )  # GET and HEAD belong to the callback of a provider, and there is none with this name
        assert response.status_code == (404 if is_read_elsewhere else 405), method
        assert kinds(response) == set()


def test_each_page_for_members_has_a_way_to_sign_out(site: Site) -> None:
    visitor = member(site)
    pages = {}
    for route in [route for route in ROUTES if route.method == "GET" and route.open_to == MEMBERS]:
        response = visitor.get(route.address)
        if response.status_code == 200 and response.headers.get("Content-Type") == HTML:
            links = [link.get("href") for link in Page(response).find_all("a")]
            actions = [form.get("action") for form in Page(response).find_all("form")]
            pages[route.rule] = "/auth/logout" in links + actions
    assert pages == dict.fromkeys(
        ("/account", "/account/password", "/account/providers", "/account/passkeys", "/auth/login/confirm"), True
    )


def with_query(address: str, **parameters: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(parameters)}"


def pages_of(visitor: Visitor, **parameters: str) -> dict[str, Page]:
    """The pages that this visitor gets by GET, by the address with these parameters."""
    addresses = [with_query(route.address, **parameters) for route in ROUTES if route.method == "GET"]
    responses = {address: visitor.get(address) for address in addresses}
    kinds = {address: (each.status_code, each.headers.get("Content-Type")) for address, each in responses.items()}
    return {address: Page(response) for address, response in responses.items() if kinds[address] == (200, HTML)}


READ = {
    "/account/passkeys/remove": ["passkey"],
    "/auth/email/verify": ["token", "code"],
    "/auth/password/reset": ["token", "code"],
}
"""The query parameters that a page reads, besides `callbackUrl` and those of errors."""


def test_each_page_links_to_itself_in_the_other_languages(site: Site) -> None:
    """With the parameters that it reads. Others are not repeated: a link could put any text there."""
    parameters = {"code": "a/b c", "passkey": "7", "other": "x", "state": "x", "lang": "ja"}
    pages = {**pages_of(member(site), **parameters), **pages_of(site.new_visitor(), **parameters)}
    assert {urlsplit(address).path for address in pages} >= {
        "/", "/account", "/account/password", "/account/passkeys", "/account/providers", "/auth/login/confirm",
        "/auth/login/email", "/auth/logout", "/auth/password/forgot", "/auth/password/reset", "/auth/register",
    }  # fmt: skip
    for address, page in pages.items():
        links = [link.get("href") for link in page.find_all("nav[@class='languages']//a")]
        path, query = urlsplit(address).path, dict(parse_qsl(urlsplit(address).query))
        kept = {name: query[name] for name in READ.get(path, ()) if name in query}
        languages = set()
        for link in links:
            found = dict(parse_qsl(urlsplit(link).query))
            languages.add(found.pop("lang"))
            assert (urlsplit(link).path, found) == (path, kept)
        assert len(languages) > 1, address


def test_a_very_long_query_is_not_repeated_in_the_links(site: Site) -> None:
    page = site.new_visitor().get_page(with_query("/auth/password/reset", token="y" * 4000))
    assert "yyyy" not in "".join(link.get("href") for link in page.find_all("a"))


def test_a_sign_in_returns_to_the_page_with_its_query(site: Site) -> None:
    query = {"passkey": "7", "callbackUrl": "/rooms?a=b&c=d", "lang": "ja", "error": "Cancelled", "other": "x"}
    for route in [route for route in ROUTES if route.method == "GET" and route.open_to == MEMBERS]:
        response = site.new_visitor().get(with_query(route.address, **query))
        if response.status_code == 303 and route.rule != "/auth/login/confirm":
            (target,) = parse_qs(urlsplit(response.headers["Location"]).query)["callbackUrl"]
            assert urlsplit(target).path == route.rule
            kept = {name: query[name] for name in READ.get(route.rule, ())}
            assert dict(parse_qsl(urlsplit(target).query)) == kept | {"callbackUrl": f"{site.url}/rooms?a=b&c=d"}


def test_no_answer_to_another_origin_is_a_script_or_may_be_read_there(site: Site) -> None:
    visitor = member(site)
    for route in [route for route in ROUTES if route.method == "GET"]:
        address = f"{route.address}{'&' if '?' in route.address else '?'}callback=steal&jsonp=steal"
        response = visitor.get(address, headers={"Origin": "https://evil.example"})
        assert response.headers.get("Content-Type", HTML) != "text/javascript; charset=utf-8", route.rule
        assert not response.text.lstrip().startswith("steal"), route.rule
        assert not [name for name in response.headers if name.startswith("Access-Control-")], route.rule


POSTS = [route for route in ROUTES if route.method == "POST"]


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.rule)
def test_a_post_without_a_csrf_token_is_refused_and_changes_nothing(site: Site, route: Route) -> None:
    visitor = member(site)
    response = visitor.post(route.address, data={"json": "true", **dict(route.fields)})
    assert (response.status_code == 400) is (route.form_token or route.open_to == ISSUERS)
    assert not {SESSION, DEVICE, ATTEMPT} & kinds(response)
    assert visitor.is_signed_in


FORM, JSON = "application/x-www-form-urlencoded", "application/json"
BODIES = [
    *(
        (kind, body)
        for kind in (FORM, JSON)
        for body in (b"", b"{", b"[]", b"null", b'"x"', b"a=%ff", b"\xff\x00", b"=&=&;")
    ),
    (JSON, b'{"json": "true", "csrfToken": 7, "callbackUrl": ["/"], "state": {}, "everywhere": [], "data": 1}'),
    (JSON, b"[" * 20_000),
    (f"{JSON}; charset=utf-16", b"\xff\xfe{\x00}\x00"),
    ("multipart/form-data", b"--x"),
    ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=json\r\n\r\ntrue\r\n--x--"),
    ("application/\xe9; charset=\xe9", b"x"),
    ("text/plain", b"x"),
    ("", b"x"),
    (";", b""),
]
QUERIES = ("", "?state=x&code=y&json=true&callbackUrl=%FF&lang=%FF&error=%00&wait=%FF")


@each_route
def test_no_body_and_no_content_type_makes_a_server_error(site: Site, route: Route) -> None:
    """At the method of the route and at others, signed in or not."""
    client, cookies = site.app.test_client(use_cookies=False), ("", cookie_header(member(site)))
    for number, (kind, body) in enumerate(BODIES):
        for method in {route.method, "POST", "TRACE"}:
            headers = {"Cookie": cookies[number % 2], "Content-Type": kind}
            address = route.address + QUERIES[number // 2 % 2]
            response = client.open(address, method=method, data=body, headers=headers)
            assert response.status_code < 500, (method, kind, body)


def cookie_header(visitor: Visitor) -> str:
    visitor.csrf_token()
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies)


GETS = [route for route in ROUTES if route.method == "GET"]


@pytest.mark.parametrize("route", GETS, ids=lambda route: route.rule)
def test_the_body_of_a_get_means_nothing(site: Site, route: Route) -> None:
    plain, with_body = site.new_visitor().get(route.address), site.new_visitor()
    for kind, body in (
        (JSON, b'{"json": "true", "callbackUrl": "/account"}'),
        (FORM, b"json=true&callbackUrl=/account"),
    ):
        response = with_body.get(route.address, data=body, headers={"Content-Type": kind})
        assert (response.status_code, response.headers.get("Location")) == (
            plain.status_code,
            plain.headers.get("Location"),
        )


HEADERS = (
    *("Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cookie", "If-None-Match", "If-Modified-Since"),
    *("Origin", "Purpose", "Range", "Referer", "Sec-Fetch-Site", "Sec-Purpose", "User-Agent", "X-Forwarded-For"),
    *("X-Forwarded-Host", "X-Forwarded-Method", "X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Forwarded-Uri"),
    *("X-Moz", "X-Request-Id", "X-Requested-With", "Forwarded", "Host"),
)
VALUES = ('é=김; 김=é, "김', "\xff\xfe=\x80;q=\xb2, Bearer \xe9, \xa0", "/é?\u2028=😀", "")


@pytest.mark.corpus
@each_route
def test_no_bytes_in_a_header_make_a_server_error(site: Site, route: Route) -> None:
    client, cookies = site.app.test_client(use_cookies=False), cookie_header(member(site))
    for name in HEADERS:
        for value in VALUES:
            # WSGI: a header is its bytes, decoded as latin-1 (PEP 3333).
            headers = {"Cookie": cookies, name: value.encode().decode("latin-1")}
            if name == "Cookie":
                headers["Cookie"] = f"{cookies}; {headers['Cookie']}"
            response = client.open(route.address, method=route.method, data={"x": "1"}, headers=headers)
            assert response.status_code < 500, (name, value)
