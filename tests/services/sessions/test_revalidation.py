"""Every `SESSION_REVALIDATE` seconds, the user of a session is read from the backend again."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

import errors
from services.backend.user import User
from services.clock import Clock
from services.sessions import memory, revalidation
from services.sessions.model import Session
from tests.support import forge
from tests.support.scripted import USER, ScriptedBackend, scripted_backend
from tests.support.site import ManualClock, Page, Site, SiteMaker, Visitor, a_context, cookie_names, make_settings

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
def server() -> Iterator[ScriptedBackend]:
    with scripted_backend() as backend:
        yield backend


@pytest.fixture
def backend(server: ScriptedBackend) -> ScriptedBackend:
    server.reset()
    return server


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def site(shared_site: SiteMaker, backend: ScriptedBackend, clock: ManualClock) -> Site:
    """A shared site, one day later than in the test before, so that no back-off remains."""
    clock.advance(86400)
    return shared_site(backend.url, clock=clock)


def revalidator(user: Callable[..., User], clock: Clock) -> revalidation.Revalidator:
    """One whose backend answers with this function, to tokens that need no refresh."""
    backend = SimpleNamespace(user=user, can_reread_user=True)
    refresher = SimpleNamespace(call=lambda session, _, call: call(session.access_token))
    session_memory = memory.SessionMemory(None, clock)
    return revalidation.Revalidator(make_settings(), cast(Any, backend), clock, session_memory, cast(Any, refresher))


def signed_in_a_while_ago(site: Site) -> Visitor:
    return site.visitor_signed_in_ago(301, User.from_json(USER))


def test_before_the_interval_ends_the_backend_is_not_called(site: Site, backend: ScriptedBackend) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    for _ in range(5):
        response = visitor.get("/api/auth/session")
        assert response.json()["user"]["id"] == 7
        assert cookie_names(response) == set()
    assert backend.request_count("/user") == 1  # at sign-in


def test_when_the_interval_ends_one_read_calls_the_backend(site: Site, backend: ScriptedBackend) -> None:
    visitor = signed_in_a_while_ago(site)
    assert cookie_names(visitor.get("/api/auth/session")) == set()
    visitor.get("/api/auth/session")
    assert backend.request_count("/user") == 1


def test_a_name_changed_at_the_backend_is_saved_in_the_session(site: Site, backend: ScriptedBackend) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user["name"] = "홍길순"
    response = visitor.get("/api/auth/session")
    assert response.json()["user"]["name"] == "홍길순"
    assert cookie_names(response) == {"next-auth.session-token"}
    assert visitor.get_session()["user"]["name"] == "홍길순"
    assert backend.request_count("/user") == 1


def test_a_closed_account_is_signed_out_with_a_message_and_the_return_address(
    site: Site, backend: ScriptedBackend
) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user_status = 401
    response = visitor.get("/account")
    assert response.status_code == 303
    assert "next-auth.session-token" in cookie_names(response)
    page = visitor.get_page(response.headers["Location"])
    assert "You were signed out" in page.message
    assert page.input_value("callbackUrl") == f"{site.url}/account"
    assert visitor.get_session() == {}


def test_a_json_client_gets_401_session_expired(site: Site, backend: ScriptedBackend) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user_status = 401
    response = visitor.get("/account", headers={"Accept": "application/json"})
    assert (response.status_code, response.json()["error"]) == (401, "SessionExpired")


def test_a_copy_of_a_revoked_session_is_refused(site: Site, backend: ScriptedBackend) -> None:
    visitor = signed_in_a_while_ago(site)
    copy = site.new_visitor()
    copy.cookies.update(visitor.cookies)
    backend.user_status = 401
    assert visitor.get_session() == {}
    assert copy.get_session() == {}


def test_a_token_that_belongs_to_another_user_ends_the_session(site: Site, backend: ScriptedBackend) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user["id"] = 8
    assert visitor.get_session() == {}


@pytest.mark.parametrize("status", [500, 503, 403, 404, 429])
def test_a_failing_backend_signs_nobody_out_and_is_not_called_again_soon(
    site: Site, backend: ScriptedBackend, status: int
) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user_status = status
    for _ in range(3):
        assert visitor.get_session()["user"]["id"] == 7
    assert backend.request_count("/user") == 1


def test_while_the_backend_fails_other_sessions_do_not_call_it(site: Site, backend: ScriptedBackend) -> None:
    first, second = signed_in_a_while_ago(site), signed_in_a_while_ago(site)
    backend.user_status = 500
    assert first.get_session()
    asked = backend.request_count("/user")
    assert second.get_session()
    assert backend.request_count("/user") == asked


def test_a_403_for_one_user_does_not_delay_the_check_of_others(site: Site, backend: ScriptedBackend) -> None:
    first, second = signed_in_a_while_ago(site), signed_in_a_while_ago(site)
    backend.user_status = 403
    assert first.get_session()
    backend.user_status = 401
    assert second.get_session() == {}


def test_a_429_for_one_user_does_not_delay_the_check_of_others(site: Site, backend: ScriptedBackend) -> None:
    """Otherwise a second, throttled account could keep a revoked session alive."""
    throttled, revoked = signed_in_a_while_ago(site), signed_in_a_while_ago(site)
    backend.user_status = 429
    assert throttled.get_session()
    backend.user_status = 401
    assert revoked.get_session() == {}


def test_a_failure_for_others_delays_a_check_by_at_most_one_interval(site: Site, backend: ScriptedBackend) -> None:
    other, overdue = signed_in_a_while_ago(site), site.visitor_signed_in_ago(601, User.from_json(USER))
    backend.user_status = 500
    assert other.get_session()
    backend.user_status = 401
    assert overdue.get_session() == {}


@pytest.mark.parametrize(("told", "waits"), [(None, 30), (5, 30), (90, 90), (86400, 300)])
@pytest.mark.parametrize("kind", [errors.TooManyAttempts, errors.BackendUnavailable])
def test_retry_after_of_the_backend_is_used_within_limits(
    kind: type[errors.SiteError], told: int | None, waits: int
) -> None:
    now, asked = [NOW], list[float]()
    clock = Clock()
    clock.time = lambda: float(now[0])  # type: ignore[method-assign]  # stands still between two questions

    def user(*_: object, **__: object) -> User:
        asked.append(now[0])
        raise kind("as told", retry_after=told)

    checks = revalidator(user, clock)
    while len(asked) < 2:
        assert checks.revalidate(HONG, a_context) == HONG.user
        now[0] += 1
    assert asked == [NOW, NOW + waits]


@pytest.mark.corpus
def test_of_concurrent_requests_one_calls_the_backend_and_no_other_waits(site: Site, backend: ScriptedBackend) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user_delay = 1.6

    def read(_: int) -> float:
        copy = site.new_visitor()
        copy.cookies.update(visitor.cookies)
        started = time.monotonic()
        assert copy.get_session()["user"]["id"] == 7
        return time.monotonic() - started

    with ThreadPoolExecutor(20) as threads:
        waits = sorted(threads.map(read, range(20)))
    assert backend.request_count("/user") == 1
    assert waits[-1] >= 1.6
    assert waits[-2] < 1.5


@pytest.mark.corpus
def test_a_check_takes_two_seconds_at_most(site: Site, backend: ScriptedBackend) -> None:
    visitor = signed_in_a_while_ago(site)
    backend.user_delay = 4
    started = time.monotonic()
    assert visitor.get_session()["user"]["id"] == 7
    assert 1.9 < time.monotonic() - started < 2.6
    started = time.monotonic()
    assert visitor.get_session()
    assert time.monotonic() - started < 0.5


def test_an_interval_of_zero_disables_the_check(shared_site: SiteMaker, backend: ScriptedBackend) -> None:
    visitor = signed_in_a_while_ago(shared_site(backend.url, session_revalidate=0))
    backend.user_status = 401
    assert visitor.get_session()
    assert backend.request_count("/user") == 0


def test_when_memory_is_full_the_oldest_session_is_checked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "MAX_SESSIONS", 2)
    asked = list[str]()

    def user(access_token: str, *_: object, **__: object) -> User:
        asked.append(access_token)
        return HONG.user

    clock = ManualClock()
    checked_at = int(clock.time()) - 301
    first, second, third = (
        replace(HONG, sid=name, access_token=name, checked_at=checked_at) for name in ("first", "second", "third")
    )
    checks = revalidator(user, clock)
    clock.advance(300)  # no longer just started
    for session in (first, second, third, third, first):
        checks.revalidate(session, a_context)
    assert asked == ["first", "second", "third", "first"]


def test_after_a_profile_answer_without_a_user_the_user_is_requested(site: Site, backend: ScriptedBackend) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    backend.user["name"] = "저장한 이름"
    assert visitor.submit("/account", {"name": "저장한 이름", "nick_name": ""}).status_code == 303
    assert visitor.get_session()["user"]["name"] == "저장한 이름"


def test_a_401_while_saving_ends_the_session(site: Site, backend: ScriptedBackend) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    backend.user_status = 401
    page = Page(visitor.submit("/account", {"name": "x", "nick_name": ""}))
    assert page.status == 401
    assert "You were signed out" in page.message
    assert visitor.get_session() == {}


def test_signing_out_works_while_the_backend_fails(site: Site, backend: ScriptedBackend) -> None:
    visitor = site.new_visitor()
    visitor.sign_in()
    backend.logout_status = 500
    response = visitor.submit("/auth/logout", {})
    assert response.status_code == 303
    assert "could not reach our service" in visitor.get_page("/").status_messages[0]
    assert visitor.get_session() == {}


# --- A token that NextAuth issued, whose `user` a page of a NextAuth app may have changed by `update()`


VICTIM = {"id": 8, "name": "Victim", "nick_name": None, "email": "victim@example.com"}


def visitor_from_nextauth(site: Site, user: dict[str, Any] = VICTIM) -> Visitor:
    """A visitor with a token of NextAuth's. The backend says that its access token is of user 7."""
    token = forge.encrypt(forge.make_claims_aged(3600, user=user))
    return site.new_visitor(Cookie=f"{forge.COOKIE}={token}")


