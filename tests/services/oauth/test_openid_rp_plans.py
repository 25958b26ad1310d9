"""The plans of the OpenID conformance suite for clients (relying parties): one test for each module, with its name.

The stand-in issuer does what the suite's issuer does in that module. No certification: docs/conformance.md.
As in the suite, a module that a client must refuse passes only if no userinfo request follows.
"""

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest
import requests

from tests.support.faulty_backend import NO_LIMITS, FaultyBackend
from tests.support.issuer import (
    ACCESS_TOKEN,
    CLIENT_ID,
    CLIENT_SECRET,
    CODE,
    DISCOVERY,
    EMAIL,
    INVALID_LOGOUT_TOKENS,
    JWKS,
    TOKEN,
    TOKEN_PATHS,
    USERINFO,
    Issuer,
    Json,
    assert_no_secrets_logged,
    assert_rejected,
    assert_signed_in,
    logout_token,
    post_callback,
    post_sign_in,
    public_jwk,
    reset_servers,
    rsa_key,
    send_callback,
    sign_jwt,
    start_sign_in,
    unsigned_jwt,
)
from tests.support.site import ManualClock, Page, Site, Visitor, running_site

pytestmark = pytest.mark.corpus

PROVIDERS = {"query": "oidc", "form_post": "posting"}
"""The provider for each `response_mode`: the same issuer, registered twice."""


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    settings = issuer.site_settings() | {"oidc_logout": "true", "providers": "oidc,oidc:posting"}
    settings |= {"posting_issuer": issuer.url, "posting_client_id": CLIENT_ID, "posting_client_secret": CLIENT_SECRET}
    settings |= {"posting_response_mode": "form_post"}
    with running_site(backend.url, clock=clock, **settings, **NO_LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def well(
    issuer: Issuer, backend: FaultyBackend, site: Site, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    clock.reset()
    reset_servers(issuer, backend, site)
    backend.responses["/login/social/callback/posting"] = backend.responses["/login"]
    issuer.subject, issuer.sid = uuid.uuid4().hex, uuid.uuid4().hex
    issuer.metadata = {"end_session_endpoint": f"{issuer.url}/logout"}
    yield
    assert_no_secrets_logged(caplog)


@pytest.fixture(params=PROVIDERS)
def mode(request: pytest.FixtureRequest) -> str:
    """`query` is the Basic plan, `form_post` the Form Post plan, which has the same modules."""
    return str(request.param)


def sign_in(visitor: Visitor, issuer: Issuer, mode: str = "query") -> requests.Response:
    return finish_sign_in(visitor, start_sign_in(visitor, issuer, PROVIDERS[mode]), mode)


def finish_sign_in(visitor: Visitor, request: dict[str, str], mode: str) -> requests.Response:
    if mode == "query":
        return send_callback(visitor, request)
    assert request["response_mode"] == "form_post"
    answer = post_callback(visitor, request, "posting")
    visitor.cookies.update(answer.cookies)
    return answer


def expect_accepted(site: Site, issuer: Issuer, mode: str) -> None:
    visitor = site.new_visitor()
    assert_signed_in(visitor, sign_in(visitor, issuer, mode))


def expect_refused(site: Site, issuer: Issuer, backend: FaultyBackend, mode: str) -> None:
    visitor = site.new_visitor()
    assert_rejected(visitor, sign_in(visitor, issuer, mode), "OAuthCallback")
    assert len(token_requests(issuer)) == 1
    assert issuer.requests_to(USERINFO) == []
    assert backend.calls == []


def token_requests(issuer: Issuer) -> list[Any]:
    return [call for path in (TOKEN, *TOKEN_PATHS.values()) for call in issuer.requests_to(path)]


def id_token_with(**changes: object) -> Callable[[Json], str]:
    """Sign the claims with these changes; `...` removes a claim."""
    return lambda claims: sign_jwt({name: value for name, value in {**claims, **changes}.items() if value is not ...})


# --- Basic: oidcc-client-basic-certification-test-plan
# --- Form Post: oidcc-client-formpost-basic-certification-test-plan


def test_oidcc_client_test(site: Site, issuer: Issuer, mode: str) -> None:
    visitor = site.new_visitor()
    request = start_sign_in(visitor, issuer, PROVIDERS[mode])
    assert request["response_type"] == "code"
    assert request["client_id"] == CLIENT_ID
    assert request["redirect_uri"] == f"{site.url}/api/auth/callback/{PROVIDERS[mode]}"
    assert "openid" in request["scope"].split()
    assert min(len(request["state"]), len(request["nonce"])) >= 43
    assert request["code_challenge_method"] == "S256"
    assert_signed_in(visitor, finish_sign_in(visitor, request, mode))
    sent = issuer.last_token_request()
    assert (sent["grant_type"], sent["code"], sent["redirect_uri"]) == (
        "authorization_code",
        CODE,
        request["redirect_uri"],
    )


def test_oidcc_client_test_invalid_iss(site: Site, issuer: Issuer, backend: FaultyBackend, mode: str) -> None:
    issuer.extra_claims = {"iss": "https://op.example.com/"}
    expect_refused(site, issuer, backend, mode)


def test_oidcc_client_test_missing_sub(site: Site, issuer: Issuer, backend: FaultyBackend, mode: str) -> None:
    issuer.make_id_token = id_token_with(sub=...)
    expect_refused(site, issuer, backend, mode)


def test_oidcc_client_test_invalid_aud(site: Site, issuer: Issuer, backend: FaultyBackend, mode: str) -> None:
    issuer.extra_claims = {"aud": f"{CLIENT_ID}_invalid"}
    expect_refused(site, issuer, backend, mode)


def test_oidcc_client_test_missing_iat(site: Site, issuer: Issuer, backend: FaultyBackend, mode: str) -> None:
    issuer.make_id_token = id_token_with(iat=...)
    expect_refused(site, issuer, backend, mode)


def test_oidcc_client_test_kid_absent_single_jwks(site: Site, issuer: Issuer, mode: str) -> None:
    issuer.make_id_token = lambda claims: sign_jwt(claims, kid=None)
    expect_accepted(site, issuer, mode)


def test_oidcc_client_test_kid_absent_multiple_jwks(
    site: Site, issuer: Issuer, backend: FaultyBackend, mode: str
) -> None:
    """The suite lets a client try every key, or refuse. This one refuses."""
    issuer.jwks = {"keys": [public_jwk(rsa_key("k1")), public_jwk(rsa_key("k2"))]}
    issuer.make_id_token = lambda claims: sign_jwt(claims, kid=None)
    expect_refused(site, issuer, backend, mode)


def test_oidcc_client_test_idtoken_sig_rs256(site: Site, issuer: Issuer, mode: str) -> None:
    issuer.make_id_token = lambda claims: sign_jwt(claims, alg="RS256")
    expect_accepted(site, issuer, mode)


def test_oidcc_client_test_idtoken_sig_none(site: Site, issuer: Issuer, backend: FaultyBackend, mode: str) -> None:
    """The suite lets a client accept the token, as it comes by TLS from the issuer, or refuse. This one refuses."""
    issuer.make_id_token = lambda claims: unsigned_jwt({"alg": "none"}, claims)
    expect_refused(site, issuer, backend, mode)


def test_oidcc_client_test_invalid_sig_rs256(site: Site, issuer: Issuer, backend: FaultyBackend, mode: str) -> None:
    issuer.make_id_token = lambda claims: sign_jwt(claims, rsa_key("k2"))
    expect_refused(site, issuer, backend, mode)


def test_oidcc_client_test_userinfo_invalid_sub(site: Site, issuer: Issuer, backend: FaultyBackend, mode: str) -> None:
    issuer.userinfo = {"sub": f"{issuer.valid_claims()['sub']}-invalid", "email": EMAIL}
    visitor = site.new_visitor()
    assert_rejected(visitor, sign_in(visitor, issuer, mode), "OAuthCallback")
    assert len(issuer.requests_to(USERINFO)) == 1
    assert backend.calls == []


def test_oidcc_client_test_nonce_invalid(site: Site, issuer: Issuer, backend: FaultyBackend, mode: str) -> None:
    issuer.make_id_token = lambda claims: sign_jwt({**claims, "nonce": f"{claims['nonce']}-invalid"})
    expect_refused(site, issuer, backend, mode)


def test_oidcc_client_test_scope_userinfo_claims(site: Site, issuer: Issuer, mode: str) -> None:
    visitor = site.new_visitor()
    request = start_sign_in(visitor, issuer, PROVIDERS[mode])
    assert {"openid", "email", "profile"} == set(request["scope"].split())
    assert_signed_in(visitor, finish_sign_in(visitor, request, mode))
    (userinfo_request,) = issuer.requests_to(USERINFO)
    assert userinfo_request.method == "GET"
    assert userinfo_request.headers["Authorization"] == f"Bearer {ACCESS_TOKEN}"


def test_oidcc_client_test_client_secret_basic(site: Site, issuer: Issuer, mode: str) -> None:
    issuer.metadata |= {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}
    expect_accepted(site, issuer, mode)
    (token_request,) = issuer.requests_to(TOKEN)
    credentials = f"{quote_plus(CLIENT_ID)}:{quote_plus(CLIENT_SECRET)}"
    assert token_request.headers["Authorization"] == f"Basic {base64.b64encode(credentials.encode()).decode()}"
    assert "client_secret" not in issuer.last_token_request()


def test_oidcc_client_test_form_post_error(site: Site, issuer: Issuer, backend: FaultyBackend) -> None:
    """Not in the plan, which has the modules of the Basic plan only, but in the suite."""
    visitor = site.new_visitor()
    request = start_sign_in(visitor, issuer, "posting")
    form = {"error": "login_required", "error_description": "<b>nobody</b>", "state": request["state"]}
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies)
    url = f"{visitor.url}/api/auth/callback/posting"
    answer = requests.post(url, form, headers={"Cookie": cookies}, allow_redirects=False, timeout=30)
    page = assert_rejected(visitor, answer, "OAuthCallback")
    assert "nobody" not in page.text
    assert token_requests(issuer) == []
    assert backend.calls == []


def test_the_response_mode_decides_how_the_callback_comes_and_no_other_way_is_taken(
    site: Site, issuer: Issuer, backend: FaultyBackend
) -> None:
    visitor = site.new_visitor()
    request = start_sign_in(visitor, issuer, "posting")
    cookie = next(cookie for cookie in visitor.cookies if "attempt" in cookie.name)
    assert (cookie.secure, cookie.get_nonstandard_attr("SameSite")) == (True, "None")
    assert_rejected(visitor, send_callback(visitor, request, "posting"), "AttemptExpired")
    assert post_callback(visitor, start_sign_in(visitor, issuer, "oidc"), "oidc").status_code == 405
    assert "response_mode" not in start_sign_in(visitor, issuer, "oidc")
    assert token_requests(issuer) == []
    assert backend.calls == []


# --- Config: oidcc-client-config-certification-test-plan (it has `idtoken-sig-none` too)


def test_oidcc_client_test_discovery_openid_config(site: Site, issuer: Issuer) -> None:
    place = f"/{uuid.uuid4().hex}"
    issuer.metadata |= {
        "authorization_endpoint": f"{issuer.url}{place}/authorize",
        "userinfo_endpoint": f"{issuer.url}{place}/me",
    }
    issuer.responses[f"{place}/me"] = issuer.responses[USERINFO]
    visitor = site.new_visitor()
    url = post_sign_in(visitor).json()["url"]
    assert url.startswith(f"{issuer.url}{place}/authorize?")
    issuer.nonce = parse_qs(urlsplit(url).query)["nonce"][0]
    assert_signed_in(visitor, send_callback(visitor, {"state": parse_qs(urlsplit(url).query)["state"][0]}))
    assert len(issuer.requests_to(DISCOVERY)) == 1
    assert len(issuer.requests_to(f"{place}/me")) == 1


def test_oidcc_client_test_discovery_jwks_uri_keys(site: Site, issuer: Issuer) -> None:
    path = f"/{uuid.uuid4().hex}/keys"
    issuer.metadata |= {"jwks_uri": f"{issuer.url}{path}"}
    issuer.responses[path] = issuer.responses[JWKS]
    expect_accepted(site, issuer, "query")
    assert len(issuer.requests_to(path)) == 1
    assert issuer.requests_to(JWKS) == []


def test_oidcc_client_test_discovery_issuer_mismatch(site: Site, issuer: Issuer, backend: FaultyBackend) -> None:
    """A client without WebFinger compares the issuer with its configuration."""
    issuer.metadata |= {"issuer": "https://op.example.com/"}
    visitor = site.new_visitor()
    answer = visitor.submit("/api/auth/signin/oidc", {})
    assert answer.status_code == 303
    assert urlsplit(answer.headers["Location"]).netloc == urlsplit(site.url).netloc
    assert "error=ProviderUnavailable" in answer.headers["Location"]
    assert {call.path for call in issuer.calls} == {DISCOVERY}


def test_oidcc_client_test_signing_key_rotation(site: Site, issuer: Issuer) -> None:
    expect_accepted(site, issuer, "query")
    issuer.jwks = {"keys": [public_jwk(rsa_key("k2"))]}
    issuer.make_id_token = lambda claims: sign_jwt(claims, rsa_key("k2"), kid="k2")
    expect_accepted(site, issuer, "query")
    assert len(issuer.requests_to(JWKS)) == 2


def test_oidcc_client_test_signing_key_rotation_just_before_signing(site: Site, issuer: Issuer) -> None:
    visitor = site.new_visitor()
    assert_signed_in(visitor, sign_in(visitor, issuer))

    def rotate_and_sign(claims: Json) -> str:
        issuer.jwks = {"keys": [public_jwk(rsa_key("k2"))]}
        return sign_jwt(claims, rsa_key("k2"), kid="k2")

    issuer.make_id_token = rotate_and_sign
    expect_accepted(site, issuer, "query")


# --- RP-Initiated Logout: oidcc-client-rp-initiated-logout-rp-basic


def signed_in(site: Site, issuer: Issuer) -> Visitor:
    visitor = site.new_visitor()
    issuer.extra_claims = {"sub": issuer.subject, "sid": issuer.sid}
    issuer.userinfo = {"sub": issuer.subject}
    assert_signed_in(visitor, sign_in(visitor, issuer))
    return visitor


def start_logout(visitor: Visitor, issuer: Issuer) -> str:
    """Sign out by the form of the page. Return the `state` of the request to the `end_session_endpoint`."""
    page = Page(visitor.submit("/auth/logout", {"callbackUrl": "/account"}))
    url = str(page.find_all("a[@class='button button-primary']")[0].get("href"))
    query = parse_qs(urlsplit(url).query)
    assert url.startswith(f"{issuer.url}/logout?")
    assert query["client_id"] == [CLIENT_ID]
    assert query["post_logout_redirect_uri"] == [f"{visitor.url}/auth/logout/done"]
    assert issuer.verify_hint(url)["sid"] == issuer.sid
    return query["state"][0]


def finish_logout(visitor: Visitor, **params: str) -> str:
    """Come back from the issuer. Return where the site leads, which is no error page whatever the `state` is."""
    answer = visitor.get("/auth/logout/done", params=params)
    assert answer.status_code == 303
    assert not visitor.is_signed_in
    assert visitor.get_page("/").status == 200
    return answer.headers["Location"].removeprefix(visitor.url)


def test_oidcc_client_test_rp_init_logout(site: Site, issuer: Issuer) -> None:
    visitor = signed_in(site, issuer)
    state = start_logout(visitor, issuer)
    assert send_logout_token(site, logout_token(issuer)).status_code == 200
    assert finish_logout(visitor, state=state) == "/account"


def test_oidcc_client_test_rp_init_logout_other_state(site: Site, issuer: Issuer) -> None:
    visitor = signed_in(site, issuer)
    start_logout(visitor, issuer)
    assert finish_logout(visitor, state=uuid.uuid4().hex) == "/"


def test_oidcc_client_test_rp_init_logout_no_state(site: Site, issuer: Issuer) -> None:
    visitor = signed_in(site, issuer)
    start_logout(visitor, issuer)
    assert finish_logout(visitor) == "/"


# --- Back-Channel Logout: oidcc-client-back-channel-logout-rp-basic


def send_logout_token(site: Site, token: str) -> requests.Response:
    """Send a logout token, as an issuer does: without cookies."""
    answer = site.new_visitor().post("/api/auth/backchannel-logout/oidc", data={"logout_token": token})
    assert answer.headers["Cache-Control"] == "no-store"
    return answer


def test_oidcc_client_test_rp_backchannel_rpinitlogout(site: Site, issuer: Issuer) -> None:
    phone, laptop = signed_in(site, issuer), signed_in(site, issuer)
    state = start_logout(phone, issuer)
    assert laptop.is_signed_in
    answer = send_logout_token(site, logout_token(issuer))
    assert (answer.status_code, answer.content) == (200, b"")
    assert "error=SessionExpired&callbackUrl=" in laptop.get("/account").headers["Location"]
    assert not laptop.is_signed_in
    assert finish_logout(phone, state=state) == "/account"


def expect_logout_token_refused(site: Site, issuer: Issuer, module: str) -> None:
    """After a sign-out in one browser, this token comes. The session in the other one goes on."""
    phone, laptop = signed_in(site, issuer), signed_in(site, issuer)
    state = start_logout(phone, issuer)
    answer = send_logout_token(site, INVALID_LOGOUT_TOKENS[module](issuer))
    assert answer.status_code == 400
    assert json.loads(answer.text)["error"] == "invalid_request"
    assert laptop.is_signed_in
    assert finish_logout(phone, state=state) == "/account"


def test_oidcc_client_test_rp_backchannel_rpinitlogout_alg_none(site: Site, issuer: Issuer) -> None:
    expect_logout_token_refused(site, issuer, "alg-none")


def test_oidcc_client_test_rp_backchannel_rpinitlogout_no_event(site: Site, issuer: Issuer) -> None:
    expect_logout_token_refused(site, issuer, "no-event")


def test_oidcc_client_test_rp_backchannel_rpinitlogout_with_nonce(site: Site, issuer: Issuer) -> None:
    expect_logout_token_refused(site, issuer, "with-nonce")


def test_oidcc_client_test_rp_backchannel_rpinitlogout_wrong_alg(site: Site, issuer: Issuer) -> None:
    expect_logout_token_refused(site, issuer, "wrong-alg")


def test_oidcc_client_test_rp_backchannel_rpinitlogout_wrong_aud(site: Site, issuer: Issuer) -> None:
    expect_logout_token_refused(site, issuer, "wrong-aud")


def test_oidcc_client_test_rp_backchannel_rpinitlogout_wrong_event(site: Site, issuer: Issuer) -> None:
    expect_logout_token_refused(site, issuer, "wrong-event")


def test_oidcc_client_test_rp_backchannel_rpinitlogout_wrong_iss(site: Site, issuer: Issuer) -> None:
    expect_logout_token_refused(site, issuer, "wrong-iss")


# --- Refresh: oidcc-client-refreshtoken-test-plan


def test_a_refresh_token_of_the_issuer_is_never_used(site: Site, issuer: Issuer, clock: ManualClock) -> None:
    """The site refreshes the tokens of its backend. It asks for no refresh token of an issuer and drops what comes."""
    issuer.token_fields = {"refresh_token": f"{ACCESS_TOKEN}-refresh", "expires_in": 60}
    visitor = site.new_visitor()
    request = start_sign_in(visitor, issuer)
    assert "offline_access" not in request["scope"].split()
    assert_signed_in(visitor, send_callback(visitor, request))
    clock.advance(3600)
    assert visitor.is_signed_in
    assert visitor.get("/account").status_code == 200
    assert len(token_requests(issuer)) == 1
    assert [issuer.last_token_request()["grant_type"]] == ["authorization_code"]


# --- Modules of the suite that are in no plan of a code-flow client


@pytest.mark.parametrize("module", ["missing-aud", "invalid-sig-hs256", "invalid-sig-es256"])
def test_oidcc_client_test_further_id_tokens(site: Site, issuer: Issuer, backend: FaultyBackend, module: str) -> None:
    good = issuer.make_id_token
    issuer.make_id_token = {
        "missing-aud": id_token_with(aud=...),
        "invalid-sig-hs256": lambda claims: unsigned_jwt({"alg": "HS256", "kid": "k1"}, claims, "AAAA"),
        "invalid-sig-es256": lambda claims: unsigned_jwt({"alg": "ES256", "kid": "k1"}, claims, "A" * 86),
    }[module]
    expect_refused(site, issuer, backend, "query")
    issuer.make_id_token = good
    expect_accepted(site, issuer, "query")
