"""Advisories that other sign-in software has published since 2024, tried on this site.

Each docstring says what happened there, and why not here. docs/advisories.md has the links.
"""

import hmac
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from providers.base import Identity
from services import identifiers
from services.backend.user import validate_identity
from services.limits.account_key import account_key
from tests.support.faulty_backend import NO_LIMITS, FaultyBackend
from tests.support.forge import COOKIE, encrypt, make_claims
from tests.support.issuer import (
    EMAIL,
    Issuer,
    Json,
    assert_rejected,
    assert_signed_in,
    base64url,
    post_sign_in,
    public_jwk,
    reset_servers,
    rsa_key,
    running_issuer,
    send_callback,
    sign_in_via_provider,
    sign_jwt,
    start_sign_in,
    unsigned_jwt,
)
from tests.support.redirects import destination
from tests.support.site import (
    MINJI,
    ManualClock,
    Page,
    Site,
    SiteMaker,
    Visitor,
    cookie_names,
    running_site,
)
from tests.support.social_fixtures import backend  # noqa: F401  # a fixture

pytestmark = pytest.mark.corpus

VERIFY, LOGIN = "/auth/verify", "/auth/login/email"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture(scope="module")
def running_social_site(backend: FaultyBackend, issuer: Issuer) -> Iterator[Site]:
    paths: dict[str, Any] = {"backend_link_path": "/links", "backend_unlink_path": "/links/{provider}"}
    with running_site(backend.url, **issuer.site_settings(), **paths, **NO_LIMITS) as running:
        yield running


@pytest.fixture
def social_site(running_social_site: Site, backend: FaultyBackend, issuer: Issuer) -> Site:
    reset_servers(issuer, backend, running_social_site)
    return running_social_site


def member(site: Site) -> Visitor:
    visitor = site.new_visitor()
    assert visitor.sign_in().status_code == 303
    return visitor


# --- Forward auth


@pytest.mark.parametrize("uri", ["/health", "/api/public", "/auth/login/email", "/auth/static/site.css", "/metrics"])
def test_no_forwarded_address_is_let_in_without_a_session(site: Site, uri: str) -> None:
    """oauth2-proxy let a request in if `X-Forwarded-Uri` named a route that needs no sign-in.

    Here the header only says where the person returns to; there are no such routes at `/auth/verify`.
    """
    headers = {"X-Forwarded-Uri": uri, "X-Original-Uri": uri, "X-Forwarded-Host": "localhost", "X-Real-Ip": "127.0.0.1"}
    assert site.new_visitor().get(VERIFY, headers=headers).status_code == 401


@pytest.mark.parametrize("agent", ["kube-probe/1.31", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "Prometheus/3.0", ""])
def test_no_user_agent_is_let_in_without_a_session(site: Site, agent: str) -> None:
    """oauth2-proxy let anybody in who sent the `User-Agent` of its health check. Here that header lets nobody in."""
    visitor = site.new_visitor(**{"User-Agent": agent})
    assert visitor.get(VERIFY).status_code == 401
    assert visitor.get("/account").status_code in (302, 303)


@pytest.mark.parametrize(
    "uri", ["/admin#/public", "/admin%23/public", "/admin?x=/public", "/admin/..;/public", "/public%2f..%2fadmin"]
)
def test_no_part_of_an_address_is_let_in_without_a_session(site: Site, uri: str) -> None:
    """oauth2-proxy and VoidAuth compared a path with their rules, and the app read another one: a fragment, a query, an
    encoded slash. Here no address has a rule of its own; the proxy decides what to ask about."""
    assert site.new_visitor().get(VERIFY, headers={"X-Forwarded-Uri": uri}).status_code == 401