@pytest.mark.parametrize("status", [200, 429, 500, 503])
def test_a_user_that_the_backend_has_not_confirmed_is_nobody(site: Site, backend: ScriptedBackend, status: int) -> None:
    visitor = visitor_from_nextauth(site)
    backend.user_status = status
    for _ in range(2):
        assert visitor.get("/auth/verify").status_code == 401
        assert visitor.get_session() == {}
        assert "victim" not in visitor.get("/account").text
    assert backend.request_count("/user") == 1


def test_parallel_requests_wait_for_the_confirmation(site: Site, backend: ScriptedBackend) -> None:
    backend.user_delay = 0.5
    forged, own = visitor_from_nextauth(site), visitor_from_nextauth(site, USER)
    with ThreadPoolExecutor(8) as threads:
        refused = threads.map(lambda _: forged.get("/auth/verify").status_code, range(4))
        accepted = threads.map(lambda _: own.get("/auth/verify").status_code, range(4))
        assert ([*refused], [*accepted]) == ([401] * 4, [204] * 4)
    assert backend.request_count("/user") == 2


def test_after_a_start_too_the_backend_is_asked_first(make_site: SiteMaker, backend: ScriptedBackend) -> None:
    """Other first checks after a start are spread over the interval."""
    site = make_site(backend.url, clock=ManualClock())
    users = [{**VICTIM, "name": f"Victim {number}"} for number in range(20)]
    statuses = [visitor_from_nextauth(site, user).get("/auth/verify").status_code for user in users]
    assert statuses == [401] * 20


def test_a_forged_user_can_sign_nobody_out(site: Site, backend: ScriptedBackend) -> None:
    victim = site.visitor_signed_in_ago(10, User.from_json(VICTIM))
    visitor = visitor_from_nextauth(site)
    backend.user_status = 503
    visitor.submit("/auth/logout", {"everywhere": "1"})
    backend.user_status = 200
    assert victim.is_signed_in


def test_while_the_backend_is_down_the_cookie_is_kept_for_later(
    site: Site, backend: ScriptedBackend, clock: ManualClock
) -> None:
    visitor = visitor_from_nextauth(site, USER)
    backend.user_status = 503
    response = visitor.get("/api/auth/session")
    assert (response.json(), cookie_names(response)) == ({}, set())
    backend.user_status = 200
    clock.advance(61)
    assert visitor.get_session()["user"]["id"] == 7
    backend.user_status = 503
    assert visitor.get_session()["user"]["id"] == 7, "confirmed"


def test_without_revalidation_a_token_of_nextauth_counts_as_it_is(
    shared_site: SiteMaker, backend: ScriptedBackend
) -> None:
    assert visitor_from_nextauth(shared_site(backend.url, session_revalidate=0), USER).is_signed_in
