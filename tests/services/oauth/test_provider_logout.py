"""A sign-out goes on at the provider, with `<ID>_LOGOUT`: OpenID Connect RP-Initiated Logout 1.0, and Kakao's address.

The modules of the conformance suite are in `test_openid_rp_plans.py`.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from services.oauth.provider_logout import MAX_AGE_SECONDS
from services.sealing import Sealer
from services.sessions.issuer_session import MAX_ID_TOKEN_LENGTH
from tests.support import forge
from tests.support.faulty_backend import NO_LIMITS, FaultyBackend, http_response, keep_alive, login_body
from tests.support.issuer import (
    CLIENT_ID,
    DISCOVERY,
    SUBJECT,
    Issuer,
    assert_signed_in,
    clear_document_cache,
    reset_servers,
    running_issuer,
    sign_in_via_provider,
    sign_jwt,
)
from tests.support.redirects import destination
from tests.support.site import SECRET, ManualClock, Page, Site, SiteMaker, Visitor, running_site

DONE = "/auth/logout/done"


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    settings = issuer.site_settings() | {"oidc_logout": "true"}
    with running_site(backend.url, clock=clock, **settings, **NO_LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def well(issuer: Issuer, backend: FaultyBackend, site: Site, clock: ManualClock) -> None:
    clock.reset()
    reset_servers(issuer, backend, site)
    issuer.metadata = {"end_session_endpoint": f"{issuer.url}/logout"}


@pytest.fixture
def visitor(site: Site, issuer: Issuer) -> Visitor:
    visitor = site.new_visitor()
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    return visitor


def by_form(visitor: Visitor, callback_url: str = "/account", **fields: str) -> str:
    """Sign out by the form of the page. Return the address to which the page in between leads."""
    page = Page(visitor.submit("/auth/logout", {"callbackUrl": callback_url, **fields}))
    assert (page.status, page.heading) == (200, "Taking you to OpenID Connect")
    url = str(page.find_all("meta[@http-equiv='refresh']")[0].get("content")).partition("url=")[2]
    assert url == page.find_all("a[@class='button button-primary']")[0].get("href")
    return url


def by_script(visitor: Visitor, callback_url: str = "/account", **fields: str) -> str:
    """Sign out as next-auth's client does. Return the address that it navigates to."""
    return str(
        visitor.submit("/api/auth/signout", {"json": "true", "callbackUrl": callback_url, **fields}).json()["url"]
    )


DOORS = [by_form, by_script]


def query(url: str) -> dict[str, str]:
    parts = parse_qs(urlsplit(url).query, strict_parsing=True)
    assert all(len(values) == 1 for values in parts.values())
    return {name: values[0] for name, values in parts.items()}


def come_back(visitor: Visitor, **params: str) -> requests.Response:
    return visitor.get(DONE, params=params)


@pytest.mark.parametrize("door", DOORS)
def test_a_sign_out_leads_to_the_provider_and_back(visitor: Visitor, issuer: Issuer, door: Any) -> None:
    url = door(visitor)
    assert not visitor.is_signed_in
    assert url.partition("?")[0] == f"{issuer.url}/logout"
    sent = query(url)
    state = sent.pop("state")
    assert issuer.verify_hint(url)["nonce"] == issuer.nonce
    sent.pop("id_token_hint")
    assert sent == {
        "client_id": CLIENT_ID,
        "post_logout_redirect_uri": f"{visitor.url}{DONE}",
        "logout_hint": SUBJECT,
    }
    assert re.fullmatch(r"[\w-]{43}", state)
    answer = come_back(visitor, state=state)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{visitor.url}/account")
    assert visitor.get_page("/").status_messages == ["You are signed out."]


@pytest.mark.parametrize(
    "params",
    [
        {"state": "another"},
        {},
        {"state": ""},
        {"state": "é\x00"},
        {"callbackUrl": "https://evil.example/"},
        {"state": "x" * 9000},
    ],
)
def test_another_state_leads_to_the_home_page(visitor: Visitor, params: dict[str, str]) -> None:
    by_form(visitor)
    answer = come_back(visitor, **params)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{visitor.url}/")
    assert visitor.get_page("/").status_messages == []
    assert not visitor.is_signed_in


def test_a_state_is_good_once_in_one_browser_and_for_a_quarter_of_an_hour(
    site: Site, issuer: Issuer, clock: ManualClock
) -> None:
    home = f"{site.url}/"
    visitor, stranger = site.new_visitor(), site.new_visitor()
    for wait, expected in ((MAX_AGE_SECONDS - 60, f"{site.url}/account"), (MAX_AGE_SECONDS + 60, home)):
        assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
        state = query(by_form(visitor))["state"]
        assert come_back(stranger, state=state).headers["Location"] == home
        clock.advance(wait)
        assert come_back(visitor, state=state).headers["Location"] == expected
        assert come_back(visitor, state=state).headers["Location"] == home