def test_every_identity_header_is_sent_so_that_a_proxy_replaces_it(make_site: SiteMaker) -> None:
    """Caddy's `copy_headers` left a client's own header in place if the check did not send it.

    Here each identity header is in each answer of 204, empty if there is no value.
    """
    site = make_site(session_revalidate=0)
    visitor = site.new_visitor()
    visitor.cookies.set(
        COOKIE, encrypt(make_claims(user={"id": 7, "name": None, "email": None})), domain="localhost.local"
    )
    answer = visitor.get(VERIFY)
    assert answer.status_code == 204
    assert {"X-Auth-User-Id", "X-Auth-User-Name", "X-Auth-User-Email"} <= set(answer.headers)


def test_a_forwarded_prefix_changes_no_address(site: Site) -> None:
    """Traefik passed a client's `X-Forwarded-Prefix` on to the check, which trusted it. Here nothing reads it."""
    headers = {"X-Forwarded-Prefix": "/evil", "X-Script-Name": "/evil", "X-Forwarded-Path": "/evil"}
    visitor = site.new_visitor()
    answer = visitor.get(VERIFY, headers={**headers, "X-Forwarded-Uri": "/rooms"})
    assert answer.status_code == 401
    assert "evil" not in f"{answer.headers}{answer.text}{visitor.get(LOGIN, headers=headers).text}"


def test_a_failing_backend_opens_nothing_at_forward_auth(social_site: Site, backend: FaultyBackend) -> None:
    """Auth.js handed on an object with the error in it when its configuration was wrong, and checks of "is there a
    session" were true. Here an error is no session, and a failed sign-in leaves none."""
    backend.responses["/login"] = b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"error": "config"}\n'
    visitor = social_site.new_visitor()
    assert visitor.sign_in().status_code in (401, 502)
    assert visitor.get("/api/auth/session").json() == {}
    assert visitor.get(VERIFY).status_code == 401


# --- Where people are sent


@pytest.mark.parametrize(
    "target",
    [
        "/\\evil.example", "/\t/evil.example", "//evil.example", "https:evil.example", "https://evil.localhost",
        "https://localhost.evil.example", "https://localhost@evil.example", "http://sub.localhost/", "///evil.example",
        "javascript:alert(1)", "/%09/evil.example", "/\x0b/evil.example", "https:///evil.example",
        "/x/..//evil.example",
    ],
)  # fmt: skip
def test_no_return_address_leaves_this_host(site: Site, target: str) -> None:
    """OpenShift's oauth-proxy took `/\\` and `/<tab>` for paths, Better Auth `//` and look-alikes of trusted origins,
    Flask-Security a subdomain. Here the address that is sent is built from the site's own origin."""
    visitor = site.new_visitor()
    location = destination(visitor.sign_in(callbackUrl=target))
    assert location.startswith(f"{site.url}/")
    assert urlsplit(location).netloc == urlsplit(site.url).netloc
    assert "@" not in location


def test_a_relay_state_of_a_callback_leads_nowhere(social_site: Site, issuer: Issuer) -> None:
    """allauth sent people to any URL in SAML's `RelayState`. Here the return address is in the signed attempt only."""
    visitor = social_site.new_visitor()
    evil = "https://evil.example/"
    request = start_sign_in(visitor, issuer)
    answer = send_callback(visitor, request, RelayState=evil, callbackUrl=evil, next=evil, returnTo=evil)
    assert_signed_in(visitor, answer)
    assert answer.headers["Location"] == f"{social_site.url}/"


def test_a_return_address_adds_nothing_to_the_authorization_request(social_site: Site, issuer: Issuer) -> None:
    """In Auth0's SDK for Next.js, a `returnTo` could add OAuth parameters. Here it stays in the attempt's cookie."""
    extra = {
        "callbackUrl": "/rooms?scope=admin&audience=evil",
        "scope": "admin",
        "redirect_uri": "https://evil.example/",
    }
    query = parse_qs(urlsplit(post_sign_in(social_site.new_visitor(), **extra).json()["url"]).query)
    assert query["scope"] == ["openid email profile"]
    assert query["redirect_uri"] == [f"{social_site.url}/api/auth/callback/oidc"]
    assert "audience" not in query
    assert "rooms" not in str(query)


