"""Two processes with one Redis refresh the tokens of a session once, and lose none of them."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from services.sessions import token_store
from services.sessions.token_refresh import RECOVERY_SECONDS
from services.sessions.token_store import CONFIRM_AFTER_SECONDS
from tests.support import forge
from tests.support.logs import captured_log
from tests.support.redis_server import RedisServer, redis_server
from tests.support.rotating_backend import LIFE, SETTINGS, RotatingBackend, rotating_backend
from tests.support.site import ManualClock, Site, Visitor, running_site

pytestmark = pytest.mark.external

DOORS = ["/api/auth/session", "/auth/verify"]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def backend() -> Iterator[RotatingBackend]:
    with rotating_backend() as running:
        yield running


@contextmanager
def process(backend: RotatingBackend, redis: RedisServer, clock: ManualClock) -> Iterator[Site]:
    """A process of the site: its memory is its own, Redis is shared."""
    with running_site(backend.url, clock=clock, **{**SETTINGS, "redis_url": redis.url}) as site:
        yield site


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sites(backend: RotatingBackend, redis: RedisServer, clock: ManualClock) -> Iterator[tuple[Site, Site]]:
    redis.flush()
    with process(backend, redis, clock) as first, process(backend, redis, clock) as second:
        yield first, second


def signed_in(site: Site) -> Visitor:
    visitor = site.new_visitor()
    assert visitor.sign_in().status_code == 303
    return visitor


def at(site: Site, visitor: Visitor) -> Visitor:
    """Another request of the same browser, at this process."""
    other = site.new_visitor()
    other.cookies.update(visitor.cookies)
    return other


def is_signed_in(visitor: Visitor, door: str = "/auth/verify") -> bool:
    response = visitor.get(door)
    return response.status_code == 204 or (response.status_code == 200 and response.content.strip() != b"{}")


def access_token(visitor: Visitor) -> str:
    """The one in the cookie, after a page could write it."""
    assert is_signed_in(visitor, "/api/auth/session")
    return str(forge.decrypt(visitor.cookies[forge.COOKIE])["accessToken"])


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_two_processes_send_one_refresh(sites: tuple[Site, Site], backend: RotatingBackend, clock: ManualClock) -> None:
    visitor = signed_in(sites[0])
    clock.advance(LIFE)
    backend.delay = 0.5
    tabs = [at(sites[number % 2], visitor) for number in range(10)]
    with ThreadPoolExecutor(10) as pool:
        assert all(pool.map(is_signed_in, tabs, DOORS * 5))
    assert backend.refreshes == ["refresh.f0.0"]
    assert [access_token(tab) for tab in tabs] == ["access.f0.1"] * 10


def test_a_session_that_is_only_verified_may_reach_any_process(
    sites: tuple[Site, Site], backend: RotatingBackend, clock: ManualClock
) -> None:
    visitor = signed_in(sites[0])
    for number in range(12):
        clock.advance(LIFE)
        assert is_signed_in(at(sites[number % 2], visitor))
    assert len(set(backend.refreshes)) == len(backend.refreshes) == 12


def test_a_new_process_finds_the_tokens_that_an_ended_one_got(
    backend: RotatingBackend, redis: RedisServer, clock: ManualClock
) -> None:
    with process(backend, redis, clock) as site:
        visitor = signed_in(site)
        for _ in range(3):
            clock.advance(LIFE)
            assert is_signed_in(visitor)
    clock.advance(LIFE)
    with process(backend, redis, clock) as site:
        assert access_token(at(site, visitor)) in ("access.f0.3", "access.f0.4"), "Redis may be new"
        clock.advance(RECOVERY_SECONDS + 10)
        assert access_token(at(site, visitor)) == "access.f0.4"
    assert len(set(backend.refreshes)) == len(backend.refreshes) == 4


def test_a_process_that_learns_of_a_refusal_ends_the_session_too(
    sites: tuple[Site, Site], backend: RotatingBackend, clock: ManualClock
) -> None:
    visitor = signed_in(sites[0])
    clock.advance(LIFE)
    backend.families["f0"], backend.delay = -1, 0.5
    tabs = [at(sites[number % 2], visitor) for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert not any(pool.map(is_signed_in, tabs))
    assert backend.refreshes == ["refresh.f0.0"]


def test_while_redis_is_unavailable_nothing_is_refreshed_and_sessions_go_on(
    sites: tuple[Site, Site], backend: RotatingBackend, redis: RedisServer, clock: ManualClock
) -> None:
    visitor = signed_in(sites[0])
    clock.advance(LIFE)
    redis.kill()
    with captured_log() as log:
        assert [is_signed_in(at(site, visitor), door) for site in sites for door in DOORS] == [True] * 4
    assert backend.refreshes == []
    assert "Redis" in log.getvalue()
    redis.start()

    def has_refreshed() -> bool:
        clock.advance(RECOVERY_SECONDS)
        assert all(is_signed_in(at(site, visitor)) for site in sites)
        return bool(backend.refreshes)

    wait_until(has_refreshed)
    assert backend.refreshes == ["refresh.f0.0"]


def test_tokens_that_redis_has_lost_are_saved_again(
    sites: tuple[Site, Site], backend: RotatingBackend, redis: RedisServer, clock: ManualClock
) -> None:
    """The first process has refreshed; Redis is restarted, empty; the second one has the old cookie."""
    visitor = signed_in(sites[0])
    clock.advance(LIFE)
    assert is_signed_in(at(sites[0], visitor))
    redis.restart()
    for _ in range(40):
        assert is_signed_in(at(sites[1], visitor))
        time.sleep(0.05)
    wait_until(lambda: bool(redis.execute("KEYS", "munjigi:tokens:*")))

    def has_newest() -> bool:
        clock.advance(RECOVERY_SECONDS)
        return access_token(at(sites[1], visitor)) == "access.f0.1"

    wait_until(has_newest)
    assert backend.refreshes == ["refresh.f0.0"]


def test_tokens_that_redis_could_not_take_are_saved_later(
    sites: tuple[Site, Site], backend: RotatingBackend, redis: RedisServer, clock: ManualClock
) -> None:
    visitor = signed_in(sites[0])
    clock.advance(LIFE)
    backend.delay = 1.0
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(is_signed_in, at(sites[0], visitor))
        wait_until(lambda: bool(backend.refreshes))
        redis.restart()  # while the backend answers
        assert reading.result()
    wait_until(lambda: bool(redis.execute("KEYS", "munjigi:tokens:*")))

    def has_newest() -> bool:
        clock.advance(RECOVERY_SECONDS)
        return access_token(at(sites[1], visitor)) == "access.f0.1"

    wait_until(has_newest)


def test_the_newest_token_wins_in_redis(
    sites: tuple[Site, Site], backend: RotatingBackend, redis: RedisServer, clock: ManualClock
) -> None:
    """A process that saves again what it knows must not replace what another has got since."""
    visitor = signed_in(sites[0])
    for site in (*sites, sites[1]):
        clock.advance(LIFE)
        assert is_signed_in(at(site, visitor))
    sites[0].app.extensions["munjigi"].refresher.store.save_all_again()
    time.sleep(0.5)
    clock.advance(LIFE)
    assert is_signed_in(at(sites[0], visitor))
    assert len(set(backend.refreshes)) == len(backend.refreshes) == 4


def test_no_token_can_be_read_in_redis(
    sites: tuple[Site, Site], backend: RotatingBackend, redis: RedisServer, clock: ManualClock
) -> None:
    visitor = signed_in(sites[0])
    clock.advance(LIFE)
    assert is_signed_in(visitor)
    keys = redis.execute("KEYS", "munjigi:*")
    strings = [redis.execute("GET", key) for key in keys if redis.execute("TYPE", key) == b"string"]
    assert any(value and len(value) > 200 for value in strings)
    # Long enough that the random text of a sealed value does not have it by chance.
    assert not any(text in value for value in strings if value for text in (b"access.f0", b"refresh.f0", b"refresh_"))


def test_tokens_that_a_cookie_has_too_are_kept_for_an_hour_only(
    sites: tuple[Site, Site], backend: RotatingBackend, redis: RedisServer, clock: ManualClock
) -> None:
    visitor = signed_in(sites[0])
    clock.advance(LIFE)
    assert is_signed_in(visitor)

    def seconds_left() -> int:
        (key,) = redis.execute("KEYS", "munjigi:tokens:*")
        return int(redis.execute("TTL", key))

    clock.advance(LIFE)
    assert is_signed_in(visitor)
    assert seconds_left() > 3600
    assert access_token(visitor) == "access.f0.2"
    assert is_signed_in(visitor), "the cookie has come back"
    assert seconds_left() > 3600, "the response to an earlier request may still overwrite it"
    clock.advance(CONFIRM_AFTER_SECONDS + 10)
    assert is_signed_in(visitor)
    assert 0 < seconds_left() <= 3600


def test_signing_out_replaces_the_tokens_by_a_mark(
    sites: tuple[Site, Site], backend: RotatingBackend, redis: RedisServer, clock: ManualClock
) -> None:
    visitor = signed_in(sites[0])
    clock.advance(LIFE)
    assert is_signed_in(visitor)
    assert at(sites[1], visitor).submit("/auth/logout", {}).status_code == 303
    assert [token for path, token in backend.calls if path == "/logout"] == ["refresh.f0.1"]
    assert not is_signed_in(at(sites[1], visitor))
    wait_until(lambda: not is_signed_in(at(sites[0], visitor)))
    assert [redis.execute("GET", key) for key in redis.execute("KEYS", "munjigi:tokens:*")] == [token_store._ENDED]
