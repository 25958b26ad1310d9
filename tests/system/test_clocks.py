"""Two processes whose clocks differ by up to a minute serve one visitor, and nobody notices."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.redis_server import redis_server
from tests.support.scripted import scripted_backend
from tests.support.scripted_provider import ScriptedProviders, scripted_providers
from tests.support.site import MINJI, ManualClock, Page, Site, Visitor, running_site
from tests.support.social_backend import Browser, social_backend

SITE_URL = "http://localhost:5000"
DIFFERENCES = [-59, 59, *(pytest.param(seconds, marks=pytest.mark.corpus) for seconds in (-60, -1, 1, 60))]
"""Seconds by which the clock of the second process is ahead."""
PROVIDERS = ("kakao", "google")
"""Plain OAuth 2.0, and OpenID Connect with an id_token."""


@pytest.fixture(scope="module")
def providers() -> Iterator[ScriptedProviders]:
    with scripted_providers() as running:
        yield running


@contextmanager
def two_sites(backend_url: str, seconds: int, **settings: Any) -> Iterator[tuple[Site, Site]]:
    """Yield two processes of one site. The clock of the second one is ahead by `seconds`."""
    clocks = ManualClock(), ManualClock()
    clocks[1].advance(seconds)
    settings = {"site_url": SITE_URL, **settings}
    with (
        running_site(backend_url, clock=clocks[0], **settings) as first,
        running_site(backend_url, clock=clocks[1], **settings) as second,
    ):
        yield first, second


@pytest.fixture(scope="module", params=DIFFERENCES)
def sites(request: pytest.FixtureRequest, providers: ScriptedProviders) -> Iterator[tuple[Site, Site]]:
    environ = providers.environ(*PROVIDERS, "apple")
    with social_backend(providers) as backend, two_sites(backend.url, request.param, **environ) as running:
        yield running


@pytest.fixture(scope="module")
def backend_url() -> Iterator[str]:
    """A backend that has one user."""
    with scripted_backend() as backend:
        yield backend.url


def visit(site: Site, visitor: Visitor) -> Visitor:
    """Send the next requests of a visitor to this process, as a load balancer does."""
    visitor.url = site.url
    return visitor


def test_a_form_of_one_process_is_accepted_by_the_other(sites: tuple[Site, Site]) -> None:
    first, second = sites
    visitor = first.new_visitor()
    fields = {"csrfToken": visitor.csrf_token(), "email": MINJI, "password": "x"}
    assert visit(second, visitor).post("/auth/login/email", data=fields).status_code == 303
    assert visitor.is_signed_in
    assert visit(first, visitor).is_signed_in
    assert visitor.get("/auth/verify").status_code == 204
    token = visitor.csrf_token()
    assert visit(second, visitor).post("/auth/logout", data={"csrfToken": token}).status_code == 303
    assert not visitor.is_signed_in
    assert "You are signed out" in str(visit(first, visitor).get_page("/").status_messages)


def test_a_chosen_language_is_known_at_the_other_process(sites: tuple[Site, Site]) -> None:
    first, second = sites
    visitor = first.new_visitor()
    visitor.get("/auth/login/email?lang=ja")
    assert 'lang="ja"' in visit(second, visitor).get("/auth/login/email").text


@pytest.mark.parametrize("name", [*PROVIDERS, "apple"])
def test_a_social_sign_in_may_start_at_one_process_and_end_at_the_other(
    sites: tuple[Site, Site], providers: ScriptedProviders, name: str
) -> None:
    first, second = sites
    browser = Browser(first.url)
    answer = providers.approve(browser.start_sign_in(name))
    browser.url = second.url
    response = browser.send_callback(name, answer)
    assert (response.status_code, response.headers["Location"]) == (303, f"{SITE_URL}/")
    assert browser.user_name
    browser.url = first.url
    assert browser.user_name


def test_attempts_in_parallel_tabs_are_ordered_by_their_start(
    sites: tuple[Site, Site], providers: ScriptedProviders
) -> None:
    browser = Browser(sites[0].url)
    answers = []
    for number in range(4):
        browser.url = sites[number % 2].url
        answers.append(providers.approve(browser.start_sign_in("kakao")))
    for number, answer in enumerate(answers):
        browser.url = sites[(number + 1) % 2].url
        assert browser.get(f"/api/auth/callback/kakao?{urlencode(answer)}").headers["Location"] == f"{SITE_URL}/"


@pytest.mark.parametrize("seconds", DIFFERENCES)
def test_the_device_cookie_of_one_process_spares_the_owner_at_the_other(backend_url: str, seconds: int) -> None:
    """The limit of the account is used up by a stranger; the browser of the owner has a limit of its own."""
    with two_sites(backend_url, seconds, login_limit_per_account="2/hour") as (first, second):
        owner = first.new_visitor()
        assert owner.sign_in(MINJI, "x").status_code == 303
        statuses = [second.new_visitor().sign_in(MINJI, "x").status_code for _ in range(3)]
        assert statuses[-1] == 429
        assert visit(second, owner).sign_in(MINJI, "x").status_code == 303


@pytest.mark.external
@pytest.mark.parametrize("seconds", DIFFERENCES)
@pytest.mark.parametrize("everywhere", [{}, {"everywhere": "1"}])
def test_a_sign_out_at_one_process_is_known_at_the_other(
    tmp_path: Path, backend_url: str, seconds: int, everywhere: dict[str, str]
) -> None:
    with redis_server(tmp_path) as redis, two_sites(backend_url, seconds, redis_url=redis.url) as (first, second):
        for here, there in ((first, second), (second, first)):
            visitor, other = here.new_visitor(), there.new_visitor()
            assert visitor.sign_in(MINJI, "x").status_code == 303
            assert other.sign_in(MINJI, "x").status_code == 303
            thief = there.new_visitor()
            thief.cookies.update(visitor.cookies.copy())
            assert visitor.submit("/auth/logout", everywhere).status_code == 303
            wait_until(lambda: not thief.is_signed_in)  # noqa: B023
            if everywhere:
                wait_until(lambda: not other.is_signed_in)  # noqa: B023
            assert other.is_signed_in is not bool(everywhere)
            assert visit(there, visitor).sign_in(MINJI, "x").status_code == 303
            assert visitor.is_signed_in, "a later sign-in is not among the revoked ones"
            assert visit(here, visitor).is_signed_in


def test_a_signature_of_more_than_a_minute_ahead_is_refused(backend_url: str) -> None:
    with two_sites(backend_url, -90) as (first, second):
        visitor = first.new_visitor()
        fields = {"csrfToken": visitor.csrf_token(), "email": MINJI, "password": "x"}
        page = Page(visit(second, visitor).post("/auth/login/email", data=fields))
        assert "was open for too long" in page.message


@pytest.mark.external
@pytest.mark.parametrize("seconds", DIFFERENCES)
def test_a_change_of_the_user_that_one_process_learns_is_shown_by_the_other(tmp_path: Path, seconds: int) -> None:
    with (
        scripted_backend() as backend,
        redis_server(tmp_path) as redis,
        two_sites(backend.url, seconds, redis_url=redis.url) as sites,
    ):
        for here, there in (sites, sites[::-1]):
            visitor = here.new_visitor()
            visitor.sign_in(MINJI, "x")
            for site in sites:
                assert isinstance(site.clock, ManualClock)
                site.clock.advance(301)
            assert shown_email(visit(there, visitor)) == shown_email(visit(here, visitor)) == backend.user["email"]
            for number in range(3):
                old = there.new_visitor()  # with the cookie from before the change
                old.cookies.update(visitor.cookies.copy())
                backend.user["email"] = email = f"new-{number}@example.com"
                response = visit(here, visitor).post("/api/auth/session", json={"csrfToken": visitor.csrf_token()})
                assert response.json()["user"]["email"] == email
                wait_until(lambda: shown_email(old) == email)  # noqa: B023
                for site in (there, here, there):
                    assert shown_email(visit(site, visitor)) == shown_email(visit(site, old)) == email
                    assert visitor.get_session()["user"]["email"] == email
                    assert visitor.get_page("/account").input_value("name")


def shown_email(visitor: Visitor) -> str:
    """The address that an app behind the proxy is told."""
    return visitor.get("/auth/verify").headers["X-Auth-User-Email"]


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)