# --- Callbacks of providers


@pytest.mark.parametrize("provider", ["oidc", "google", "line", "github"])
def test_a_callback_without_the_state_of_this_browser_is_refused(
    social_site: Site, issuer: Issuer, backend: FaultyBackend, provider: str
) -> None:
    """Authlib looked a state up in a cache that all browsers share, fastapi-sso did not look at all, social-core not
    for LINE, Better Auth not with cookies. Here it is in a signed cookie of the browser, for every provider."""
    attacker, victim = social_site.new_visitor(), social_site.new_visitor()
    request = start_sign_in(attacker, issuer, provider)
    start_sign_in(victim, issuer, provider)
    for params in (request, {"state": ""}, {"state": request["state"][:-1] + "A"}):
        answer = send_callback(victim, params, provider)
        assert_rejected(victim, answer, "AttemptExpired")
    assert backend.calls == []


def test_an_attempt_at_one_provider_is_none_at_another(
    social_site: Site, issuer: Issuer, backend: FaultyBackend
) -> None:
    """Auth.js's cookies with state, nonce and verifier did not say which provider they were for. Here they do."""
    visitor = social_site.new_visitor()
    request = start_sign_in(visitor, issuer, "google")
    assert_rejected(visitor, send_callback(visitor, request, "oidc"), "AttemptExpired")
    assert backend.calls == []


def test_a_strangers_callback_connects_no_provider(social_site: Site, issuer: Issuer, backend: FaultyBackend) -> None:
    """In Joomla's SocialLogin extension, a link could connect an attacker's account with the visitor's.

    Here the attempt names the session that has begun it.
    """
    stranger, victim = member(social_site), member(social_site)
    request = start_sign_in(stranger, issuer, link="true")
    backend.calls.clear()
    send_callback(victim, request)
    assert [call for call in backend.calls if call.path == "/links"] == []


@pytest.mark.parametrize("subject", ["another", None, 7])
def test_a_person_is_their_subject_not_their_address(social_site: Site, issuer: Issuer, subject: object) -> None:
    """allauth took Okta's `preferred_username` for the identity, which people can change. Here it is `sub`, and a
    userinfo with another one is refused."""
    issuer.userinfo = {"sub": subject, "email": EMAIL, "email_verified": True, "preferred_username": EMAIL}
    visitor = social_site.new_visitor()
    assert_rejected(visitor, sign_in_via_provider(visitor, issuer), "OAuthCallback")


@pytest.mark.parametrize("verified", [False, None, "true", 1, "1", [True]])
def test_an_address_that_is_not_verified_is_not_passed_on_as_verified(verified: object) -> None:
    """In Better Auth, an account that an attacker had made with somebody's unverified address was connected when the
    owner came through a provider. Here accounts are the backend's, which learns "verified" only from a true boolean."""
    identity = validate_identity(Identity(subject="1", email=EMAIL, email_verified=verified), "oidc")
    assert identity.email_verified is False


@pytest.mark.parametrize(
    "address",
    ["a@evil.example@example.com", "a@b@c", "a@example.com,b@evil.example", "a@example.com\n", '"a@b"@c', "@"],
)
def test_an_address_with_two_at_signs_is_none(address: str) -> None:
    """oauth2-proxy compared what follows the last `@` with its allowed domains. Here such an address is dropped."""
    identity = validate_identity(Identity(subject="1", email=address, email_verified=True), "oidc")
    assert (identity.email, identity.email_verified) == (None, False)


# --- Tokens


def hmac_jwt(secret: bytes, claims: Json) -> str:
    signing_input = unsigned_jwt({"alg": "HS256", "kid": "k1"}, claims).removesuffix(".")
    return f"{signing_input}.{base64url(hmac.digest(secret, signing_input.encode(), 'sha256'))}"


