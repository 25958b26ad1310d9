"""A signed-in person is read from the backend again every `SESSION_REVALIDATE` seconds; what that costs, and ends."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

import errors
from services.backend.user import User
from services.clock import Clock
from services.sessions import revalidation
from services.sessions.model import Session
from tests.scripted import USER, Backend, scripted
from tests.site import ManualClock, Page, Site, SiteMaker, Visitor, cookie_names, settings

NOW = 1_700_000_000
HONG = Session(
    user=User.from_json(USER),
    access_token="17|token",
    provider="email",
    sid="sid",
    auth_time=NOW - 301,
    checked_at=NOW - 301,
    expires_at=NOW + 2592000,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Backend]:
    with scripted() as backend:
        yield backend


@pytest.fixture
def backend(server: Backend) -> Backend:
    server.heal()
    return server


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def site(shared_site: SiteMaker, backend: Backend, clock: ManualClock) -> Site:
    """Shared, and a day later than for the test before: no pause lasts so long."""
    clock.advance(86400)
    return shared_site(backend.url, clock=clock)


def signed_in_a_while_ago(site: Site) -> Visitor:
    return site.visitor_since(301, User.from_json(USER))


def test_before_it_is_time_a_read_asks_nobody(site: Site, backend: Backend) -> None:
    visitor = site.visitor()
    visitor.sign_in()
    for _ in range(5):
        response = visitor.get("/api/auth/session")
        assert response.json()["user"]["id"] == 7
        assert cookie_names(response) == set()
    assert backend.asked("/user") == 1  # at sign-in


def test_when_it_is_time_one_read_asks_and_nothing_is_written(site: Site, backend: Backend) -> None:
    visitor = signed_in_a_while_ago(site)
    assert cookie_names(visitor.get("/api/auth/session")) == set()
    visitor.get("/api/auth/session")
    assert backend.asked("/user") == 1


def test_a_name_that_changed_at_the_backend_is_in_the_session_from_then_on(site: Site, backend: Backend) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user["name"] = "홍길순"
    response = visitor.get("/api/auth/session")
    assert response.json()["user"]["name"] == "홍길순"
    assert cookie_names(response) == {"next-auth.session-token"}
    assert visitor.session()["user"]["name"] == "홍길순"
    assert backend.asked("/user") == 1


def test_a_closed_account_is_signed_out_and_told_so_with_the_way_back(site: Site, backend: Backend) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user_status = 401
    response = visitor.get("/account")
    assert response.status_code == 303
    assert "next-auth.session-token" in cookie_names(response)
    page = visitor.page(response.headers["Location"])
    assert "You were signed out" in page.problem
    assert page.value("callbackUrl") == f"{site.url}/account"
    assert visitor.session() == {}


def test_a_program_is_told_in_json_that_the_session_is_over(site: Site, backend: Backend) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user_status = 401
    response = visitor.get("/account", headers={"Accept": "application/json"})
    assert (response.status_code, response.json()["error"]) == (401, "SessionExpired")


def test_a_copy_of_an_ended_session_is_refused_as_well(site: Site, backend: Backend) -> None:
    visitor = signed_in_a_while_ago(site)
    copy = site.visitor()
    copy.cookies.update(visitor.cookies)
    backend.user_status = 401
    assert visitor.session() == {}
    assert copy.session() == {}


def test_another_person_behind_the_same_token_is_not_signed_in(site: Site, backend: Backend) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user["id"] = 8
    assert visitor.session() == {}


@pytest.mark.parametrize("status", [500, 503, 403, 404, 429])
def test_a_failing_backend_signs_nobody_out_and_is_left_alone_for_a_while(
    site: Site, backend: Backend, status: int
) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user_status = status
    for _ in range(3):
        assert visitor.session()["user"]["id"] == 7
    assert backend.asked("/user") == 1


def test_while_the_backend_is_down_no_other_session_waits_for_it_either(site: Site, backend: Backend) -> None:
    first, second = signed_in_a_while_ago(site), signed_in_a_while_ago(site)
    backend.user_status = 500
    assert first.session()
    asked = backend.asked("/user")
    assert second.session()
    assert backend.asked("/user") == asked


def test_one_persons_refusal_does_not_put_off_the_others(site: Site, backend: Backend) -> None:
    first, second = signed_in_a_while_ago(site), signed_in_a_while_ago(site)
    backend.user_status = 403
    assert first.session()
    backend.user_status = 401
    assert second.session() == {}


def test_who_is_asked_about_too_often_puts_off_nobody_else(site: Site, backend: Backend) -> None:
    """Or a second account, whose owner makes the backend weary of it, would keep a revoked session alive."""
    throttled, revoked = signed_in_a_while_ago(site), signed_in_a_while_ago(site)
    backend.user_status = 429
    assert throttled.session()
    backend.user_status = 401
    assert revoked.session() == {}


def test_whatever_befalls_others_nobody_goes_unasked_for_twice_as_long(site: Site, backend: Backend) -> None:
    other, overdue = signed_in_a_while_ago(site), site.visitor_since(601, User.from_json(USER))
    backend.user_status = 500
    assert other.session()
    backend.user_status = 401
    assert overdue.session() == {}


@pytest.mark.parametrize(("told", "waits"), [(None, 30), (5, 30), (90, 90), (86400, 300)])
@pytest.mark.parametrize("kind", [errors.TooManyAttempts, errors.BackendUnavailable])
def test_the_backend_says_when_to_ask_again_within_bounds(
    site: Site, kind: type[errors.SiteError], told: int | None, waits: int
) -> None:
    now, asked = [NOW], list[float]()
    clock = Clock()
    clock.time = lambda: float(now[0])  # type: ignore[method-assign]  # stands still between two questions

    def user(*_: object) -> User:
        asked.append(now[0])
        raise kind("as told", retry_after=told)

    checks = revalidation.Revalidator(settings(), cast(Any, SimpleNamespace(user=user)), clock)
    with site.app.test_request_context():
        while len(asked) < 2:
            assert checks.user(HONG) == HONG.user
            now[0] += 1
    assert asked == [NOW, NOW + waits]


def test_of_many_requests_at_once_one_asks_and_the_others_do_not_wait(site: Site, backend: Backend) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user_delay = 0.8

    def read(_: int) -> float:
        copy = site.visitor()
        copy.cookies.update(visitor.cookies)
        started = time.monotonic()
        assert copy.session()["user"]["id"] == 7
        return time.monotonic() - started

    with ThreadPoolExecutor(20) as threads:
        waits = sorted(threads.map(read, range(20)))
    assert backend.asked("/user") == 1
    assert waits[-1] >= 0.8
    assert waits[-2] < 0.6


@pytest.mark.corpus
def test_asking_takes_two_seconds_at_most(site: Site, backend: Backend) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user_delay = 4
    started = time.monotonic()
    assert visitor.session()["user"]["id"] == 7
    assert 1.9 < time.monotonic() - started < 2.6
    started = time.monotonic()
    assert visitor.session()
    assert time.monotonic() - started < 0.5


def test_zero_means_never(shared_site: SiteMaker, backend: Backend) -> None:
    visitor = signed_in_a_while_ago(shared_site(backend.url, session_revalidate=0))
    backend.user_status = 401
    assert visitor.session()
    assert backend.asked("/user") == 0


def test_beyond_the_bound_of_memory_the_session_of_longest_ago_is_asked_about_once_more(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revalidation, "MAX_SESSIONS", 2)
    asked = list[str]()

    def user(access_token: str, _: float) -> User:
        asked.append(access_token)
        return HONG.user

    clock = ManualClock()
    checked_at = int(clock.time()) - 301
    first, second, third = (
        replace(HONG, sid=name, access_token=name, checked_at=checked_at) for name in ("first", "second", "third")
    )
    checks = revalidation.Revalidator(settings(), cast(Any, SimpleNamespace(user=user)), clock)
    with site.app.test_request_context():
        for session in (first, second, third, third, first):
            checks.user(session)
    assert asked == ["first", "second", "third", "first"]


def test_a_profile_answer_without_a_user_is_followed_by_reading_the_user(site: Site, backend: Backend) -> None:
    visitor = site.visitor()
    visitor.sign_in()
    backend.user["name"] = "저장한 이름"
    assert visitor.submit("/account", {"name": "저장한 이름", "nick_name": ""}).status_code == 303
    assert visitor.session()["user"]["name"] == "저장한 이름"


def test_a_401_while_saving_ends_the_session_and_keeps_the_way_back(site: Site, backend: Backend) -> None:
    visitor = site.visitor()
    visitor.sign_in()
    backend.user_status = 401
    page = Page(visitor.submit("/account", {"name": "x", "nick_name": ""}))
    assert page.status == 401
    assert "You were signed out" in page.problem
    assert visitor.session() == {}


def test_signing_out_works_when_the_backend_does_not(site: Site, backend: Backend) -> None:
    visitor = site.visitor()
    visitor.sign_in()
    backend.logout_status = 500
    response = visitor.submit("/auth/logout", {})
    assert response.status_code == 303
    assert "could not reach our service" in visitor.page("/").notes[0]
    assert visitor.session() == {}