def test_the_address_to_come_back_to_signs_nobody_out(site: Site, visitor: Visitor) -> None:
    for params in ({}, {"state": "x"}):
        come_back(visitor, **params)
        assert visitor.is_signed_in


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("callback_url", "expected"),
    [
        ("/rooms?a=1#b", "/rooms?a=1#b"),
        ("/auth/login/email", "/auth/login/email"),
        ("", "/"),
        ("//evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/auth/logout/done", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_the_person_arrives_at_the_callback_url_of_this_site(
    visitor: Visitor, door: Any, callback_url: str, expected: str
) -> None:
    url = door(visitor, callback_url)
    assert "evil" not in url
    assert destination(come_back(visitor, state=query(url)["state"])) == f"{visitor.url}{expected}"


def test_a_sign_out_on_all_devices_says_so_at_the_end(visitor: Visitor) -> None:
    url = by_form(visitor, everywhere="1")
    come_back(visitor, state=query(url)["state"])
    assert visitor.get_page("/").status_messages == ["You are signed out on all devices."]


@pytest.mark.parametrize("door", ["/auth/logout", "/api/auth/signout"])
def test_a_backend_that_cannot_be_reached_is_reported_before_the_browser_leaves(
    visitor: Visitor, backend: FaultyBackend, door: str
) -> None:
    backend.responses["/logout"] = keep_alive(http_response(status=500))
    page = Page(visitor.submit(door, {}))
    assert (page.status, page.heading) == (200, "Taking you to OpenID Connect")
    assert "could not reach our service" in page.status_messages[0]
    assert not page.find_all("meta[@http-equiv='refresh']")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"end_session_endpoint": None},
        {"end_session_endpoint": "http://evil.example/logout"},
        {"end_session_endpoint": "javascript:alert(1)"},
        {"end_session_endpoint": ["https://evil.example/"]},
        {"end_session_endpoint": "//evil.example"},
    ],
    ids=str,
)
def test_without_a_logout_address_the_sign_out_ends_here_and_says_so(
    visitor: Visitor, site: Site, issuer: Issuer, metadata: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    issuer.metadata = metadata
    clear_document_cache(site)
    answer = visitor.submit("/auth/logout", {"callbackUrl": "/account"})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{visitor.url}/account")
    assert not visitor.is_signed_in
    message = "You are signed out here, but you may still be signed in at OpenID Connect."
    assert visitor.get_page("/").status_messages == [message]
    assert "no sign-out at the provider: provider=oidc reason=no end_session_endpoint" in caplog.messages


def test_an_issuer_that_cannot_be_reached_stops_no_sign_out(visitor: Visitor, site: Site, issuer: Issuer) -> None:
    issuer.responses[DISCOVERY] = http_response(status=503)
    clear_document_cache(site)
    assert visitor.submit("/api/auth/signout", {"json": "true"}).json() == {"url": f"{visitor.url}/"}
    assert not visitor.is_signed_in


def test_parameters_are_added_to_those_of_the_logout_address(visitor: Visitor, site: Site, issuer: Issuer) -> None:
    issuer.metadata = {"end_session_endpoint": f"{issuer.url}/logout?tenant=a%20b"}
    clear_document_cache(site)
    sent = query(by_script(visitor))
    assert (sent["tenant"], sent["client_id"]) == ("a b", CLIENT_ID)


def test_sessions_of_other_providers_and_of_passwords_end_here(site: Site, issuer: Issuer) -> None:
    google, password = site.new_visitor(), site.new_visitor()
    assert_signed_in(google, sign_in_via_provider(google, issuer, "google"))
    password.sign_in()
    for visitor in (google, password):
        answer = visitor.submit("/auth/logout", {})
        assert (answer.status_code, answer.headers["Location"]) == (303, f"{site.url}/")


def test_without_the_setting_a_sign_out_ends_here(make_site: SiteMaker, backend: FaultyBackend, issuer: Issuer) -> None:
    visitor = make_site(backend.url, **issuer.site_settings()).new_visitor()
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    assert visitor.submit("/auth/logout", {}).headers["Location"] == f"{visitor.url}/"


def test_the_hints_are_neither_in_the_session_json_nor_in_a_page_nor_in_the_log(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    shown = [visitor.get(path) for path in ("/api/auth/session", "/account", "/auth/logout", "/auth/verify")]
    texts = [f"{answer.text} {answer.headers}" for answer in shown]
    id_token = query(by_form(visitor))["id_token_hint"]
    texts += [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    for text in texts:
        assert not any(hint in text for hint in (SUBJECT, id_token, *id_token.split(".")[1:]))


# --- The id_token in the session


def claims_of(visitor: Visitor) -> dict[str, Any]:
    names = sorted(name for name in visitor.cookies.get_dict() if name.startswith(forge.COOKIE))
    return forge.decrypt("".join(str(visitor.cookies[name]) for name in names))


def with_claims(site: Site, claims: dict[str, Any]) -> Visitor:
    visitor, token = site.new_visitor(), forge.encrypt(claims)
    chunks = {forge.COOKIE: token}
    if len(token) > forge.CHUNK_SIZE:
        pairs = [chunk.partition("=") for chunk in forge.chunk_cookies(token)]
        chunks = {name: value for name, _, value in pairs}
    for name, value in chunks.items():
        visitor.cookies.set(name, value, domain="localhost.local", path="/")
    return visitor


def at(site: Site, visitor: Visitor) -> Visitor:
    """The same browser at another process or after a restart."""
    other = site.new_visitor()
    other.cookies.update(visitor.cookies)
    return other


def of_length(length: int) -> Callable[[dict[str, Any]], str]:
    """Sign id_tokens of exactly this length."""

    def sign(claims: dict[str, Any]) -> str:
        missing = length - len(sign_jwt(claims))
        sizes = itertools.product(range(missing * 3 // 4 - 40, missing), range(4))
        tokens = (sign_jwt({**claims, "x": "x" * size}, y="y" * extra) for size, extra in sizes)
        return next(token for token in tokens if len(token) == length)

    return sign


@pytest.mark.parametrize("longer", [0, 1])
def test_an_id_token_over_the_limit_is_not_kept_and_the_sign_out_goes_on_without(
    site: Site, issuer: Issuer, longer: int
) -> None:
    issuer.make_id_token = of_length(MAX_ID_TOKEN_LENGTH + longer)
    visitor = site.new_visitor()
    sign_in_via_provider(visitor, issuer)
    assert visitor.is_signed_in
    url = by_form(visitor)
    sent = query(url)
    assert sent["logout_hint"] == SUBJECT
    assert len(sent.get("id_token_hint", "")) == (0 if longer else MAX_ID_TOKEN_LENGTH)
    assert len(url) < 4096
    if not longer:
        issuer.verify_hint(url)


def test_a_session_that_fits_into_its_cookies_only_without_the_id_token_starts_without(
    site: Site, issuer: Issuer, backend: FaultyBackend, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.make_id_token = of_length(MAX_ID_TOKEN_LENGTH)
    backend.responses["/login/social/callback/oidc"] = keep_alive(http_response(login_body("t" * 7000)))
    visitor = site.new_visitor()
    sign_in_via_provider(visitor, issuer)
    assert visitor.is_signed_in
    sent = query(by_form(visitor))
    assert ("id_token_hint" in sent, sent["logout_hint"]) == (False, SUBJECT)
    assert "id_token dropped: the session would be too large for its cookies" in caplog.messages


def test_the_longest_id_token_takes_one_further_cookie(site: Site, issuer: Issuer) -> None:
    sizes = []
    for length in (MAX_ID_TOKEN_LENGTH, MAX_ID_TOKEN_LENGTH + 1):
        issuer.make_id_token = of_length(length)
        visitor = site.new_visitor()
        sign_in_via_provider(visitor, issuer)
        names = [name for name in visitor.cookies.get_dict() if name.startswith(forge.COOKIE)]
        sizes.append(len(names))
    assert sizes == [2, 1]


def test_a_renewed_session_keeps_it(visitor: Visitor, issuer: Issuer, clock: ManualClock) -> None:
    before = str(visitor.cookies[forge.COOKIE])
    clock.advance(5 * forge.DAY)
    visitor.get("/account")
    assert visitor.cookies[forge.COOKIE] != before
    issuer.verify_hint(by_script(visitor))


def test_it_survives_a_new_secret_key(make_site: SiteMaker, backend: FaultyBackend, issuer: Issuer) -> None:
    old, settings = "an-older-secret-0f-this-very-site-8Zq", {**issuer.site_settings(), "oidc_logout": "true"}
    visitor = make_site(backend.url, secret_key=old, **settings).new_visitor()
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    visitor = at(make_site(backend.url, secret_key_fallbacks=old, **settings), visitor)
    visitor.get("/account")
    visitor = at(make_site(backend.url, **settings), visitor)
    issuer.verify_hint(by_script(visitor))


def test_a_session_from_before_this_feature_signs_out_without_it(visitor: Visitor, site: Site) -> None:
    claims = claims_of(visitor)
    del claims["sealed_id_token"]
    sent = query(by_script(with_claims(site, claims)))
    assert ("id_token_hint" in sent, sent["logout_hint"]) == (False, SUBJECT)


MINE = sign_jwt({"aud": CLIENT_ID})


def sealed(sid: str, value: object, secret: str = SECRET, purpose: str = "id_token") -> str:
    return Sealer([secret], purpose).seal(sid, value).decode()


NO_ID_TOKENS: dict[str, Callable[[str], object]] = {
    "null": lambda sid: None,
    "a number": lambda sid: 5,
    "a list": lambda sid: [],
    "empty": lambda sid: "",
    "not sealed": lambda sid: "e30.e30.abc",
    "long": lambda sid: "g" * 3000,
    "of another session": lambda sid: sealed(f"{sid}x", MINE),
    "of another site": lambda sid: sealed(sid, MINE, "somebody-elses-secret-1aB2cD3eF4gH5"),
    "sealed for another purpose": lambda sid: sealed(sid, MINE, purpose="refresh token"),
    "a sealed number": lambda sid: sealed(sid, 5),
    "no JWT": lambda sid: sealed(sid, "e30"),
    "no claims": lambda sid: sealed(sid, "e30.bm8.x"),
    "not Base64": lambda sid: sealed(sid, "e30.!.x"),
    "a list of claims": lambda sid: sealed(sid, "e30.W10.x"),
    "for another client": lambda sid: sealed(sid, sign_jwt({"aud": "another"})),
    "for two clients": lambda sid: sealed(sid, sign_jwt({"aud": [CLIENT_ID, "another"]})),
    "a line break": lambda sid: sealed(sid, "a\r\nb: c"),
}


@pytest.mark.parametrize("name", NO_ID_TOKENS)
def test_a_claim_that_is_no_id_token_of_the_session_is_not_sent_and_no_error(
    visitor: Visitor, site: Site, name: str
) -> None:
    claims = claims_of(visitor)
    other = with_claims(site, {**claims, "sealed_id_token": NO_ID_TOKENS[name](claims["sid"])})
    assert other.get_page("/account").status == 200
    sent = query(by_script(other))
    assert ("id_token_hint" in sent, sent["logout_hint"]) == (False, SUBJECT)


def test_after_a_change_of_the_settings_no_other_issuer_or_client_gets_it(
    make_site: SiteMaker, backend: FaultyBackend, issuer: Issuer, visitor: Visitor
) -> None:
    settings = {**issuer.site_settings(), "oidc_logout": "true"}
    sent = query(by_script(at(make_site(backend.url, **{**settings, "oidc_client_id": "another"}), visitor)))
    assert ("id_token_hint" in sent, sent["logout_hint"]) == (False, SUBJECT)
    with running_issuer() as other:
        other.metadata = {"end_session_endpoint": f"{other.url}/logout"}
        moved = make_site(backend.url, **{**settings, "oidc_issuer": other.url})
        url = by_script(at(moved, visitor))
        assert url.startswith(f"{other.url}/logout?")
        assert {"id_token_hint", "logout_hint"} & query(url).keys() == set()


def test_it_is_kept_through_a_second_factor_unless_the_cookie_is_too_small(
    site: Site, issuer: Issuer, backend: FaultyBackend
) -> None:
    for challenge, is_kept in (("c", True), ("c" * 2400, False)):
        issuer.make_id_token = of_length(MAX_ID_TOKEN_LENGTH)
        step = {"two_factor": True, "challenge": challenge, "methods": ["sms"]}
        backend.responses["/login/social/callback/oidc"] = keep_alive(http_response(step))
        backend.responses["/two-factor-challenge"] = keep_alive(http_response(login_body()))
        visitor = site.new_visitor()
        answer = sign_in_via_provider(visitor, issuer)
        assert answer.headers["Location"].startswith(f"{site.url}/auth/login/verify")
        assert not visitor.is_signed_in
        visitor.submit("/auth/login/verify", {"code": "123456"})
        assert visitor.is_signed_in
        assert ("id_token_hint" in query(by_script(visitor))) is is_kept


def test_without_a_sign_out_at_the_provider_no_session_has_it(
    make_site: SiteMaker, site: Site, backend: FaultyBackend, issuer: Issuer
) -> None:
    without = make_site(backend.url, **issuer.site_settings())
    for where, provider in ((without, "oidc"), (site, "google")):
        visitor = where.new_visitor()
        assert_signed_in(visitor, sign_in_via_provider(visitor, issuer, provider))
        claims = claims_of(visitor)
        assert "sealed_id_token" not in claims
        assert claims["issuer_session"].keys() == {"keys"}
