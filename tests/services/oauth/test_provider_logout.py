"""A sign-out goes on at the provider, with `<ID>_LOGOUT`: OpenID Connect RP-Initiated Logout 1.0, and Kakao's address.

The modules of the conformance suite are in `test_openid_rp_plans.py`.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from services.oauth.provider_logout import MAX_AGE_SECONDS
from tests.support.faulty_backend import NO_LIMITS, FaultyBackend, http_response, keep_alive
from tests.support.issuer import (
    CLIENT_ID,
    DISCOVERY,
    SUBJECT,
    Issuer,
    assert_signed_in,
    clear_metadata_cache,
    reset_servers,
    sign_in_via_provider,
)
from tests.support.redirects import destination
from tests.support.site import ManualClock, Page, Site, SiteMaker, Visitor, running_site

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
    clear_metadata_cache(site)
    answer = visitor.submit("/auth/logout", {"callbackUrl": "/account"})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{visitor.url}/account")
    assert not visitor.is_signed_in
    message = "You are signed out here, but you may still be signed in at OpenID Connect."
    assert visitor.get_page("/").status_messages == [message]
    assert "no sign-out at the provider: provider=oidc reason=no end_session_endpoint" in caplog.messages


def test_an_issuer_that_cannot_be_reached_stops_no_sign_out(visitor: Visitor, site: Site, issuer: Issuer) -> None:
    issuer.responses[DISCOVERY] = http_response(status=503)
    clear_metadata_cache(site)
    assert visitor.submit("/api/auth/signout", {"json": "true"}).json() == {"url": f"{visitor.url}/"}
    assert not visitor.is_signed_in


def test_parameters_are_added_to_those_of_the_logout_address(visitor: Visitor, site: Site, issuer: Issuer) -> None:
    issuer.metadata = {"end_session_endpoint": f"{issuer.url}/logout?tenant=a%20b"}
    clear_metadata_cache(site)
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


def test_the_logout_hint_is_neither_in_the_session_json_nor_in_the_log(
    visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    assert SUBJECT not in visitor.get("/api/auth/session").text
    by_form(visitor)
    assert not any(SUBJECT in f"{record.getMessage()} {vars(record)}" for record in caplog.records)