def test_no_empty_or_public_key_verifies_an_hmac(social_site: Site, issuer: Issuer, backend: FaultyBackend) -> None:
    """Authlib accepted HMACs made with an empty key, or with a public key behind a prefix, and keys from the header.

    Here joserfc verifies, the algorithms are those of the provider's file, and keys come from its address.
    """
    pem = rsa_key("k1").as_pem(private=False)
    forgeries: list[Callable[[Json], str]] = [
        *(partial(hmac_jwt, secret) for secret in (b"", pem, b"\n" + pem, b"x" + pem)),
        lambda claims: sign_jwt(claims, rsa_key("other"), jwk=public_jwk(rsa_key("other"))),
    ]
    for forge in forgeries:
        issuer.make_id_token = forge
        visitor = social_site.new_visitor()
        assert_rejected(visitor, sign_in_via_provider(visitor, issuer), "OAuthCallback")
    assert backend.calls == []


def test_a_state_is_no_token_of_another_kind(social_site: Site, issuer: Issuer) -> None:
    """In Better Auth, the state of a provider's sign-in could be used as a magic link, and one key encrypted states and
    profiles. Here each kind of cookie and link has a key of its own."""
    visitor = social_site.new_visitor()
    state = start_sign_in(visitor, issuer)["state"]
    attempt = next(cookie for cookie in visitor.cookies if cookie.name.startswith("munjigi.attempt"))
    for value in (state, str(attempt.value)):
        for name in (COOKIE, "munjigi.visitor", "munjigi.pending", "munjigi.trusted", "munjigi.device"):
            stranger = social_site.new_visitor(Cookie=f"{name}={value}")
            assert stranger.get("/api/auth/session").json() == {}
            assert stranger.get("/auth/login/verify").status_code in (303, 404)


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer %", "Bearer a.b.c.d.e", "bearer \xff", "Basic x", "B" * 9000]
)
def test_no_authorization_header_makes_an_error_or_a_session(site: Site, header: str) -> None:
    """A malformed `Bearer` header was an uncaught exception of Auth.js. Here the header means nothing."""
    for path in ("/api/auth/session", VERIFY, "/account"):
        answer = site.new_visitor().get(path, headers={"Authorization": header.encode("latin-1")})
        assert answer.status_code in (200, 303, 401)
        assert cookie_names(answer) <= {"munjigi.visitor"}


# --- Sessions


def test_a_sign_in_page_keeps_no_session_that_was_there_before(social_site: Site, issuer: Issuer) -> None:
    """oauth2-proxy's sign-in page left the cookie of an earlier session in place, and Keycloak let a link restart a
    sign-in that somebody else had begun. Here a sign-in ends the session before it, and its copies."""
    visitor = member(social_site)
    before = visitor.cookies.get(COOKIE)
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    assert visitor.cookies.get(COOKIE) != before
    copy = social_site.new_visitor(Cookie=f"{COOKIE}={before}")
    assert copy.get("/api/auth/session").json() == {}


