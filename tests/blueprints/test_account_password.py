"""The page that changes the password, at a backend that does not check the current one: the site signs in with it."""

from collections.abc import Iterator

import pytest

from tests.support.faulty_backend import (
    NO_LIMITS,
    USER,
    FaultyBackend,
    http_response,
    keep_alive,
    login_body,
    user_body,
)
from tests.support.issuer import Issuer, assert_signed_in, reset_servers, sign_in_via_provider
from tests.support.site import ManualClock, Page, Site, Visitor, running_site
from tests.support.social_fixtures import backend, clock, issuer  # noqa: F401  # fixtures

MALLORY = {"id": 8, "name": "Mallory", "nick_name": None, "email": "mallory@example.com"}
NEW_PASSWORD = "red-whale-32"
UNCLEAR = {
    "her address is not verified": http_response({"message": "verify your address"}, 403),
    "she has a second factor": http_response({"two_factor": True, "challenge": "x", "methods": ["app"]}),
}
"""Answers to a right password that do not say whose it is."""


@pytest.fixture(scope="module")
def site(backend: FaultyBackend, issuer: Issuer, clock: ManualClock) -> Iterator[Site]:
    with running_site(
        backend.url,
        clock=clock,
        backend_change_password="PUT /password",
        backend_change_password_body="password={new_password}",
        **issuer.site_settings(),
        **NO_LIMITS,
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def well(issuer: Issuer, backend: FaultyBackend, site: Site) -> None:
    reset_servers(issuer, backend, site)
    backend.responses["/password"] = keep_alive(http_response({}))


def signed_in_with_provider(site: Site, issuer: Issuer) -> Visitor:
    visitor = site.new_visitor()
    assert_signed_in(visitor, sign_in_via_provider(visitor, issuer))
    return visitor


def change(visitor: Visitor, email: object) -> Page:
    fields = {"email": str(email), "password": "whatever-1", "new_password": NEW_PASSWORD}
    return Page(visitor.submit("/account/password", fields))


@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR)
def test_the_password_of_another_account_does_not_change_this_one(
    site: Site,
    issuer: Issuer,
    backend: FaultyBackend,
    answer: bytes,
) -> None:
    """Somebody at an open browser types the password of an account of their own."""
    visitor = signed_in_with_provider(site, issuer)
    backend.responses["/login"] = keep_alive(answer)
    assert change(visitor, MALLORY["email"]).status == 422
    assert not backend.requests_to("/password")


def test_the_password_of_another_account_that_signs_in_does_not_change_this_one(
    site: Site,
    issuer: Issuer,
    backend: FaultyBackend,
) -> None:
    visitor = signed_in_with_provider(site, issuer)
    backend.responses["/login"] = keep_alive(http_response(login_body("18|of-mallory")))
    backend.responses["/user"] = keep_alive(http_response(user_body(MALLORY)))
    assert change(visitor, MALLORY["email"]).status == 422
    assert not backend.requests_to("/password")


def test_the_token_of_the_check_is_revoked_also_if_its_user_cannot_be_read(
    site: Site,
    issuer: Issuer,
    backend: FaultyBackend,
) -> None:
    visitor = signed_in_with_provider(site, issuer)
    backend.responses["/login"] = keep_alive(http_response(login_body("19|of-the-check")))
    backend.responses["/user"] = keep_alive(http_response({"message": "down"}, 503))
    assert change(visitor, USER["email"]).status == 503
    assert [call.headers["Authorization"] for call in backend.requests_to("/logout")] == ["Bearer 19|of-the-check"]
    assert not backend.requests_to("/password")


@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR)
def test_with_the_address_of_the_account_an_answer_that_names_nobody_is_enough(
    site: Site,
    issuer: Issuer,
    backend: FaultyBackend,
    answer: bytes,
) -> None:
    visitor = signed_in_with_provider(site, issuer)
    backend.responses["/login"] = keep_alive(answer)
    change(visitor, USER["email"])
    assert [call.json for call in backend.requests_to("/password")] == [{"password": NEW_PASSWORD}]