@pytest.mark.parametrize("path", ["/", LOGIN, "/account", "/api/auth/session", "/api/auth/csrf", "/auth/logout"])
def test_nothing_with_a_cookie_may_be_cached(site: Site, path: str) -> None:
    """Auth0's SDK for Next.js sent session cookies without `Cache-Control`, and shared caches kept them."""
    for visitor in (site.new_visitor(), member(site)):
        answer = visitor.get(path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Cookie" in answer.headers["Vary"]


@pytest.mark.parametrize("door", ["/account", "/api/auth/session", "/account/password", "/auth/logout"])
def test_no_id_in_a_body_stands_for_a_session(site: Site, door: str) -> None:
    """Better Auth's API keys took the user's id from the body if there was no session. Here a user is a session."""
    visitor = site.new_visitor(Accept="application/json")
    body = {
        "csrfToken": visitor.csrf_token(),
        "userId": "1",
        "user": {"id": 1},
        "id": 1,
        "name": "x",
        "data": {"id": 1},
    }
    answer = visitor.post(door, json=body)
    assert answer.status_code < 500
    assert COOKIE not in cookie_names(answer)
    assert not visitor.is_signed_in


# --- Limits


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-Ip", "Forwarded", "CF-Connecting-IP", "X-Client-Ip"])
def test_no_header_of_a_client_evades_a_limit(make_site: SiteMaker, header: str) -> None:
    """allauth and authentik took the client's address from a header that clients can send; authentik let them in.

    Here `PROXY_HOPS` says how many proxies wrote into it: none, by default.
    """
    site = make_site(login_limit_per_ip="3/minute", clock=ManualClock())
    statuses = [
        site.new_visitor(**{header: f"for=203.0.113.{n}" if header == "Forwarded" else f"203.0.113.{n}"})
        .sign_in(f"person{n}@example.com", "wrong")
        .status_code
        for n in range(5)
    ]
    assert statuses == [401, 401, 401, 429, 429]


def test_no_further_field_of_a_form_evades_a_limit(make_site: SiteMaker) -> None:
    """Strapi counted by the field `email` of any form, also where another field was the identifier."""
    site = make_site(login_limit_per_account_and_ip="3/minute", clock=ManualClock())
    fields = ("identifier", "username", "phone", "userId", "account")
    statuses = [
        site.new_visitor().sign_in(MINJI, "wrong", **{name: f"{name}@x.example"}).status_code for name in fields
    ]
    assert statuses == [401, 401, 401, 429, 429]


@pytest.mark.parametrize(
    "spelling", [MINJI.upper(), MINJI.title(), f" {MINJI}", MINJI.replace("@", "\uff20"), f"{MINJI}."]
)
def test_every_spelling_of_an_account_shares_one_limit(spelling: str) -> None:
    """Authelia counted each spelling of a name, and the name and the address, apart. Here spellings are one count.

    A name and an address are one only for the backend: docs/security.md says so.
    """
    assert account_key(identifiers.normalize(spelling)) == account_key(MINJI)


def test_a_look_alike_at_sign_is_an_at_sign_before_the_address_is_checked(site: Site) -> None:
    """Auth.js checked an address and normalized it afterwards, so a full-width `@` made two of one. Here it is the
    other way round."""
    answer = site.new_visitor().submit(LOGIN, {"email": "minji\uff20evil.example@example.com", "password": "x"})
    page = Page(answer)
    assert page.status == 422
    assert page.find_all("input[@aria-invalid='true']")


# --- Sign in again


def test_nobody_confirms_a_session_as_somebody_else(site: Site) -> None:
    """In Flask-Security, another person's provider account or passkey refreshed a session's "recent" sign-in.

    Here the confirmation must be of the same user; for providers and passkeys too.
    """
    visitor = member(site)
    fields = {"email": "jun@example.com", "password": "correct-horse"}
    answer = visitor.submit("/auth/login/confirm", fields)
    assert visitor.get_session()["user"]["email"] == MINJI, answer.text


@pytest.mark.parametrize("path", ["/auth/login/verify", "/auth/login/verify/return", "/auth/login/register"])
def test_a_get_resumes_no_sign_in(site: Site, path: str) -> None:
    """social-core resumed a sign-in that waits by a GET with its token, in any browser. Here a POST of this site's form
    does, in the browser that has begun it."""
    visitor = site.new_visitor()
    visitor.sign_in("nextstep@example.com")
    pending = visitor.cookies.get("munjigi.pending")
    assert pending
    for address in (path, f"{path}?code=123456", f"{path}?partial_token={pending}&code=123456"):
        for browser in (visitor, site.new_visitor()):
            browser.get(address)
            assert not browser.is_signed_in
